"""`evolute export` as a user types it, and what a killed export leaves."""

import json
import shutil
import signal
import subprocess
import sys

import pytest

from evolute import api
from evolute.cli import main
from evolute.export.card import unchanged

SCRIPTED = {"models.default.api": "scripted", "models.default.model": "scripted"}


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grown")
    questions = (f"Explain how a class of {n + 2} pupils can share {n + 7} apples fairly." for n in range(20))
    (folder / "seeds.jsonl").write_text("".join(json.dumps({"instruction": one}) + "\n" for one in questions))
    api.evolve(str(folder / "seeds.jsonl"), out=folder / "run", recipe="wizardlm", settings=SCRIPTED)
    return folder / "run"


@pytest.fixture
def run(grown, tmp_path):
    return shutil.copytree(grown, tmp_path / "run")


def test_a_file_and_a_folder_hold_the_same_rows(tmp_path, run, evolute_command):
    file = evolute_command("export", run, "--out", tmp_path / "train.jsonl")
    assert (file.returncode, "rows written to" in file.stderr + file.stdout) == (0, True)
    folder = evolute_command(
        "export", run, "--out", f"{tmp_path}/set/", "--container", "jsonl", "--shards", 3, "--validation", 0.3
    )
    assert folder.returncode == 0, folder.stderr
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    data = {path.name: path.read_text().splitlines() for path in (tmp_path / "set" / "data").iterdir()}
    assert sorted(map(json.dumps, rows)) == sorted(
        json.dumps(json.loads(one)) for some in data.values() for one in some
    )
    assert sum(name.startswith("train-") for name in data) == 3
    card = (tmp_path / "set" / "README.md").read_text()
    assert unchanged(card)
    assert "Seeds: 20, from seeds.jsonl" in card
    assert str(tmp_path) not in card


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "train.csv"], "not called .csv"),
        (["--out", "train.jsonl", "--shards", "2"], "train.jsonl is one file, and shards or a validation split are"),
        (["--out", "set", "--shards", "0"], "shards must be at least 1, got 0"),
        (["--out", "set", "--validation", "1.5"], "got 1.5"),
        (["--out", "run"], "must not be replaced"),
        (["--out", "set", "--format", "preference"], "no responses to compare"),
    ],
)
def test_an_impossible_wish_is_one_clear_error(tmp_path, run, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["export", "run", *options])
    assert left.value.code == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_killed_export_leaves_the_old_folder_as_it_was(tmp_path):
    script = """
import os, sys
from pathlib import Path
from evolute.export import export_folder
from evolute.records import Row
def rows(last):
    for n in range(9):
        if n == last:
            os.kill(os.getpid(), 9)
        yield Row(f"i1-{n}", "s1-a", "s1-a", 1, "deepening", f"Add {last}.", "", "5", "", (), "m", "", "m", "s", n)
export_folder(rows(int(sys.argv[2])), "messages", Path(sys.argv[1]), container="jsonl", rows_per_shard=2)
"""
    out = tmp_path / "set"
    command = [sys.executable, "-c", script, str(out)]
    subprocess.run([*command, "99"], check=True, timeout=60)
    before = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    killed = subprocess.run([*command, "7"], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    subprocess.run([*command, "98"], check=True, timeout=60)
    assert b"Add 98." in (out / "data" / "train-00000-of-00005.jsonl").read_bytes()

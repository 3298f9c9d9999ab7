"""Whole-dataset steps on a real Ray: the same selection, to the last byte, as on one machine."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from evolute import api
from evolute.errors import EvoluteError
from evolute.ledger import Ledger, Reader
from evolute.models.loopback import LoopbackServer
from evolute.recipe import load, resolve
from evolute.records import Message, Seed
from evolute.scale.jobs import each
from evolute.scale.starting import connect
from evolute.scale.whole import looking_on
from evolute.select.banding import PIVOTS

pytest.importorskip("ray")
ROWS = 2_400
SUBJECTS = [
    "the old river and its boats", "a class of seven pupils", "bread, cheese and apples", "the speed of light in water",
    "linear equations with two unknowns", "the history of the printing press", "growing tomatoes on a balcony",
    "a chess club in a small town", "reading a map without a compass", "the migration of storks",
]  # fmt: skip
VERBS = ["Explain", "Describe", "Summarise", "Compare two views of", "Write a letter about", "List the risks of"]
PLACES = ["in the rain", "for beginners", "at the harbour", "in three steps", "without any jargon", "on a Sunday"]
SETTINGS = {
    "select.duplicates.near": 0.75,
    "select.duplicates.semantic": 0.95,
    "select.contamination.semantic": 0.85,
    "select.contamination.words": 8,
    "select.tokens.budget": 60,
    "select.mixture.rows": 150,
    "select.mixture.by": "operation",
    "select.tokens.over": "flag",
}
TABLES = {
    "steps": "name, key, note",
    "findings": "step, row, reason, score, other, evidence",
    "unselected": "row, step, reason, score, other, evidence",
    "flags": "row, step, reason, score, other, evidence",
    "grades": "kind, row, value, evidence, call",
}


def planted(draw):
    """Seeds with copies, near copies, a template beyond the pivots, conversations, faulty answers and odd texts."""
    made = []
    odd = ["?!", "水", "水の話をしてください", "%% ++ --", "C", "C#", "😀 😀 😀", "a" * 3000, "Привет, как дела?"]
    while len(made) < ROWS:
        number, turn = len(made), draw.random()
        text = f"{draw.choice(VERBS)} {draw.choice(SUBJECTS)} {draw.choice(PLACES)}, and name {number % 400} examples"
        system, history, response = (
            "",
            (),
            f"There are many. The first is number {number}, and it is told of elsewhere.",
        )
        if turn < 0.2 and made:
            words = draw.choice(made).instruction.split(" ")
            words[draw.randrange(len(words))] = draw.choice(["river", "apples", "today", "quietly"])
            text = " ".join(words)
        elif turn < 0.3:
            text = f"Tell me in one short sentence what the number {number} has to do with luck in the stories of old"
        elif turn < 0.4 and made:
            text = f"  {draw.choice(made).instruction.upper()}!"
        elif turn < 0.45:
            text, history = "Go on.", (Message("user", f"Count to {number % 9}"), Message("assistant", "1, 2, 3"))
        elif turn < 0.5:
            text, system = f"{draw.choice(odd)} {number % 7}", f"You are helpful, {number % 3}."
        elif turn < 0.55:
            text = "A robe takes 2 bolts of blue fiber and half that much white fiber. How many bolts in total?"
        elif turn < 0.6:
            response = draw.choice(
                [
                    "",
                    "I'm sorry, but I can't help with that.",
                    "Write to me, jana.weber81@posteo.net, for the rest of it.",
                    "and the " * 40,
                ]
            )
        made.append(
            Seed(text, response=response, system=system, history=history, source="seeds.jsonl", line=number + 1)
        )
    return made


def write(run, seeds):
    """A run of answered seeds, its ledger written directly."""
    run.mkdir()
    recipe = resolve(load("wizardlm") | {"models": {"default": {"api": "scripted"}}})
    (run / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    with Ledger(run) as ledger:
        ledger.begin(recipe.fingerprint(), {"respond": "every"})
        ledger.add_seeds(seeds)
        with Reader(run) as reader:
            kept = [(position, seed.id, seed.id) for position, seed in reader.seeds()]
        sql = "INSERT INTO candidates (seed, round, slot, attempt, id, parent, operation) VALUES (?, 0, 0, 0, ?, ?, '')"
        ledger.transact(lambda db: db.executemany(sql, kept))
        ledger.transact(lambda db: db.executemany("INSERT INTO lineages VALUES (?, NULL)", ((row[0],) for row in kept)))
    return run


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory):
    import tokenizers

    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.save(str(path))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write(tmp_path_factory.mktemp("whole") / "run", planted(random.Random(7)))


@pytest.fixture(scope="module", autouse=True)
def ray():
    with connect("ray", cores=2):
        yield


def tables(run):
    with Reader(run) as reader:
        return {
            name: list(reader.select(f"SELECT {columns} FROM {name} ORDER BY 1, 2, 3, 4, 5" if name != "steps" else
                                     f"SELECT {columns} FROM steps ORDER BY id"))
            for name, columns in TABLES.items()
        }  # fmt: skip


def test_a_selection_is_that_of_one_machine(run, tmp_path, tokenizer_file, monkeypatch):
    monkeypatch.chdir(tokenizer_file.parent)  # workers were started elsewhere
    settings = SETTINGS | {"select.tokens.tokenizer": tokenizer_file.name}
    alone, first, second = (shutil.copytree(run, tmp_path / name) for name in ("alone", "first", "second"))
    expected = api.select(alone, settings=settings)
    said = []
    for other, size in ((first, 700), (second, 5_000)):
        selected = api.select(other, settings=settings, looking=looking_on("ray", size=size), say=said.append)
        assert {**vars_of(selected), "run": 0} == {**vars_of(expected), "run": 0}
        assert tables(other) == tables(alone)
    found = tables(alone)
    reasons = {row[2] for row in found["findings"]}
    assert {"duplicate", "near-duplicate", "semantic-duplicate", "contaminated", "personal-data"} <= reasons
    assert len(found["unselected"]) > 500
    assert len(found["grades"]) == 2 * expected.rows
    template = [row for row in found["findings"] if row[2] == "near-duplicate"]
    assert len({row[4] for row in template}) > PIVOTS
    for one in (alone, first):
        api.export(one, "messages", tmp_path / f"{one.name}.jsonl")
    assert (tmp_path / "alone.jsonl").read_bytes() == (tmp_path / "first.jsonl").read_bytes()
    assert not [path for path in first.iterdir() if "scratch" in path.name]
    # Afterwards nothing is measured anew, here or there.
    api.select(first, settings={"select.duplicates.near": 0.8})
    api.select(alone, settings={"select.duplicates.near": 0.8})
    assert tables(first) == tables(alone)
    assert tables(first)["findings"] == found["findings"]


def vars_of(selected):
    return {name: getattr(selected, name) for name in selected.__slots__}


def test_many_rows_are_compared_by_cells(tmp_path, monkeypatch):
    """With so few rows one machine would compare all pairs; the bound is lowered for both."""
    from evolute.scale import meaning
    from evolute.select import semantic

    draw = random.Random(3)
    run = write(tmp_path / "run", planted(draw)[:900])
    other = shutil.copytree(run, tmp_path / "other")
    monkeypatch.setitem(semantic.pairs_of.__kwdefaults__, "exact", 100)
    monkeypatch.setitem(meaning.join_vectors.__kwdefaults__, "exact", 100)
    monkeypatch.setitem(meaning.join_vectors.__kwdefaults__, "members", 1_000)
    only = {"select.duplicates.semantic": 0.9, "select.contamination.check": "ignore"}
    api.select(run, settings=only)
    api.select(other, settings=only, looking=looking_on("ray", size=300))
    assert tables(other) == tables(run)
    assert any(row[2] == "semantic-duplicate" for row in tables(run)["findings"])


@contextlib.contextmanager
def loopback():
    """A server on a loop of its own, and its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = LoopbackServer()
    try:
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(30)
        yield server, server.base_url
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_an_endpoint_is_asked_by_this_process_and_each_text_once(run, tmp_path):
    settings = {
        "models.vectors": {"api": "chat", "base_url": "URL", "model": "embedder"},
        "select.duplicates.encoder": "vectors",
        "select.duplicates.semantic": 0.9,
        "select.contamination.check": "ignore",
    }
    one, other = (shutil.copytree(run, tmp_path / name) for name in ("one", "other"))
    with loopback() as (server, url):
        settings["models.vectors"]["base_url"] = url
        api.select(one, settings=settings)
        asked = server.requests
        api.select(other, settings=settings, looking=looking_on("ray", size=1_000))
        assert 0 < asked <= server.requests - asked <= asked + 3, "blocks end elsewhere than batches"
        together = server.requests
        api.select(other, settings=settings | {"select.duplicates.semantic": 0.7}, looking=looking_on("ray"))
        assert server.requests == together
    with Reader(one) as first, Reader(other) as second:
        count = "SELECT count(*), sum(length(vector)) FROM vectors"
        assert list(first.select(count)) == list(second.select(count))


def test_an_error_of_a_worker_is_one_sentence():
    def work(number):
        raise EvoluteError(f"block {number} is not there")

    with pytest.raises(EvoluteError, match="is not there"):
        list(each(work, 1))
    assert list(each(work, 0)) == []


def test_a_worker_that_is_killed_has_its_work_done_by_another(tmp_path):
    marker = str(tmp_path / "killed")

    def work(number):
        if number == 2:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
                os.kill(os.getpid(), signal.SIGKILL)
        return number * number

    assert sorted(each(work, 4)) == [(0, 0), (1, 1), (2, 4), (3, 9)]
    assert os.path.exists(marker)  # noqa: PTH110


def test_a_ray_that_is_started_listens_on_loopback_only_and_leaves_nothing_at_home(tmp_path):
    code = """
import psutil
from evolute.scale.starting import connect
with connect("ray", cores=1):
    tree = [psutil.Process(), *psutil.Process().children(recursive=True)]
    heard = {one.laddr.ip for each in tree for one in each.net_connections("inet") if one.status == psutil.CONN_LISTEN}
    print(sorted(heard))
"""
    command, home = [sys.executable, "-c", code], os.environ | {"HOME": str(tmp_path)}
    told = subprocess.run(command, env=home, capture_output=True, text=True, check=True, timeout=90)
    assert not (tmp_path / ".ray").exists()
    heard = set(ast.literal_eval(told.stdout.splitlines()[-1]))
    assert heard, "nobody listened at all"
    assert heard <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert told.stderr == "", "nor does it write of itself"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "[::1]:1"])
def test_a_head_that_does_not_answer_is_said_at_once(address):
    code = f"""
from evolute.errors import InputError
from evolute.scale.starting import connect
try:
    with connect("ray://{address}"):
        print("joined")
except InputError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "no Ray cluster can be joined there" in told.stdout
    assert told.stderr == ""


def test_nothing_is_started_for_what_is_measured_already(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    api.select(copy)
    again = "ray://127.0.0.1:1"  # where no Ray is
    code = f"""
import sys
from evolute import api
from evolute.scale.whole import looking_on
api.select({str(copy)!r}, settings={{"select.duplicates.near": 0.9}}, looking=looking_on({again!r}))
assert "ray" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

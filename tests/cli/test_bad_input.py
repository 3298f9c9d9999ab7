"""What a user can get wrong gets one clear message with the remedy, a status, and no traceback; nothing is lost."""

import asyncio
import gzip
import sys

import orjson
import pytest

from evolute import api
from evolute.cli import main
from evolute.models.loopback import Faults, LoopbackServer

SCRIPTED = ("--recipe", "wizardlm", "--api", "scripted", "--rounds", "1")


def run(capsys, *arguments):
    """The status and the standard error of a command."""
    try:
        main([str(argument) for argument in arguments])
        status = 0
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    return status, said.err


BAD_FILES = [
    ("broken.jsonl", b'{"instruction": "Say it."}\n{"instruction": \n', ["broken.jsonl", "line 2"]),
    ("no-instruction.jsonl", b'{"instruction": "Say it."}\n{"instruction": ""}\n', ["line 2", "instruction"]),
    ("long.jsonl", orjson.dumps({"instruction": "x" * 100_000}), ["100,000"]),
    ("latin.jsonl", '{"instruction": "Erkläre es."}'.encode("latin-1"), ["UTF-8", "latin.jsonl"]),
    ("null.jsonl", b'{"instruction": "Say \\u0000 it."}\n', ["line 1", "null"]),
    ("shapeless.jsonl", b'{"foo": 1, "bar": 2}\n', ["--column", "foo"]),
    ("empty.jsonl", b"", ["empty.jsonl", "empty"]),
    ("cut.jsonl.gz", gzip.compress(b'{"instruction": "Say it."}\n' * 5000)[:60], ["cut.jsonl.gz"]),
]


@pytest.mark.parametrize(("name", "content", "words"), BAD_FILES, ids=[name for name, _, _ in BAD_FILES])
def test_a_bad_file(tmp_path, capsys, name, content, words):
    (tmp_path / name).write_bytes(content)
    status, said = run(capsys, "evolve", tmp_path / name, "--out", tmp_path / "run", *SCRIPTED)
    assert status == 2
    for word in words:
        assert word.lower() in said.lower()


def test_a_missing_file_and_an_empty_folder(tmp_path, capsys):
    status, said = run(capsys, "evolve", tmp_path / "nowhere.jsonl", "--out", tmp_path / "run", *SCRIPTED)
    assert status == 2
    assert "nowhere.jsonl" in said
    (tmp_path / "empty").mkdir()
    status, said = run(capsys, "evolve", tmp_path / "empty", "--out", tmp_path / "run", *SCRIPTED)
    assert status == 2
    assert "empty" in said


def test_a_failed_first_command_has_no_say_in_the_next(tmp_path, capsys, seeds_file):
    """A mistyped file without --base-url must not make `tiny` the recipe of what follows."""
    run(capsys, "evolve", tmp_path / "nowhere.jsonl", "--out", tmp_path / "run")
    assert run(capsys, "evolve", seeds_file(2), "--out", tmp_path / "run", "--api", "scripted")[0] == 0
    assert "name: wizardlm" in (tmp_path / "run" / "recipe.yaml").read_text()


def test_skip_bad_sets_rows_aside_with_the_reason_and_counts_them(tmp_path, capsys):
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_bytes(
        b'{"instruction": "Name a lake and its depth."}\n{"instruction": 7}\n{oops\n{"instruction": " "}\n'
    )
    status, _ = run(capsys, "evolve", seeds, "--out", tmp_path / "run", *SCRIPTED, "--skip-bad")
    assert status == 0
    aside = [orjson.loads(line) for line in (tmp_path / "run" / "bad-rows.jsonl").read_bytes().splitlines()]
    assert [row["line"] for row in aside] == [2, 3, 4]
    assert all(row["why"] for row in aside)
    summary = api.status(tmp_path / "run")
    assert (summary.seeds, summary.bad_rows) == (1, 3)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("evolve.round=3", ["evolve.round", "did you mean", "rounds"]),
        ("rulez.min_words=3", ["rulez", "rules"]),
        ("evolve.rounds=many", ["evolve.rounds", "'many'"]),
        ("evolve.rounds=-1", ["evolve.rounds", "-1"]),
        ("models.default.tempo=3", ["models.default.tempo"]),
        ("roles.judge.model=other", ["roles.judge.model", "'other'", "default"]),
        ("evolve.operations={deeper: 1}", ["deeper", "deepen"]),
        ("rounds", ["FIELD=VALUE", "'rounds'"]),
    ],
)
def test_a_wrong_recipe_field(tmp_path, capsys, seeds_file, assignment, words):
    flags = ("--recipe", "wizardlm", "--api", "scripted", "--set", assignment)
    status, said = run(capsys, "evolve", seeds_file(1), "--out", tmp_path / "run", *flags)
    assert status == 2
    for word in words:
        assert word in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "nowhere"),
        ("verify", "nowhere"),
        ("replay", "nowhere"),
        ("show", "nowhere"),
        ("export", "nowhere", "--format", "alpaca", "--out", "x.jsonl"),
        ("plan", "nowhere"),
        ("evolve", "--out", "fresh"),
        ("operations", "show", "nothing"),
        ("evolve", "seeds.txt", "--out", "fresh", "--recipe", "nothing"),
        ("evolve", "seeds.txt", "--out", "fresh", "--max-calls", "0"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_commands_on_what_is_not_there(tmp_path, capsys, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    status, said = run(capsys, *arguments)
    assert status == 2
    assert said.strip()
    assert not (tmp_path / "fresh" / "ledger.db").exists() or "seeds" in said


async def against(server, capsys, seeds, out, *more):
    flags = ("--base-url", server.base_url, "--model", "m", "--rounds", "1", "--set", "models.default.retries=1", *more)
    return await asyncio.to_thread(run, capsys, "evolve", seeds, "--out", out, *flags)


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ({"require_key": "the-right-one"}, ["OPENAI_API_KEY"]),
        ({"models": ("another-model",)}, ["another-model", "(m)"]),
        ({"max_body": 10}, ["413"]),
        ({"faults": Faults(html=1.0)}, ["web page", "base_url"]),
    ],
    ids=["401", "404", "413", "html"],
)
async def test_an_endpoint_that_cannot_serve(tmp_path, capsys, seeds_file, server, words):
    async with LoopbackServer(**server) as endpoint:
        status, said = await against(endpoint, capsys, seeds_file(2), tmp_path / "run")
    assert status == 3
    for word in words:
        assert word.lower() in said.lower()


async def test_a_missing_key_names_its_variable(tmp_path, capsys, seeds_file):
    flags = ("--base-url", "https://api.example.invalid/v1", "--model", "m", "--api-key-env", "NO_SUCH_KEY")
    status, said = await asyncio.to_thread(run, capsys, "evolve", seeds_file(1), "--out", tmp_path / "run", *flags)
    assert status == 3
    assert "NO_SUCH_KEY" in said


async def test_an_endpoint_that_hangs_leaves_the_run_ready(tmp_path, capsys, seeds_file):
    seeds = seeds_file(2)
    async with LoopbackServer(faults=Faults(hang=1.0)) as server:
        hasty = ("--set", "models.default.read_timeout=0.2", "--set", "models.default.retries=0")
        status, _ = await against(server, capsys, seeds, tmp_path / "run", *hasty)
    assert status == 3
    assert api.status(tmp_path / "run").pending == 2
    (why,) = api.status(tmp_path / "run").left_over
    assert "did not answer in time" in why
    async with LoopbackServer() as server:
        status, _ = await against(server, capsys, seeds, tmp_path / "run")
    assert status == 0


def test_a_terminal_escape_is_never_emitted(tmp_path, capsys):
    """In a seed, in a completion, and in what is said about them."""
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_bytes(
        orjson.dumps({"instruction": "Explain \x1b]0;owned\x07 tides \x1b[31mred\x1b[0m and \u202e moons."})
    )

    async def evolve_against_hostile_text():
        async with LoopbackServer(
            lambda body: "Explain \x1b[2J\x1b]0;owned\x07 the tides of another moon, in depth."
        ) as server:
            flags = ("--base-url", server.base_url, "--model", "m", "--rounds", "1", "--set", "evolve.judge=false")
            await asyncio.to_thread(main, ["evolve", str(seeds), "--out", str(tmp_path / "run"), *flags])

    asyncio.run(evolve_against_hostile_text())
    main(["show", str(tmp_path / "run")])
    found = next(row for row in api.dataset(tmp_path / "run", seeds=False))
    main(["show", str(tmp_path / "run"), found.id])
    main(["status", str(tmp_path / "run")])
    said = capsys.readouterr()
    assert "tides" in said.out
    for raw in ("\x1b", "\x07", "\u202e"):
        assert raw not in said.out + said.err


def test_results_go_to_standard_output_and_the_rest_does_not(tmp_path, evolute_command, seeds_file):
    done = evolute_command("evolve", seeds_file(2), "--out", tmp_path / "run", *SCRIPTED, "--json")
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout)["finished"] == 2
    assert "seeds.jsonl" in done.stderr
    done = evolute_command("status", tmp_path / "run", "--json")
    assert orjson.loads(done.stdout)["pending"] == 0
    done = evolute_command("verify", tmp_path / "run", "--json")
    assert orjson.loads(done.stdout)["ok"] is True


def test_a_closed_pipe_is_no_traceback(tmp_path, seeds_file):
    import subprocess

    main(["evolve", str(seeds_file(2)), "--out", str(tmp_path / "run"), *SCRIPTED])
    command = f"{sys.executable} -m evolute show {tmp_path / 'run'} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr

"""A run with verified answers from end to end, on a real server and the real sandbox."""

import asyncio

import orjson
import pytest

from evolute import api
from evolute.errors import RecipeError
from evolute.evolve.budget import Limits
from evolute.ledger import Reader
from evolute.models.loopback import LoopbackServer

RIGHT = "```python\ndef double(x):\n    if x is None:\n        return 0\n    return x * 2\n```"
WRONG = RIGHT.replace("x * 2", "x * 3")
TESTS = (
    "```python\nfrom solution import double\n\ndef test_numbers():\n    assert double(2) == 4\n"
    "    assert double(-5) == -10\n\ndef test_nothing():\n    assert double(None) == 0\n```"
)


def rule(body):
    """Solves each task: rightly, wrongly for good, or in prose, as the task's last word says."""
    said = body["messages"][-1]["content"]
    first = body["messages"][0]["content"]
    if "Not Equal" in said:
        return "Not Equal"
    if "Prompt#" in first:
        task = next(line for line in first.splitlines() if "double(x)" in line)
        return f"{task} It must also double every element of a list, of whatever depth, and explain what it does."
    if "#Signatures in solution.py#" in first:
        return TESTS
    if "prose" in first:
        return "One multiplies it by two, and takes nothing for zero."
    return WRONG if "wrong" in first else RIGHT


def evolve(run, seeds, **settings):
    async def main():
        async with LoopbackServer(rule) as server:
            chosen = {
                "models.default.base_url": server.base_url, "models.default.model": "m", "evolve.rounds": 0,
                "evolve.seed_responses": "regenerate", "verify.answers": True, "verify.seconds": 3.0,
                **{name.replace("__", "."): value for name, value in settings.items()},
            }  # fmt: skip
            return await asyncio.to_thread(lambda: api.evolve(str(seeds), out=run, recipe="wizardlm", settings=chosen))

    return asyncio.run(main())


@pytest.fixture
def seeds(tmp_path):
    path = tmp_path / "seeds.jsonl"
    texts = [f"Write a Python function double(x). Answer it {how}." for how in ("right", "wrong", "in prose")]
    path.write_bytes(b"".join(orjson.dumps({"instruction": text}) + b"\n" for text in texts))
    return path


@pytest.mark.usefixtures("sandbox")  # skips where there is none
def test_what_is_not_verified_is_kept_with_its_mark(tmp_path, seeds, evolute_command):
    run = tmp_path / "run"
    summary = evolve(run, seeds)
    assert (summary.verified, dict(summary.unverified)) == (1, {"tests-failed": 1, "code-missing": 1})
    assert summary.others == []  # every call is told of where it belongs
    rows = [orjson.loads(line) for line in (run / "dataset.jsonl").read_bytes().splitlines()]
    assert [row["verified"] for row in rows] == [True, False, False]
    assert ["assert double(2) == 4" in row["tests"] for row in rows] == [True, True, False]
    assert rows[1]["output"] == WRONG
    assert api.replay(run).problems == api.verify(run).problems == []

    told = evolute_command("status", run).stdout
    assert "verified 1 of 3 answers; not: " in told
    assert "tests-failed 1" in told
    with Reader(run) as reader:
        ids = [row.id for row in reader.dataset()]
    assert "verified: 2 tests with 3 assertions" in evolute_command("show", run, ids[0]).stdout.replace("\n", " ")
    shown = evolute_command("show", run, ids[1]).stdout
    assert "not verified after 2 repairs: tests-failed" in " ".join(shown.split())
    listed = evolute_command("show", run, "--reason", "code-missing")
    assert "1 rows kept, and not verified" in listed.stdout
    assert "One multiplies it by two" in listed.stdout


@pytest.mark.usefixtures("sandbox")
def test_what_is_not_verified_is_dropped_and_exports_follow(tmp_path, seeds, evolute_command):
    run = tmp_path / "run"
    summary = evolve(run, seeds, verify__unverified="drop")
    assert dict(summary.seeds_dropped) == {"tests-failed": 1, "code-missing": 1}
    done = evolute_command("export", run, "--out", tmp_path / "x.jsonl")
    assert done.returncode == 0, done.stderr
    (row,) = [orjson.loads(line) for line in (tmp_path / "x.jsonl").read_bytes().splitlines()]
    assert row["verified"] is True
    listed = evolute_command("show", run, "--reason", "tests-failed").stdout
    assert "1 candidates dropped by the evolution" in listed
    assert "not verified" in listed
    assert api.replay(run).problems == api.verify(run).problems == []


@pytest.mark.usefixtures("sandbox")
def test_the_report_says_why_answer_by_answer(tmp_path, seeds):
    pytest.importorskip("jinja2")
    run = tmp_path / "run"
    evolve(run, seeds)
    page = api.report(run).read_text(encoding="utf-8")
    assert "<b>1</b> of 3 answers (33%) passed tests" in page
    assert "not verified after 2 repairs: tests-failed (outcome: failed" in page
    assert "not verified: code-missing" in page
    evolve(run, seeds, verify__answers=False)
    assert "Verified answers" not in api.report(run).read_text(encoding="utf-8")


@pytest.mark.usefixtures("sandbox")
def test_a_changed_recipe_reaches_its_verdicts_from_what_ran(tmp_path, seeds):
    run = tmp_path / "run"
    first = evolve(run, seeds)
    again = evolve(run, seeds, verify__unverified="drop")
    assert again.calls == first.calls
    assert dict(again.seeds_dropped) == {"tests-failed": 1, "code-missing": 1}


@pytest.mark.usefixtures("sandbox")
def test_the_prompts_of_a_verification_are_shown(tmp_path, seeds, evolute_command):
    run = tmp_path / "run"
    evolve(run, seeds, evolve__rounds=1)
    with Reader(run) as reader:
        wrong = next(row.id for row in reader.dataset() if row.round and "Answer it wrong" in row.instruction)
    shown = evolute_command("show", run, wrong).stdout
    for said in ("#Signatures in solution.py#", "Your code was run with the tests below", "Your tests were run"):
        assert said in shown


@pytest.mark.usefixtures("sandbox")
def test_a_plan_counts_the_calls_of_verification(tmp_path, seeds):
    run = tmp_path / "run"
    evolve(run, seeds)
    estimate = api.plan(out=run, limits=Limits(), pilot=0)
    # right: answer and tests; wrong: two repairs more; prose: the answer alone
    assert estimate.calls.middle == 2 + 4 + 1


SCRIPTED = ("--set", "models.default.api=scripted", "--set", "evolve.rounds=1")
NOTHING_INSTALLED = {"PATH": ""}


def test_without_verification_nothing_is_run_and_no_column_is_added(tmp_path, seeds, evolute_command):
    run = tmp_path / "run"
    done = evolute_command("evolve", seeds, "--out", run, "--recipe", "wizardlm", *SCRIPTED, env=NOTHING_INSTALLED)
    assert done.returncode == 0, done.stderr
    assert "verified" not in evolute_command("status", run).stdout
    assert b"verified" not in (run / "dataset.jsonl").read_bytes()


def test_where_the_sandbox_is_missing_nothing_is_paid_for(tmp_path, seeds, evolute_command):
    run, recipe = tmp_path / "run", tmp_path / "recipe.yaml"
    recipe.write_text(f"seeds: {{files: ['{seeds}']}}\nverify: {{answers: true}}\n")
    done = evolute_command("evolve", seeds, "--out", run, "--recipe", recipe, *SCRIPTED, env=NOTHING_INSTALLED)
    assert done.returncode != 0
    assert "Install it with" in done.stderr
    assert "Traceback" not in done.stderr
    with Reader(run) as reader:
        assert reader.totals() == []
    found = evolute_command("recipe", "validate", recipe, env=NOTHING_INSTALLED)
    assert "verify.answers" in found.stdout + found.stderr


def test_what_is_verified_must_be_answered(tmp_path, seeds):
    with pytest.raises(RecipeError, match=r"evolve\.respond"):
        evolve(tmp_path / "run", seeds, evolve__respond="never")

"""`evolute evaluate MODEL` as a user runs it: several benchmarks, one table, one page, nothing paid twice."""

import asyncio
import json
import re
from importlib import import_module

import pytest

from evolute.cli import main
from evolute.models.loopback import LoopbackServer
from evolute.pipeline.suites import SUITES, benchmarks_of, data_of

TASK = {
    "task_id": "HumanEval/0",
    "prompt": 'def add_one(a):\n    """Add one."""\n',
    "entry_point": "add_one",
    "canonical_solution": "    return a + 1\n",
    "test": "def check(candidate):\n    assert candidate(1) == 2\n",
}


def rule(body):
    """`us` writes right programs and long answers, `them` neither; the judge likes `us` better in any order."""
    said = body["messages"][-1]["content"]
    if body["model"] == "judge":
        first = re.search(r"Assistant 1's Answer\]\n(\w+)", said)[1]
        return "8 6" if first == "us" else "6 8"
    if "def add_one" in said:
        return f"```python\ndef add_one(a):\n    return a + {1 if body['model'] == 'us' else 2}\n```"
    return f"{body['model']} say so"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data" / "humaneval").mkdir(parents=True)
    (tmp_path / "data" / "humaneval" / "HumanEval.jsonl").write_text(json.dumps(TASK) + "\n")
    return tmp_path / "data"


@pytest.fixture
def evaluated(tmp_path, data, capsys):
    """What the command says, with its status, on a server that answers as `rule` has it."""

    async def run(*options, status=0, folder="out"):
        async with LoopbackServer(rule) as server:
            flags = ("--base-url", server.base_url, "--api-key-env", "", "--data", str(data), "--limit", "6")
            arguments = ["evaluate", "us", "--out", str(tmp_path / folder), *flags, *options]
            try:
                await asyncio.to_thread(main, arguments)
                ended = 0
            except SystemExit as end:
                ended = end.code
            calls = server.requests
        shown = capsys.readouterr()
        assert ended == status, shown
        return shown, calls

    return run


AGAINST = ("--against", "them", "--judge-model", "judge")


async def test_judged_and_run_in_one_table_and_on_one_page(evaluated, tmp_path):
    shown, calls = await evaluated("--suite", "quick", "humaneval", *AGAINST)
    assert re.search(r"quick \(ratio of summed scores\) +133\.3 %", shown.out)
    assert re.search(r"humaneval: us − them +\+100\.00", shown.out)
    assert calls == 6 + 6 + 12 + 2  # answers, the opponent's, both orders; a program of each
    page = (tmp_path / "out" / "evaluation.html").read_text()
    for part in ("133.3 %", "us − them", "Largest wins", "us say so", "published"):
        assert part in page, part
    again, calls = await evaluated("--suite", "quick", "humaneval", *AGAINST)
    assert calls == 0, "nothing is paid twice"
    assert again.out.splitlines()[:4] == shown.out.splitlines()[:4]


async def test_what_cannot_be_run_is_left_out_and_the_rest_goes_on(evaluated, tmp_path):
    shown, _ = await evaluated("--suite", "mbpp", "humaneval", status=1)
    assert "left out: mbpp: " in shown.out
    assert "100.0 %" in shown.out
    assert "Left out:" in (tmp_path / "out" / "evaluation.html").read_text()


async def test_a_suite_without_data_leaves_no_folder(evaluated, tmp_path):
    shown, _ = await evaluated("--suite", "mbpp", status=1)
    assert "left out: mbpp: " in shown.out
    assert not (tmp_path / "out").exists()


async def test_a_folder_that_holds_other_things_is_told(evaluated, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letters.txt").write_text("")
    shown, _ = await evaluated("--suite", "humaneval")
    assert "holds other things (letters.txt)" in shown.err
    again, _ = await evaluated("--suite", "humaneval")
    assert "holds other things" not in again.err


def test_a_models_folder_that_is_not_there_is_told_before_anything_is_done(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "models/mine", "--suite", "mbpp", "--out", str(tmp_path / "out")])
    assert "models/mine: there is no such folder or .gguf file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


async def test_a_bound_holds_for_all_benchmarks_together(evaluated):
    shown, calls = await evaluated("--suite", "humaneval", "quick", *AGAINST, "--max-calls", "8", status=4)
    assert calls == 8
    assert "left out: quick: --max-calls" in shown.out
    assert "to go on" in shown.err
    _, calls = await evaluated("--suite", "humaneval", "quick", *AGAINST, "--max-calls", "100")
    assert calls == 26 - 8


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--suite", "hellaswap"), "Did you mean hellaswag?"),
        (("--suite", "quack"), "no suite and no benchmark 'quack': there are the suites quick, wizardlm, code"),
        (("--judge-model", "judge", "--against", "typo.jsonl"), "--against typo.jsonl: there is no such file"),
        ((), "who judges quick? Give --judge-model NAME"),
        (("--judge-model", "judge"), "quick: answers are set against others': give --against MODEL or FILE"),
    ],
)
async def test_what_is_missing_is_said_before_anything_is_paid_for(evaluated, options, told):
    shown, calls = await evaluated(*options, status=2)
    assert told in shown.err
    assert calls == 0


async def test_answers_to_one_benchmark_are_not_set_against_anothers_questions(evaluated, tmp_path):
    answers = tmp_path / "theirs.jsonl"
    answers.write_text('{"question_id": "1", "text": "them"}\n')
    flags = ("--judge-model", "judge", "--against", str(answers))
    shown, calls = await evaluated("--suite", "quick", "vicuna", *flags, status=2)
    assert "a file answers the questions of one benchmark, and quick, vicuna would be set against it" in shown.err
    assert calls == 0


async def test_another_suites_folder_is_an_opponent(evaluated, tmp_path):
    await evaluated(*AGAINST, folder="one")
    shown, calls = await evaluated("--judge-model", "judge", "--against", str(tmp_path / "one"), folder="two")
    assert calls == 6 + 12  # the model's answers, which the other folder cannot lend, and the verdicts
    assert "quick (ratio of summed scores)" in shown.out


async def test_a_file_is_no_folder(evaluated, tmp_path):
    (tmp_path / "file").write_text("")
    shown, _ = await evaluated("--suite", "humaneval", folder="file", status=2)
    assert "give a folder, or a place for one" in shown.err


async def test_scripts_get_the_numbers(evaluated):
    shown, _ = await evaluated("--suite", "humaneval", "--json")
    said = json.loads(shown.out)
    assert said["scores"]["us"]["humaneval"]["measure"]["value"] == 100
    assert said["left_out"] == {}


def test_a_benchmarks_command_is_no_model_even_after_another_command_was_imported():
    """`evolute.cli.evaluate` is a module as well as a command's name."""
    import_module("evolute.cli.evaluate")
    with pytest.raises(SystemExit):
        main(["evaluate", "humaneval", "--samples", "missing.jsonl"])


def test_a_misspelt_benchmark_is_no_model(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "quik", "--out", "x"])
    assert "no benchmark 'quik': did you mean quick?" in capsys.readouterr().err


def test_suites_are_benchmarks_each_once():
    assert benchmarks_of(["code", "mbpp", "gsm8k"]) == [*SUITES["code"], "gsm8k"]


def test_data_lie_in_a_folder_for_each_benchmark_or_in_one(data):
    assert data_of("humaneval-plus", data) == data / "humaneval"
    assert data_of("mmlu", data) == data
    assert data_of("quick", data) is None

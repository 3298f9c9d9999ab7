"""Scoring in the real sandbox: verdicts, limits, recall, and results in others' formats."""

import json

import orjson
import pytest
from problemrows import DATA, humaneval, mbpp, plus

from evolute.evaluate.code.finding import load_problems
from evolute.evaluate.code.problems import ProblemSet, problem_of
from evolute.evaluate.code.results import Verdict
from evolute.evaluate.code.samples import Sample, read_samples, summed
from evolute.evaluate.code.scoring import score

HUMANEVAL = ProblemSet("humaneval", (problem_of(humaneval(), "x"), problem_of(humaneval(1), "x")), "x")
PLUS = ProblemSet("humaneval-plus", (problem_of(plus(), "x"),), "x", "md5")
ONE, RIGHT = "def add_one(x):\n    return 1\n", "def add_one(x):\n    return x + 1\n"


def scored(sandbox, problems, *programs, kind="solution", task=None, **options):
    task = task or problems.problems[0].id
    samples = summed([Sample(task, program, kind) for program in programs], problems)
    return sandbox(lambda box: score(problems, samples, box, **options))


def outcomes(results):
    return [result.verdict.outcome for result in results.results]


def test_human_evals_tests_decide(sandbox):
    results = scored(
        sandbox,
        HUMANEVAL,
        RIGHT,
        ONE,
        "def other(x):\n    return x",
        "def add_one(x:",
        "import os\nos._exit(0)",
        "def add_one(x):\n    raise SystemExit",
        "class Any:\n    def __eq__(self, other):\n        return True\ndef add_one(x):\n    return Any()",
    )
    assert outcomes(results) == ["passed", "failed", "error", "error", "crashed", "failed", "failed"]
    assert (results.passed, results.total) == (1, 8)
    assert results.samples.missing == ("HumanEval/1",)
    assert results.references[0].outcome == "passed"
    assert results.factor >= 1


def test_a_completion_goes_on_from_its_prompt(sandbox):
    assert outcomes(scored(sandbox, HUMANEVAL, "    return x + 1", "    return x", kind="completion")) == [
        "passed",
        "failed",
    ]


@pytest.mark.slow
def test_a_program_without_end_is_stopped(sandbox):
    (result,) = scored(sandbox, HUMANEVAL, "def add_one(x):\n    while True: pass").results
    assert result.verdict.outcome == "timeout"
    assert 2.9 < result.verdict.seconds < 60


def test_plus_tells_base_from_plus_and_which_input_was_wrong(sandbox):
    results = scored(sandbox, PLUS, RIGHT, ONE, "def add_one(x):\n    return abs(x) + 1")
    verdicts = [result.verdict for result in results.results]
    assert [(one.base, one.plus, one.wrong) for one in verdicts] == [
        (True, True, ("", -1)),
        (False, False, ("base", 0)),
        (True, False, ("plus", 0)),
    ]
    assert verdicts[2].detail == "add_one(-5) returned 6, expected -4"
    said = results.to_json()
    assert (said["passed"], said["base"]["passed"], said["plus"]["passed"], said["total"]) == (1, 2, 1, 3)
    assert said["pass@1"] == pytest.approx(1 / 3)


def test_outputs_are_compared_by_value_and_type_on_our_side(sandbox):
    cheat = "class Any(float):\n    def __eq__(self, other):\n        return True\ndef add_one(x):\n    return Any(7)"
    assert outcomes(scored(sandbox, PLUS, cheat, "def add_one(x):\n    return [x + 1]")) == ["failed", "failed"]


def test_what_a_function_prints_does_not_count(sandbox):
    loud = "def add_one(x):\n    print('x' * 10**8)\n    return x + 1\n"
    assert outcomes(scored(sandbox, PLUS, loud)) == ["passed"]
    assert outcomes(scored(sandbox, HUMANEVAL, f"open = None\n{loud}")) == ["passed"]


def test_a_match_object_counts_as_one_and_no_more(sandbox):
    row = plus(737, family="Mbpp", entry_point="check_str", base_input=[["a"], ["b"]], plus_input=[])
    row |= {"canonical_solution": "import re\ndef check_str(x):\n    return re.match('a', x)\n"}
    problems = ProblemSet("mbpp-plus", (problem_of(row, "x"),), "x")
    programs = [
        "def check_str(x):\n    return x == 'a'",
        "import re\ndef check_str(x):\n    return re.match('[ab]', x)",
    ]
    assert outcomes(scored(sandbox, problems, *programs)) == ["passed", "failed"]


def test_an_output_too_large_to_cross_is_compared_by_its_digest(sandbox):
    row = plus(255, family="Mbpp", entry_point="combinations_colors", base_input=[[3]], plus_input=[[4]])
    row |= {"canonical_solution": "def combinations_colors(n):\n    return [(str(x), x / 2) for x in range(n)]\n"}
    problems = ProblemSet("mbpp-plus", (problem_of(row, "x"),), "x")
    programs = [
        "def combinations_colors(n):\n    return [(f'{x}', 0.5 * x) for x in range(n)]",
        "def combinations_colors(n):\n    return tuple((f'{x}', 0.5 * x) for x in range(n))",
        "def combinations_colors(n):\n    return [(f'{x}', 0.5 * x) for x in range(3)]",
    ]
    assert [one.verdict.wrong for one in scored(sandbox, problems, *programs).results] == [
        ("", -1),
        ("base", 0),
        ("plus", 0),
    ]


def test_tests_with_a_class_of_the_solutions_share_its_process_and_are_listed(sandbox):
    code = "class Node:\n    def __init__(self, v):\n        self.v = v\ndef depth(node):\n    return node.v"
    row = mbpp(367, code=code, test_setup_code="root = Node(3)", test_list=["assert depth(root) == 3"])
    problems = ProblemSet("mbpp", (problem_of(row, "x"),), "x")
    results = scored(sandbox, problems, code, code.replace("node.v", "node.v + 1"))
    assert outcomes(results) == ["passed", "failed"]
    assert results.to_json()["together"] == ["Mbpp/367"]
    assert "1 task (Mbpp/367) whose tests share a process" in results.table()


def test_a_canonical_solution_that_fails_is_said_loudly(sandbox):
    broken = ProblemSet("humaneval", (problem_of(humaneval(canonical_solution="    return 0\n"), "x"),), "x")
    kept = {}
    results = scored(sandbox, broken, RIGHT, record=kept.__setitem__)
    assert kept == {}
    assert outcomes(results) == ["passed"]
    assert [one.task for one in results.failed_references] == ["HumanEval/0"]
    assert "do not trust the score" in results.table()
    broken = ProblemSet("humaneval-plus", (problem_of(plus(canonical_solution="    return 1 / 0\n"), "x"),), "x")
    (result,) = scored(sandbox, broken, RIGHT).results
    assert result.verdict.outcome == "error"
    assert "the canonical solution does not run" in result.verdict.detail


def test_a_verdict_is_recorded_once_and_recalled(sandbox):
    kept, told = {}, []
    options = {"recall": kept.get, "record": kept.__setitem__, "progress": lambda done, of: told.append((done, of))}
    first = scored(sandbox, PLUS, RIGHT, ONE, RIGHT, **options)
    assert len(kept) == 2
    assert told[-1] == (3, 3)
    assert [result.recalled for result in first.results] == [False] * 3
    again = scored(sandbox, PLUS, RIGHT, ONE, RIGHT, **options)
    assert [result.recalled for result in again.results] == [True] * 3
    assert [one.verdict for one in again.results] == [one.verdict for one in first.results]
    assert again.factor is None
    other = ProblemSet("humaneval-plus", PLUS.problems, "x", "another file's md5")
    assert not scored(sandbox, other, RIGHT, **options).results[0].recalled


def test_samples_of_a_task_give_pass_at_k(sandbox):
    problems = ProblemSet("humaneval", HUMANEVAL.problems[:1], "x")
    said = scored(sandbox, problems, *[RIGHT] * 3, *[ONE] * 7).to_json()
    assert (said["passed"], said["total"], said["problems"]) == (3, 10, 1)
    assert said["pass@1"] == pytest.approx(0.3)
    assert said["pass@10"] == 1
    assert "pass@100" not in said
    assert said["results"][9] | {"seconds": 0} == {
        "task_id": "HumanEval/0", "completion_id": 9, "passed": False, "outcome": "failed",
        "detail": said["results"][9]["detail"], "seconds": 0, "rules": [], "together": False,
    }  # fmt: skip
    orjson.dumps(said)


def test_results_in_human_evals_and_evalplus_formats(sandbox, tmp_path):
    file = tmp_path / "s.jsonl"
    file.write_text(json.dumps({"task_id": "HumanEval/0", "completion": "    return 1\n", "mine": 7}) + "\n")
    samples = read_samples(file, HUMANEVAL)
    (row,) = sandbox(lambda box: score(HUMANEVAL, samples, box)).human_eval_rows()
    assert row["mine"] == 7
    assert row["passed"] is False
    assert row["result"].startswith("failed: ")
    said = scored(sandbox, PLUS, RIGHT, "def add_one(x):\n    return abs(x) + 1").evalplus()
    assert said["hash"] == "md5"
    assert [(one["base_status"], one["plus_status"]) for one in said["eval"]["HumanEval/0"]] == [
        ("pass", "pass"),
        ("pass", "fail"),
    ]
    assert said["eval"]["HumanEval/0"][1]["plus_fail_tests"] == [[-5]]


def test_each_result_of_a_row_with_a_list_has_its_own_text(sandbox, tmp_path):
    file = tmp_path / "s.jsonl"
    texts = ["    return 1\n", "    return x + 1\n"]
    file.write_text(json.dumps({"task_id": "HumanEval/0", "completion": texts, "tags": ["a", "b"]}) + "\n")
    samples = read_samples(file, HUMANEVAL)
    rows = list(sandbox(lambda box: score(HUMANEVAL, samples, box)).human_eval_rows())
    assert [(row["completion"], row["passed"]) for row in rows] == [(texts[0], False), (texts[1], True)]
    assert rows[0]["tags"] == ["a", "b"]


def test_failures_are_shown_without_their_escapes(sandbox):
    shown = scored(sandbox, HUMANEVAL, "def add_one(x):\n    raise ValueError('\\x1b[31m')\n# \x1b[2J").failures()
    assert "\x1b" not in shown
    assert "HumanEval/0 #0: failed" in shown


def test_an_output_much_larger_than_the_right_one_stays_where_it_is(sandbox):
    (result,) = scored(sandbox, PLUS, "def add_one(x):\n    return 'x' * 100_000").results
    assert not result.verdict.passed
    assert "bytes" in result.verdict.detail


@pytest.mark.parametrize("record", ["no json", "[]", "{}", '{"outcome": "passed", "seconds": null, "wrong": ["", -1]}'])
def test_a_record_that_is_no_verdict_is_not_recalled(sandbox, record):
    (result,) = scored(sandbox, PLUS, ONE, recall=lambda key: record).results
    assert (result.recalled, result.verdict.outcome) == (False, "failed")


def test_a_verdict_outlives_its_json():
    verdict = Verdict("failed", "x\ud800", 0.5, base=True, plus=False, wrong=("plus", 3))
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert verdict.detail == "x\\ud800"


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the benchmarks' data is not here")
def test_wizardcoder_passes_98_of_humaneval_and_every_flag_is_the_stored_one(sandbox):
    problems = load_problems("humaneval", DATA)
    samples = read_samples(DATA / "humaneval/samples/wizardcoder-15b-v1.0_T0.0_N1.jsonl", problems)
    results = sandbox(lambda box: score(problems, samples, box))
    assert results.passed == 98
    assert [one.sample.task for one in results.results if one.verdict.passed != one.sample.row["passed"]] == []
    assert results.failed_references == ()
    assert [one.task for one in results.references if one.together] == []

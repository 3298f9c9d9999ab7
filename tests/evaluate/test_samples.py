"""Files of samples as others write them."""

import gzip
import json

import pytest
from problemrows import humaneval, mbpp, write

from evolute.errors import InputError
from evolute.evaluate.code.problems import ProblemSet, problem_of
from evolute.evaluate.code.samples import read_samples

HUMANEVAL = ProblemSet("humaneval", tuple(problem_of(humaneval(n), "x") for n in range(3)), "x")
MBPP = ProblemSet("mbpp", tuple(problem_of(mbpp(n), "x") for n in (11, 12)), "x")


def rows(path, problems=HUMANEVAL, **options):
    return [(one.task, one.kind, one.text) for one in read_samples(path, problems, **options).samples]


def test_human_evals_rows(tmp_path):
    file = write(tmp_path / "s.jsonl", [{"task_id": "HumanEval/1", "completion": "    return 1"}])
    read = read_samples(file, HUMANEVAL)
    (sample,) = read.samples
    assert (sample.task, sample.kind) == ("HumanEval/1", "completion")
    assert sample.program(HUMANEVAL.problems[1]).program == HUMANEVAL.problems[1].prompt + "    return 1"
    assert sample.where.endswith("s.jsonl, line 1")
    assert read.missing == ("HumanEval/0", "HumanEval/2")


def test_evalplus_rows_and_its_precedence(tmp_path):
    file = write(tmp_path / "s.jsonl.gz", [{"task_id": "HumanEval/0", "completion": "a", "solution": "b"}])
    assert rows(file) == [("HumanEval/0", "solution", "b")]


def test_evalplus_folder_in_the_order_of_its_numbers(tmp_path):
    for name, numbers in (("HumanEval_0", (10, 2)), ("HumanEval_2", (0,))):
        (tmp_path / name).mkdir()
        for number in numbers:
            (tmp_path / name / f"{number}.py").write_text(f"x = {number}")
    (tmp_path / "notes").mkdir()
    assert rows(tmp_path) == [
        ("HumanEval/0", "solution", "x = 2"),
        ("HumanEval/0", "solution", "x = 10"),
        ("HumanEval/2", "solution", "x = 0"),
    ]


def test_wizardcoders_rows_are_taken_as_they_are_unless_a_rule_is_asked_for(tmp_path):
    reply = "### Instruction:\nx\n\n### Response:```python\nx = 1\n```"
    file = write(tmp_path / "s.jsonl", [{"task_id": "HumanEval/0", "completion": "x = 2", "all_code": reply}])
    (sample,) = read_samples(file, HUMANEVAL).samples
    problem = HUMANEVAL.problems[0]
    assert sample.program(problem).program == problem.prompt + "x = 2"
    assert sample.program(problem, "wizardcoder-humaneval").program == problem.prompt + "x = 1"


@pytest.mark.parametrize("name", ["output", "text", "response", "generated_text"])
def test_raw_replies_go_through_extraction(tmp_path, name):
    file = write(tmp_path / "s.jsonl", [{"task_id": 0, name: "Sure:\n```python\ndef add_one(x):\n    return 7\n```"}])
    (sample,) = read_samples(file, HUMANEVAL).samples
    extracted = sample.program(HUMANEVAL.problems[0])
    assert "return 7" in extracted.program
    assert "fence" in extracted.rules


@pytest.mark.parametrize(
    "written", ["HumanEval/1", "humaneval/1", "HumanEval_1", "1", 1, " HumanEval/1 ", "HumanEval+/1"]
)
def test_ids_are_read_however_they_are_written(tmp_path, written):
    assert rows(write(tmp_path / "s.jsonl", [{"task_id": written, "completion": ""}]))[0][0] == "HumanEval/1"


@pytest.mark.parametrize("written", ["Mbpp/11", "MBPP/11", 11, "mbpp_11", "MbppPlus/11"])
def test_ids_of_mbpp(tmp_path, written):
    assert rows(write(tmp_path / "s.jsonl", [{"task_id": written, "completion": ""}]), MBPP)[0][0] == "Mbpp/11"


def test_bigcodes_lists_go_by_position(tmp_path):
    file = tmp_path / "generations.json"
    file.write_text(json.dumps([["a", "b"], ["c"]]))
    assert rows(file, MBPP) == [
        ("Mbpp/11", "solution", "a"),
        ("Mbpp/11", "solution", "b"),
        ("Mbpp/12", "solution", "c"),
    ]
    file.write_text(json.dumps([["a"]] * 3))
    with pytest.raises(InputError, match=r"3 lists of programs without task ids, and mbpp .* has 2 problems"):
        read_samples(file, MBPP)


def test_json_of_rows_of_ids_and_evalplus_results(tmp_path):
    file = tmp_path / "s.json"
    file.write_text(json.dumps([{"task_id": "1", "completion": "x"}]))
    assert rows(file) == [("HumanEval/1", "completion", "x")]
    file.write_text(json.dumps({"HumanEval/1": ["x", "y"], "0": "z"}))
    assert rows(file) == [("HumanEval/1", "text", "x"), ("HumanEval/1", "text", "y"), ("HumanEval/0", "text", "z")]
    file.write_text(json.dumps({"date": "", "eval": {"HumanEval/1": [{"solution": "x", "base_status": "pass"}]}}))
    assert rows(file) == [("HumanEval/1", "solution", "x")]
    packed = tmp_path / "s.json.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert rows(packed) == rows(file)


def test_many_samples_in_any_order_missing_repeated_unknown_and_fenced(tmp_path):
    said = [(2, "a"), (0, "b"), (2, "a"), (7, "c"), (2, "```python\nx\n```")]
    file = write(tmp_path / "s.jsonl", [{"task_id": task, "completion": text} for task, text in said])
    read = read_samples(file, HUMANEVAL)
    assert [one.task for one in read.samples] == ["HumanEval/2", "HumanEval/0", "HumanEval/2", "HumanEval/2"]
    assert (read.missing, read.unknown, read.repeated, read.fenced) == (("HumanEval/1",), ("7",), 1, 1)
    with pytest.raises(InputError, match="line 4: 7 is no task of humaneval"):
        read_samples(file, HUMANEVAL, strict=True)


def test_a_row_may_hold_all_samples_of_a_task(tmp_path):
    file = write(tmp_path / "s.jsonl", [{"task_id": 0, "completion": ["a", "b"]}])
    assert [text for _, _, text in rows(file)] == ["a", "b"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"completion": "x"}, "line 1: the field 'task_id' is missing"),
        ({"task_id": "first", "completion": "x"}, "no sample of humaneval .* its tasks are 'first'"),
        ({"task_id": None, "completion": "x"}, "must be HumanEval/N or a number, got 'None'"),
        ({"task_id": 0, "completion": []}, "line 1: the field 'completion' is an empty list"),
        ({"task_id": True, "completion": "x"}, "must be HumanEval/N or a number, got 'True'"),
        ({"task_id": 0}, "no sample in it: it needs one of 'solution', 'completion'"),
        ({"task_id": 0, "completion": 3}, "'completion' must be a string or a list of them, got 3"),
        ({"task_id": "Mbpp/1", "completion": "x"}, "no sample of humaneval .* its tasks are 'Mbpp/1'"),
        ([1], "expected an object with 'task_id', got list"),
    ],
)
def test_what_is_no_sample_is_told_with_its_line(tmp_path, row, said):
    with pytest.raises(InputError, match=said):
        read_samples(write(tmp_path / "s.jsonl", [row]), HUMANEVAL)


def test_a_key_that_is_no_id_is_left_out_and_named(tmp_path):
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"HumanEval/0": "x", "junk": 5, "HumanEval/99": "y"}))
    read = read_samples(file, HUMANEVAL)
    assert [one.task for one in read.samples] == ["HumanEval/0"]
    assert read.unknown == ("junk", "HumanEval/99")
    with pytest.raises(InputError, match="'junk' is no task of humaneval"):
        read_samples(file, HUMANEVAL, strict=True)


def test_a_folder_of_another_layout_is_told_the_right_one(tmp_path):
    (tmp_path / "0.py").write_text("x = 1")
    with pytest.raises(InputError, match=r"a folder per task with a file per sample \(HumanEval_0/0\.py\)"):
        read_samples(tmp_path, HUMANEVAL)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_samples(tmp_path / "s.jsonl", HUMANEVAL)
    with pytest.raises(InputError, match="no sample of humaneval"):
        read_samples(tmp_path, HUMANEVAL)

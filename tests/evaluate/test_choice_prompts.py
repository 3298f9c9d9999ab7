"""The prompts of multiple choice: to the letter those of the harness, and bad files told of."""

from random import Random

import pytest
from choicerows import (
    DATA,
    SAMPLES,
    arc_row,
    arguments,
    hellaswag_row,
    logged,
    mmlu_row,
    truthful_row,
    write_rows,
)

from evolute.errors import InputError
from evolute.evaluate.choice.tasks import CATEGORIES, make_task

stored = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the shared data are not beside this checkout")


@stored
@pytest.mark.parametrize(
    ("benchmark", "fixture", "shots", "name"),
    [
        ("hellaswag", "hellaswag", 0, ""),
        ("arc-challenge", "arc_challenge", 25, ""),
        ("truthfulqa", "truthfulqa_mc1", 0, "mc1"),
    ],
)
def test_every_prompt_is_the_one_that_the_harness_logged(benchmark, fixture, shots, name):
    rows = logged(fixture)
    task = make_task(benchmark, DATA, shots=shots, limit=len(rows))
    assert [question.pairs(name) for question in task.questions] == [arguments(row) for row in rows]


def test_mmlu_shows_the_first_of_the_subject_and_stands_subject_by_subject(tmp_path):
    write_rows(
        tmp_path / "mmlu/dev.jsonl",
        [mmlu_row(n, subject) for n in range(3) for subject in ("virology", "world_religions")],
    )
    write_rows(
        tmp_path / "mmlu/test.jsonl",
        [mmlu_row(9, "world_religions"), mmlu_row(8, "virology"), mmlu_row(7, "world_religions")],
    )
    task = make_task("mmlu", tmp_path, shots=2)
    assert [question.groups["subject"] for question in task.questions] == ["world_religions"] * 2 + ["virology"]
    assert [question.groups["category"] for question in task.questions] == ["humanities"] * 2 + ["other"]
    listed = "A. none\nB. one\nC. two\nD. many\nAnswer:"
    assert task.questions[0].context == (
        "The following are multiple choice questions (with answers) about world religions.\n\n"
        f"How many moons has planet 0?\n{listed} A\n\nHow many moons has planet 1?\n{listed} B\n\n"
        f"How many moons has planet 9?\n{listed}"
    )
    assert task.questions[0].pairs("")[3][1] == " D"
    assert len(make_task("mmlu", tmp_path, shots=0, limit=1).questions) == 2, "the limit is each subject's"
    assert len(make_task("mmlu", tmp_path, shots=0, subjects=["virology"]).questions) == 1


def test_mmlu_has_57_subjects_in_four_categories():
    assert len(CATEGORIES) == 57
    assert set(CATEGORIES.values()) == {"stem", "humanities", "social sciences", "other"}


def test_hellaswag_is_cleaned_once_and_draws_one_example_more_than_it_shows(tmp_path):
    rows = [hellaswag_row(n) for n in range(6)]
    write_rows(tmp_path / "validation.jsonl", [hellaswag_row(99)])
    write_rows(tmp_path / "train.jsonl", rows)
    question = make_task("hellaswag", tmp_path, shots=2).questions[0]
    drawn = Random(1234).sample(range(6), 3)[:2]
    shown = [f"Cooking: Cook {n} stands there.. Then The cook" for n in (*drawn, 99)]
    assert question.context == f"{shown[0]} stirs it.\n\n{shown[1]} stirs it.\n\n{shown[2]}"
    assert question.document.choices[""] == ("stirs it.", "flies away.", "sleeps.")


def test_a_question_that_is_among_the_examples_is_never_its_own(tmp_path):
    write_rows(tmp_path / "test.jsonl", [{"question": f"{n} + 1?", "answer": f"#### {n + 1}"} for n in range(4)])
    task = make_task("gsm8k", tmp_path, shots=3)
    assert "drawn from the test split" in task.notes[0]
    for question in task.questions:
        assert question.context.count(question.document.text) == 1
        assert question.context.count("Answer:") == 4


def test_truthfulqa_is_read_in_all_three_of_its_shapes(tmp_path):
    hub = truthful_row(1)
    authors = hub | {
        name: dict(zip(hub[name]["choices"], hub[name]["labels"], strict=True)) for name in hub if "mc" in name
    }
    flat = {"question": hub["question"]} | {
        f"{plural}{kind}": hub[f"mc{kind}_targets"][plural] for kind in "12" for plural in ("choices", "labels")
    }
    shapes = [
        make_task("truthfulqa", write_rows(tmp_path / f"{n}.jsonl", [row]))
        for n, row in enumerate((hub, authors, flat))
    ]
    pairs = [{name: task.questions[0].pairs(name) for name in ("mc1", "mc2")} for task in shapes]
    assert pairs[0] == pairs[1] == pairs[2]
    assert pairs[0]["mc1"][0][0].endswith("Barcelona, Spain.\n\nQ: What is 1?\nA:")


@pytest.mark.parametrize(
    ("benchmark", "row", "said"),
    [
        ("arc-challenge", arc_row(1, "D"), "answerKey: expected one of A, B, C, got 'D'"),
        ("arc-challenge", arc_row(1, choices={"text": ["a"], "label": ["A", "B"]}), "choices.label: expected 1 labels"),
        ("arc-challenge", arc_row(1, question=None), "question: expected a text, got None"),
        ("arc-challenge", [1], "expected an object, got list"),
        ("mmlu", mmlu_row(1, answer=4), "answer: expected the number of one of the 4 choices, from 0, got 4"),
        ("mmlu", mmlu_row(1, choices=["a"]), "choices: expected 4 of them"),
        ("hellaswag", hellaswag_row(1, label=""), "label: expected the number"),
        (
            "truthfulqa",
            truthful_row(1) | {"mc1_targets": {"choices": ["a", "b"], "labels": [0, 1]}},
            "mc1_targets: expected the first",
        ),
        (
            "truthfulqa",
            truthful_row(1) | {"mc2_targets": {"choices": ["a", "b"], "labels": [1, 1]}},
            "answers of both kinds",
        ),
        ("truthfulqa", {"question": "What?"}, "mc1_targets"),
        ("gsm8k", {"question": "1 + 1?"}, "answer: expected a text, got None"),
    ],
)
def test_a_row_that_is_wrong_is_named(tmp_path, benchmark, row, said):
    good = {
        "arc-challenge": arc_row(0),
        "mmlu": mmlu_row(0),
        "hellaswag": hellaswag_row(0),
        "truthfulqa": truthful_row(0),
    }
    path = write_rows(tmp_path / "rows.jsonl", [good.get(benchmark, {"question": "0?", "answer": "0"}), row])
    with pytest.raises(InputError, match="line 2") as wrong:
        make_task(benchmark, path, shots=0)
    assert said in str(wrong.value)


@pytest.mark.parametrize(
    ("benchmark", "options", "said"),
    [
        ("arc-challenge", {}, "looked for train.jsonl"),
        ("arc-challenge", {"shots": -1}, "--shots must be at least 0, got -1"),
        ("arc-challenge", {"limit": 0}, "--limit must be at least 1, got 0"),
        ("arc-challenge", {"subjects": ["law"]}, "--subjects is for mmlu"),
        ("truthfulqa", {"shots": 3}, "six fixed examples"),
    ],
)
def test_options_that_cannot_be(tmp_path, benchmark, options, said):
    write_rows(tmp_path / "arc_challenge/test.jsonl", [arc_row(1)])
    with pytest.raises(InputError, match=said):
        make_task(benchmark, tmp_path, **options)


def test_ids_that_are_there_twice_and_folders_that_are_not(tmp_path):
    path = write_rows(tmp_path / "test.jsonl", [arc_row(1), arc_row(1)])
    with pytest.raises(InputError, match="rows 1 and 2 have the same id 'Q1'"):
        make_task("arc-challenge", path, shots=0)
    with pytest.raises(InputError, match="there is no such file or folder"):
        make_task("mmlu", tmp_path / "missing")
    write_rows(tmp_path / "arc/train.jsonl", [arc_row(2), arc_row(3)])
    write_rows(tmp_path / "arc/test.jsonl", [arc_row(1)])
    with pytest.raises(InputError, match="there are only 2 solved examples"):
        make_task("arc-challenge", tmp_path / "arc", shots=3)

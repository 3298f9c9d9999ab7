"""From log-likelihoods to scores: as the harness aggregates them, and what cannot be scored is told."""

import math

import pytest
from choicerows import DATA, SAMPLES, arc_row, logged, mmlu_row, truthful_row, write_rows
from hypothesis import given
from hypothesis import strategies as st

from evolute.evaluate.choice.metrics import accuracies, mark, score_of, true_mass
from evolute.evaluate.choice.tasks import make_task
from evolute.scores import Score

stored = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the shared data are not beside this checkout")
EXPECTED = [
    ("hellaswag", "hellaswag", 0, {"acc": 42.0, "acc_norm": 48.0}),
    ("arc-challenge", "arc_challenge", 25, {"acc": 30.0, "acc_norm": 34.0}),
    ("truthfulqa", "truthfulqa_mc1", 0, {"mc1": 28.0}),
]


@stored
@pytest.mark.parametrize(("benchmark", "fixture", "shots", "expected"), EXPECTED)
def test_the_logged_likelihoods_come_to_the_published_numbers(benchmark, fixture, shots, expected):
    rows = logged(fixture)
    task = make_task(benchmark, DATA, shots=shots, limit=len(rows))
    marked = []
    for question, row in zip(task.questions, rows, strict=True):
        values = [float(said[0]) for said in row["filtered_resps"]]
        likelihoods = {"mc1": values} if benchmark == "truthfulqa" else {"": values}
        marked.append(mark(question, likelihoods))
        theirs = {"mc1": row["acc"]} if benchmark == "truthfulqa" else {name: row[name] for name in ("acc", "acc_norm")}
        assert {name: marked[-1].metrics[name] for name in theirs} == theirs
    for name, percent in expected.items():
        assert 100 * sum(one.metrics[name] for one in marked) / len(marked) == pytest.approx(percent)


def test_the_three_accuracies_differ_where_lengths_do():
    choices, right = ("ab", "ééé", "abcdefgh"), (True, False, False)
    assert accuracies([-2.0, -2.5, -9.0], choices, right) == {"acc": 1.0, "acc_norm": 0.0, "acc_bytes": 0.0}
    assert accuracies([-2.0, -2.5, -9.0], choices, (False, True, False)) == {
        "acc": 0.0,
        "acc_norm": 1.0,
        "acc_bytes": 1.0,
    }
    assert accuracies([-2.0, -2.0, -2.0], ("a", "b", "c"), (True, False, False))["acc"] == 1.0, "of equals the first"


@given(st.lists(st.floats(-2000, 0), min_size=2, max_size=8), st.data())
def test_mc2_is_the_softmax_mass_of_what_is_true(values, data):
    right = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    mass = true_mass(values, right)
    assert 0 <= mass <= 1
    assert mass + true_mass(values, [not one for one in right]) == pytest.approx(1)
    if min(values) > -300:
        plain = [math.exp(value) for value in values]
        assert mass == pytest.approx(sum(p for p, r in zip(plain, right, strict=True) if r) / sum(plain), abs=1e-9)


def test_an_unscored_question_keeps_its_reason_and_too_many_take_the_headline(tmp_path):
    task = make_task("arc-challenge", write_rows(tmp_path / "test.jsonl", [arc_row(n) for n in range(20)]), shots=0)
    marked = [mark(question, {"": [-1.0, -5.0, -9.0]}) for question in task.questions]
    marked[3] = mark(task.questions[3], {"": [-1.0, None, -9.0]}, ["", "the choice has no tokens", ""])
    score = score_of(task, marked, "m", cost=0.5)
    assert (score.n, score.unscored, score.measure.value, score.cost) == (19, 1, 100.0, 0.5)
    assert score.items[3].why == "the choice has no tokens"
    assert score.items[3].score is None
    assert Score.from_json(score.to_json()).to_json() == score.to_json()
    assert score_of(task, [*marked[:3], *[marked[3]] * 17], "m").measure.value is None


def test_a_choice_of_no_length_is_unscored(tmp_path):
    row = arc_row(1, choices={"text": ["two", ""], "label": ["A", "B"]})
    task = make_task("arc-challenge", write_rows(tmp_path / "test.jsonl", [row]), shots=0)
    marked = mark(task.questions[0], {"": [-1.0, -2.0]})
    assert (dict(marked.metrics), marked.why) == ({}, "choice 2 is empty")


def test_subjects_and_categories_are_parts_and_the_whole_is_weighted_by_size(tmp_path):
    rows = [mmlu_row(n, "virology") for n in range(3)] + [mmlu_row(4, "sociology")]
    task = make_task("mmlu", write_rows(tmp_path / "test.jsonl", rows), shots=0)
    marked = [mark(question, {"": [-1.0, -2.0, -2.0, -2.0]}) for question in task.questions]
    score = score_of(task, marked, "m")
    parts = {(part.by, part.name): (part.measure.value, part.n) for part in score.parts}
    assert parts[("subject", "virology")] == (pytest.approx(100 / 3), 3)
    assert parts[("category", "social sciences")] == (100.0, 1)
    assert score.measure.value == pytest.approx(50)
    assert score.also["acc stderr"].value == pytest.approx(100 * math.sqrt(4 * 0.25 / 3) / 2)


def test_truthfulqa_has_two_numbers(tmp_path):
    task = make_task("truthfulqa", write_rows(tmp_path / "mc.jsonl", [truthful_row(1)] * 2))
    values = {"mc1": [-2.0, -1.0], "mc2": [math.log(0.2), math.log(0.2), math.log(0.6)]}
    score = score_of(task, [mark(question, values) for question in task.questions], "m")
    assert score.metric == "mc2"
    assert score.measure.value == pytest.approx(40)
    assert score.also["mc1"].value == 0

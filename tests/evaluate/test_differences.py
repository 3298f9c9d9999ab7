"""Two results side by side, paired."""

from random import Random

import pytest

from evolute.evaluate.differences import paired
from evolute.scores import Item, Measure, Score


def score(values, *, weights=None, **fields):
    """A score whose items are `values`, by place; None is unscored."""
    items = tuple(
        Item(str(place), value, weights=weights[place] if weights else None) for place, value in enumerate(values)
    )
    scored = [value for value in values if value is not None]
    given = {"benchmark": "b", "model": "m", "metric": "acc", "scale": "%"} | fields
    return Score(**given, measure=Measure(sum(scored) / len(scored)), n=len(scored), items=items)


def test_pairing_finds_what_two_intervals_would_hide():
    """Questions differ by 40 points, the models by 2 on each: alone, neither interval could tell them apart."""
    chance = Random(0)
    hard = [chance.uniform(0, 90) for _ in range(60)]
    found = paired(score([value + 2 + chance.uniform(-1, 1) for value in hard]), score(hard))
    assert found.measure.value == pytest.approx(2, abs=0.5)
    assert found.measure.low > 1
    assert found.told == "the first is better"
    assert (found.n, found.left) == (60, 0)


def test_no_difference_is_not_made_one():
    chance = Random(1)
    one, other = ([chance.choice((0.0, 100.0)) for _ in range(50)] for _ in range(2))
    found = paired(score(one), score(other))
    assert found.measure.low < 0 < found.measure.high
    assert found.told == "cannot be told apart"


def test_only_what_both_have_scored_is_compared_and_the_rest_counted():
    found = paired(score([100.0, None, 0.0, 100.0]), score([0.0, 100.0, 0.0]))
    assert (found.n, found.left) == (2, 2)
    assert found.measure.value == 50


def test_ratios_of_sums_are_subtracted_and_not_their_means():
    weights, others = [(8.0, 4.0), (1.0, 8.0)], [(4.0, 4.0), (8.0, 8.0)]
    found = paired(score([200.0, 12.5], weights=weights), score([100.0, 100.0], weights=others))
    assert found.measure.value == pytest.approx(100 * 9 / 12 - 100)


def test_points_against_an_opponents_nothing_count_as_well():
    ones, others = (
        score([None, 100.0], weights=[(8.0, 0.0), (5.0, 5.0)]),
        score([50.0, 100.0], weights=[(2.0, 4.0), (5.0, 5.0)]),
    )
    assert paired(ones, others).measure.value == pytest.approx(100 * 13 / 5 - 100 * 7 / 9)


@pytest.mark.parametrize(("field", "here", "there"), [("metric", "acc", "acc_norm"), ("against", "gpt-4", "")])
def test_what_is_not_alike_is_not_compared(field, here, there):
    found = paired(score([1.0], **{field: here}), score([1.0], **{field: there}))
    assert found.measure.value is None
    assert found.told == f"not comparable: {field} is {here!r} here and {there or 'none'!r} there"


@pytest.mark.parametrize(
    ("here", "there", "told"),
    [
        ({"order": "both"}, {"order": "alternate"}, "they differ in order"),
        ({"questions": {"sha256": "a", "n": 1}}, {"questions": {"sha256": "b", "n": 1}}, "they differ in questions"),
        (
            {"judge_prompts": {"x": {"hash": "1"}}},
            {"judge_prompts": {"x": {"hash": "2"}}},
            "they differ in judge prompts",
        ),
        ({"shots": 5}, {"shots": 0}, "they differ in shots"),
    ],
)
def test_what_was_run_otherwise_is_not_compared(here, there, told):
    assert paired(score([1.0], ran=here), score([1.0], ran=there)).told == f"not comparable: {told}"


def test_settings_under_which_answers_were_drawn_are_told():
    here, there = {"answers": {"sampling": {"max_tokens": 40}}}, {"answers": {"sampling": {"max_tokens": 90}}}
    assert paired(score([1.0], ran=here), score([1.0], ran=there)).otherwise == ("answers' max_tokens",)
    assert paired(score([1.0], ran={"n": 1}), score([1.0], ran={"n": 20})).otherwise == ("n",)
    assert paired(score([1.0], ran=here), score([1.0], ran=here)).otherwise == ()


def test_a_smaller_limit_is_still_comparable():
    here = {"questions": {"sha256": "a", "n": 1}, "judge_prompts": {"x": {"hash": "1"}}}
    there = {"questions": {"sha256": "a", "n": 9}, "judge_prompts": {"x": {"hash": "1"}, "y": {"hash": "2"}}}
    assert paired(score([1.0], ran=here), score([2.0], ran=there)).measure.value == -1


def test_two_questions_that_are_alike_do_not_claim_to_know():
    found = paired(score([100.0, 100.0]), score([100.0, 100.0]))
    assert (found.measure.value, found.measure.low) == (0, None)


def test_of_a_single_question_there_is_no_interval():
    found = paired(score([100.0]), score([0.0]))
    assert (found.measure.value, found.measure.low, found.told) == (100, None, "cannot be told apart")

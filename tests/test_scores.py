"""The noun that every benchmark comes to, as it is written and read back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.scores import Item, Measure, Outcome, Part, Score

numbers = st.none() | st.floats(-1e6, 1e6)
measures = st.builds(Measure, numbers, numbers, numbers, st.text(max_size=8))
outcomes = st.none() | st.builds(Outcome, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
items = st.builds(
    Item, st.text(max_size=8), numbers, st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2),
    st.text(max_size=8), st.text(max_size=8), st.none() | st.tuples(st.floats(0, 10), st.floats(0, 10)),
)  # fmt: skip
parts = st.builds(
    Part, st.text(max_size=4), st.text(max_size=4), measures, st.integers(0, 9), st.integers(0, 9), outcomes
)
scores = st.builds(
    Score, benchmark=st.text(max_size=8), model=st.text(max_size=8), metric=st.text(max_size=8),
    scale=st.sampled_from(["%", "points", "ratio"]), measure=measures, n=st.integers(0, 9), outcome=outcomes,
    parts=st.lists(parts, max_size=3).map(tuple), items=st.lists(items, max_size=3).map(tuple),
    also=st.dictionaries(st.text(max_size=4), measures, max_size=2), notes=st.lists(st.text(max_size=4)),
    ran=st.dictionaries(st.text(max_size=4), st.integers()), cost=numbers,
)  # fmt: skip


@given(scores)
def test_what_is_written_is_read_back(score):
    assert Score.from_json(json.loads(json.dumps(score.to_json()))) == score


def test_a_later_format_is_refused():
    said = Score("mmlu", "m", "acc", "%", Measure(), 0).to_json()
    with pytest.raises(ValueError, match="format 2; this version of Evolute reads 1"):
        Score.from_json({**said, "format": 2})


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_measure(number):
    with pytest.raises(ValueError, match="no measure"):
        Measure(number)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.select.grading import parse_mark, parse_marks


@pytest.mark.parametrize(
    ("reply", "mark"),
    [
        ("7", 7), (" 7.", 7), ("**7**", 7), ("Score: 7", 7), ("Difficulty = 10", 10), ("7/10", 7), ("6.5", 6.5),
        ('{"verdict": "7"}', 7), ('{"score": 7}', 7),
        ("", None), ("0", None), ("11", None), ("seven", None), ("I would say 7", None), ("7 because it is hard", None),
        ("7\n8", None), ('{"score": 7, "why": "hard"}', None), ("{7}", None), ("-3", None),
    ],
)  # fmt: skip
def test_a_mark_is_a_number_alone(reply, mark):
    assert parse_mark(reply, 1, 10) == mark


@pytest.mark.parametrize(
    ("reply", "marks"),
    [
        ("[1] 3\n[2] 5", [3, 5]),
        ("[2] 5\n[1] 3", [3, 5]),
        ("Here are the scores:\n\n[1] Score: 3\n[2] **5**\n", [3, 5]),
        ("[1] 3/6\n[2]: 5", [3, 5]),
        ("[1] 3", None),
        ("[1] 3\n[1] 3\n[2] 5", None),
        ("[1] 3\n[2] 7", None),
        ("[1] 3\n[2] 5\n[3] 5", None),
        ("[1] is simple, [2] is hard", None),
        ("the first is better", None),
    ],
)
def test_marks_name_each_item_once(reply, marks):
    assert parse_marks(reply, 2, 1, 6) == marks


@given(st.text())
def test_no_reply_breaks_the_parsers(text):
    parse_mark(text, 1, 10)
    parse_marks(text, 3, 1, 6)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12))
def test_marks_as_asked_for_are_read_back(marks):
    assert parse_marks("\n".join(f"[{n}] {mark}" for n, mark in enumerate(marks, 1)), len(marks), 1, 6) == marks

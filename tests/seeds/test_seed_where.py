"""The conditions of --where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.errors import InputError
from evolute.seeds.where import parse_condition

ROW = {
    "category": "math", "Difficulty": 5, "score": "7.5", "lang": None, "ok": True, "name": "seed_task_1", "empty": "",
    "meta": {"level": {"deep": 3}}, "tags": ["a", {"b": "c"}], "dotted.key": "x", "date": "2024-05-01",
}  # fmt: skip


@pytest.mark.parametrize(
    "condition",
    [
        "category=math", "category==math", "category = math", "category!=physics", "difficulty>=5", "Difficulty<=5.0",
        "difficulty=5.0", "score>7", "score<10", "score=7.50", "lang=", "lang=null", "lang!=en", "missing=",
        "missing!=x", "ok=true", "ok!=false", "name~^seed", "name!~^task", "meta.level.deep=3", "tags.0=a",
        "tags.1.b=c", "dotted.key=x", "date>=2024-01-01", "empty=", "category!=", "missing!~x", "name~_task_\\d+$",
    ],
)  # fmt: skip
def test_holds(condition: str) -> None:
    assert parse_condition(condition).holds(ROW)


@pytest.mark.parametrize(
    "condition",
    [
        "category=physics", "category!=math", "difficulty>5", "difficulty<banana", "category>=5", "lang=en", "lang!=",
        "missing>0", "missing~x", "name~^task", "meta.level.none=3", "tags.9=a", "tags.b=c", "ok=1", "empty!=",
    ],
)  # fmt: skip
def test_does_not_hold(condition: str) -> None:
    assert not parse_condition(condition).holds(ROW)


@pytest.mark.parametrize("condition", ["", "category", "=math", "~", "name~(", "!=x"])
def test_what_is_no_condition_is_refused_with_its_text(condition: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_condition(condition)
    assert repr(condition) in str(caught.value)


@given(st.text(), st.dictionaries(st.text(), st.none() | st.text() | st.floats() | st.lists(st.text())))
def test_any_text_is_a_condition_or_refused(text: str, row: dict[str, object]) -> None:
    try:
        condition = parse_condition(text)
    except InputError:
        return
    assert condition.holds(row) in (True, False)

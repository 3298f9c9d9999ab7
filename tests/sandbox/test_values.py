"""Values that cross: the same value comes back, of the same type, and nothing else does."""

import collections
import contextlib
import datetime
import decimal
import enum
import fractions
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.sandbox.inside import values

FLAT = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
HASHABLE = st.recursive(FLAT, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
PLAIN = st.recursive(
    HASHABLE,
    lambda inner: st.lists(inner) | st.dictionaries(HASHABLE, inner, max_size=3) | st.sets(HASHABLE, max_size=3),
    max_leaves=20,
)


def same(one, other):
    """Equal, and of one type all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return all(map(same, one, other)) and all(map(same, one.values(), other.values()))
    return one == other


@given(PLAIN)
def test_plain_values_cross_unchanged(value):
    text = values.dumps(value)
    assert same(values.loads(text), value)
    assert same(values.decode(json.loads(text)), value)  # the fast reader and the library's agree


@pytest.mark.parametrize(
    "value",
    [
        10**5000, -(10**5000), float("inf"), range(3, 9, 2), ..., bytearray(b"x"), int, decimal.Decimal("1.50"),
        fractions.Fraction(1, 3), collections.deque([1, (2,)]), collections.Counter("abca"),
        collections.OrderedDict([((1,), 2)]), datetime.datetime(2026, 1, 2, 3), datetime.date(2026, 1, 2),
        datetime.timedelta(days=1, microseconds=3), datetime.time(1, 2), "\ud800",
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_of_the_standard_library_cross(value):
    assert same(values.loads(values.dumps(value)), value)


def test_nan_crosses():
    value = values.loads(values.dumps([float("nan")]))
    assert value[0] != value[0]


class Colour(enum.IntEnum):
    RED = 3


class Liar(list):
    def __eq__(self, other):
        return True

    def __iter__(self):
        return iter([2])

    __hash__ = None


Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "crosses"),
    [(Colour.RED, 3), (Liar([1]), [1]), (Point(1, 2), (1, 2)), ({1: 2}.keys(), [1]), (type("T", (str,), {})("a"), "a")],
)
def test_of_a_class_on_a_plain_type_only_the_plain_value_crosses(value, crosses):
    assert same(values.loads(values.dumps(value)), crosses)


def test_an_iterator_crosses_as_its_items():
    made = values.loads(values.dumps(map(str, [1, 2])))
    assert (next(made), list(made)) == ("1", ["2"])


def cycle():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize("value", [object(), len, Liar, lambda: 0, cycle(), [{1: object()}], iter(int, 1)])
def test_what_is_no_plain_value_does_not_cross(value):
    with pytest.raises(values.Uncrossable):
        values.dumps(value)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from([*values._READERS, "x"]), x, max_size=2),
    )
)
def test_whatever_is_sent_is_read_or_refused(tree):
    """No tree of JSON makes the reader raise anything but its refusal."""
    with contextlib.suppress(values.Uncrossable):
        values.loads(json.dumps(tree))


@given(st.text())
def test_text_that_is_no_json_is_refused(text):
    with contextlib.suppress(values.Uncrossable):
        values.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"type":"__import__"}',
        '{"type":"exec"}',
        '{"array":["O",[1]]}',
        '{"array":["<U50000000",["a"]]}',
        '{"range":[0,1,0]}',
    ],
)
def test_hostile_trees_are_refused(text):
    with pytest.raises(values.Uncrossable):
        values.loads(text)

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.errors import RecipeError
from evolute.operations import choose, load_operations
from evolute.records import tagged_hash

OPERATIONS = {name: one for name, one in load_operations().items() if one.family != "code"}
EQUAL = dict.fromkeys(OPERATIONS, 1.0)
KEYS = [tagged_hash("test-1", number) for number in range(12_000)]


def test_equal_weights_draw_equally():
    counts = Counter(choose(OPERATIONS, EQUAL, key).name for key in KEYS)
    assert all(abs(count - 2000) < 200 for count in counts.values())  # 5 standard deviations


def test_weights_are_shares():
    weights = EQUAL | {"deepen": 5.0, "concretize": 0.0}
    counts = Counter(choose(OPERATIONS, weights, key).name for key in KEYS)
    assert counts["concretize"] == 0
    assert abs(counts["deepen"] / len(KEYS) - 5 / 9) < 0.025


def test_adding_or_reweighting_one_changes_only_the_draws_that_it_wins_or_loses():
    without = {name: 1.0 for name in OPERATIONS if name != "in-breadth"}
    more = EQUAL | {"deepen": 3.0}
    for key in KEYS[:3000]:
        before, after = choose(OPERATIONS, without, key).name, choose(OPERATIONS, EQUAL, key).name
        assert after in (before, "in-breadth")
        assert choose(OPERATIONS, more, key).name in (after, "deepen")


@given(st.binary(min_size=1, max_size=80), st.permutations(list(OPERATIONS)))
def test_the_order_of_the_weights_does_not_matter(key, order):
    assert choose(OPERATIONS, dict.fromkeys(order, 1.0), key) is choose(OPERATIONS, EQUAL, key)


def test_nothing_to_choose_from():
    with pytest.raises(RecipeError, match="every weight is 0"):
        choose(OPERATIONS, {"deepen": 0.0}, b"key")

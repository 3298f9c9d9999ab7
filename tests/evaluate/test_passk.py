"""pass@k: the estimator against counting, and intervals that hold what they promise."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.evaluate.code.passk import estimate, pass_at_k, wilson


@given(st.integers(1, 7), st.data())
def test_it_is_the_share_of_draws_with_a_right_one(n, data):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_known_values():
    assert pass_at_k(5, 2, 2) == pytest.approx(0.7)
    assert pass_at_k(200, 0, 100) == 0
    assert pass_at_k(200, 101, 100) == 1
    assert pass_at_k(200, 1, 100) == pytest.approx(0.5)


@pytest.mark.parametrize("wrong", [(1, 2, 1), (1, -1, 1), (1, 1, 2), (1, 1, 0)])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="it must be that"):
        pass_at_k(*wrong)


def test_greedy_has_wilsons_interval():
    found = estimate([(1, 1)] * 98 + [(1, 0)] * 66, 1)
    assert (found.value, found.method) == (pytest.approx(98 / 164), "wilson")
    assert (found.low, found.high) == (pytest.approx(0.5211, abs=1e-4), pytest.approx(0.6696, abs=1e-4))


@pytest.mark.parametrize(("right", "low", "high"), [(0, 0, 0.2775), (10, 0.7225, 1)])
def test_wilson_at_the_ends(right, low, high):
    assert wilson(right, 10) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_samples_have_a_bootstrap_interval_that_depends_on_the_seed_alone():
    counts = [(10, right % 11) for right in range(50)]
    found = estimate(counts, 1)
    assert found == estimate(counts, 1)
    assert found.method == "bootstrap"
    assert found.value == pytest.approx(math.fsum(c / n for n, c in counts) / 50)
    assert 0.05 < found.high - found.low < 0.3
    assert found.low < found.value < found.high
    assert estimate(counts, 1, seed=1) != found


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says():
    chance = random.Random(0)
    held = 0
    for _ in range(100):
        hard = [chance.random() for _ in range(40)]
        found = estimate([(5, sum(chance.random() < p for _ in range(5))) for p in hard], 1)
        held += found.low <= 0.5 <= found.high
    assert held >= 87


def test_problems_may_differ_in_samples_but_each_needs_k():
    assert estimate([(2, 1), (4, 2)], 2).value == pytest.approx((1 + (1 - 1 / 6)) / 2)
    assert estimate([(1, 1), (4, 2)], 2) is None
    assert estimate([], 1) is None

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evolute.errors import InputError, RecipeError
from evolute.recipe import resolve
from evolute.select.mixture import cover, difficulty_band, draw, draw_by_group

IDS = [f"i1-{number:032x}" for number in range(300)]
GROUPS = ["0"] * 30 + ["1"] * 90 + ["2"] * 180


@given(st.permutations(range(40)), st.integers(1, 40), st.integers(0, 3))
def test_a_draw_depends_neither_on_the_order_of_the_rows_nor_on_their_number(order, count, seed):
    ids = IDS[:40]
    drawn = {ids[row] for row in draw(ids, count, seed)}
    shuffled = [ids[place] for place in order]
    assert {shuffled[row] for row in draw(shuffled, count, seed)} == drawn
    if count > 1:
        assert {ids[row] for row in draw(ids, count - 1, seed)} < drawn


def test_another_seed_draws_other_rows_and_every_row_has_its_turn():
    assert draw(IDS, 50, 0) != draw(IDS, 50, 1)
    times = Counter(row for seed in range(60) for row in draw(IDS, 100, seed))
    assert len(times) == 300
    assert 4 <= min(times.values()) <= max(times.values()) <= 36


def test_groups_share_evenly_and_what_one_lacks_goes_to_the_others():
    counts = Counter(GROUPS[row] for row in draw_by_group(IDS, GROUPS, 150))
    assert counts == {"0": 30, "1": 60, "2": 60}


def test_quotas_are_met_to_the_row_and_the_rest_is_shared():
    counts = Counter(GROUPS[row] for row in draw_by_group(IDS, GROUPS, 100, {"0": 0.1, "2": 70}))
    assert counts == {"0": 10, "1": 20, "2": 70}
    assert Counter(GROUPS[row] for row in draw_by_group(IDS, GROUPS, None, {"1": 5})) == {"1": 5}


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=60), st.data())
def test_a_mixture_has_the_rows_asked_for(groups, data):
    count = data.draw(st.integers(1, len(groups)))
    chosen = draw_by_group(IDS[: len(groups)], groups, count)
    assert len(chosen) == len(set(chosen)) == count
    assert chosen == sorted(chosen)


@pytest.mark.parametrize(
    ("count", "quotas", "said"),
    [
        (301, {}, "only 300 can be had"),
        (100, {"0": 31}, "31 rows of group '0' are wanted, and only 30 passed"),
        (100, {"3": 1}, "no row is of group '3'; there are: 0, 1, 2"),
        (10, {"0": 6, "1": 6}, "more than the 10"),
        (None, {"0": 0.5}, "set select.mixture.rows"),
        (
            None,
            {"0": float("inf")},
            "inf rows of group '0' are wanted: give a whole number of rows, or a share below 1",
        ),
        (100, {"0": float("nan")}, "nan rows of group '0'"),
        (100, {"0": 1.5}, "1.5 rows of group '0'"),
        (100, {"0": -1}, "-1 rows of group '0'"),
    ],
)
def test_what_cannot_be_met_is_said(count, quotas, said):
    with pytest.raises(InputError, match=said):
        draw_by_group(IDS, GROUPS, count, quotas)


@pytest.mark.parametrize(
    ("mixture", "said"),
    [
        (
            "{by: round, quotas: {0: .inf}}",
            "select.mixture.quotas: '0' has inf: give a whole number of rows, or a share",
        ),
        ("{by: round, quotas: {0: .nan}}", r"select.mixture.quotas.0\b.*greater than or equal to 0"),
        ("{by: round, quotas: {0: 20, 1: 1.5}}", "select.mixture.quotas: '1' has 1.5: give a whole number"),
        ("{by: round}", "select.mixture: by: round needs rows or quotas"),
        ("{by: coverage}", "select.mixture: by: coverage needs rows, "),
    ],
)
def test_a_mixture_that_cannot_be_is_refused_by_the_recipe(mixture, said):
    with pytest.raises(RecipeError, match=said):
        resolve({"select": {"mixture": yaml.safe_load(mixture)}})


def test_quotas_that_can_be():
    quotas = resolve({"select": {"mixture": {"by": "round", "rows": 10, "quotas": {0: 0, 1: 0.5, 2: 5.0}}}}).select
    assert quotas.mixture.quotas == {"0": 0, "1": 0.5, "2": 5}
    assert Counter(GROUPS[row] for row in draw_by_group(IDS, GROUPS, 10, quotas.mixture.quotas)) == {"1": 5, "2": 5}


def test_coverage_takes_the_far_ones_first():
    angles = np.array([0, 0.01, 0.02, np.pi / 2, np.pi, 3 * np.pi / 2])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    chosen = cover(IDS[:6], vectors, 4)
    assert {3, 4, 5} <= set(chosen)
    assert cover(IDS[:6], vectors, 6) == list(range(6))
    with pytest.raises(InputError, match="only 6 passed"):
        cover(IDS[:6], vectors, 7)


def test_bands_of_difficulty():
    assert [difficulty_band(mark) for mark in (1, 2, 3, 7.5, 10, None)] == ["1-2", "1-2", "3-4", "7-8", "9-10", "none"]

"""Intervals, errors and agreement against values that others published or computed."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.evaluate.judged.biases import consistency, first_bias, length_bias, length_correlation, told
from evolute.evaluate.statistics import (
    bootstrap_difference,
    bootstrap_macro,
    bootstrap_mean,
    bootstrap_ratio,
    cohen_kappa,
    krippendorff_alpha,
    mean,
    ratio_interval,
    student,
    wilson,
)


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [(1, 12.7062), (2, 4.3027), (4, 2.7764), (9, 2.2622), (30, 2.0423), (100, 1.9840), (101, 1.9837), (1000, 1.9623)],
)
def test_the_quantiles_of_t_are_those_of_the_tables(freedom, expected):
    assert student(freedom) == pytest.approx(expected, abs=5e-5)


def test_the_quantiles_of_t_are_scipys():
    t = pytest.importorskip("scipy.stats").t
    for freedom in (*range(1, 40), 99, 100, 101, 217, 804):
        for chance in (0.6, 0.9, 0.975, 0.995):
            assert student(freedom, chance) == pytest.approx(t.ppf(chance, freedom), abs=1e-8)


def test_a_quantile_that_is_none_is_refused():
    with pytest.raises(ValueError, match="0 degrees"):
        student(0)
    with pytest.raises(ValueError, match=r"0\.2"):
        student(3, 0.2)


def test_wilson_is_what_agresti_and_coull_give():
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)


def test_a_mean_has_the_error_and_the_t_interval_of_its_sample():
    found = mean([1.0, 2.0, 3.0, 4.0])
    assert (found.value, found.error) == pytest.approx((2.5, 0.6454972))
    assert (found.low, found.high) == pytest.approx((2.5 - 3.1824463 * 0.6454972, 2.5 + 3.1824463 * 0.6454972))
    assert mean([3.0]).error is None
    with pytest.raises(ValueError, match="nothing"):
        mean([])


def test_clusters_that_say_the_same_twice_count_once():
    values = [1.0, 4.0, 2.0, 7.0, 5.0]
    once = mean(values)
    twice = mean([value for value in values for _ in range(2)], [cluster for cluster in range(5) for _ in range(2)])
    assert (twice.value, twice.error, twice.low) == pytest.approx((once.value, once.error, once.low))


def test_clusters_of_one_are_no_clusters():
    values = [0.2, 0.9, 0.4, 0.4]
    assert mean(values, ["a", "b", "c", "d"]) == mean(values)


def test_the_clustered_error_is_millers_formula_but_for_its_few_clusters():
    values, clusters = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0], ["a", "a", "a", "b", "b", "c"]
    middle = sum(values) / 6
    inside = sum(
        (values[i] - middle) * (values[j] - middle)
        for i in range(6)
        for j in range(6)
        if i != j and clusters[i] == clusters[j]
    )
    plain = sum((value - middle) ** 2 for value in values)
    assert mean(values, clusters).error ** 2 == pytest.approx((plain + inside) / 36 * 3 / 2)


def test_pairs_that_differ_by_one_differ_by_one_however_they_are_drawn():
    theirs = [random.Random(7).gauss(0, 10) + n for n in range(40)]
    assert bootstrap_difference([value + 1 for value in theirs], theirs) == pytest.approx((1.0, 1.0))
    with pytest.raises(ValueError, match="40 and 39"):
        bootstrap_difference(theirs, theirs[1:])


def test_a_bootstrap_covers_what_t_covers_and_repeats_itself():
    draws = random.Random(3)
    values = [draws.gauss(5, 2) for _ in range(200)]
    exact = mean(values)
    assert bootstrap_mean(values) == bootstrap_mean(values)
    assert bootstrap_mean(values) != bootstrap_mean(values, 1)
    assert bootstrap_mean(values) == pytest.approx((exact.low, exact.high), abs=0.05)
    assert bootstrap_ratio(values, [1.0] * 200) == pytest.approx((exact.low, exact.high), abs=0.05)
    twice = [value for value in values for _ in range(2)]
    clusters = [cluster for cluster in range(200) for _ in range(2)]
    narrow, wide = bootstrap_ratio(twice, [1.0] * 400), bootstrap_ratio(twice, [1.0] * 400, 0, clusters)
    assert wide[1] - wide[0] > 1.3 * (narrow[1] - narrow[0])


def test_few_items_have_a_t_interval_and_one_has_none():
    assert ratio_interval([8.0], [9.0]) == (None, "")
    (low, high), how = ratio_interval([8.0, 9.0, 7.0], [10.0, 10.0, 10.0])
    exact = mean([0.8, 0.9, 0.7])
    assert (low, high, how) == (pytest.approx(exact.low), pytest.approx(exact.high), "linearised ratio, t")


def test_a_macro_average_of_constant_groups_does_not_move():
    assert bootstrap_macro([([1.0, 1.0], [2.0, 2.0]), ([3.0], [2.0])]) == pytest.approx((1.0, 1.0))


def test_cohens_kappa_is_that_of_the_textbook():
    """Two readers of 50 applications: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no."""
    ours, theirs = "y" * 25 + "n" * 25, "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15
    assert cohen_kappa(ours, theirs) == pytest.approx(0.4)
    assert cohen_kappa("aaa", "aaa") is None
    with pytest.raises(ValueError, match="2 and 1"):
        cohen_kappa("ab", "a")


_ = None
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]


def test_krippendorffs_alpha_is_that_of_his_example():
    """Krippendorff 2011, section C and E: four observers, twelve units, gaps."""
    assert krippendorff_alpha(KRIPPENDORFF) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(KRIPPENDORFF, "interval") == pytest.approx(0.849, abs=5e-4)
    assert krippendorff_alpha([["a", "b"], ["a", "b"]]) == 1
    assert krippendorff_alpha([["a", None], [None, "b"]]) is None
    assert krippendorff_alpha([["a", "a"], ["a", "a"]]) is None


@given(st.lists(st.tuples(st.sampled_from([0, 0.5, 1]), st.sampled_from([0, 0.5, 1]))))
def test_consistency_counts_every_pair(pairs):
    found = consistency(pairs)
    assert (found is None) == (not pairs)
    if found:
        assert found.pairs == len(pairs)
        assert found.alike + (found.first.of if found.first else 0) == len(pairs)


def test_ties_decide_nothing():
    assert first_bias([0.5, 0.5]) is None
    assert length_bias([(0, 1.0), (5, 0.5)]) is None


def test_length_correlates_by_rank_and_not_where_nothing_varies():
    assert length_correlation([1, 2, 3, 1000], [0, 0.25, 0.5, 1]) == pytest.approx(1)
    assert length_correlation([1, 2, 3], [1, 1, 1]) is None
    spearmanr = pytest.importorskip("scipy.stats").spearmanr
    leads, values = [5, -3, 5, 0, 12, -7], [1, 0, 0.5, 1, 1, 0]
    assert length_correlation(leads, values) == pytest.approx(spearmanr(leads, values).statistic)


def test_notes_say_whether_a_share_is_more_than_chance():
    notes = told(consistency([(1, 0)] * 30), first_bias([1] * 30), length_bias([(1, 1)] * 15 + [(1, 0)] * 15))
    assert [("more than chance" in note, "as chance would" in note) for note in notes] == [
        (False, False), (True, False), (True, False), (False, True),
    ]  # fmt: skip

"""EvalPlus's comparison, oddities included."""

import numpy as np
import pytest

from evolute.evaluate.code.oracles import Oracle


def right(expected, output, *, family="HumanEval", entry="f", atol=0.0, arguments=()):
    return Oracle(family, entry, atol).right(arguments, expected, output)


@pytest.mark.parametrize(
    ("expected", "output", "verdict"),
    [
        (1, 1, True),
        (1, True, True),
        (1, 2, False),
        ([1, 2], (1, 2), False),
        (0.3, 0.1 + 0.2, True),
        (0.3, 0.3001, False),
        ([0.5, 0.3], [0.5, 0.1 + 0.2], True),
        ([0.5], [0.5, 0.5], False),
        ((0.5,), [0.5 + 1e-9], False),
        (1.0, 1 + 1e-9, True),
        (1.0, 1, True),
        (0.1, "0.1", False),
        (float("nan"), float("nan"), False),
        ([0.3, 1], [0.1 + 0.2, 1], False),  # not all floats: exact
        ("a", None, False),
        (None, None, True),
        ({"a": 0.3}, {"a": 0.1 + 0.2}, False),
    ],
)
def test_values_are_compared_as_evalplus_does(expected, output, verdict):
    assert right(expected, output) is verdict


def test_arrays_of_many_are_neither_equal_nor_not():
    assert right([1, 2], np.array([1, 2])) is False


def test_outputs_of_another_shape_do_not_fill_the_memory():
    assert right([0.5] * 100_000, [[0.5]] * 100_000) is False
    assert right([0.5] * 3, [[0.5]] * 3) is True  # as under EvalPlus


@pytest.mark.parametrize("output", [["0.5"], [{"a": 1}], [[0.5, None]], [range(10**9)]])
def test_what_is_not_numbers_throughout_is_not_close(output):
    assert right([0.5], output) is False


def test_the_tolerance_for_floats_stays_once_it_was_needed():
    oracle = Oracle("HumanEval", "f", 0)
    assert not oracle.right((), [1.0, 2], [1.0 + 1e-9, 2])
    assert oracle.right((), 1.0, 1.0)
    assert oracle.right((), [1.0, 2], [1.0 + 1e-9, 2])


def test_a_zero_of_a_polynomial_is_any_zero():
    def zero(x):
        return right(1.0, x, entry="find_zero", atol=1e-4, arguments=([-1, 0, 1],))

    assert zero(-1.0)
    assert zero(1.000001)
    assert not zero(1.1)
    assert not zero("1")
    assert not zero(None)
    assert not zero(1e300)


@pytest.mark.parametrize(
    ("entry", "arguments", "expected", "output", "verdict"),
    [
        ("similar_elements", (), (4, 5), [5, 4, 4], True),
        ("similar_elements", (), (4, 5), iter([5, 4]), True),
        ("similar_elements", (), (4, 5), [[4], 5], False),
        ("similar_elements", (), (4, 5), None, False),
        ("Diff", (), [1], range(10**12), False),
        ("check_str", (), True, True, True),
        ("check_str", (), True, "a match", True),
        ("check_str", (), False, None, True),
        ("check_str", (), True, False, False),
        ("are_equivalent", (), True, "anything", True),
        ("sum_div", (6,), 12, 0, True),
        ("sum_div", (6,), 12, 1, False),
        ("digit_distance_nums", (23, 156), 8, 1 + 3 + 3, True),
        ("digit_distance_nums", (23, 156), 8, 5, False),
        ("surface_Area", (3, 4), 33, 35, True),
        ("surface_Area", (3, 4), 33, 34, False),
        ("surface_Area", (3, 4), 33, "35", False),
    ],
)
def test_mbpp_plus_has_oracles_of_its_own(entry, arguments, expected, output, verdict):
    assert right(expected, output, family="Mbpp", entry=entry, arguments=arguments) is verdict


def test_they_are_those_of_mbpp_alone():
    assert not right(12, 0, entry="sum_div")
    assert not right((4, 5), [5, 4], entry="similar_elements")

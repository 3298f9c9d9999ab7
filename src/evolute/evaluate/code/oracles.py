"""Whether an output is right: EvalPlus's comparison with the reference's, on plain values, on the trusted side.

The rules are those of `unsafe_execute` in EvalPlus 0.3.1 (Apache-2.0), so that verdicts agree with it, its oddities
included, but for one: there no solution of HumanEval/32 can pass, since the calls that its own oracle found right are
not counted. EvalPlus compares inside the candidate's process, where an object that equals everything
is right everywhere; here only plain values arrive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

NOT_NONE = frozenset(("check_str", "text_match_three", "text_starta_endb"))
"""Functions of MBPP+ whose outputs (match objects) don't leave their process: only whether there is one counts."""

AS_SETS = frozenset(
    (
        "similar_elements",
        "find_char_long",
        "common_in_nested_lists",
        "extract_singly",
        "larg_nnum",
        "intersection_array",
        "find_dissimilar",
        "Diff",
    )
)
"""Functions of MBPP+ whose outputs are compared as sets: the tasks 2, 7, 111, 140, 232, 249, 579 and 769."""

ANY_OUTPUT = frozenset(("are_equivalent",))
"""Functions of MBPP+ for which every output counts as right, as long as there is one: the task 164."""

TOO_LARGE = frozenset(("combinations_colors",))
"""Functions of MBPP+ with an output of a gigabyte (the task 255): a digest of it is compared, made where it is.

A program can only send the right digest if it has the right output, so nothing is lost but `1 == True`.
"""

_FLOAT_TOLERANCE = 1e-6
_LONGEST_RANGE = 1_000_000
_MOST_PAIRS = 10_000_000
_UNFIT = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)
"""What comparing or calculating with a value of the wrong kind raises: the output is wrong."""


class Oracle:
    """Judges the outputs of one task in the order of its inputs.

    One oracle is for one list of inputs (base or plus): once a float was expected, the tolerance for floats stays for
    the outputs that follow, as it does in EvalPlus.
    """

    def __init__(self, family: str, entry_point: str, atol: float) -> None:
        self._entry = entry_point
        self._atol = atol
        self._mbpp = family == "Mbpp"
        self._own = _OWN.get((family, entry_point))

    def right(self, arguments: Sequence[object], expected: object, output: object) -> bool:
        """Whether `output` is right for a call with `arguments`, for which the reference returns `expected`.

        For `NOT_NONE` the expected value is whether the reference returned anything.
        """
        try:
            return self._right(arguments, expected, output)
        except _UNFIT:
            return False

    def _right(self, arguments: Sequence[object], expected: object, output: object) -> bool:
        if self._entry == "find_zero" and not self._mbpp:
            return abs(_polynomial(*arguments, output)) <= self._atol  # type: ignore[call-arg, arg-type]
        if self._mbpp and self._entry in AS_SETS:
            # A range may be longer than the memory that its set would need.
            exact = not isinstance(output, range) or len(output) <= _LONGEST_RANGE
            exact = exact and set(output) == set(expected)  # type: ignore[call-overload]
        elif self._mbpp and self._entry in NOT_NONE:
            exact = (output if isinstance(output, bool) else output is not None) == expected
        else:
            exact = bool(output == expected) or (self._mbpp and self._entry in ANY_OUTPUT)
            exact = exact or bool(self._own and self._own(arguments, output, self._atol))
        if self._atol == 0 and _floats(expected):
            self._atol = _FLOAT_TOLERANCE
        return exact or (self._atol != 0 and _close(output, expected, self._atol))


def _floats(value: object) -> bool:
    """A float, a list or tuple of nothing but floats, or an array of them."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(one, float) for one in value)
    return isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype in (np.float64, np.float32))


def _close(output: object, expected: object, atol: float) -> bool:
    if type(output) is not type(expected) or not _numeric(output):
        return False
    if isinstance(expected, list | tuple) and len(output) != len(expected):  # type: ignore[arg-type]
        return False
    found, wanted = np.asarray(output), np.asarray(expected)
    if found.shape != wanted.shape and found.size * wanted.size > _MOST_PAIRS:  # numpy would compare each with each
        return False
    with np.errstate(all="ignore"):
        return bool(np.allclose(found, wanted, rtol=1e-7, atol=atol))


def _numeric(value: object) -> bool:
    """Whether it is numbers throughout: what else numpy would make of it costs time and memory, and is never close."""
    if isinstance(value, list | tuple):
        return all(map(_numeric, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biufc"
    return isinstance(value, int | float | complex | np.number | np.bool_)


def _polynomial(coefficients: Sequence[float], x: float) -> float:
    """HumanEval/32 asks for any zero of a polynomial: its value there."""
    return sum(coefficient * math.pow(x, power) for power, coefficient in enumerate(coefficients))


def _surface_area(arguments: Sequence[object], output: object, atol: float) -> bool:
    """Mbpp/581, with the height measured from the base to the apex."""
    edge, height = arguments
    slant = math.sqrt((edge / 2) ** 2 + height**2)  # type: ignore[operator]
    area = round(edge**2 + 4 * (edge * slant) / 2)  # type: ignore[operator]
    return bool(abs(output - area) <= atol)


def _digit_distance(arguments: Sequence[object], output: object, _: float) -> bool:
    """Mbpp/558, with the shorter number padded with zeros."""
    first, second = map(str, arguments)
    width = max(len(first), len(second))
    pairs = zip(first.zfill(width), second.zfill(width), strict=True)
    return bool(output == sum(abs(int(one) - int(other)) for one, other in pairs))


def _zero(_: Sequence[object], output: object, __: float) -> bool:
    """Mbpp/295, where the sum may leave out the number itself."""
    return output == 0


_OWN: dict[tuple[str, str], Callable[[Sequence[object], object, float], bool]] = {
    ("Mbpp", "surface_Area"): _surface_area,
    ("Mbpp", "digit_distance_nums"): _digit_distance,
    ("Mbpp", "sum_div"): _zero,
}

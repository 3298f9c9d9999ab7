"""The types that JSON took from the inputs of MBPP+: tuples, sets, floats and complex numbers, given back task by task.

Which task needs what is a fact of the data set, read from `mbpp_deserialize_inputs` of EvalPlus 0.3.1 (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_Restore = Callable[[list[Any]], Any]


def restored(task: int, inputs: list[Any]) -> list[Any]:
    """The inputs of one task of MBPP+ with the types that its reference solution expects; most are as they were."""
    restore = _RESTORE.get(task)
    return [restore(arguments) for arguments in inputs] if restore else inputs


def _tuples(arguments: list[Any]) -> list[Any]:
    """Each argument is a tuple."""
    return [tuple(one) for one in arguments]


def _lists_of_tuples(arguments: list[Any]) -> list[Any]:
    return [_tuples(one) for one in arguments]


def _tuples_of_tuples(arguments: list[Any]) -> list[Any]:
    return [tuple(_tuples(one)) for one in arguments]


def _first_tuples(arguments: list[Any]) -> list[Any]:
    """The first of two arguments is a list of tuples."""
    return [_tuples(arguments[0]), arguments[1]]


def _first_tuple(arguments: list[Any]) -> list[Any]:
    return [tuple(arguments[0]), *arguments[1:]]


def _second_tuple(arguments: list[Any]) -> list[Any]:
    return [arguments[0], tuple(arguments[1])]


def _sets(arguments: list[Any]) -> list[Any]:
    """One list of sets; what is empty, or is none, becomes a dictionary there."""
    return [[set(one) if isinstance(one, list) and one else {} for one in arguments[0]]]


def _float_and_complex(arguments: list[Any]) -> tuple[float, complex]:
    return float(arguments[0]), complex(arguments[1])


def _complex(arguments: list[Any]) -> list[Any]:
    return [complex(arguments[0])]


def _mixed_tuple(arguments: list[Any]) -> list[Any]:
    """A tuple in which every list is a tuple as well."""
    return [tuple(tuple(one) if isinstance(one, list) else one for one in arguments[0])]


def _values_tuples(arguments: list[Any]) -> list[Any]:
    return [{key: tuple(value) for key, value in arguments[0].items()}, *arguments[1:]]


def _all_tuples(value: object) -> object:
    return tuple(map(_all_tuples, value)) if isinstance(value, list) else value


_TASKS: tuple[tuple[_Restore, tuple[int, ...]], ...] = (
    (_tuples, (2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424)),
    (_tuples, (429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809)),
    (_lists_of_tuples, (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780)),
    (_first_tuples, (75, 413, 444, 753)),
    (_second_tuple, (106, 750)),
    (_sets, (115,)),
    (_float_and_complex, (124,)),
    (_first_tuple, (250, 307, 405, 446, 617, 720, 763, 808)),
    (_complex, (252,)),
    (_tuples_of_tuples, (259, 401, 445)),
    (_mixed_tuple, (278,)),
    (_all_tuples, (580, 615, 791)),
    (_values_tuples, (722,)),
)
_RESTORE: dict[int, _Restore] = {task: restore for restore, tasks in _TASKS for task in tasks}

"""Compare a program's outputs with those of the canonical solution, input by input, as EvalPlus does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from evolute.evaluate.oracles import NOT_NONE, TOO_LARGE, Oracle
from evolute.evaluate.problems import Problem
from evolute.sandbox import Outcome, Returned

_PRESENCE = """

def _returned(*arguments):
    value = {entry}(*arguments)
    return value if isinstance(value, bool) else value is not None
"""
_DIGEST = """

def _returned(*arguments):
    import hashlib, marshal
    value = {entry}(*arguments)
    digest = hashlib.blake2b(type(value).__name__.encode())
    for part in value:
        digest.update(marshal.dumps(part, 2))  # later versions of the format tell identical parts from equal ones
    return digest.hexdigest()
"""


def to_call(problem: Problem, program: str) -> tuple[str, str]:
    """The program and the function to call in it, which replaces an output that cannot leave its process."""
    entry = problem.entry_point
    if problem.id.startswith("Mbpp/"):
        for names, wrapper in ((NOT_NONE, _PRESENCE), (TOO_LARGE, _DIGEST)):
            if entry in names:
                return program + wrapper.format(entry=entry), "_returned"
    return program, entry


async def first_wrong(
    problem: Problem, calls: AsyncIterator[Returned], expected: Sequence[Returned]
) -> tuple[int, Outcome, str] | None:
    """The first call that is wrong: its index in base and plus inputs, how it ended, and what was wrong; or None."""
    inputs = [*problem.base, *problem.plus]
    checked = 0
    async for one in calls:
        if checked in (0, len(problem.base)):
            oracle = Oracle(problem.id.partition("/")[0], problem.entry_point, problem.atol)
        if one.outcome is not Outcome.PASSED:
            return checked, one.outcome, one.detail
        if not oracle.right(inputs[checked], expected[checked].value, one.value):
            return checked, Outcome.FAILED, _difference(problem, checked, one.value, expected[checked].value)
        checked += 1
    return None if checked == len(inputs) else (checked, Outcome.CRASHED, "it ended before its last call")


def _difference(problem: Problem, index: int, output: object, expected: object) -> str:
    inputs = [*problem.base, *problem.plus]
    arguments = ", ".join(_brief(one) for one in inputs[index])
    return f"{problem.entry_point}({arguments}) returned {_brief(output)}, expected {_brief(expected)}"[:1000]


def _brief(value: object) -> str:
    try:
        said = repr(value)
    except ValueError:  # an integer of more digits than Python shows
        return f"a {type(value).__name__} of thousands of digits"
    return said if len(said) <= 200 else f"{said[:200]}…"

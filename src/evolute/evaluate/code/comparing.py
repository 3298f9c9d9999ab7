"""Compare a program's outputs with those of the canonical solution, input by input, as EvalPlus does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from evolute.evaluate.code.limits import quiet
from evolute.evaluate.code.oracles import NOT_NONE, TOO_LARGE, Oracle
from evolute.evaluate.code.problems import Problem
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
                return quiet(program) + wrapper.format(entry=entry), "_returned"
    return quiet(program), entry


@dataclass(frozen=True, slots=True)
class Compared:
    """How far a program was right: the index of its first wrong call, and what was wrong with it.

    If all were right, the index is the number of inputs. `seconds` is what the calls took.
    """

    index: int
    outcome: Outcome
    detail: str
    seconds: float


async def compare(problem: Problem, calls: AsyncIterator[Returned], expected: Sequence[Returned]) -> Compared:
    """Compare the calls for base and plus inputs, in this order, with the canonical solution's, to the first wrong."""
    inputs = [*problem.base, *problem.plus]
    index, seconds = 0, 0.0
    async for one in calls:
        seconds += one.seconds
        if index in (0, len(problem.base)):
            oracle = Oracle(problem.id.partition("/")[0], problem.entry_point, problem.atol)
        if one.outcome is not Outcome.PASSED:
            return Compared(index, one.outcome, one.detail, seconds)
        if not oracle.right(inputs[index], expected[index].value, one.value):
            detail = _difference(problem, inputs[index], one.value, expected[index].value)
            return Compared(index, Outcome.FAILED, detail, seconds)
        index += 1
    if index < len(inputs):
        return Compared(index, Outcome.CRASHED, "it ended before its last call", seconds)
    return Compared(index, Outcome.PASSED, "", seconds)


def _difference(problem: Problem, arguments: Sequence[object], output: object, expected: object) -> str:
    shown = ", ".join(map(_brief, arguments))
    return f"{problem.entry_point}({shown}) returned {_brief(output)}, expected {_brief(expected)}"[:1000]


def _brief(value: object) -> str:
    try:
        said = repr(value)
    except ValueError:  # an integer of more digits than Python shows
        return f"a {type(value).__name__} of thousands of digits"
    return said if len(said) <= 200 else f"{said[:200]}…"

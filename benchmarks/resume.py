"""How soon a large run goes on. Run: python benchmarks/resume.py.

100,000 lineages are evolved and finished, ten seeds are added, and the same command is started again: the time runs
from the start of the process to the arrival of its first new call. Beside it, the same ten seeds in a fresh run: the
floor.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from common import EVOLVER_ONLY, evolute, measure, say, server, table, verdict, write_seeds

NEW = 10


def first_call(seeds: Path, run: Path) -> tuple[float, int]:
    """Seconds from the process' start to its first call, and how many calls it made."""
    with server(latency=0.0) as endpoint:
        command = evolute(
            "evolve", seeds, "--out", run, "--base-url", endpoint.url, "--model", "mock", "--rounds", "1",
            "--concurrency", "256", *EVOLVER_ONLY,
        )  # fmt: skip
        measured = measure(command, timeout=1800)
        seen = endpoint.traffic()
    return seen.first - measured.started, seen.requests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lineages", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evolute-bench-") as name:
        folder = Path(name)
        seeds, run = write_seeds(folder / "seeds.jsonl", options.lineages), folder / "run"
        say(f"evolving {options.lineages:,} lineages …")
        first_call(seeds, run)
        fresh, resumed, calls = [], [], set()
        for turn in range(options.turns):
            # Each turn adds ten seeds of its own, or there would be nothing new to call for.
            start = options.lineages + turn * NEW
            more = write_seeds(folder / f"more-{turn}.jsonl", NEW, start)
            fresh.append(first_call(more, folder / f"fresh-{turn}")[0])
            with seeds.open("ab") as file:
                file.write(more.read_bytes())
            seconds, made = first_call(seeds, run)
            resumed.append(seconds)
            calls.add(made)
    if calls != {NEW}:
        raise SystemExit(f"each resume should make {NEW} calls, but they made {sorted(calls)}")
    ours, floor = statistics.median(resumed), statistics.median(fresh)
    rows = [
        ("a fresh run of 10 seeds", floor, 1.0),
        (f"10 seeds after {options.lineages:,} finished", ours, ours / floor),
    ]
    table(f"Seconds to the first new call, median of {options.turns}", ("run", "s", "× the fresh run"), rows)
    print(f"\nseconds to the first new call: {verdict(ours, 3, at_most=True)}")


if __name__ == "__main__":
    main()

"""How long it takes to sum up all stored AlpacaEval judgments. Run: python benchmarks/aggregating.py FOLDER.

FOLDER holds judgments_v1.csv.gz and judgments_v2.csv.gz: 63 models' 50,711 preferences. The floor is what no program
can do without: unpacking the files and splitting them into cells (gzip and csv, both in C).
"""

from __future__ import annotations

import csv
import gzip
import io
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from common import evolute, table, verdict
from evolute.pipeline.stored import sum_up_stored

TURNS = 7
AIM = 2.0
"""Seconds, of the command as a whole."""


def read(paths: Sequence[Path]) -> int:
    return sum(
        len(list(csv.reader(io.StringIO(gzip.decompress(path.read_bytes()).decode(), newline="")))) - 1
        for path in paths
    )


def run(paths: Sequence[Path]) -> None:
    options = [option for path in paths for option in ("--judgments", path)]
    command = evolute("evaluate", "alpaca-eval", *options, "--json")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def seconds(call: Callable[[Sequence[Path]], object], paths: Sequence[Path]) -> list[float]:
    call(paths)  # the first time imports, and fills the page cache
    times = []
    for _ in range(TURNS):
        start = time.perf_counter()
        call(paths)
        times.append(time.perf_counter() - start)
    return times


def main(folder: Path) -> None:
    paths = [folder / f"judgments_{version}.csv.gz" for version in ("v1", "v2")]
    floor = seconds(read, paths)
    rows = []
    for name, call in (
        ("unpacked and split into cells", read),
        ("sum_up_stored", lambda paths: sum_up_stored("alpaca-eval", paths)),
        ("evolute evaluate alpaca-eval --json", run),
    ):
        times = floor if call is read else seconds(call, paths)
        rows.append((name, min(times), statistics.median(times), statistics.median(times) / statistics.median(floor)))
    title = f"{read(paths):,} stored judgments, {TURNS} turns"
    table(title, ("what", "best s", "median s", "× the floor"), rows)
    print(f"\nmedian seconds of the command: {verdict(rows[-1][2], AIM, at_most=True)}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/aggregating.py FOLDER")
    main(Path(sys.argv[1]))

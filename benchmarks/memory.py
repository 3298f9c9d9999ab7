"""Peak memory against the number of seeds. Run: python benchmarks/memory.py [SIZE ...].

Each size is one run of the command with the scripted model inside it (one round, no judge, no answers), so that the
memory is the engine's alone. The ideal is flat: each peak is compared with the smallest run's.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from common import EVOLVER_ONLY, MEBIBYTE, evolute, measure, say, table, verdict, write_seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--timeout", type=float, default=3600, help="seconds that one size may take")
    options = parser.parse_args()
    peaks, rows = {}, []
    for size in options.sizes:
        say(f"{size:,} seeds …")
        # One folder each: the largest ledger takes a gigabyte, and two need not lie on the disk together.
        with tempfile.TemporaryDirectory(prefix="evolute-bench-") as folder:
            seeds, run = write_seeds(Path(folder) / "seeds.jsonl", size), Path(folder) / "run"
            command = evolute(
                "evolve", seeds, "--out", run, "--api", "scripted", "--recipe", "wizardlm", "--rounds", "1",
                "--concurrency", "256", *EVOLVER_ONLY,
            )  # fmt: skip
            measured = measure(command, timeout=options.timeout)
            ledger = (run / "ledger.db").stat().st_size
        peaks[size] = measured.peak
        times = measured.peak / min(peaks.values())
        rows.append((f"{size:,}", measured.peak / MEBIBYTE, times, measured.wall, ledger / MEBIBYTE))
        say(f"{size:,} seeds: {measured.peak / MEBIBYTE:.1f} MiB in {measured.wall:.1f} s")
    table("Peak memory", ("seeds", "peak MiB", "× the smallest", "wall s", "ledger MiB"), rows)
    print(f"\nlargest peak ÷ smallest: {verdict(max(peaks.values()) / min(peaks.values()), 1.2, at_most=True)}")
    print(f"largest peak, MB: {verdict(max(peaks.values()) / 1e6, 200, at_most=True)}")


if __name__ == "__main__":
    main()

"""Ray with 1 and 2 workers beside the single-machine engine. Run: python benchmarks/scale.py [--seeds N --turns N].

Evolver only, 4 evolutions of each seed, against a 200 ms server, 100 in flight for each system as a whole. Every run
has a fresh server, and the rate is what that server saw from its first request to its last answer: so the start of Ray
is left out, and the beginning and end of every shard is not. The datasets must be the same, byte for byte.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from common import EVOLVER_ONLY, MEBIBYTE, evolute, measure, say, server, table, verdict, write_seeds

LATENCY, IN_FLIGHT, ROUNDS = 0.2, 100, 4
SYSTEMS = {
    "one machine": (),
    "Ray, 1 worker": ("--on", "ray", "--workers", "1"),
    "Ray, 2 workers": ("--on", "ray", "--workers", "2"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=8_000, help="8,000 take a minute")
    parser.add_argument("--turns", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rates, rows = run_all(Path(folder), options.seeds, options.turns)
    head = ["system", "calls/s", "of one machine", "seconds", "with start-up", "most in flight"]
    table(f"Ray, {options.seeds:,} seeds, 200 ms, {IN_FLIGHT} in flight", head, rows)
    print(f"\n1 worker of one machine: {verdict(rates['Ray, 1 worker'] / rates['one machine'], 0.9)}")


def run_all(folder: Path, seeds: int, turns: int) -> tuple[dict[str, float], list[list[str]]]:
    """Rates by system, and the rows of the table."""
    file = write_seeds(folder / "seeds.jsonl", seeds)
    seen: dict[str, list[tuple[float, float, float, int]]] = {name: [] for name in SYSTEMS}
    datasets = set()
    for turn in range(turns):
        for number, (name, flags) in enumerate(SYSTEMS.items()):
            out = folder / f"run-{turn}-{number}"
            with server(LATENCY) as endpoint:
                command = evolute(
                    "evolve", file, "--out", out, "--base-url", endpoint.url, "--model", "m", "--rounds", str(ROUNDS),
                    "--concurrency", str(IN_FLIGHT), *EVOLVER_ONLY, *flags,
                )  # fmt: skip
                run, traffic = measure(command), endpoint.traffic()
            datasets.add((out / "dataset.jsonl").read_bytes())
            seen[name].append((traffic.rate, traffic.seconds, run.wall, traffic.peak_in_flight))
            say(f"{name}: {traffic.requests} calls in {traffic.seconds:.1f} s; {run.peak / MEBIBYTE:.0f} MiB")
    if len(datasets) != 1:
        raise SystemExit("the datasets differ")
    rates = {name: statistics.median(values[0] for values in several) for name, several in seen.items()}
    rows = []
    for name, several in seen.items():
        _, seconds, wall, peak = (statistics.median(column) for column in zip(*several, strict=True))
        share = rates[name] / rates["one machine"]
        rows.append([name, f"{rates[name]:.0f}", f"{share:.2f}", f"{seconds:.1f}", f"{wall:.1f}", f"{peak:.0f}"])
    return rates, rows


if __name__ == "__main__":
    main()

"""Calls a second and CPU per call. Run: python benchmarks/throughput.py [--peers DIR --venvs DIR] [--turns N].

Evolver only: 5,000 seeds x 2 evolutions, every rule on, 200 ms server, 500 in flight, against a bare aiohttp loop
(floor.py) and, where their scripts and environments are given, curator and distilabel. Full chain: 1,000 seeds x 4
rounds, judge and responder on, 256 in flight, against calls x latency / in flight. Every system has a fresh server; the
rate is what that server saw, from its first request to its last answer, so that nobody's start-up counts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common import (
    EVOLVER_ONLY,
    HERE,
    MEBIBYTE,
    Measured,
    Traffic,
    evolute,
    measure,
    say,
    server,
    table,
    verdict,
    write_seeds,
)

LATENCY = 0.2
EVOLVER_IN_FLIGHT, EVOLUTIONS = 500, 2
CHAIN_IN_FLIGHT, ROUNDS = 256, 4


@dataclass(frozen=True)
class Result:
    """One system's medians over the turns."""

    calls: int
    rate: float
    wall: float
    cpu: float
    peak: float
    in_flight: int

    @property
    def milliseconds(self) -> float:
        """CPU per call."""
        return 1000 * self.cpu / self.calls


def once(label: str, command: list[str], url_to: Callable[[str], list[str]], peers: Path | None, env: dict[str, str]
         ) -> tuple[Measured, Traffic]:  # fmt: skip
    with server(LATENCY, peers) as endpoint:
        run = measure([*command, *url_to(endpoint.url)], env={**env, "MOCK": endpoint.url})
        seen = endpoint.traffic()
    say(f"{label}: {seen.requests} calls in {seen.seconds:.2f} s, {run.wall:.2f} s with start-up, {run.cpu:.2f} s CPU")
    return run, seen


def median(turns: list[tuple[Measured, Traffic]]) -> Result:
    def of(value: Callable[[Measured, Traffic], float]) -> float:
        return statistics.median(value(run, seen) for run, seen in turns)

    return Result(
        calls=int(of(lambda run, seen: seen.requests)),
        rate=of(lambda run, seen: seen.rate),
        wall=of(lambda run, seen: run.wall),
        cpu=of(lambda run, seen: run.cpu),
        peak=of(lambda run, seen: run.peak),
        in_flight=int(of(lambda run, seen: seen.peak_in_flight)),
    )


def evolver_only(options: argparse.Namespace, folder: Path) -> None:
    seeds = write_seeds(folder / "evolver.jsonl", options.seeds)
    turns: dict[str, list[tuple[Measured, Traffic]]] = {}
    # The systems take turns, so that a busy moment of the machine does not fall on one of them alone.
    for turn in range(options.turns):
        for label, command, url_to, env in systems(options, seeds, folder / f"evolver-{turn}"):
            turns.setdefault(label, []).append(once(label, command, url_to, options.peers, env))
    results = {label: median(measured) for label, measured in turns.items()}
    ours, floor = results["evolute"], results["bare aiohttp loop"]
    rows = [
        (label, r.calls, r.rate, ours.rate / r.rate, r.wall, r.milliseconds, r.peak / MEBIBYTE, r.in_flight)
        for label, r in results.items()
    ]
    head = ("system", "calls", "calls/s", "evolute is ×", "wall s", "CPU ms/call", "peak MiB", "in flight")
    title = (
        f"Evolver only: {options.seeds} seeds × {EVOLUTIONS}, {LATENCY * 1000:.0f} ms, {EVOLVER_IN_FLIGHT} in flight"
    )
    table(f"{title}, median of {options.turns}", head, rows)
    print(f"\nof the floor's calls/s: {verdict(ours.rate / floor.rate, 0.9)}")
    print(f"CPU ms a call, all included: {verdict(ours.milliseconds, 0.5, at_most=True)}")
    for peer, aim in (("curator", 3), ("distilabel", 8)):
        if peer in results:
            print(f"of {peer}'s calls/s: {verdict(ours.rate / results[peer].rate, aim)}")


def systems(
    options: argparse.Namespace, seeds: Path, run: Path
) -> list[tuple[str, list[str], Callable[[str], list[str]], dict[str, str]]]:
    """Label, command line, what follows it for the server's address, environment."""
    ours = evolute(
        "evolve", seeds, "--out", run, "--model", "mock", "--rounds", str(EVOLUTIONS),
        "--concurrency", str(EVOLVER_IN_FLIGHT), *EVOLVER_ONLY,
    )  # fmt: skip
    floor = [sys.executable, str(HERE / "floor.py"), str(seeds), str(EVOLVER_IN_FLIGHT), str(EVOLUTIONS)]
    found = [
        ("bare aiohttp loop", floor, lambda url: [url], {}),
        ("evolute", ours, lambda url: ["--base-url", url], {}),
    ]
    for peer in ("curator", "distilabel") if options.peers and options.venvs else ():
        venv = options.venvs / f"venv-{peer}"
        command = [
            str(venv / "bin/python"),
            str(options.peers / f"bench_{peer}.py"),
            str(seeds),
            str(EVOLVER_IN_FLIGHT),
        ]
        found.append((peer, command, lambda url: [], token_cache(venv)))
    return found


def token_cache(venv: Path) -> dict[str, str]:
    """Where curator's tokenizer finds, without a network, the vocabulary that comes inside one of its dependencies."""
    vocabulary = next(venv.glob("lib/*/site-packages/litellm/**/9b5ad71b2ce5302211f9c61530b329a4922fc6a4"), None)
    return {"TIKTOKEN_CACHE_DIR": str(vocabulary.parent)} if vocabulary else {}


def full_chain(options: argparse.Namespace, folder: Path) -> None:
    seeds = write_seeds(folder / "chain.jsonl", options.chain_seeds)
    turns = []
    for turn in range(options.turns):
        command = evolute(
            "evolve", seeds, "--out", folder / f"chain-{turn}", "--model", "mock", "--rounds", str(ROUNDS),
            "--concurrency", str(CHAIN_IN_FLIGHT),
        )  # fmt: skip
        turns.append(once("evolute, full chain", command, lambda url: ["--base-url", url], options.peers, {}))
    chain = median(turns)
    ideal, taken = chain.calls * LATENCY / CHAIN_IN_FLIGHT, chain.calls / chain.rate
    shape = f"{options.chain_seeds} seeds × {ROUNDS} rounds, {LATENCY * 1000:.0f} ms, {CHAIN_IN_FLIGHT} in flight"
    head = ("calls", "ideal s", "taken s", "ideal ÷ taken", "wall s", "CPU ms/call", "peak MiB", "in flight")
    row = (
        chain.calls,
        ideal,
        taken,
        ideal / taken,
        chain.wall,
        chain.milliseconds,
        chain.peak / MEBIBYTE,
        chain.in_flight,
    )
    table(f"Full chain: {shape}, median of {options.turns}", head, [row])
    print(f"\nof calls × latency ÷ in flight: {verdict(ideal / taken, 0.9)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5000, help="seeds of the evolver-only part (0: leave it out)")
    parser.add_argument("--chain-seeds", type=int, default=1000, help="seeds of the full chain (0: leave it out)")
    parser.add_argument("--turns", type=int, default=1, help="times that each system runs")
    parser.add_argument("--peers", type=Path, help="folder of the peers' scripts and their server")
    parser.add_argument("--venvs", type=Path, help="folder with venv-curator and venv-distilabel")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evolute-bench-") as folder:
        if options.seeds:
            evolver_only(options, Path(folder))
        if options.chain_seeds:
            full_chain(options, Path(folder))


if __name__ == "__main__":
    main()

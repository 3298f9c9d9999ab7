"""Judging pairs against a scripted judge. Run: python benchmarks/judging.py [--pairs N] [--turns N].

10,000 pairs of stored answers, each judged once by a judge that answers after 200 ms, 256 in flight, against calls x
latency / in flight. Every turn has a fresh server and folder; the rate is what that server saw, from its first request
to its last answer, so that start-up, reading the files and summing up do not count there: they are in `wall s`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from common import MEBIBYTE, evolute, measure, say, seed_texts, server, table, verdict

LATENCY = 0.2
IN_FLIGHT = 256
SENTENCE = " It follows from what is known, step by step, and each step can be checked by hand."


def write_files(folder: Path, pairs: int) -> tuple[Path, Path, Path]:
    """Questions in the WizardLM test set's shape, and two files of answers to them, about 100 tokens each."""
    questions, ours, theirs = (folder / f"{name}.jsonl" for name in ("questions", "ours", "theirs"))
    with questions.open("w") as asked, ours.open("w") as one, theirs.open("w") as other:
        for number, text in enumerate(seed_texts(pairs), 1):
            row = {"idx": number, "Skill": f"Skill {number % 29}", "Difficulty": 1 + number % 10, "Instruction": text}
            asked.write(json.dumps(row) + "\n")
            one.write(json.dumps({"question_id": number, "text": f"First, {number}." + 5 * SENTENCE}) + "\n")
            other.write(json.dumps({"question_id": number, "text": f"Then, {number}." + 4 * SENTENCE}) + "\n")
    return questions, ours, theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10_000, help="pairs of answers")
    parser.add_argument("--turns", type=int, default=1, help="times that it runs")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="evolute-bench-") as name:
        folder = Path(name)
        questions, ours, theirs = write_files(folder, options.pairs)
        for turn in range(options.turns):
            command = evolute(
                "evaluate", "wizardlm", "--data", questions, "--answers", ours, "--against", theirs, "--order",
                "alternate", "--judge-model", "mock", "--judge-concurrency", str(IN_FLIGHT), "--out",
                folder / f"judged-{turn}",
            )  # fmt: skip
            with server(LATENCY) as endpoint:
                run = measure([*command, "--judge-base-url", endpoint.url])
                seen = endpoint.traffic()
            say(f"{seen.requests} calls in {seen.seconds:.2f} s, {run.wall:.2f} s in all, {run.cpu:.2f} s CPU")
            rows.append((seen.requests, seen.seconds, run.wall, 1000 * run.cpu / seen.requests, run.peak / MEBIBYTE,
                         seen.peak_in_flight))  # fmt: skip
    calls, taken, wall, cpu, peak, in_flight = (statistics.median(column) for column in zip(*rows, strict=True))
    ideal = calls * LATENCY / IN_FLIGHT
    head = ("calls", "ideal s", "taken s", "ideal ÷ taken", "wall s", "CPU ms/call", "peak MiB", "in flight")
    title = f"Judging: {options.pairs} pairs, {LATENCY * 1000:.0f} ms, {IN_FLIGHT} in flight, median of {options.turns}"
    table(title, head, [(int(calls), ideal, taken, ideal / taken, wall, cpu, peak, int(in_flight))])
    print(f"\nof calls × latency ÷ in flight: {verdict(ideal / taken, 0.9)}")
    print(f"CPU ms a call, all included: {verdict(cpu, 0.5, at_most=True)}")


if __name__ == "__main__":
    main()

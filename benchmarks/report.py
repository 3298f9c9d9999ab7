"""The report of a large run. Run: python benchmarks/report.py [--lineages N] [--browser /usr/bin/chromium].

A run of N lineages and four rounds is written straight into a ledger (nothing is evolved: the texts are made up), and
its report is made by a child process, phase by phase. The page is then opened in a headless Chromium, through
playwright, where both are installed. Beside the whole time: one bare pass over the dataset, which any report must make.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from common import CANDIDATE, MEBIBYTE, evolute, measure, say, seed_texts, table, verdict
from evolute.ledger import Ledger
from evolute.records import Seed, tagged_hash

ROUNDS, AT_ONCE = 4, 5_000
_OPERATIONS = ("add-constraints", "complicate-input", "concretize", "deepen", "in-breadth", "increase-reasoning")
_DROPS = ("unchanged", "input-lost", "no-information-gain", "response-truncated", "too-long")
_CLAUSES = (
    "Give two examples from daily life, and say where each of them fails.",
    "Keep to a budget of three hundred coins, and show how it was spent.",
    "Write it as a letter that a child of ten would read to the end.",
    "Compare the result with what a careful critic would have expected of it.",
    "Name the assumption that matters most, and what changes when it is wrong.",
    "List the steps in order, with the time that each of them takes.",
    "Explain in the end which part you would leave out, and why.",
)
_REPORT = """
import json, sys, time
from evolute.pipeline.reporting import report
began, phases = time.monotonic(), []
report(sys.argv[1], told=lambda name: phases.append((name, time.monotonic() - began)))
print(json.dumps(phases + [["end", time.monotonic() - began]]))
"""
_PASS = """
import sys
from evolute.ledger import Reader
from pathlib import Path
print(sum(len(row.instruction) for row in Reader(Path(sys.argv[1])).dataset()))
"""


def write_run(run: Path, lineages: int) -> int:
    """Write a run of made-up lineages; returns the number of its candidates."""
    run.mkdir()
    first = run.with_name("first")
    seeds = run.with_name("seeds.jsonl")
    seeds.write_text("".join(json.dumps({"instruction": text}) + "\n" for text in seed_texts(1)), encoding="utf-8")
    command = evolute("evolve", seeds, "--out", first, "--api", "scripted", "--recipe", "wizardlm", "--rounds", "1")
    measure(command)
    (run / "recipe.yaml").write_bytes((first / "recipe.yaml").read_bytes())
    candidates = 0
    with Ledger(run) as ledger:
        ledger.begin(b"benchmark", {"respond": "every"})
        for role in ("evolver", "judge", "responder"):
            ledger.add_model(role, b"scripted", "scripted")
        model = next(ledger.reader.select("SELECT id FROM models"))[0]
        rows = [Seed(text, response="Gladly. " + text, source="seeds.jsonl", line=n) for n, text in
                enumerate(seed_texts(lineages), 1)]  # fmt: skip
        for start in range(0, lineages, AT_ONCE):
            some = rows[start : start + AT_ONCE]
            ledger.add_seeds(some)
            made = [_lineage(position, seed) for position, seed in enumerate(some, start + 1)]
            calls = [(*call[:2], model, *call[2:]) for _, of_one in made for call in of_one]
            judged = [candidate for of_one, _ in made for candidate in of_one]
            ledger.transact(lambda db, calls=calls, judged=judged, some=some, start=start: _insert(
                db, calls, judged, range(start + 1, start + 1 + len(some))))  # fmt: skip
            candidates += len(judged)
    return candidates


def _insert(db, calls, judged, positions) -> None:
    db.executemany(
        """INSERT INTO calls (key, role, model, text, finish, prompt_tokens, completion_tokens, reasoning_tokens,
        cached_tokens, latency, attempts) VALUES (?, ?, ?, ?, 'stop', 300, 120, 0, 0, 0.8, 1)""",
        calls,
    )
    db.executemany(f"INSERT INTO candidates ({CANDIDATE}) VALUES ({', '.join('?' * 14)})", judged)
    db.executemany("INSERT INTO lineages VALUES (?, NULL)", ((position,) for position in positions))


def _lineage(position: int, seed: Seed) -> tuple[list[tuple], list[tuple]]:
    """The candidates and the calls of one lineage, as the ledger's rows."""
    draw = random.Random(position)
    candidates: list[tuple] = [(position, 0, 0, 0, seed.id, seed.id, "", None, None, None, None, None, None, None)]
    calls: list[tuple] = []
    parent, text = seed.id, seed.text
    for round_ in range(1, ROUNDS + 1):
        child = f"{text} {draw.choice(_CLAUSES)} ({draw.randrange(10**6)})"
        id_, keys = (
            tagged_hash("bench-1", parent, round_),
            [tagged_hash("bench-2", parent, round_, n) for n in range(3)],
        )
        reason = draw.choice(_DROPS) if draw.random() < 0.3 else None
        answer = " ".join(draw.choices(_CLAUSES, k=draw.randint(2, 12)))
        calls += [(keys[0], "evolver", child), (keys[1], "judge", "Not Equal"), (keys[2], "responder", answer)]
        evidence = '{"score": 0.97, "limit": 0.95}' if reason else None
        operation = _OPERATIONS[draw.randrange(6)]
        candidates.append((position, round_, 0, 0, id_, parent, operation, None, None, reason, evidence, *keys))
        if reason is None:
            parent, text = id_, child
    return candidates, calls


def opened(page: Path, browser: str) -> Iterator[tuple[str, float]]:
    """Seconds until the page's text stands and until it is loaded and painted, the median of three."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        turns = []
        for _ in range(3):
            tab = chromium.new_page(viewport={"width": 1280, "height": 900})
            began = time.monotonic()
            tab.goto(page.as_uri(), wait_until="load")
            tab.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")
            painted = time.monotonic() - began
            timing = tab.evaluate("performance.getEntriesByType('navigation')[0].toJSON()")
            turns.append((timing["domContentLoadedEventEnd"] / 1000, timing["loadEventEnd"] / 1000, painted))
            tab.close()
        chromium.close()
    for name, values in zip(("DOMContentLoaded", "load", "painted"), zip(*turns, strict=True), strict=True):
        yield name, sorted(values)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lineages", type=int, default=100_000)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    parser.add_argument("--keep", type=Path, help="a folder to leave the run in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evolute-bench-") as name:
        run = (options.keep or Path(name)) / "run"
        say(f"writing {options.lineages:,} lineages …")
        candidates = write_run(run, options.lineages)
        say(f"{candidates:,} candidates; reporting …")
        bare = measure([sys.executable, "-c", _PASS, str(run)])
        whole = measure([sys.executable, "-c", _REPORT, str(run)])
        phases = json.loads(whole.output.splitlines()[-1])
        rows = [(told, later - since) for (told, since), (_, later) in itertools.pairwise(phases)]
        rows += [
            ("the whole process", whole.wall),
            ("… of it on a processor", whole.cpu),
            ("a bare pass over the rows", bare.wall),
        ]
        table(f"Report of {options.lineages:,} lineages", ("phase", "s", "× the bare pass"),
              [(told, seconds, seconds / bare.wall) for told, seconds in rows])  # fmt: skip
        size = (run / "report.html").stat().st_size
        print(f"\nseconds: {verdict(whole.wall, 60, at_most=True)}")
        print(f"peak MB: {verdict(whole.peak / 1e6, 2000, at_most=True)}")
        print(f"page MB: {verdict(size / 1e6, 5, at_most=True)} ({size / MEBIBYTE:.2f} MiB)")
        try:
            for told, seconds in opened(run / "report.html", options.browser):
                print(f"opens, {told}, s: {verdict(seconds, 2, at_most=True)}")
        except ImportError:
            say("playwright is not installed: the page was not opened")


if __name__ == "__main__":
    main()

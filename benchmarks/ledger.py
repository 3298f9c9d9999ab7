"""What the ledger costs in bytes and in time. Run: python benchmarks/ledger.py.

Bytes: the file after a full chain, less the completions' own text, a call. Time: durable completions a second through
`Ledger.record`, against the same rows and table in bare sqlite3, committed singly and in groups as large as the
number in flight (the ideal).
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from common import evolute, measure, table, verdict, write_seeds
from evolute.ledger import Ledger
from evolute.ledger.schema import migrate
from evolute.records import Completion, Usage, tagged_hash

IN_FLIGHT = 500
TEXT = "Compare the timetable of a ferry with the tides of a narrow bay, and state which of the two gives way. " * 4


def bytes_per_call(seeds: int, folder: Path) -> None:
    command = evolute(
        "evolve", write_seeds(folder / "seeds.jsonl", seeds), "--out", folder / "run", "--api", "scripted",
        "--recipe", "wizardlm", "--rounds", "4", "--concurrency", "256",
    )  # fmt: skip
    measure(command)
    file = folder / "run" / "ledger.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        calls, text = db.execute(f"SELECT count(*), {_bytes('text')} + {_bytes('reasoning')} FROM calls").fetchone()
        columns = ("instruction", "input", "response", "system", "history")
        (seed_text,) = db.execute(f"SELECT {' + '.join(map(_bytes, columns))} FROM seeds").fetchone()
    size = file.stat().st_size
    beyond, without_seeds = (size - text) / calls, (size - text - seed_text) / calls
    head = (
        "calls",
        "file, bytes",
        "completions' text",
        "seeds' text",
        "beyond the text, a call",
        "and without the seeds' text",
    )
    table(f"Ledger: bytes after {seeds:,} seeds × 4 rounds, judge and answers on", head,
          [(f"{calls:,}", f"{size:,}", f"{text:,}", f"{seed_text:,}", beyond, without_seeds)])  # fmt: skip
    print(f"\nbytes a call beyond the completion's own text: {verdict(beyond, 600, at_most=True)}")


def _bytes(column: str) -> str:
    return f"coalesce(sum(length(CAST({column} AS BLOB))), 0)"


def durable_commits(rows: int, folder: Path) -> None:
    single = raw(folder / "single.db", min(rows, 5000), 1)
    grouped = raw(folder / "grouped.db", rows, IN_FLIGHT)
    ours = asyncio.run(through_the_ledger(folder / "durable", rows))
    head = ("way", "durable completions/s", "× one commit a row", "of the grouped ideal")
    ways = (
        ("sqlite3, one commit a row", single),
        (f"sqlite3, {IN_FLIGHT} rows a commit", grouped),
        ("evolute's ledger", ours),
    )
    table(f"Ledger: durable completions, {IN_FLIGHT} in flight", head,
          [(way, rate, rate / single, rate / grouped) for way, rate in ways])  # fmt: skip


def raw(path: Path, rows: int, group: int) -> float:
    """Rows a second into our table by bare sqlite3, `group` to a synchronised commit."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        migrate(db)
        start = time.perf_counter()
        for first in range(0, rows, group):
            db.execute("BEGIN IMMEDIATE")
            db.executemany(
                "INSERT INTO calls (key, role, text, finish, prompt_tokens, completion_tokens, latency, attempts)"
                " VALUES (?, 'evolver', ?, 'stop', 400, 100, 0.2, 1)",
                [(tagged_hash("bench-1", i), TEXT) for i in range(first, min(first + group, rows))],
            )
            db.execute("COMMIT")
        return rows / (time.perf_counter() - start)


async def through_the_ledger(run: Path, rows: int) -> float:
    """Rows a second when `IN_FLIGHT` coroutines each wait for their completion to be durable."""
    completion = Completion(TEXT, usage=Usage(400, 100), latency=0.2, model="mock")
    with Ledger(run) as ledger:
        ledger.add_model("evolver", b"mock", "mock")

        async def one_slot(slot: int) -> None:
            for i in range(slot, rows, IN_FLIGHT):
                await ledger.record(tagged_hash("bench-1", i), "evolver", b"mock", completion, "mock")

        start = time.perf_counter()
        await asyncio.gather(*map(one_slot, range(IN_FLIGHT)))
        return rows / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=50_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evolute-bench-") as folder:
        durable_commits(options.rows, Path(folder))
        bytes_per_call(options.seeds, Path(folder))


if __name__ == "__main__":
    main()

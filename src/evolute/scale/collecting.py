"""Segments into a run's ledger, each once; and what follows where two workers had different answers to one call."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable, Sequence

import orjson

from evolute.evolve.walking import walk
from evolute.ledger import Ledger
from evolute.recipe import Recipe
from evolute.records import tagged_hash
from evolute.scale.segments import (
    CALLS,
    CALLS_OF,
    EXECUTIONS,
    LINEAGES,
    call_rows,
    decode,
    encode,
    open_calls_after,
    put_calls,
    put_executions,
    put_lineages,
)
from evolute.scale.shipping import COMMON
from evolute.scale.sink import Sink

_APPLIED = "segment "  # with its name, the remark that a segment has been taken in
_HANDED_OVER = "handed over "  # with a hash of a sink's URL, the number of the last call that is there, too
_DIFFERING = "differing calls"
_PAGE = 5_000


class Collector:
    """Takes the sink's segments into a ledger, and hands over to the sink what only the ledger has."""

    def __init__(self, ledger: Ledger, sink: Sink, fingerprint: bytes) -> None:
        self._ledger, self._sink = ledger, sink
        self._handed_over = _HANDED_OVER + tagged_hash("sink-1", sink.url).hex()[:16]
        self._recipe = fingerprint.hex()[:16]
        rows = ledger.reader.select("SELECT name FROM meta WHERE name >= ? AND name < ?", _APPLIED, f"{_APPLIED}~")
        self._applied = {name.removeprefix(_APPLIED) for (name,) in rows}

    def hand_over(self) -> None:
        """Put the calls of unfinished lineages that this ledger alone has where every worker finds them."""
        if not self._sink.names(CALLS):  # a new one, or its files are lost
            self._ledger.note(self._handed_over, "0")
        last = int(self._ledger.reader.meta(self._handed_over) or 0)
        while True:
            last, rows = open_calls_after(self._ledger.reader, last, _PAGE)
            if not rows:
                break
            self._applied.add(self._put_common(rows))
        self._ledger.transact(self._note_last)

    def collect(self, names: Iterable[str] | None = None) -> int:
        """Take in these segments, or all that the sink has; those taken in before are passed. Returns how many."""
        fresh = [name for name in (self._all() if names is None else names) if name not in self._applied]
        for name in fresh:
            if not name.endswith(".parquet"):
                continue
            table, _, place = name.partition("/")
            if table != LINEAGES or place.endswith(f"-{self._recipe}.parquet"):
                self._take_in(table, name, decode(table, self._sink.get(name), name))
            self._applied.add(name)
        return len(fresh)

    def settle(self, recipe: Recipe) -> int:
        """Take back the lineages that rest on another answer than the one that was kept; how many.

        Workers of two shards can ask the same question (a judge at temperature 0, of equal instructions) and be
        answered differently. The kept answer goes to the sink, for whoever grows those lineages again.
        """
        reader = self._ledger.reader
        keys = [bytes.fromhex(key) for key in orjson.loads(reader.meta(_DIFFERING) or "[]")]
        if not keys:
            return 0
        marks = ", ".join("?" * len(keys))
        seeds = {
            seed
            for call in CALLS_OF
            for (seed,) in reader.select(f"SELECT DISTINCT seed FROM candidates WHERE {call} IN ({marks})", *keys)
        }
        otherwise = [seed for seed in sorted(seeds) if _grown_otherwise(self._ledger, recipe, seed)]
        if otherwise:
            self._applied.add(self._put_common(call_rows(reader, keys)))
        self._ledger.transact(lambda db: _take_back(db, otherwise))
        return len(otherwise)

    def _all(self) -> list[str]:
        # A lineage's file is written last, so it is looked for first; then what it rests on is there.
        lineages, executions, calls = (self._sink.names(table) for table in (LINEAGES, EXECUTIONS, CALLS))
        calls.sort(key=lambda name: not name.startswith(f"{CALLS}/{COMMON}/"))  # what was kept before stays kept
        return [*calls, *executions, *lineages]

    def _take_in(self, table: str, name: str, rows: Sequence[tuple[object, ...]]) -> None:
        def job(db: sqlite3.Connection) -> None:
            if table == CALLS:
                _note_differing(db, put_calls(db, rows))
                self._note_last(db)
            elif table == EXECUTIONS:
                put_executions(db, rows)
            else:
                put_lineages(db, rows)
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, '')", (_APPLIED + name,))

        self._ledger.transact(job)

    def _put_common(self, rows: Sequence[tuple[object, ...]]) -> str:
        name = f"{CALLS}/{COMMON}/{secrets.token_hex(6)}.parquet"
        self._sink.put(name, encode(CALLS, rows))
        return name

    def _note_last(self, db: sqlite3.Connection) -> None:
        db.execute("INSERT OR REPLACE INTO meta SELECT ?, coalesce(max(id), 0) FROM calls", (self._handed_over,))


def _note_differing(db: sqlite3.Connection, keys: Sequence[bytes]) -> None:
    if keys:
        (before,) = db.execute("SELECT max(value) FROM meta WHERE name = ?", (_DIFFERING,)).fetchone()
        both = sorted({*orjson.loads(before or "[]"), *(key.hex() for key in keys)})
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_DIFFERING, orjson.dumps(both).decode()))


def _grown_otherwise(ledger: Ledger, recipe: Recipe, seed: int) -> bool:
    """Whether the verdicts on a seed do not follow from the calls that were kept."""
    again = next(walk(ledger.reader, recipe, seed - 1, 1))
    return bool(again.missing) or again.rows != list(ledger.reader.candidates(seed))


def _take_back(db: sqlite3.Connection, seeds: Sequence[int]) -> None:
    for table in ("candidates", "lineages"):
        db.executemany(f"DELETE FROM {table} WHERE seed = ?", [(seed,) for seed in seeds])
    db.execute("DELETE FROM meta WHERE name = ?", (_DIFFERING,))

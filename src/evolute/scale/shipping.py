"""From a worker's ledger to the sink, and back into the ledger of whoever takes a shard up again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from evolute.ledger import Ledger, Reader
from evolute.scale.segments import (
    CALLS,
    EXECUTIONS,
    LINEAGES,
    calls_after,
    decode,
    encode,
    execution_rows,
    lineage_row,
    put_calls,
    put_executions,
)
from evolute.scale.sink import Sink

COMMON = "common"
"""In the place of a shard's name: calls that the run's own ledger had before, for any shard."""
_SHIPPED = "shipped"  # the remark in a worker's ledger: the number of the last call that is in the sink
_MOST = 5_000  # calls in a segment


class Shipper:
    """Ships what is new in a shard's ledger, as files named by the attempt and a number; a context manager.

    Attributes:
        calls: of those recorded since `begin`, so many are in the sink.
        turn: held while something is shipped.
    """

    def __init__(self, run: Path, sink: Sink, shard: str, attempt: str, fingerprint: bytes) -> None:
        self.calls = 0
        self.turn = asyncio.Lock()
        self._reader = Reader(run)
        self._sink, self._shard, self._attempt = sink, shard, attempt
        self._recipe = fingerprint.hex()[:16]
        self._last = int(self._reader.meta(_SHIPPED) or 0)
        self._number = 0
        self._executions: set[bytes] = set()
        self._finished: set[int] = set()

    def __enter__(self) -> Shipper:
        return self

    def __exit__(self, *exc: object) -> None:
        self._reader.close()

    def begin(self, ledger: Ledger) -> None:
        """All that the ledger holds now is in the sink: what comes from here on is new."""
        (self._last,) = next(self._reader.select("SELECT coalesce(max(id), 0) FROM calls"))
        self._executions = {row[0] for row in execution_rows(self._reader, set())}
        ledger.note(_SHIPPED, str(self._last))

    def ship(self, ledger: Ledger, *, lineages: bool, last: bool) -> list[str]:
        """Ship what has been recorded since; the files' names. A lineage comes after all that it rests on.

        Args:
            ledger: the ledger, to note in it how far this has come.
            lineages: those that were finished since, too.
            last: nothing will come any more: ship unfinished lineages as well.
        """
        finished: set[int] = set()
        if lineages or last:
            ledger.flush()  # verdicts wait in a queue
            finished = self._finished_now() - self._finished
        names = self._ship_calls(ledger)
        if new := execution_rows(self._reader, self._executions):
            names.append(self._put(EXECUTIONS, encode(EXECUTIONS, new)))
            self._executions |= {row[0] for row in new}
        rows = [lineage_row(self._reader, seed, finished=True, why=None) for seed in sorted(finished)]
        if last:
            rows += [lineage_row(self._reader, seed, finished=False, why=why) for seed, why in self._unfinished()]
        if rows:
            names.append(self._put(LINEAGES, encode(LINEAGES, rows)))
            self._finished |= finished
        return names

    def _ship_calls(self, ledger: Ledger) -> list[str]:
        names: list[str] = []
        while True:
            last, rows = calls_after(self._reader, self._last, _MOST)
            if not rows:
                return names
            names.append(self._put(CALLS, encode(CALLS, rows)))
            self._last = last
            self.calls += len(rows)
            ledger.note(_SHIPPED, str(last))

    def _put(self, table: str, data: bytes) -> str:
        self._number += 1
        recipe = f"-{self._recipe}" if table == LINEAGES else ""
        name = f"{table}/{self._shard}/{self._attempt}-{self._number:06}{recipe}.parquet"
        self._sink.put(name, data)
        return name

    def _finished_now(self) -> set[int]:
        return {row[0] for row in self._reader.select("SELECT seed FROM lineages WHERE why IS NULL")}

    def _unfinished(self) -> list[tuple[int, str | None]]:
        """Lineages that were begun, with why they were left over if they were."""
        return [
            (seed, why)
            for seed, why in self._reader.select(
                """SELECT DISTINCT d.seed, l.why FROM candidates d LEFT JOIN lineages l ON l.seed = d.seed
                WHERE l.seed IS NULL OR l.why IS NOT NULL
                UNION SELECT seed, why FROM lineages WHERE why IS NOT NULL"""
            )
        ]


def take_up(ledger: Ledger, sink: Sink, shard: str) -> None:
    """Bring into a worker's ledger what the sink holds for its shard: nothing of it is asked or run again.

    Lineages are left where they are: they follow from the calls.
    """
    for place in (COMMON, shard):  # the run's own ledger has the last word on a call
        for name in sink.names(f"{CALLS}/{place}"):
            calls = decode(CALLS, sink.get(name), name)
            ledger.transact(lambda db, rows=calls: put_calls(db, rows))  # type: ignore[misc]
            ledger.has_history = True
        for name in sink.names(f"{EXECUTIONS}/{place}"):
            executions = decode(EXECUTIONS, sink.get(name), name)
            ledger.transact(lambda db, rows=executions: put_executions(db, rows))  # type: ignore[misc]

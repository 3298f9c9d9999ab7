"""The one writer of a ledger: a thread that groups what is queued into synchronised commits.

A row is queued either to be awaited (a completion: nothing may depend on it before it is durable) or not (a verdict,
which can be derived again). Rows reach the disk in the order in which they were queued.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from evolute.errors import LedgerError

GROUP_SECONDS = 0.004
"""How long a commit waits for company: fsync dominates, and a few milliseconds are nothing beside a model's answer."""

UNAWAITED_SECONDS = 0.25
"""How long rows that nobody waits for (verdicts, which can be derived again) may stay uncommitted."""

_MOST_ROWS = 60
"""Rows per INSERT. Each statement hands the interpreter's lock over twice, and may wait for it, so rows share one."""

Job = Callable[[sqlite3.Connection], Any]


class Insert:
    """An INSERT whose VALUES can be repeated, so that many rows go in with one statement."""

    def __init__(self, head: str, columns: int) -> None:
        self._values = f"({', '.join('?' * columns)})"
        self._head = head

    def run(self, db: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert all rows."""
        for start in range(0, len(rows), _MOST_ROWS):
            part = rows[start : start + _MOST_ROWS]
            db.execute(
                f"{self._head} VALUES {', '.join([self._values] * len(part))}",
                list(itertools.chain.from_iterable(part)),
            )


_Row = tuple[Insert, Sequence[Any], "asyncio.Future[None] | None"]


class Writer:
    """Runs on its own thread until `close`; `failure` is set once a commit has failed."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._awaited: deque[_Row] = deque()
        self._unawaited: deque[_Row] = deque()
        self._jobs: deque[tuple[Job, Future[Any]]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="evolute-ledger", daemon=True)
        self.failure: LedgerError | None = None
        self._thread.start()

    def put(self, insert: Insert, row: Sequence[Any]) -> None:
        """Queue a row that nobody waits for; it is committed within a quarter of a second.

        Raises:
            LedgerError: an earlier commit has failed; nothing more can be recorded.
        """
        self._check()
        self._unawaited.append((insert, row, None))

    def put_durably(self, insert: Insert, row: Sequence[Any]) -> asyncio.Future[None]:
        """Queue a row; the future is done when it has been committed."""
        self._check()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited.append((insert, row, future))
        self._call_writer()
        return future

    def call(self, job: Job) -> Any:  # noqa: ANN401 - whatever the job returns
        """Run `job` on the writer's connection, in a transaction of its own, after all that is queued; wait for it."""
        self._check()
        future: Future[Any] = Future()
        self._jobs.append((job, future))
        self._call_writer()
        return future.result()

    def close(self) -> None:
        """Commit what is queued and end the thread."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        if self.failure is None:
            self.failure = LedgerError("the ledger is closed")
            self._turn_away()

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _call_writer(self) -> None:
        # The thread clears the event before it takes the queues, so what is queued under a set event is taken too.
        if not self._wake.is_set():
            self._wake.set()

    def _run(self) -> None:
        try:
            db = self._connect()
            self._serve(db)
            db.close()
        except Exception as error:  # noqa: BLE001 - whatever ends this thread must not leave anybody waiting for it
            self._fail(error)
            self._turn_away()

    def _serve(self, db: sqlite3.Connection) -> None:
        written = time.monotonic()
        closing = False
        while not closing:
            # Whoever gave a job waits for it alone: no company will come.
            if self._wake.wait(UNAWAITED_SECONDS) and not (self._closing or self._jobs):
                time.sleep(GROUP_SECONDS)
            self._wake.clear()
            closing = self._closing
            self._write(db, self._awaited)
            # What nobody waits for must not stand in the way of what somebody does.
            due = time.monotonic() - written >= UNAWAITED_SECONDS or len(self._unawaited) >= _MOST_ROWS
            if due or closing:
                self._write(db, self._unawaited)
                written = time.monotonic()
            while self._jobs:
                job, future = self._jobs.popleft()
                self._write(db, self._unawaited)  # a job comes after all that was queued before it
                self._run_job(db, job, future)

    def _write(self, db: sqlite3.Connection, queue: deque[_Row]) -> None:
        """Commit the rows of a queue, and tell those who wait."""
        rows = [queue.popleft() for _ in range(len(queue))]
        if rows:
            _tell(rows, self.failure or self._insert(db, rows))

    def _insert(self, db: sqlite3.Connection, rows: list[_Row]) -> LedgerError | None:
        by_insert: dict[Insert, list[Sequence[Any]]] = {}
        for insert, row, _ in rows:
            by_insert.setdefault(insert, []).append(row)
        alone = len(by_insert) == 1 and len(rows) <= _MOST_ROWS  # one statement is a transaction by itself
        try:
            if not alone:
                db.execute("BEGIN IMMEDIATE")
            for insert, values in by_insert.items():
                insert.run(db, values)
            if not alone:
                db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - a value that SQLite cannot take is as final as a full disk
            return self._fail(error, db)
        return None

    def _run_job(self, db: sqlite3.Connection, job: Job, future: Future[Any]) -> None:
        if self.failure is not None:
            future.set_exception(self.failure)
            return
        try:
            db.execute("BEGIN IMMEDIATE")
            result = job(db)
            db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - raised where the job was given
            future.set_exception(self._fail(error, db))
        else:
            future.set_result(result)

    def _turn_away(self) -> None:
        """Tell all who wait that nothing will be written any more."""
        _tell(list(self._awaited), self.failure)
        for _, future in self._jobs:
            future.set_exception(self.failure or LedgerError("the ledger is closed"))

    def _fail(self, error: Exception, db: sqlite3.Connection | None = None) -> LedgerError:
        if db is not None and db.in_transaction:
            db.execute("ROLLBACK")
        self.failure = LedgerError(
            f"the ledger cannot be written: {error}. Nothing recorded before is lost: make room (or the folder "
            "writable), then run the same command again"
        )
        return self.failure


def _tell(rows: Sequence[_Row], failure: LedgerError | None) -> None:
    waiting = [future for _, _, future in rows if future is not None]
    if waiting:
        # A loop that was stopped in haste waits for nothing any more.
        with contextlib.suppress(RuntimeError):
            waiting[0].get_loop().call_soon_threadsafe(_settle, waiting, failure)


def _settle(waiting: Sequence[asyncio.Future[None]], failure: LedgerError | None) -> None:
    for future in waiting:
        if future.done():
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)

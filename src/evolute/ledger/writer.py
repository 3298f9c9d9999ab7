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

_CHUNKS = (64, 8, 1)
"""Rows per INSERT. Each statement costs two hand-overs of the interpreter's lock, so many rows share one."""

Job = Callable[[sqlite3.Connection], Any]


class Insert:
    """An INSERT whose VALUES can be repeated, so that many rows go in with one statement."""

    def __init__(self, head: str, columns: int) -> None:
        self._values = f"({', '.join('?' * columns)})"
        self._head = head

    def run(self, db: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert all rows."""
        start = 0
        for size in _CHUNKS:
            statement = f"{self._head} VALUES {', '.join([self._values] * size)}"
            while len(rows) - start >= size:
                db.execute(statement, list(itertools.chain.from_iterable(rows[start : start + size])))
                start += size


_Item = tuple[Insert | Job, Sequence[Any] | None, "asyncio.Future[None] | Future[Any] | None"]


class Writer:
    """Runs on its own thread from `start` to `close`; `failure` is set once a commit has failed."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._queue: deque[_Item] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="evolute-ledger", daemon=True)
        self.failure: LedgerError | None = None
        self._thread.start()

    def put(self, insert: Insert, row: Sequence[Any]) -> None:
        """Queue a row that nobody waits for.

        Raises:
            LedgerError: an earlier commit has failed; nothing more can be recorded.
        """
        self._push((insert, row, None))

    def put_durably(self, insert: Insert, row: Sequence[Any]) -> asyncio.Future[None]:
        """Queue a row; the future is done when it has been committed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._push((insert, row, future))
        return future

    def call(self, job: Job) -> Any:  # noqa: ANN401 - whatever the job returns
        """Run `job` on the writer's connection, in a transaction of its own, after all that is queued; wait for it."""
        future: Future[Any] = Future()
        self._push((job, None, future))
        return future.result()

    def close(self) -> None:
        """Commit what is queued and end the thread."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _push(self, item: _Item) -> None:
        if self.failure is not None:
            raise self.failure
        self._queue.append(item)
        # The thread clears the event before it takes the queue, so what is queued under a set event is taken too.
        if not self._wake.is_set():
            self._wake.set()

    def _run(self) -> None:
        db = self._connect()
        while True:
            self._wake.wait()
            if not self._closing:
                time.sleep(GROUP_SECONDS)
            self._wake.clear()
            items = [self._queue.popleft() for _ in range(len(self._queue))]
            if items:
                self._commit(db, items)
            elif self._closing:
                break
            if self._closing:
                self._wake.set()
        db.close()

    def _commit(self, db: sqlite3.Connection, items: list[_Item]) -> None:
        # Rows of one kind that follow each other share a statement; a job runs between transactions.
        for is_job, group in itertools.groupby(items, key=lambda item: item[1] is None):
            if is_job:
                for job, _, future in group:
                    self._run_job(db, job, future)  # type: ignore[arg-type]
            else:
                self._insert(db, list(group))

    def _insert(self, db: sqlite3.Connection, items: list[_Item]) -> None:
        failure = self.failure
        if failure is None:
            try:
                db.execute("BEGIN IMMEDIATE")
                by_insert: dict[Any, list[Any]] = {}
                for insert, row, _ in items:
                    by_insert.setdefault(insert, []).append(row)
                for insert, rows in by_insert.items():
                    insert.run(db, rows)
                db.execute("COMMIT")
            except sqlite3.Error as error:
                failure = self._fail(db, error)
        waiting = [future for _, _, future in items if isinstance(future, asyncio.Future)]
        if waiting:
            # A loop that was stopped in haste waits for nothing any more.
            with contextlib.suppress(RuntimeError):
                waiting[0].get_loop().call_soon_threadsafe(_settle, waiting, failure)

    def _run_job(self, db: sqlite3.Connection, job: Job, future: Future[Any]) -> None:
        if self.failure is not None:
            future.set_exception(self.failure)
            return
        try:
            db.execute("BEGIN IMMEDIATE")
            result = job(db)
            db.execute("COMMIT")
        except sqlite3.Error as error:
            future.set_exception(self._fail(db, error))
        else:
            future.set_result(result)

    def _fail(self, db: sqlite3.Connection, error: sqlite3.Error) -> LedgerError:
        if db.in_transaction:
            db.execute("ROLLBACK")
        self.failure = LedgerError(
            f"the ledger cannot be written: {error}. Nothing recorded before is lost: make room (or the folder "
            "writable), then run the same command again"
        )
        return self.failure


def _settle(waiting: Sequence[asyncio.Future[None]], failure: LedgerError | None) -> None:
    for future in waiting:
        if future.done():
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)

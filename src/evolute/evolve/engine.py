"""Keeps many lineages going: a window of them just wide enough to fill the endpoint, and no barrier between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from evolute.errors import CallFailed, Stopped
from evolute.evolve.budget import Budget
from evolute.ledger import Ledger
from evolute.records import Seed

Grow = Callable[[int, Seed], Awaitable[None]]


class Engine:
    """Grows the lineages that a feed brings, and settles how each of them ends.

    `room` is set by whoever knows that the window may have widened, or that the run is being stopped.
    """

    def __init__(self, grow: Grow, ledger: Ledger, budget: Budget, window: Callable[[], int]) -> None:
        self._grow = grow
        self._ledger = ledger
        self._budget = budget
        self._window = window
        self._live: set[asyncio.Task[None]] = set()
        self.room = asyncio.Event()
        self._failure: BaseException | None = None

    async def run(self, feed: AsyncIterator[tuple[int, Seed]]) -> None:
        """Grow all; returns when every lineage has ended, or the budget has closed and the last call is recorded.

        Raises:
            EvoluteError: what stopped the run, once everything in flight has ended and is recorded.
        """
        try:
            try:
                await self._launch(feed)
            except Exception as error:  # noqa: BLE001 - the seeds' fault: what is in flight is paid for, and ends first
                self._fail(error)
            while self._live:
                self.room.clear()
                await self.room.wait()
        finally:
            for task in self._live:
                task.cancel()
        if self._failure is not None:
            raise self._failure

    async def _launch(self, feed: AsyncIterator[tuple[int, Seed]]) -> None:
        async for position, seed in feed:
            while len(self._live) >= self._window() and not self._budget.why:
                self.room.clear()
                await self.room.wait()
            if self._budget.why:
                return
            task = asyncio.create_task(self._one(position, seed))
            self._live.add(task)
            task.add_done_callback(self._ended)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._budget.close(str(error))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._live.discard(task)
        self.room.set()

    async def _one(self, position: int, seed: Seed) -> None:
        try:
            try:
                await self._grow(position, seed)
                self._ledger.finish(position)
                self._budget.progress.seeds_done += 1
            except CallFailed as error:
                self._ledger.leave(position, str(error))
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is stops the run, is raised by `run`, and is not lost
            self._fail(error)

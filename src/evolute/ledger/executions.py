"""Executed once: what a sandboxed execution found is durable before anything depends on it, and is recalled ever after.

An execution's timing is not deterministic, so what counts is what was recorded: a replay recalls it, and runs nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from evolute.errors import NotRecorded
from evolute.ledger.reader import Reader
from evolute.ledger.store import Ledger


class Executions:
    """The executions of a run; without a `ledger` to write, those that were recorded alone."""

    def __init__(self, reader: Reader, ledger: Ledger | None = None) -> None:
        self._reader = reader
        self._ledger = ledger

    async def once(self, key: bytes, execute: Callable[[], Awaitable[str]]) -> str:
        """What the execution `key` found: as recorded, or as `execute` finds it now, which is then recorded.

        Args:
            key: a hash of all that decides what is found: the programs, the limits.
            execute: runs it, and says what came out of it (JSON).

        Raises:
            NotRecorded: it is not recorded, and nothing may be run here.
        """
        if (found := self._reader.recall_execution(key)) is not None:
            return found
        if self._ledger is None:
            raise NotRecorded(f"the ledger holds no execution {key.hex()}")
        found = await execute()
        await self._ledger.record_execution(key, found)
        return self._reader.recall_execution(key) or found  # another lineage may have recorded its own meanwhile

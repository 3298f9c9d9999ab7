"""Batches: what a provider of a batch API offers, and what comes back from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from evolute.errors import EvoluteError
from evolute.records import Completion, Request


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """How far a batch is; `total` may be 0 while the provider is still counting."""

    state: Literal["running", "ended", "failed", "expired", "cancelled"]
    done: int
    failed: int
    total: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What came of one request: its completion, or an error."""

    key: str
    completion: Completion | None
    error: EvoluteError | None


class BatchProvider(Protocol):
    """A provider's batch API."""

    most_requests: int
    most_bytes: int

    def line(self, key: str, request: Request) -> bytes:
        """One request as the provider's file wants it, without its line's end."""
        ...

    async def submit(self, name: str, path: Path, count: int) -> str:
        """Make a batch of the file; the provider's id for it."""
        ...

    async def find(self, name: str, created: float, count: int, known: Collection[str]) -> str | None:
        """A batch that was made by an intent whose id was lost."""
        ...

    async def status(self, id: str) -> BatchStatus:
        """How far a batch is."""
        ...

    def results(self, id: str) -> AsyncIterator[BatchResult]:
        """The results of a batch that is not running any more, in any order."""
        ...

    async def cancel(self, id: str) -> None:
        """Ask for a batch's end."""
        ...

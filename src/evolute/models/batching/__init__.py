"""Batches: what a provider of a batch API offers, and what comes back from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from evolute.errors import ConnectionLost, EndpointError, EvoluteError
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
    """What came of one request: its completion, or an error; one of them is None."""

    key: str
    completion: Completion | None
    error: EvoluteError | None


class NotFound(EndpointError):
    """The provider has no such thing (404, 405)."""


class NotConnected(ConnectionLost):
    """No connection came about, so nothing was sent."""


class BatchProvider(Protocol):
    """A provider's batch API."""

    most_requests: int
    most_bytes: int

    def line(self, key: str, request: Request) -> bytes:
        """One request as the provider's file wants it, without its line's end."""
        ...

    async def submit(self, name: str, path: Path, count: int) -> str:
        """Make a batch of the file; the provider's id for it.

        Raises:
            NotConnected: there is none.
            CallFailed: it is not known whether there is a batch now: `find` it before submitting again.
            EndpointError: the provider takes none.
        """
        ...

    async def find(self, name: str, created: float, count: int, known: Collection[str]) -> str | None:
        """A batch that was made by an intent, at `created` (Unix time) or later, whose id was lost.

        It may turn out to be another's where the provider keeps no names: then its results answer no request of ours,
        and asking again with its id among `known` finds the next.
        """
        ...

    async def status(self, id: str) -> BatchStatus:
        """How far a batch is. One that `failed` was refused as a whole, before any of its requests was made.

        Raises:
            CallFailed: no answer, for now.
            NotFound: the provider does not know the batch.
            EndpointError: the key is refused, or something else than the API answers.
        """
        ...

    def results(self, id: str) -> AsyncIterator[BatchResult]:
        """The results of a batch that is not running any more, in any order.

        A key may come twice, or be none of ours, or be missing. A result's error is a `RequestRejected`, a `CallFailed`
        for what may be asked again, or an `EndpointError` where no request can succeed (a refused key or parameter).
        """
        ...

    async def cancel(self, id: str) -> None:
        """Ask for a batch's end."""
        ...

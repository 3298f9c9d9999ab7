"""One batch's life: submitted, waited for, fetched, ended; and taken up again where an earlier process left it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Protocol, TypeVar

from evolute.errors import (
    CallFailed,
    EndpointError,
    EndpointGone,
    EvoluteError,
    RequestRejected,
)
from evolute.ledger.batches import Asked, BatchBook, BatchRow
from evolute.models.batching import BatchProvider, BatchResult, BatchStatus, NotConnected, NotFound
from evolute.records import Completion, Failure

T = TypeVar("T")

_SOONEST, _LATEST = 0.2, 60.0  # seconds between two looks at a batch
_SHARE_OF_AGE = 0.05  # a batch that has taken an hour is not looked at every second
_PATIENCE = 3600.0  # seconds for which nothing but failures may come from a provider
_SUBMISSIONS = 2  # times that a provider which cannot be reached is tried before the run gives up
_WINDOW = 24 * 3600.0  # seconds in which providers answer; who waits less long has said so
_KEPT = 30 * 86400.0  # seconds after which a provider may have forgotten a batch
_GRACE = 0.25  # of the hours that a batch may take, for one that was cancelled to end
_REFUSALS = 4  # batches refused one after the other, with none under way, after which the run gives up
_UNSENT = "it never reached the provider"
_TOGETHER = 256  # results recorded at once


class Unasked(CallFailed):
    """A batch was refused as a whole, or never reached the provider: none of its requests has been tried."""


class Desk(Protocol):
    """Where the results of batches go."""

    resting: int
    """Batches that are known to be under way, and are not due to be looked at."""
    succeeded: bool
    """Whether the endpoint has shown that it answers."""

    async def record(self, answers: Sequence[tuple[Asked, Completion]]) -> None:
        """Make completions durable, then give them to whoever waits."""
        ...

    def give_up(self, keys: Sequence[bytes], errors: dict[bytes, EvoluteError], default: EvoluteError) -> None:
        """Tell whoever waits for these that no answer came."""
        ...


class Follower:
    """Follows batches of one provider to their ends.

    Args:
        provider: where they are.
        book: where they are recorded.
        desk: where their results go.
        folder: where the files of requests lie.
        hours: after which a batch is cancelled.
        cancel: cancel it at once.
    """

    def __init__(
        self, provider: BatchProvider, book: BatchBook, desk: Desk, folder: Path, hours: float, *, cancel: bool = False
    ) -> None:
        self._provider, self._book, self._desk, self._cancel = provider, book, desk, cancel
        self._folder, self._seconds = folder, hours * 3600
        self._strangers: set[str] = set()
        self._refused = 0

    async def submit(self, batch: BatchRow) -> None:
        """Submit an intended batch, and follow it to its end.

        Raises:
            EndpointError: the provider cannot be reached, or refuses; the intent stays recorded.
            LedgerError: nothing can be recorded.
        """
        path = self._path(batch)
        sent = False
        for attempt in range(_SUBMISSIONS):
            try:
                provider_id = await self._provider.submit(batch.name, path, batch.requests)
            except NotConnected as error:
                failure: CallFailed = error
                await asyncio.sleep(_pause(attempt))
            except CallFailed as error:
                failure, sent = error, True
                found = await self._find(batch)  # the answer was lost, but perhaps not the batch
                if found is None:
                    await asyncio.sleep(_pause(attempt))
                    found = await self._find(batch)  # nobody says how soon a batch is listed
                if found is not None:
                    return await self._follow(self._book.confirm(batch, found), perhaps_not_ours=True)
            else:
                return await self._follow(self._book.confirm(batch, provider_id))
        if not sent:  # nothing is there to come back to, which may well be another address
            self._end(batch, "unsent", _UNSENT, {}, Unasked(_UNSENT))
        raise EndpointGone(f"a batch cannot be submitted: {failure}. Run the same command to go on")

    async def resume(self, batch: BatchRow) -> None:
        """Follow a batch of an earlier process; whether one that it meant to submit exists, the provider says.

        Raises:
            EndpointError, LedgerError: as `submit`.
        """
        if batch.provider_id is None:
            found = await self._find(batch)
            if found is None:
                self._end(batch, "unsent", _UNSENT, {}, Unasked(_UNSENT))
                return
            batch = self._book.confirm(batch, found)
        await self._follow(batch, perhaps_not_ours=True)

    async def _follow(self, batch: BatchRow, *, perhaps_not_ours: bool = False) -> None:
        status = await self._ended(batch)
        errors: dict[bytes, EvoluteError] = {}
        ours = await self._persist(lambda: self._fetch(batch, errors))
        if perhaps_not_ours and status.state == "ended" and not ours:
            self._strangers.add(batch.provider_id or "")
            await self.resume(self._book.disown(batch))
        else:
            await self._settle(batch, status, errors)

    async def _find(self, batch: BatchRow) -> str | None:
        known = self._book.known_ids() | self._strangers
        return await self._persist(
            lambda: self._provider.find(batch.name, batch.created, batch.requests, known), patience=0
        )

    async def _ended(self, batch: BatchRow) -> BatchStatus:
        """Wait for a batch's end; one that takes too long is cancelled, and in the end waited for no more."""
        cancelled: float | None = None
        seen = (batch.answered, batch.detail)
        while True:
            status = await self._persist(lambda: self._status(batch))
            age = time.time() - batch.since
            if status.state != "running":
                return status
            if cancelled is not None and time.time() - cancelled > max(1.0, _GRACE * self._seconds):
                return replace(status, state="cancelled", detail="it did not end, though it was cancelled")
            if (self._cancel or age > self._seconds) and cancelled is None:
                await self._persist(lambda: self._provider.cancel(batch.provider_id or ""))
                cancelled = time.time()
                continue
            if (status.done, status.detail) != seen:
                seen = (status.done, status.detail)
                self._book.progressed(batch, *seen)
            self._desk.resting += 1
            left = self._seconds - age if cancelled is None else _LATEST
            try:
                await asyncio.sleep(max(_SOONEST, min(_LATEST, _SHARE_OF_AGE * age, left)))
            finally:
                self._desk.resting -= 1

    async def _status(self, batch: BatchRow) -> BatchStatus:
        try:
            return await self._provider.status(batch.provider_id or "")
        except NotFound as error:  # by another key it is not found either, though it is there and paid for
            forgotten = self._seconds if self._seconds < _WINDOW else max(self._seconds, _KEPT)
            if time.time() - batch.since < forgotten:
                raise NotFound(
                    f"{error} If the batch is lost, --set models.NAME.batch.hours=0.001 gives it up, and what it held "
                    "is asked, and paid for, again"
                ) from None
            return BatchStatus("expired", 0, 0, 0, f"the provider does not know it any more: {error}")

    async def _fetch(self, batch: BatchRow, errors: dict[bytes, EvoluteError]) -> bool:
        """Record a batch's results; whether any was of a request of ours."""
        part: list[BatchResult] = []
        ours = False
        async for result in self._provider.results(batch.provider_id or ""):
            part.append(result)
            if len(part) == _TOGETHER:
                ours = await self._take(batch, part, errors) or ours
                part.clear()
        return await self._take(batch, part, errors) or ours

    async def _take(self, batch: BatchRow, results: Sequence[BatchResult], errors: dict[bytes, EvoluteError]) -> bool:
        answers_last = sorted(
            results, key=lambda result: result.completion is not None
        )  # one that comes twice: an answer
        by_key = {bytes.fromhex(result.key): result for result in answers_last if len(result.key) == 32}
        asked = self._book.asked(batch, by_key)
        if not asked:
            return self._book.holds_any(batch, by_key)
        answers = []
        for key, request in asked.items():
            result = by_key[key]
            if result.completion is not None:
                answers.append((request, result.completion))
            else:
                errors[key] = result.error or CallFailed("a batch left this request unanswered")
        if answers:
            self._refused = 0
            self._desk.succeeded = True
            await self._desk.record(answers)
        return True

    async def _settle(self, batch: BatchRow, status: BatchStatus, errors: dict[bytes, EvoluteError]) -> None:
        """End a batch, and have asked again what it left; what the endpoint refuses for its content is an answer."""
        rejections = {key: error for key, error in errors.items() if isinstance(error, RequestRejected)}
        if self._desk.succeeded and rejections:
            asked = self._book.asked(batch, rejections)
            await self._desk.record([(asked[key], rejected(rejections[key])) for key in asked])
        final = self._hopeless(status, rejections)
        if final is not None:
            self._end(batch, status.state, status.detail, {}, final)
            raise final
        if status.state == "failed":
            await asyncio.sleep(_pause(self._refused))
        said = f"a batch {status.state} before this request's turn ({status.detail or status.state})"
        default = Unasked(said) if status.state == "failed" else CallFailed(said)
        self._end(batch, status.state, status.detail, errors, default)

    def _hopeless(self, status: BatchStatus, rejections: dict[bytes, RequestRejected]) -> EndpointError | None:
        """The error with which the run ends, where asking again is no use."""
        if rejections and not self._desk.succeeded:
            return EndpointError(f"the endpoint refuses every request: {next(iter(rejections.values()))}")
        if status.state == "failed" and not self._desk.resting:  # else it may be for those under way that it is refused
            self._refused += 1
        if self._refused >= _REFUSALS:
            return EndpointError(f"the provider refuses every batch: {status.detail}")
        return None

    def _end(
        self, batch: BatchRow, state: str, detail: str, errors: dict[bytes, EvoluteError], default: EvoluteError
    ) -> None:
        left = self._book.end(batch, state, detail)
        self._path(batch).unlink(missing_ok=True)
        self._desk.give_up(left, errors, default)

    def _path(self, batch: BatchRow) -> Path:
        return self._folder / f"{batch.name}.jsonl"

    async def _persist(self, call: Callable[[], Awaitable[T]], patience: float = _PATIENCE) -> T:
        """Make a call to the provider until it succeeds: batches wait for days, and connections come back."""
        since: float | None = None
        tries = 0
        while True:
            try:
                return await call()
            except CallFailed as error:
                since = since or monotonic()
                if monotonic() - since >= patience and tries >= 1:
                    raise EndpointGone(
                        f"the provider of the batches cannot be reached: {error}. What it has goes on there; run the "
                        "same command to go on"
                    ) from None
                await asyncio.sleep(_pause(tries))
                tries += 1


def rejected(error: EvoluteError) -> Completion:
    """What is recorded of a request that the endpoint refuses for its content."""
    status = error.status if isinstance(error, RequestRejected) else 400
    return Completion(None, Failure.REJECTED, finish="error", detail=f"{status}: {error}")


def _pause(tries: int) -> float:
    return min(_LATEST, 0.5 * 2.0 ** min(tries, 10))

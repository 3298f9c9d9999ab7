"""Calls that wait for batches: a model at the place of the pacer, whose answers come from a provider's batch API.

Requests are collected in a file. Once the batch is large or old enough, it is recorded in the ledger as an intent, with
its requests' keys, and only then submitted. Its results are recorded by key whether or not anybody waits for them, so a
run that is left, or killed, finds at the provider what it has paid for.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from evolute.errors import CallFailed, EvoluteError, InputError, LedgerError, RequestRejected
from evolute.ledger import Ledger
from evolute.ledger.batches import Asked, BatchBook, batched_identity
from evolute.models.batching import BatchProvider
from evolute.models.batching.collecting import Collection, tidy
from evolute.models.batching.following import Follower, Unasked, rejected
from evolute.models.batching.gate import Gate
from evolute.models.batching.opening import open_provider, provider_name
from evolute.models.prices import batch_share, discounted
from evolute.recipe import BatchSpec, ModelSpec, Price
from evolute.records import Completion, Request

FOLDER = "batches"
"""The folder in a run's that holds the files of requests."""

_BLIND = 50  # lineages that may wait while a bound on tokens or cost holds, and nobody knows what a call takes
_LOOKS = 0.25  # seconds between two looks whether everything is submitted

_in_use: set[tuple[Path, bytes]] = set()


class Batched:
    """Answers requests by way of batches; see `Pacer` for what a session looks at.

    Args:
        provider: the batch API.
        ledger: where completions become durable.
        book: where batches are recorded.
        spec: the model; `batch` and `retries` are used.
        gate: the budget.
        folder: where the files of requests are.
        price: of calls made at once.
        share: of the price that calls in batches cost.
        cancel: have the provider end every batch, and fetch what it has answered.
    """

    def __init__(
        self,
        provider: BatchProvider,
        ledger: Ledger,
        book: BatchBook,
        spec: ModelSpec,
        gate: Gate,
        folder: Path,
        price: Price | None,
        share: float,
        *,
        cancel: bool = False,
    ) -> None:
        self.retries: Counter[str] = Counter()
        self.changed = asyncio.Event()
        self.resting = 0
        self.succeeded = ledger.has_history
        self._provider, self._ledger, self._book, self._spec, self._gate = provider, ledger, book, spec, gate
        self._batch = spec.batch or BatchSpec()
        self._folder, self._price, self._share = folder, discounted(price, share), share
        self._most = min(self._batch.size, provider.most_requests)
        self._most_bytes = min(self._batch.bytes or provider.most_bytes, provider.most_bytes)
        self._follower = Follower(provider, book, self, folder, self._batch.hours, cancel=cancel)
        self._waiting: dict[bytes, asyncio.Future[Completion]] = {}
        self._failed: Counter[bytes] = Counter()
        self._identities: dict[tuple[str, bytes], bytes] = {}
        self._collection: Collection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._taken_over = 0
        self._at_provider = 0
        self._stopped: EvoluteError | None = None
        self._active = monotonic()

    @property
    def limit(self) -> int:
        """Half of the lineages that may wait: a session keeps twice as many alive, but under a bound."""
        return min(_BLIND, self._batch.lineages // 2) if self._gate.is_blind else self._batch.lineages // 2

    @property
    def in_flight(self) -> int:
        """Requests in batches that are not answered."""
        return self._at_provider

    async def complete(self, request: Request) -> Completion:
        """Wait for the answer.

        Raises:
            CallFailed: it failed in `spec.retries` + 1 batches.
            EndpointError: the provider refuses, or is gone.
            Stopped: the run is being stopped.
        """
        while True:
            try:
                return await self._ask(request)
            except CallFailed as error:
                self.retries[type(error).__name__] += 1
                if isinstance(error, Unasked):
                    continue
                self._failed[request.key] += 1
                if self._failed[request.key] > self._spec.retries:
                    del self._failed[request.key]
                    raise

    def stop(self, error: EvoluteError) -> None:
        """Collect nothing more.

        Where a bound on spending is why, what was admitted is submitted and waited for; else, and if told so again, all
        is left at once: open batches go on at the provider, and whoever waits gets the error.
        """
        waits = self._stopped is None and self._gate.spent_up
        self._stopped = self._stopped or error
        if waits:
            self._flush()
        else:
            self._leave(error)

    def resume(self) -> None:
        """Take up the batches that earlier sessions left."""
        for batch in self._book.open():
            unanswered = len(self._book.unanswered(batch))
            self._gate.carry(unanswered)
            self._at_provider += unanswered
            self._taken_over += 1
            self._ledger.has_history = True  # their answers come whether or not anybody waits
            self._start(self._take_up(self._follower.resume(batch)))
        if self._gate.leaving:
            self._start(self._leave_when_all_is_submitted(), counted=False)

    async def ended(self) -> None:
        """Wait until no batch is under way. Raises what went wrong."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._check()

    async def aclose(self) -> None:
        """Leave; batches that are open go on at the provider."""
        tasks = list(self._tasks)
        self._abandon()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(self._at_provider):
            self._gate.settle(None, None)
        self._at_provider = 0

    # Asking

    async def _ask(self, request: Request) -> Completion:
        self._check()
        if (other := self._waiting.get(request.key)) is not None:
            return await asyncio.shield(other)
        if not (self._taken_over and self._book.is_pending(request.key)):
            await self._gate.admitted()
            try:
                self._check()
                self._collect(request)
            except RequestRejected as error:
                return await self._refuse(request, error)
            except BaseException:
                self._gate.settle(None, None)
                raise
        return await self._wait(request.key)

    async def _wait(self, key: bytes) -> Completion:
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        try:
            return await future
        finally:
            if self._waiting.get(key) is future:
                del self._waiting[key]

    def _collect(self, request: Request) -> None:
        line = self._provider.line(request.key.hex(), request)
        if self._collection is not None and not self._collection.has_room(line):
            self._flush()
        if self._collection is None:
            self._collection = Collection(self._folder, self._spec.identity, self._most, self._most_bytes)
            self._timer = asyncio.get_running_loop().call_later(self._batch.seconds, self._flush)
        self._collection.add(self._named(request), line)
        self._at_provider += 1
        self._active = monotonic()
        if self._collection.is_full:
            self._flush()

    def _named(self, request: Request) -> Asked:
        pair = (request.role, request.identity)
        if pair not in self._identities:
            self._identities[pair] = batched_identity(request.identity, self._share)
            self._ledger.add_model(request.role, self._identities[pair], self._spec.model, self._share)
        return Asked(request.key, request.role, self._identities[pair])

    async def _refuse(self, request: Request, error: RequestRejected) -> Completion:
        """Record that a request cannot even be written."""
        completion = rejected(error)
        self._at_provider += 1
        await self.record([(self._named(request), completion)])
        return completion

    def _flush(self) -> None:
        """Submit what is collected."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        collection, self._collection = self._collection, None
        if collection is not None:
            self._start(self._submit(collection))

    async def _submit(self, collection: Collection) -> None:
        await asyncio.to_thread(collection.finish)
        batch = self._book.intend(collection.name, collection.asked)
        collection.asked.clear()
        await self._follower.submit(batch)

    # What comes back

    async def record(self, answers: Sequence[tuple[Asked, Completion]]) -> None:
        """Make completions durable, then give them to whoever waits."""
        final = [(asked, self._with_tries(asked, completion)) for asked, completion in answers]
        name = self._spec.model
        self._ledger.has_history = True
        await asyncio.gather(
            *(self._ledger.record(asked.key, asked.role, asked.identity, one, name) for asked, one in final)
        )
        was_blind = self._gate.is_blind
        self._active = monotonic()
        for asked, completion in final:
            self._at_provider -= 1
            self._gate.settle(completion.usage, self._price)
            future = self._waiting.get(asked.key)
            if future is not None and not future.done():
                future.set_result(completion)
        if was_blind:
            self.changed.set()
        self._remark()

    def give_up(self, keys: Sequence[bytes], errors: dict[bytes, EvoluteError], default: EvoluteError) -> None:
        """Tell whoever waits for these that no answer came."""
        self._active = monotonic()
        for key in keys:
            self._at_provider -= 1
            self._gate.settle(None, None)
            future = self._waiting.get(key)
            if future is not None and not future.done():
                future.set_exception(errors.get(key, default))

    def _with_tries(self, asked: Asked, completion: Completion) -> Completion:
        failed = self._failed.pop(asked.key, 0)
        return replace(completion, attempts=failed + 1) if failed else completion

    def _remark(self) -> None:
        if self._stopped is None:
            self._gate.remark(f"{self._at_provider:,} requests wait in batches" if self._at_provider else "")

    # Tasks, and leaving

    def _start(self, work: Coroutine[Any, Any, None], *, counted: bool = True) -> None:
        task = asyncio.get_running_loop().create_task(self._guarded(work, counted=counted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None], *, counted: bool) -> None:
        try:
            self._remark()
            await work
        except OSError as error:
            self._fail(LedgerError(f"a batch's file cannot be written: {error}. Run the same command to go on"))
        except Exception as error:  # noqa: BLE001 - whatever it is stops the run: nobody else would hear of it
            self._fail(error)

    async def _take_up(self, following: Coroutine[Any, Any, None]) -> None:
        try:
            await following
        finally:
            self._taken_over -= 1

    async def _leave_when_all_is_submitted(self) -> None:
        """Leave once every batch is known to be under way, and nothing has been asked or answered for a while."""
        while True:
            await asyncio.sleep(_LOOKS)
            batches = len(self._tasks) - 1
            quiet = monotonic() - self._active > self._batch.seconds + _LOOKS
            if batches and batches == self.resting and self._collection is None and quiet:
                return self._gate.close(f"--leave: {self._at_provider:,} requests wait in batches")

    def _check(self) -> None:
        if self._stopped is not None:
            raise _copied(self._stopped)

    def _fail(self, error: Exception) -> None:
        self._stopped = error if isinstance(error, EvoluteError) else EvoluteError(repr(error))
        self._leave(error)

    def _leave(self, error: Exception) -> None:
        self._abandon()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(_copied(error))

    def _abandon(self) -> None:
        """Follow no batch any more; what is only collected has not been asked."""
        if self._timer is not None:
            self._timer.cancel()
        collection, self._collection = self._collection, None
        if collection is not None:
            for _ in collection.asked:
                self._gate.settle(None, None)
            self._at_provider -= len(collection.asked)
            collection.discard()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()


@asynccontextmanager
async def open_batched(
    ledger: Ledger, spec: ModelSpec, gate: Gate, price: Price | None, *, cancel: bool = False
) -> AsyncIterator[Batched]:
    """Open a model whose calls wait for batches, and take up those that earlier sessions left.

    Raises:
        InputError: the model has no batches, or some of its batches wait at another provider.
    """
    provider = provider_name(spec)
    book = BatchBook(ledger, spec.identity, f"{provider} {spec.base_url}".strip())
    check_elsewhere(book, ledger.run)
    mark = (ledger.run.resolve(), spec.identity)
    if mark in _in_use:
        raise InputError(
            f"two of the recipe's models ask {spec.model!r} in batches in the same way: give both roles one of them"
        )
    folder = ledger.run / FOLDER
    folder.mkdir(exist_ok=True)
    tidy(folder, spec.identity, {batch.name for batch in book.open()})
    book.introduce()
    async with open_provider(spec, folder) as opened:
        share = batch_share(spec, provider)
        batched = Batched(opened, ledger, book, spec, gate, folder, price, share, cancel=cancel)
        _in_use.add(mark)
        try:
            batched.resume()
            yield batched
        finally:
            _in_use.discard(mark)
            await batched.aclose()


def check_elsewhere(book: BatchBook, run: Path) -> None:
    """Look that no batches of this model wait where they are not fetched: they would be paid for twice.

    Raises:
        InputError: some do.
    """
    left = book.elsewhere()
    if left:
        raise InputError(
            f"{run} waits for batches ({len(left):,}) with {sum(batch.requests for batch in left):,} requests of this "
            f"model at {left[0].place!r}, which would be paid for twice: fetch them first with --batch and that "
            f"provider and base_url, or end them with `evolute cancel {run}`, which keeps what they have answered"
        )


def _copied(error: Exception) -> Exception:
    """An error that several raise, each its own."""
    return type(error)(*error.args) if isinstance(error, EvoluteError) and not isinstance(error, CallFailed) else error

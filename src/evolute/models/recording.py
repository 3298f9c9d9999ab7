"""Paid once: a call that is in the ledger is never made again, and a completion is durable before anyone sees it.

Around an endpoint stand, from the outside in: `Recalled` (is it in the ledger?), the pacer (is there a slot?), and
`Recorded` (call, then make durable), so that a slot stays taken until what it paid for is safe.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from evolute.errors import CallFailed, NotRecorded, RequestRejected
from evolute.ledger import Ledger, Reader
from evolute.models import Model
from evolute.records import Completion, Failure, Request


class Recalled:
    """Answers from the ledger what the ledger holds, and asks `inner` for the rest; one call at a time per key."""

    def __init__(self, inner: Model, ledger: Ledger) -> None:
        self._inner = inner
        self._ledger = ledger
        self._under_way: dict[bytes, asyncio.Future[Completion]] = {}
        self.recalled = 0

    async def complete(self, request: Request) -> Completion:
        """The recorded completion, or a new one."""
        key = request.key
        if self._ledger.has_history and (found := self._ledger.reader.completion(key)) is not None:
            self.recalled += 1
            return found
        if (other := self._under_way.get(key)) is not None:
            return await asyncio.shield(other)
        mine = self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            completion = await self._inner.complete(request)
        except BaseException as error:
            mine.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            mine.exception()  # retrieved here: usually nobody else waits
            raise
        finally:
            del self._under_way[key]
        mine.set_result(completion)
        # Temperature-0 judgements share a key: what was answered in this session can be asked for again in it.
        self._ledger.has_history = self._ledger.has_history or not request.draw
        return completion


class Recorded:
    """Asks `inner`, and returns only once the completion is durable."""

    def __init__(self, inner: Model, ledger: Ledger, name: str) -> None:
        self._inner = inner
        self._ledger = ledger
        self._name = name
        self._succeeded = False
        self._failed_tries: dict[bytes, int] = {}

    async def complete(self, request: Request) -> Completion:
        """Make the call and record it.

        A request that the endpoint refuses for its content is recorded as a failed completion, once the endpoint has
        shown that it accepts others.
        """
        try:
            completion = await self._inner.complete(request)
        except CallFailed:
            self._failed_tries[request.key] = self._failed_tries.get(request.key, 0) + 1
            raise
        except RequestRejected as error:
            if not self._succeeded:
                raise
            completion = Completion(None, Failure.REJECTED, finish="error", detail=f"{error.status}: {error}")
        self._succeeded = True
        if failed := self._failed_tries.pop(request.key, 0):
            completion = replace(completion, attempts=failed + 1)
        await self._ledger.record(request.key, request.role, request.identity, completion, self._name)
        return completion


class Replayed:
    """Answers from a ledger only; there is no network behind it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def complete(self, request: Request) -> Completion:
        """The recorded completion.

        Raises:
            NotRecorded: the ledger does not hold this call.
        """
        found = self._reader.completion(request.key)
        if found is None:
            raise NotRecorded(f"the ledger holds no {request.role} call {request.key.hex()}")
        return found

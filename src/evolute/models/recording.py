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

_SHARED_DRAWS = 1
"""Draws up to this one do not name a place in a lineage (a judge at temperature 0): two lineages can share a call."""


class Recalled:
    """Answers from the ledger what the ledger holds, and asks `inner` for the rest; one call at a time per key."""

    def __init__(self, inner: Model, ledger: Ledger) -> None:
        self._inner = inner
        self._ledger = ledger
        self._under_way: dict[bytes, asyncio.Future[Completion]] = {}
        self.recalled = 0

    async def complete(self, request: Request) -> Completion:
        """The recorded completion, or a new one."""
        if self._ledger.has_history and (found := self._ledger.reader.completion(request.key)) is not None:
            self.recalled += 1
            return found
        if request.draw > _SHARED_DRAWS:
            return await self._inner.complete(request)
        return await self._once(request)

    async def _once(self, request: Request) -> Completion:
        """Ask, unless the same question is being asked already: then wait for its answer."""
        if (other := self._under_way.get(request.key)) is not None:
            return await asyncio.shield(other)
        mine = self._under_way[request.key] = asyncio.get_running_loop().create_future()
        try:
            completion = await self._inner.complete(request)
        except BaseException as error:
            mine.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            mine.exception()  # retrieved here: usually nobody else waits
            raise
        finally:
            del self._under_way[request.key]
        mine.set_result(completion)
        self._ledger.has_history = True  # from now on the same question can be answered from this very session
        return completion


class Recorded:
    """Asks `inner`, and returns only once the completion is durable.

    Where several endpoints serve one model, they share `failed_tries`, so that every try of a request is counted.
    """

    def __init__(self, inner: Model, ledger: Ledger, name: str, failed_tries: dict[bytes, int] | None = None) -> None:
        self._inner = inner
        self._ledger = ledger
        self._name = name
        self._succeeded = False
        self._failed_tries = {} if failed_tries is None else failed_tries

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

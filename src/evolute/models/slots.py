"""Turns: who may call now, in order, within a number in flight and the rates allowed."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic

from evolute.models.control import Bucket

_LEAST_NAP = 0.005  # seconds; a rate of hundreds a second is kept in small bursts rather than by a timer per call

Waiter = tuple["asyncio.Future[None]", float]


class Slots:
    """Hands out slots, first come first served, retries before the rest.

    Args:
        limit: slots there are; may be changed at any time, followed by `wake`.
        per_second: calls that may start a second, None for no bound.
        tokens_per_second: tokens that calls may cost a second.
    """

    def __init__(self, limit: int, *, per_second: float | None = None, tokens_per_second: float | None = None) -> None:
        now = monotonic()
        self.limit = limit
        self.in_flight = 0
        self.gated = bool(per_second or tokens_per_second)
        """Whether a rate applies; without one, and with nobody waiting, a slot may be taken by counting."""
        self.queue: deque[Waiter] = deque()
        self.retrying: deque[Waiter] = deque()
        self._requests = Bucket(per_second, now, seconds=1) if per_second else None
        self._tokens = Bucket(tokens_per_second, now, seconds=1) if tokens_per_second else None
        self._capped: Bucket | None = None
        self._closed_until = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Those who wait for a slot."""
        return len(self.queue) + len(self.retrying)

    async def take(self, cost: float, *, again: bool) -> None:
        """Wait for a slot, in turn."""
        if self.in_flight < self.limit and not self.gated and not self.queue:
            self.in_flight += 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry, queue = (waiter, cost), self.retrying if again else self.queue
        queue.append(entry)
        self.wake()
        try:
            await waiter
        except asyncio.CancelledError:
            if entry in queue:
                queue.remove(entry)
            elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back()  # it came as we left
            raise

    def give_back(self) -> None:
        """Return a slot, to whoever is next."""
        self.in_flight -= 1
        if self.queue or self.retrying:
            self.wake()

    def refund(self, tokens: float) -> None:
        """Correct what a call was taken to cost by so many tokens."""
        if self._tokens is not None:
            self._tokens.take(-tokens)

    def cap(self, rate: float | None, *, closed_until: float = 0.0) -> None:
        """Allow so many starts a second (None: any number), and none before a time."""
        now = monotonic()
        if rate is None:
            self._capped = None
        elif self._capped is None:
            self._capped = Bucket(rate, now)
        else:
            self._capped.set_rate(rate, now)
        self._closed_until = max(self._closed_until, closed_until)
        self.gated = any((self._capped, self._requests, self._tokens)) or self._closed_until > now

    def allow(self, per_second: float | None, tokens_per_second: float | None) -> None:
        """Go on at other rates, where there are rates."""
        now = monotonic()
        for bucket, rate in ((self._requests, per_second), (self._tokens, tokens_per_second)):
            if bucket is not None and rate is not None:
                bucket.set_rate(rate, now)
        if self._alarm is not None:  # it was set for when the old rates would allow the next
            self._alarm.cancel()
            self._alarm = None
        self.wake()

    def wake(self) -> None:
        """Give free slots to those who wait, as far as the rates allow."""
        while self.in_flight < self.limit:
            queue = self.retrying or self.queue
            if not queue or (self.gated and not self._may_start(queue[0][1])):
                return
            waiter, _ = queue.popleft()
            if not waiter.done():
                self.in_flight += 1
                waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """Raise a copy of `error` for everyone who waits."""
        for queue in (self.queue, self.retrying):
            while queue:
                waiter, _ = queue.popleft()
                if not waiter.done():
                    waiter.set_exception(type(error)(*error.args))

    def _may_start(self, cost: float) -> bool:
        """Whether the rates allow a call now; if not, an alarm is set for when they will."""
        now = monotonic()
        wait = self._closed_until - now
        for bucket in (self._capped, self._requests, self._tokens):
            if bucket is not None:
                wait = max(wait, bucket.wait(now))
        if wait > 0:
            if self._alarm is None:
                self._alarm = asyncio.get_running_loop().call_later(max(wait, _LEAST_NAP), self._ring)
            return False
        for bucket in (self._capped, self._requests):
            if bucket is not None:
                bucket.take(1)
        if self._tokens is not None:
            self._tokens.take(cost)
        return True

    def _ring(self) -> None:
        self._alarm = None
        self.wake()

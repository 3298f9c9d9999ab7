"""When to call: how many at once, how fast, and what to do when a call fails. A model that wraps a model."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, replace
from time import monotonic

from evolute.errors import (
    BadReply,
    CallFailed,
    ConnectionLost,
    EndpointError,
    EndpointGone,
    EvoluteError,
    Overloaded,
    RateLimited,
    RequestRejected,
    TimedOut,
)
from evolute.models import Model
from evolute.models.control import Concurrency, Counts, Rate
from evolute.models.refusals import LONGEST_WAIT
from evolute.models.slots import Slots
from evolute.recipe import ModelSpec
from evolute.records import Completion, Request

START, MOST = 8, 256
"""Calls in flight at the start, and at most, where the recipe names no number."""

_TICK = 0.1  # seconds between looks at the controls
_BACKOFF, _LONGEST = 0.25, 30.0  # seconds
_PATIENCE_WITH_LIMITS = 4  # a 429 says nothing about the request: it may be tried so many times as often
_REJECTIONS, _REFUSALS = 3, 4
_LONG_WAIT = 2.0  # seconds; where most tries get a 429 that asks for more, all wait for it


@dataclass(frozen=True, slots=True)
class Share:
    """A caller's part of a model's `concurrency` (0: no call) and rates (above 0); None: not bounded by the recipe."""

    concurrency: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


class Paced:
    """Calls `inner` as fast as its endpoint allows, and tries again what may succeed.

    Args:
        inner: makes one call; a slot is held until it returns.
        spec: `concurrency`, `requests_per_minute`, `tokens_per_minute` and `retries` are used.
        rng_seed: what the jitter of retries is drawn from.
        breaker_seconds: for so long, at least, nothing must have succeeded before the endpoint counts as gone.
        pause: seconds between the first tries of a request that is rejected before anything has succeeded.

    Attributes:
        retries: failed tries so far, by the name of their error.
        changed: set whenever `limit` changes; whoever waits for it clears it.
    """

    def __init__(
        self,
        inner: Model,
        spec: ModelSpec,
        *,
        rng_seed: int = 0,
        breaker_seconds: float = 10.0,
        pause: float = 1.0,
    ) -> None:
        self.retries: Counter[str] = Counter()
        self.changed = asyncio.Event()
        self._inner, self._spec = inner, spec
        self._concurrency = Concurrency(spec.concurrency or START, spec.concurrency or MOST)
        rpm, tpm = spec.requests_per_minute, spec.tokens_per_minute
        self._slots = Slots(self._concurrency.limit, per_second=rpm and rpm / 60, tokens_per_second=tpm and tpm / 60)
        self._rate = Rate()
        self._counts = Counts()
        self._random = random.Random(rng_seed)
        self._breaker_seconds, self._pause = breaker_seconds, pause
        self._asleep: set[asyncio.Future[None]] = set()
        self._stopped: EvoluteError | None = None
        self._failures, self._failing_since, self._reached = 0, 0.0, False
        self._tokens_out = 256.0  # a completion's tokens, until some were seen
        self._asked_until = self._lag = 0.0
        self._ticker: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return self._slots.in_flight

    @property
    def limit(self) -> int:
        """Calls allowed in flight at present."""
        return self._slots.limit

    @property
    def rate_cap(self) -> float | None:
        """Tries a second allowed at present, where the endpoint's 429s taught one."""
        return self._rate.cap

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot, or for their next try."""
        return self._slots.waiting + len(self._asleep)

    async def complete(self, request: Request) -> Completion:
        """Answer one request.

        Raises:
            CallFailed: the last of `spec.retries` further tries failed as well.
            RequestRejected: the endpoint will never take this request, though it takes others.
            EndpointError: it takes none, or is gone; every other request gets the same error.
        """
        tries = limited = rejected = 0
        cost = self._cost(request) if self._spec.tokens_per_minute else 0.0
        while True:
            self._check()
            await self._slots.take(cost, again=tries > 0)
            tries += 1
            started = monotonic()
            self._counts.started += 1
            if self._ticker is None:
                self._start_ticking(started)
            failure: EvoluteError
            try:
                completion = await self._inner.complete(request)
            except RateLimited as error:
                limited += 1
                failure = error
                self._was_limited(error, monotonic() - started)
            except CallFailed as error:
                failure = error
                self._was_lost(error)
            except BadReply as error:
                if not self._counts.succeeded:
                    raise self._stop(error) from None
                failure = error  # it did speak the API: a proxy's page, say, that another try may not meet
            except EndpointError as error:
                raise self._stop(error) from None
            except RequestRejected as error:
                self._failures, self._reached = 0, True
                rejected += 1
                failure = error
            else:
                self._succeeded(completion, cost)
                return completion if tries == 1 else replace(completion, attempts=tries)
            finally:
                self._release()
            self.retries[type(failure).__name__] += 1
            self._slots.refund(cost)
            if rejected:
                await self._after_rejection(failure, rejected)
            elif self._spent(tries - limited, limited):
                raise failure
            else:
                await self._sleep(
                    self._delay(failure, limited if isinstance(failure, RateLimited) else tries - limited)
                )

    # What came back

    def _release(self) -> None:
        counts, slots = self._counts, self._slots
        counts.finished += 1
        if slots.in_flight >= 0.8 * slots.limit:
            counts.busy += 1
        slots.give_back()

    def _succeeded(self, completion: Completion, cost: float) -> None:
        self._counts.succeeded += 1
        self._failures, self._reached = 0, True
        usage = completion.usage
        if cost and (usage.prompt or usage.completion):  # else the endpoint does not count, and the estimate stands
            self._slots.refund(cost - usage.prompt - usage.completion)
            self._tokens_out += 0.05 * (usage.completion - self._tokens_out)

    def _was_limited(self, error: RateLimited, lag: float) -> None:
        self._counts.limited += 1
        self._failures, self._reached = 0, True
        self._lag += 0.2 * (lag - self._lag)
        if error.retry_after:
            self._asked_until = max(self._asked_until, monotonic() + min(LONGEST_WAIT, error.retry_after))

    def _was_lost(self, error: CallFailed) -> None:
        if isinstance(error, Overloaded | TimedOut):
            self._counts.overloaded += 1
        if not isinstance(error, Overloaded | TimedOut | ConnectionLost):
            self._failures, self._reached = 0, True
            return
        now = monotonic()
        if self._failures == 0:
            self._failing_since = now
        self._failures += 1
        self._reached = self._reached or not isinstance(error, ConnectionLost)
        lasting = now - self._failing_since
        never = not self._reached and self._failures >= _REFUSALS and lasting >= self._breaker_seconds / 6
        if never or (self._failures >= max(20, self.limit) and lasting >= self._breaker_seconds):
            self._stop(EndpointGone(self._obituary(error, lasting)))

    def _obituary(self, error: CallFailed, lasting: float) -> str:
        since = "has never answered" if not self._reached else f"has answered nothing usable for {lasting:.0f} s"
        return (
            f"{self._spec.base_url or self._spec.model} {since}; the last of {self._failures} tries: {error}. "
            f"What was paid for is recorded; run the same command to resume."
        )

    async def _after_rejection(self, failure: EvoluteError, rejected: int) -> None:
        """Wait for the next try, or raise: before any success, a rejection may be the endpoint's way with everyone."""
        if self._counts.succeeded:
            raise failure
        if rejected < _REJECTIONS:
            return await self._sleep(self._pause)
        while self.in_flight and not self._counts.succeeded:  # another request may show that it is only this one
            await self._sleep(self._pause)
        if self._counts.succeeded:
            raise failure
        raise self._stop(EndpointError(f"the endpoint refuses every request: {failure}"))

    def _spent(self, failed: int, limited: int) -> bool:
        retries = self._spec.retries
        return failed > retries or limited > _PATIENCE_WITH_LIMITS * retries

    def _delay(self, failure: EvoluteError, count: int) -> float:
        """Full jitter below a bound that doubles with each such failure; never less than was asked for (in reason)."""
        jitter = self._random.random() * min(_LONGEST, _BACKOFF * 2.0 ** min(count - 1, 10))
        asked = failure.retry_after if isinstance(failure, CallFailed) else None
        return jitter if asked is None else min(LONGEST_WAIT, asked) + min(jitter, _BACKOFF)

    def share(self, share: Share) -> None:
        """From now on stay within this part of what the recipe allows; the rest is for others who call the endpoint."""
        if share.concurrency is not None:
            self._concurrency.allow(share.concurrency)
            self._slots.limit = self._concurrency.limit
            self.changed.set()
        rpm, tpm = share.requests_per_minute, share.tokens_per_minute
        self._slots.allow(rpm and rpm / 60, tpm and tpm / 60)

    # Stopping

    def stop(self, error: EvoluteError) -> None:
        """Begin no further try: whoever waits, and whoever comes, gets this error; calls under way go on."""
        self._stop(error)

    def _check(self) -> None:
        if self._stopped is not None:
            raise type(self._stopped)(*self._stopped.args)

    def _stop(self, error: EvoluteError) -> EvoluteError:
        """Fail everyone who waits, and whoever comes."""
        if self._stopped is None:
            self._stopped = error
            self._slots.fail(error)
            for nap in self._asleep:
                if not nap.done():
                    nap.set_exception(type(error)(*error.args))
        return error

    async def _sleep(self, seconds: float) -> None:
        """Sleep, unless the endpoint turns out to be gone."""
        self._check()
        loop = asyncio.get_running_loop()
        nap: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _end, nap)
        self._asleep.add(nap)
        try:
            await nap
        finally:
            timer.cancel()
            self._asleep.discard(nap)

    # Control

    def _cost(self, request: Request) -> float:
        """Tokens that a call will likely take: four characters each, and what completions took lately."""
        return sum(len(message.content) for message in request.messages) / 4 + self._tokens_out

    def _start_ticking(self, now: float) -> None:
        self._concurrency.restart(now, self._counts)
        self._rate.restart(now, self._counts)
        self._ticker = asyncio.get_running_loop().call_later(_TICK, self._tick)

    def _tick(self) -> None:
        self._ticker = None
        now, counts = monotonic(), self._counts
        self._concurrency.tick(now, counts)
        if self._concurrency.limit != self._slots.limit:
            self._slots.limit = self._concurrency.limit
            self.changed.set()
        if self._rate.tick(now, counts, lag=self._lag):
            self._regulate(now)
        self._slots.wake()
        if self._slots.in_flight or self.waiting:
            self._ticker = asyncio.get_running_loop().call_later(_TICK, self._tick)

    def _regulate(self, now: float) -> None:
        """Put the learned rate to work; close for a while if the endpoint refuses most and says until when."""
        closed_until = 0.0
        if self._rate.share > 0.5 and self._asked_until - now >= _LONG_WAIT:
            closed_until = self._asked_until
            self._rate.restart(now, self._counts, settle=closed_until - now)
        self._asked_until = 0.0
        self._slots.cap(self._rate.cap, closed_until=closed_until)


def _end(nap: asyncio.Future[None]) -> None:
    if not nap.done():
        nap.set_result(None)

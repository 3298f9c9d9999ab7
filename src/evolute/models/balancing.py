"""Several endpoints that serve one model: each call goes to the one with the most room, and past those that fail."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from time import monotonic

from evolute.errors import CallFailed, EndpointGone, EvoluteError
from evolute.models.pacing import Paced, Share
from evolute.records import Completion, Request

TRIES = 2
"""Tries of a request at one endpoint before it goes to another; the second comes after the pacer's usual pause."""
AGAIN = 30.0
"""Seconds after which an endpoint that was gone is tried again; also the longest for which one that fails is passed."""
_PASSED = 0.5  # seconds for which an endpoint is passed after its first failure; doubles with each further one


class _Place:
    """An endpoint, and whether it is to be passed at present."""

    def __init__(self, renew: Callable[[], Paced]) -> None:
        self.pacer = renew()
        self.renew = renew
        self.passed_until = 0.0
        self.failures = 0
        self.gone: EndpointGone | None = None

    @property
    def load(self) -> float:
        """How full it would be with one more call."""
        return (self.pacer.in_flight + self.pacer.waiting + 1) / (self.pacer.limit or 0.01)

    def failed(self) -> None:
        """Pass it for a while; calls that fail together count as one failure."""
        now = monotonic()
        if now >= self.passed_until:
            self.failures += 1
            self.passed_until = now + min(AGAIN, _PASSED * 2.0 ** (self.failures - 1))


class Balanced:
    """Answers at whichever of several endpoints has the most room; it is paced, as each of them is.

    An endpoint whose calls fail is passed for a time that doubles from half a second to `AGAIN`; what failed is tried
    elsewhere, or waits where all fail. One that is gone is tried again after `again` seconds; only when all are gone
    is the model.

    Args:
        renewals: for each endpoint, what makes a pacer around it; `TRIES` tries a request are meant.
        rounds: to how many endpoints a request is sent before its failure is raised.
        again: seconds after which an endpoint that was gone is tried again.
    """

    def __init__(self, renewals: Sequence[Callable[[], Paced]], *, rounds: int, again: float = AGAIN) -> None:
        self._places = [_Place(renew) for renew in renewals]
        self._rounds, self._again = max(rounds, len(renewals)), again
        self._changed = asyncio.Event()
        self._stopped: EvoluteError | None = None
        self._stopping = asyncio.Event()
        self._former: Counter[str] = Counter()
        self._share = Share()

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return sum(place.pacer.in_flight for place in self._places)

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot, or for their next try, at some endpoint."""
        return sum(place.pacer.waiting for place in self._places)

    @property
    def limit(self) -> int:
        """Calls allowed in flight at present, at those endpoints that are there."""
        return sum(place.pacer.limit for place in self._places if place.gone is None) or 1

    @property
    def retries(self) -> Counter[str]:
        """Failed tries so far, by the name of their error."""
        return sum((place.pacer.retries for place in self._places), self._former.copy())

    @property
    def changed(self) -> asyncio.Event:
        """Set whenever `limit` changes."""
        return self._changed

    @changed.setter
    def changed(self, event: asyncio.Event) -> None:
        self._changed = event
        for place in self._places:
            place.pacer.changed = event

    def stop(self, error: EvoluteError) -> None:
        """Begin no further try: whoever waits, and whoever comes, gets this error; calls under way go on."""
        self._stopped = error
        self._stopping.set()
        for place in self._places:
            place.pacer.stop(error)

    def share(self, share: Share) -> None:
        """From now on stay, at each endpoint, within this part of what the recipe allows there."""
        self._share = share
        for place in self._places:
            place.pacer.share(share)

    async def complete(self, request: Request) -> Completion:
        """Answer one request.

        Raises:
            CallFailed: it failed at so many endpoints in turn.
            RequestRejected: an endpoint that takes others refused it.
            EndpointError: no endpoint is there any more, or one of them cannot serve the model at all.
        """
        tried: list[_Place] = []
        failure: EvoluteError | None = None
        for _ in range(self._rounds):
            place = self._choose(tried)
            if (wait := place.passed_until - monotonic()) > 0:  # all fail at present
                await self._pause(wait)
            tried.append(place)
            pacer = place.pacer
            try:
                completion = await pacer.complete(request)
            except EndpointGone as error:
                failure = error
                self._leave(place, pacer, error)
            except CallFailed as error:
                failure = error
                place.failed()
            else:
                place.failures, place.passed_until = 0, 0.0
                return completion
        if failure is None:
            raise ValueError("a request is sent to one endpoint at least")
        raise failure

    def _choose(self, tried: Sequence[_Place]) -> _Place:
        """The one with the most room of those that may be asked, one that this request has not met before if any."""
        now = monotonic()
        for place in self._places:
            if place.gone is not None and now >= place.passed_until:
                self._reopen(place)
        there = [place for place in self._places if place.gone is None]
        if not there:
            raise self._obituary()
        fewest = min(tried.count(place) for place in there)
        fresh = [place for place in there if tried.count(place) == fewest]
        sound = [place for place in fresh if now >= place.passed_until]
        if sound:
            return min(sound, key=lambda place: place.load)
        return min(fresh, key=lambda place: place.passed_until)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless all is stopped: then the pacers say so."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _leave(self, place: _Place, pacer: Paced, error: EndpointGone) -> None:
        if place.pacer is pacer and place.gone is None:  # else another call has found out before
            place.gone, place.passed_until = error, monotonic() + self._again
            self._changed.set()

    def _reopen(self, place: _Place) -> None:
        self._former += place.pacer.retries
        place.gone, place.pacer = None, place.renew()
        place.pacer.changed = self._changed
        place.pacer.share(self._share)
        if self._stopped is not None:
            place.pacer.stop(self._stopped)

    def _obituary(self) -> EndpointGone:
        said = "; ".join(str(place.gone) for place in self._places)
        return EndpointGone(f"none of {len(self._places)} endpoints is left: {said}")

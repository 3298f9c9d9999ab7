"""How much an endpoint can take, learned from what came back: so many calls in flight, so many a second.

Nothing here sleeps or knows a clock: the pacer passes the time and its running `Counts`, and each controller compares
them with those it saw at the start of its interval. Deciding per interval, and checking that a cut helped, is what
keeps random failures from being taken for limits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(slots=True)
class Counts:
    """Running totals of tries."""

    started: int = 0
    finished: int = 0
    succeeded: int = 0
    limited: int = 0
    """Ended in a 429."""
    overloaded: int = 0
    """Ended in a 5xx or a timeout."""
    busy: int = 0
    """Finished while at least 80 % of the limit was in use."""


class Concurrency:
    """The number of calls in flight: doubled while that pays, cut by a fifth while the endpoint is overloaded.

    A change is judged only after as many calls have finished as were under way, so that what is measured was started
    under the new limit. A doubling that brings less than a tenth more throughput is taken back, and tried again later.
    """

    GAIN, CUT = 1.1, 0.8
    NOTABLE = 0.1  # share of overloaded calls, beyond what is usual here, that means overload
    SECONDS, CALLS = 0.2, 16  # the least that is measured
    PATIENCE = 8  # intervals before a doubling that failed is tried again; doubles each time, up to eightfold

    def __init__(self, start: int, most: int) -> None:
        self.limit = start
        self._most = self._ceiling = most
        self._floor = 0.0  # share of overloaded calls that cutting did not change
        self._trial: tuple[int, float] | None = None  # the limit and the throughput before a doubling
        self._episode: tuple[int, float] | None = None  # the limit and the share when overload began
        self._cuts = self._held = 0
        self._patience = 0
        self._settle: int | None = start
        self._mark, self._at = Counts(), 0.0

    def restart(self, now: float, counts: Counts) -> None:
        """Measure anew after a pause."""
        self._settle, self._mark, self._at = None, replace(counts), now

    def allow(self, most: int) -> None:
        """Go no higher than `most`; where the limit stood at the last such bound, it stands at the new one."""
        full = self.limit >= self._most or self.limit == 0
        self._most = self._ceiling = most
        self.limit = most if full else min(self.limit, most)

    def tick(self, now: float, counts: Counts) -> None:
        """Judge the interval if it is long enough; this may change `limit`."""
        done, elapsed = counts.finished - self._mark.finished, now - self._at
        if self._settle is not None:
            if done >= self._settle:
                self.restart(now, counts)
            return
        if done < max(self.limit, self.CALLS) or elapsed < self.SECONDS:
            return
        before, mark = self.limit, self._mark
        share = (counts.overloaded - mark.overloaded) / done
        if share - 2 * _deviation(share, done) > self._floor * 1.25 + self.NOTABLE:
            self._cut(share)
        else:
            self._floor += min(0.0, share - self._floor) * 0.1
            if self._episode is not None and share < 0.5 * self._episode[1]:
                self._episode = None
            if counts.busy - mark.busy >= 0.8 * done:
                self._grow((counts.succeeded - mark.succeeded) / elapsed)
        self.restart(now, counts)
        if self.limit != before:
            self._settle = before

    def _cut(self, share: float) -> None:
        self._trial = None
        if self._episode is None:
            self._episode, self._cuts = (self.limit, share), 0
        first_limit, first_share = self._episode
        if self._cuts >= 3 and first_share * 0.8 <= share < 0.5:  # half the calls, and as many fail: not our doing
            self.limit, self._floor, self._episode = first_limit, share, None
            return
        self._ceiling, self._cuts, self._held = self.limit, self._cuts + 1, 0
        self.limit = max(1, int(self.limit * self.CUT))

    def _grow(self, throughput: float) -> None:
        if self._trial is not None:
            limit, rate = self._trial
            self._trial = None
            if throughput < self.GAIN * rate:
                self.limit, self._held = limit, 0
                self._patience = min(8 * self.PATIENCE, max(self.PATIENCE, 2 * self._patience))
                return
            self._patience = 0
        self._held += 1
        if self.limit >= self._most or self._held <= self._patience:
            return
        if self.limit < self._ceiling < 2 * self.limit:  # near what was too much: feel the way
            if self._held % 4 == 0:
                self.limit = min(self._ceiling, self.limit + math.ceil(self.limit / 10))
                self._ceiling = self._most if self.limit == self._ceiling else self._ceiling
            return
        self._trial, self._held = (self.limit, throughput), 0
        self.limit = min(self._most, 2 * self.limit)


class Rate:
    """The number of tries a second, capped once an endpoint answers 429 and the cap is seen to help.

    When more tries are refused than is usual, the cap becomes the rate that was accepted. If as many are refused after
    that, the refusals do not depend on our rate: the cap is taken back, and that share is the usual from then on.
    """

    SECONDS, TRIES = 0.5, 20  # the least that is measured
    PATIENCE = 5.0  # seconds after which fewer tries do
    NOTABLE = 0.02  # share of refused tries, beyond what is usual here, that means a limit
    LEAST = 0.5  # tries a second: a cap never starves

    def __init__(self) -> None:
        self.cap: float | None = None
        self.noise = 0.0
        self.share = 0.0  # of the last interval
        self._judging: tuple[float, float | None] | None = None  # the share and the cap before a cut
        self._clean = 0
        self._mark, self._at = Counts(), 0.0
        self._settled_at = 0.0  # what returns until then was started under another cap

    def restart(self, now: float, counts: Counts, *, settle: float = 0.0) -> None:
        """Measure anew, from `settle` seconds on."""
        self._mark, self._at, self._settled_at = replace(counts), now, now + settle if settle else 0.0

    def tick(self, now: float, counts: Counts, *, lag: float = 0.0) -> bool:
        """Judge the interval if it is long enough, and say whether it was; this may change `cap`.

        `lag` is how long a 429 takes to come back, in seconds.
        """
        if self._settled_at:
            if now >= self._settled_at:
                self.restart(now, counts)
            return False
        tries, elapsed = counts.started - self._mark.started, now - self._at
        if tries == 0 or elapsed < self.SECONDS or (tries < self.TRIES and elapsed < self.PATIENCE):
            return False
        limited = min(tries, counts.limited - self._mark.limited)
        self.share = share = limited / tries
        if self._judging is not None and share >= 0.7 * self._judging[0]:
            self.cap, self.noise = self._judging[1], min(share, self._judging[0])
            self._judging = None
        elif share - _deviation(share, tries) > self.noise * 1.25 + self.NOTABLE:
            self._judging, self._clean = (share, self.cap), 0
            accepted = (tries - limited) / elapsed / (1 - min(self.noise, 0.9))
            self.cap = max(self.LEAST, accepted if self.cap is None else min(accepted, 0.95 * self.cap))
            self.restart(now, counts, settle=2 * lag)
            return True
        else:
            self._judging = None
            self.noise += min(0.0, share - self.noise) * 0.1
            self._grow(tries / elapsed)
        self.restart(now, counts)
        return True

    def _grow(self, rate: float) -> None:
        self._clean += 1
        if self.cap is not None and rate > 0.8 * self.cap:  # only a cap that holds us back
            self.cap *= (1.02, 1.05, 1.1, 1.25, 1.5)[min(self._clean // 5, 4)]


class Bucket:
    """Tokens that come in at `rate` a second, and pile up for at most `seconds` (at least to one).

    More may be taken than there is: the next taker waits until the debt is paid.
    """

    def __init__(self, rate: float, now: float, seconds: float = 0.02) -> None:
        self._seconds = seconds
        self._level = 1.0
        self.set_rate(rate, now)

    def set_rate(self, rate: float, now: float) -> None:
        """Go on at another rate."""
        self._rate, self._at, self._most = rate, now, max(1.0, rate * self._seconds)

    def wait(self, now: float) -> float:
        """Seconds until something may be taken; 0 when it may be now."""
        self._level = min(self._most, self._level + (now - self._at) * self._rate)
        self._at = now
        return 0.0 if self._level >= 1 else (1 - self._level) / self._rate

    def take(self, amount: float) -> None:
        """Take (or, negative, give back) so many tokens."""
        self._level -= amount


def _deviation(share: float, of: int) -> float:
    """The standard error of a share: so much of it may be chance."""
    return math.sqrt(share * (1 - share) / of)

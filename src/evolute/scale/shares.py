"""Who may spend and call how much: a run's bounds and rates, handed out in parts to the workers that are alive.

Grants never add up to more than the bound, and shares never to more than the recipe's number: a part is given to
another only once its holder has said that it gave it up, has ended, or was replaced. Nothing here knows Ray.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from evolute.evolve.budget import Limits
from evolute.models.pacing import Share

SILENT = 30.0
"""Seconds without a word after which a worker's share of the rates goes to the others."""
DEATHS = 8
"""Times that the worker of one shard may die in a session."""
LEAST = 0.05
"""Of an equal part of a rate, so much is left to a worker that has no use for it at present."""

_CRUMBS = 0.02  # of a bound

BOUNDS = ("calls", "tokens", "cost")
Amounts = Mapping[str, float]
"""Calls, tokens and US dollars; those that the run bounds."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One model at one worker: what the recipe allows in all, the calls in flight, and how many could be of use."""

    allowed: Share
    in_flight: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker says every half second.

    Attributes:
        worker: its name, new for each attempt at a shard.
        shard: what it works on.
        spent: what calls that have ended took, in this attempt.
        granted: what it may spend in all; it may have given back some of what it was told.
        need: what it will likely want beyond `spent`.
        blocked: calls wait for a grant, and none is in flight.
        models: in the order of the recipe's.
        done: finished lineages, kept candidates and dropped ones by reason, of the shard.
        counts: calls, tokens and so on of this attempt, for the progress.
        shipped: names of files that have come into the sink since the last report.
        ended: the attempt is over.
    """

    worker: str
    shard: str
    spent: Amounts
    granted: Amounts
    need: Amounts
    blocked: bool
    models: Sequence[Demand]
    done: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)
    shipped: Sequence[str] = ()
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What a worker may spend in all, its share of each model, and why it must stop, if it must."""

    granted: Amounts
    shares: Sequence[Share]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """The workers added up: `done` and `counts` as in a report; `shipped` since the last look; why they stop."""

    done: Mapping[str, Any]
    counts: Mapping[str, Any]
    shipped: Sequence[str]
    working: int
    why: str


@dataclass(slots=True)
class _Worker:
    report: Report
    granted: dict[str, float]
    shares: list[Share]
    heard: float
    ended: bool = False


class Shares:
    """The run's treasurer.

    Args:
        limits: the run's bounds.
        spent: what earlier sessions have spent of them.
        clock: seconds, monotonic.
    """

    def __init__(self, limits: Limits, spent: Amounts, clock: Callable[[], float] = monotonic) -> None:
        bounds = {name: getattr(limits, name) for name in BOUNDS}
        self._bounds = {name: bound for name, bound in bounds.items() if bound is not None}
        self._pool = {name: max(0.0, bound - spent[name]) for name, bound in self._bounds.items()}
        self._workers: dict[str, _Worker] = {}
        self._counts: Counter[str] = Counter()  # of attempts that are over
        self._retries: Counter[str] = Counter()
        self._former = dict.fromkeys(self._bounds, 0.0)  # what these have spent
        self._done: dict[str, Mapping[str, Any]] = {}
        self._shipped: list[str] = []
        self._deaths: Counter[str] = Counter()
        self._last = ""
        self._why = ""
        self._clock = clock

    def stop(self, why: str) -> None:
        """Have all workers begin no further call."""
        self._why = self._why or why

    def ask(self, report: Report) -> Reply:
        """Take note of a worker's report, and tell it what it may do."""
        worker = self._workers.get(report.worker)
        if worker is None:
            self._replace(report.shard)
            worker = _Worker(report, {}, [Share() if _free(m.allowed) else _NOTHING for m in report.models], 0.0)
            self._workers[report.worker] = worker
        worker.report, worker.granted, worker.heard = report, dict(report.granted), self._clock()
        self._done[report.shard] = report.done
        self._shipped += report.shipped
        self._last = report.counts.get("last") or self._last
        if report.ended:
            self._end(worker, report.spent)
            return Reply({}, [], self._why)
        self._grant(worker)
        worker.shares = [self._share(worker, number) for number in range(len(report.models))]
        return Reply(worker.granted, worker.shares, self._why)

    def standing(self) -> Standing:
        """How far all are; forgets what was shipped."""
        shipped, self._shipped = self._shipped, []
        counts = self._counts.copy()
        retries = self._retries.copy()
        in_flight = limit = 0
        for worker in self._workers.values():
            counts.update({name: worker.report.counts.get(name, 0) for name in _COUNTED})
            retries.update(worker.report.counts.get("retries", {}))
            in_flight += sum(model.in_flight for model in worker.report.models)
            limit += worker.report.counts.get("limit", 0)
        dropped: Counter[str] = Counter()
        for done in self._done.values():
            dropped.update(done.get("dropped", {}))
        totals = {name: sum(done.get(name, 0) for done in self._done.values()) for name in ("seeds", "kept")}
        told = {**counts, "retries": retries, "in_flight": in_flight, "limit": limit, "last": self._last}
        return Standing({**totals, "dropped": dropped}, told, shipped, len(self._workers), self._why)

    # Workers that come and go

    def _replace(self, shard: str) -> None:
        """Whoever worked on this shard before is dead: what it had in flight counts as spent, the rest comes back."""
        for other in list(self._workers.values()):
            if other.report.shard == shard:
                report = other.report
                self._deaths[shard] += 1
                if self._deaths[shard] >= DEATHS:
                    self.stop(
                        f"the worker of shard {shard} died {DEATHS} times (a machine short of memory?): see Ray's own "
                        "logs; what was shipped is kept"
                    )
                flying = sum(model.in_flight for model in report.models)
                mean = {bound: report.spent[bound] / max(1.0, report.counts.get("calls", 0)) for bound in self._bounds}
                each = {**mean, "calls": 1.0}
                spent = {b: min(other.granted.get(b, 0.0), report.spent[b] + flying * each[b]) for b in self._bounds}
                self._end(other, spent)

    def _end(self, worker: _Worker, spent: Amounts) -> None:
        report = worker.report
        self._counts.update({name: report.counts.get(name, 0) for name in _COUNTED})
        self._retries.update(report.counts.get("retries", {}))
        for name in self._bounds:
            self._former[name] += spent[name]
        del self._workers[report.worker]

    def _alive(self) -> list[_Worker]:
        now = self._clock()
        return [worker for worker in self._workers.values() if now - worker.heard < SILENT]

    # What may be spent

    def _grant(self, worker: _Worker) -> None:
        report = worker.report
        alive = self._alive()
        for name in self._bounds:
            held = sum(other.granted.get(name, 0.0) for other in self._workers.values())
            left = self._pool[name] - self._former[name] - held
            lacking = report.spent[name] + report.need[name] - worker.granted.get(name, 0.0)
            # The last bit goes to one: dividing it further would never come to an end.
            fair = math.ceil(left / len(alive)) if name == "calls" else left / len(alive)
            fair = left if left < _CRUMBS * self._bounds[name] and name != "calls" else fair
            if (part := min(lacking, fair, left)) > 0:
                worker.granted[name] = worker.granted.get(name, 0.0) + part
                left -= part
            if left <= 0 and all(other.report.blocked and other.granted == other.report.granted for other in alive):
                self.stop(f"--max-{name} {self._bounds[name]:g} is reached")

    # How fast they may call

    def _share(self, worker: _Worker, number: int) -> Share:
        allowed = worker.report.models[number].allowed
        if _free(allowed):
            return allowed
        alive = self._alive()
        demands = [other.report.models[number] for other in alive]
        wants = [float(max(demand.in_flight, demand.wanted)) for demand in demands]
        mine = alive.index(worker)
        others = [(other.shares[number], other.report.models[number]) for other in alive if other is not worker]
        concurrency: int | None = None
        if allowed.concurrency is not None:
            target = split_whole(allowed.concurrency, wants)[mine]
            taken = sum(max(share.concurrency or 0, demand.in_flight) for share, demand in others)
            concurrency = max(0, min(target, allowed.concurrency - taken))
        return Share(
            concurrency,
            _rate(allowed.requests_per_minute, wants, mine, [share.requests_per_minute for share, _ in others]),
            _rate(allowed.tokens_per_minute, wants, mine, [share.tokens_per_minute for share, _ in others]),
        )


_COUNTED = ("calls", "recalled", "prompt_tokens", "completion_tokens", "cost")
_NOTHING = Share(0, 1e-9, 1e-9)


def _free(allowed: Share) -> bool:
    return allowed == Share()


def _rate(allowed: float | None, wants: Sequence[float], mine: int, taken: Sequence[float | None]) -> float | None:
    """A part of a rate by demand; some is left to those who want nothing now, for they may want it in a moment."""
    if allowed is None:
        return None
    least = LEAST * allowed / len(wants)
    rest = allowed - least * len(wants)
    whole = sum(wants)
    target = least + (rest * wants[mine] / whole if whole else rest / len(wants))
    return max(1e-9, min(target, allowed - sum(part or 0.0 for part in taken)))


def split_whole(amount: int, wants: Sequence[float]) -> list[int]:
    """Divide so that nobody gets more than wanted while another wants more; what nobody wants is divided evenly."""
    parts = [0] * len(wants)
    left = amount
    hungry = [number for number, want in enumerate(wants) if want > 0]
    while left and hungry:
        each = max(1, left // len(hungry))
        for number in list(hungry):
            part = min(each, left, math.ceil(wants[number]) - parts[number])
            parts[number] += part
            left -= part
            if parts[number] >= wants[number]:
                hungry.remove(number)
    for number in range(len(wants)):  # room to begin, for those who have nothing yet
        parts[number] += left // len(wants) + (number < left % len(wants))
    return parts

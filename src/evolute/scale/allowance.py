"""A worker's budget: what it may spend comes in grants from the run's `Shares`, and it never runs ahead of shipping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from evolute.evolve.budget import Budget, Limits
from evolute.evolve.progress import Progress
from evolute.evolve.session import Session
from evolute.models.balancing import Balanced
from evolute.models.pacing import Paced, Share
from evolute.recipe import Price
from evolute.records import Usage
from evolute.scale.shares import BOUNDS, SILENT, Demand, Reply, Report

ASK_SECONDS = 0.5
"""How often a worker reports, and asks; at once (but for `_LEAST_SECONDS`) where calls wait for a grant."""
CUT_OFF = "the run's command has not answered"
"""Why a worker stops that has no reply for as long as makes it count as gone: it may be cut off, and replaced."""
_LEAST_SECONDS = 0.05
_FIRST_NEED = 8  # calls wanted before any has shown how fast they come; of other bounds, a tenth

Ask = Callable[[Report], Awaitable[Reply]]


class Allowance(Budget):
    """A budget handed out in parts. A call waits where none is left, and where too many are not in the sink yet.

    Args:
        limits: the run's bounds; only what was granted of them may be spent here.
        progress: the shard's counters.
        most_unshipped: recorded calls that may be missing in the sink at any time.
    """

    def __init__(self, limits: Limits, progress: Progress, most_unshipped: int) -> None:
        super().__init__(limits, progress)
        self.granted: Mapping[str, float] = {}
        self.hungry = asyncio.Event()
        """Set where calls wait for a grant."""
        self.full = asyncio.Event()
        """Set where half as many calls are not in the sink as may be."""
        self.recalled_before = (progress.calls, progress.prompt_tokens, progress.completion_tokens)
        self._bounded = [name for name in BOUNDS if getattr(limits, name) is not None]
        self._most = most_unshipped
        self._shipped = 0
        self._room = asyncio.Event()
        self._waiting = 0
        self.on_close.append(lambda why: self._room.set())

    @property
    def spent(self) -> dict[str, float]:
        """What the calls that have ended here took."""
        return {"calls": self._session_calls, "tokens": self._session_tokens, "cost": self._session_cost}

    @property
    def each(self) -> dict[str, float]:
        """What one more call will likely take; nothing where none has shown it yet."""
        return {name: 1.0 if name == "calls" else self.spent[name] / max(1, self._session_calls) for name in BOUNDS}

    @property
    def blocked(self) -> bool:
        """Calls wait for a grant, and none is in flight that could bring one back."""
        return self._waiting > 0 and not self.progress.in_flight and self._spent_up()

    @property
    def unshipped(self) -> int:
        """Calls recorded here that are not in the sink yet."""
        return self._session_calls - self._shipped

    async def admitted(self) -> None:
        """Let one more call begin, once there is a grant for it, and the sink has caught up."""
        while not self.why and (self._spent_up() or self.unshipped >= self._most):
            self._waiting += 1
            self.hungry.set()
            self._room.clear()
            try:
                await self._room.wait()
            finally:
                self._waiting -= 1
        self.admit()

    def settle(self, usage: Usage | None, price: Price | None) -> None:
        """A call has ended."""
        super().settle(usage, price)
        if self.unshipped * 2 >= self._most:
            self.full.set()
        if self._waiting and usage is None:
            self._room.set()  # it took nothing

    def grant(self, granted: Mapping[str, float]) -> None:
        """So much may be spent in all."""
        self.granted = granted
        self.hungry.clear()
        self._room.set()

    def shipped(self, calls: int) -> None:
        """So many calls of this session are in the sink now."""
        self._shipped = calls
        self._room.set()

    def need(self, calls: int) -> dict[str, float]:
        """What so many calls more will take."""
        each = self.each
        unknown = {name: getattr(self.limits, name) / 10 for name in self._bounded}
        return {name: calls * each[name] or unknown[name] for name in self._bounded}

    def give_back(self, need: Mapping[str, float]) -> None:
        """Keep no more of the grant than is needed, and as much again."""
        each, spent = self.each, self.spent
        kept = {name: spent[name] + self.progress.in_flight * each[name] + 2 * need[name] for name in self._bounded}
        self.granted = {name: min(amount, kept[name]) for name, amount in self.granted.items()}

    def _spent_up(self) -> bool:
        spent, each = self.spent, self.each
        flying = self.progress.in_flight
        return any(spent[name] + flying * each[name] >= self.granted.get(name, 0.0) for name in self._bounded)

    def _check(self) -> None:
        """What is spent is looked at before; the bounds themselves are the whole run's."""


class Link:
    """Between a worker's session and the run's `Shares`.

    Args:
        ask: sends a report, and brings the reply.
        worker: the attempt's name.
        shard: what it works on.
        seeds: lineages that it has to finish.
        session: the session at work.
        budget: its budget.
    """

    def __init__(self, ask: Ask, worker: str, shard: str, seeds: int, session: Session, budget: Allowance) -> None:
        self._ask = ask
        self._worker, self._shard, self._seeds = worker, shard, seeds
        self._session, self._budget = session, budget
        self._shares: Sequence[Share] = ()
        self._shipped: list[str] = []
        self._calls = 0
        self._pacers = [pacer for pacer in session.pacers if isinstance(pacer, Paced | Balanced)]

    def tell_shipped(self, names: Sequence[str]) -> None:
        """These files have come into the sink."""
        self._shipped += names

    async def keep_asking(self) -> None:
        """Report and ask, until cancelled."""
        while True:
            await asyncio.sleep(_LEAST_SECONDS)
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    await self._budget.hungry.wait()
            except TimeoutError:
                pass
            await self.ask()

    async def ask(self, *, ended: bool = False) -> None:
        """Report once, and do as the reply says."""
        report = self._report(ended)
        try:
            async with asyncio.timeout(SILENT):
                reply = await self._ask(report)
        except TimeoutError:
            self._budget.close(CUT_OFF)  # others have our share by now, and perhaps our shard
            return
        del self._shipped[: len(report.shipped)]
        if ended:
            return
        self._budget.grant(reply.granted)
        if list(reply.shares) != list(self._shares):
            self._shares = reply.shares
            for pacer, share in zip(self._pacers, reply.shares, strict=True):
                pacer.share(share)
        if reply.why:
            self._budget.close(reply.why)

    def _report(self, ended: bool) -> Report:
        self._session.refresh()
        budget, progress = self._budget, self._budget.progress
        calls = int(budget.spent["calls"])
        need = budget.need(max(_FIRST_NEED, 2 * progress.limit, 2 * (calls - self._calls)))
        self._calls = calls
        budget.give_back(need)
        left = max(0, self._seeds - progress.seeds_done)
        models = [
            Demand(allowed, pacer.in_flight, left) for allowed, pacer in zip(self._allowed(), self._pacers, strict=True)
        ]
        done = {"seeds": progress.seeds_done, "kept": progress.kept, "dropped": dict(progress.dropped)}
        shipped = tuple(self._shipped)
        spent, granted, blocked = budget.spent, dict(budget.granted), budget.blocked
        return Report(
            self._worker, self._shard, spent, granted, need, blocked, models, done, self._counts(), shipped, ended
        )

    def _counts(self) -> dict[str, Any]:
        progress = self._budget.progress
        calls, prompt, completion = self._budget.recalled_before
        return {
            "calls": progress.calls - calls,
            "prompt_tokens": progress.prompt_tokens - prompt,
            "completion_tokens": progress.completion_tokens - completion,
            "cost": self._budget.spent["cost"],
            "recalled": progress.recalled,
            "limit": progress.limit,
            "retries": dict(progress.retries),
            "last": progress.last,
        }

    def _allowed(self) -> list[Share]:
        """What the recipe allows, model by model, in the order of the session's."""
        specs = [self._session.recipe.models[name] for name in self._session.models_used]
        return [Share(spec.concurrency, spec.requests_per_minute, spec.tokens_per_minute) for spec in specs]

"""Bounds on what a run may spend, and the gate that every paid call passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evolute.errors import InputError, Stopped
from evolute.evolve.progress import Progress
from evolute.models import Model
from evolute.models.prices import cost
from evolute.recipe import Price
from evolute.records import Completion, Request, Usage


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what is spent.

    `cost` (US dollars), `calls` and `tokens` (prompt and completion) hold for the run, over all its sessions;
    `minutes` for this session. `leave` ends this session once all that can be asked waits in batches.
    """

    cost: float | None = None
    calls: int | None = None
    tokens: int | None = None
    minutes: float | None = None
    leave: bool = False

    def __post_init__(self) -> None:
        for name in ("cost", "calls", "tokens", "minutes"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InputError(f"--max-{name} must be above 0, got {value!r}")


class Budget:
    """Counts what is spent, and closes for good once a bound is reached or the user stops the run."""

    def __init__(self, limits: Limits, progress: Progress) -> None:
        self.limits = limits
        self.progress = progress
        self.why = ""
        self.spent_up = False
        self.on_close: list[Callable[[str], None]] = []
        self._session_calls = 0
        self._session_tokens = 0
        self._session_cost = 0.0

    @property
    def leaving(self) -> bool:
        """Whether the session is to end once all that can be asked waits in batches."""
        return self.limits.leave

    @property
    def is_blind(self) -> bool:
        """Whether tokens or cost are bounded, and no call has shown yet what it takes."""
        return self.progress.calls == 0 and (self.limits.tokens, self.limits.cost) != (None, None)

    def carry(self, calls: int) -> None:
        """So many calls of an earlier session are under way."""
        self.progress.in_flight += calls

    def remark(self, note: str) -> None:
        """Show a note beside the progress."""
        self.progress.note = note

    def close(self, why: str) -> None:
        """Begin no further call; those in flight end, and are recorded.

        Once more, after a bound on spending has closed it: what is in flight may be in batches, for hours, and those
        are then left.
        """
        if not self.why or self.spent_up:
            self.why = self.why or why
            for listener in self.on_close:
                listener(why)

    async def admitted(self) -> None:
        """Let one more call begin, once there is budget for it: where that is handed out in parts, wait for the next.

        Raises:
            Stopped: the run is being stopped.
        """
        self.admit()

    def admit(self) -> None:
        """Let one more call begin.

        Raises:
            Stopped: the run is being stopped.
        """
        if not self.why:
            self._check()
        if self.why:
            raise Stopped(self.why)
        self.progress.in_flight += 1

    def settle(self, usage: Usage | None, price: Price | None) -> None:
        """A call has ended; `usage` is None where it brought no completion."""
        progress = self.progress
        progress.in_flight -= 1
        if usage is None:
            return
        tokens = usage.prompt + usage.completion
        progress.calls += 1
        progress.prompt_tokens += usage.prompt
        progress.completion_tokens += usage.completion
        self._session_calls += 1
        self._session_tokens += tokens
        if price is None:
            progress.cost = None
        elif progress.cost is not None:
            spent = cost(usage, price) or 0.0
            progress.cost += spent
            self._session_cost += spent

    def _check(self) -> None:
        limits, progress = self.limits, self.progress
        if limits.calls is not None and progress.calls + progress.in_flight >= limits.calls:
            self._spend_up(f"--max-calls {limits.calls} is reached")
        # What is in flight will cost about what a call has cost so far: in this session, else in those before.
        here, calls = self._session_calls, max(1, self._session_calls or progress.calls)
        if limits.tokens is not None:
            spent = progress.prompt_tokens + progress.completion_tokens
            if spent + progress.in_flight * (self._session_tokens if here else spent) / calls >= limits.tokens:
                self._spend_up(f"--max-tokens {limits.tokens} is reached")
        if limits.cost is not None and progress.cost is not None:
            expected = progress.cost + progress.in_flight * (self._session_cost if here else progress.cost) / calls
            if expected >= limits.cost:
                self._spend_up(f"--max-cost {limits.cost} is reached")

    def _spend_up(self, why: str) -> None:
        self.spent_up = self.spent_up or not self.why
        self.close(why)


class Metered:
    """The gate: a call begins only if the budget admits it, and is counted when it ends."""

    def __init__(self, inner: Model, budget: Budget, price: Price | None) -> None:
        self._inner = inner
        self._budget = budget
        self._price = price

    async def complete(self, request: Request) -> Completion:
        """Make the call if there is budget for it.

        Raises:
            Stopped: there is none, or the run is being stopped.
        """
        await self._budget.admitted()
        usage = None
        try:
            completion = await self._inner.complete(request)
            usage = completion.usage
        finally:
            self._budget.settle(usage, self._price)
        return completion

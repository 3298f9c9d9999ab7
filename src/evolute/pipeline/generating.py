"""Have a model answer a benchmark's problems: through a ledger, so that every answer is paid for once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import orjson

from evolute.errors import CallFailed, EvoluteError, Stopped
from evolute.evolve.budget import Budget
from evolute.evolve.progress import Progress
from evolute.evolve.session import open_recorded
from evolute.ledger import Ledger, Reader
from evolute.models import Model
from evolute.models.pacing import Paced
from evolute.models.prices import cost, unit_price
from evolute.models.recording import Recalled, Replayed
from evolute.pipeline.evolving import Watch
from evolute.pipeline.stopping import stop_clock, stop_signals
from evolute.recipe import ModelSpec
from evolute.records import Completion, Failure, Message, Request, Usage, tagged_hash

ROLE = "solver"
"""The role under which the ledger lists these calls."""
_WORKERS = 512
"""Questions that are under way at once, at most; the pacer decides how many calls are in flight."""


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt, to be answered `n` times; `id` is the problem's."""

    id: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn: the request's sampling fields, and the seed from which each draw follows.

    With temperature 0 every draw is the same, so that a question has one answer.
    """

    fields: Mapping[str, Any]
    seed: int = 0

    def identity(self, spec: ModelSpec) -> bytes:
        """Hash of what, besides messages and draw, decides an answer."""
        return tagged_hash("asked-1", spec.identity, orjson.dumps(dict(self.fields), option=orjson.OPT_SORT_KEYS))

    def draw(self, problem: str, number: int) -> int:
        """The draw of a problem's answer `number`, counted from 0; it does not depend on how many are wanted."""
        if self.fields.get("temperature", 1) == 0:
            return number
        return int.from_bytes(tagged_hash("draw-1", self.seed, ROLE, problem, number)[:8], "big") >> 1

    def request(self, question: Question, number: int, identity: bytes) -> Request:
        """The call for a question's answer `number`."""
        return Request(ROLE, question.messages, identity, self.draw(question.id, number), self.fields)


@dataclass(slots=True)
class Answers:
    """What the model said, by (problem, number). `failed` counts completions without usable text, by their failure.

    A text that was cut off is an answer, and is counted in `failed` as well. `left` counts questions whose calls
    failed; they are asked again when the evaluation is resumed. `stopped` says why not all was asked.
    """

    texts: dict[tuple[str, int], str] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)
    left: int = 0
    why_left: str = ""
    stopped: str = ""

    def add(self, problem: str, number: int, completion: Completion) -> None:
        """Take a completion; one without text is an empty answer, which fails its tests."""
        if completion.failure is not None:
            self.failed[completion.failure.value] += 1
        usable = completion.failure in (None, Failure.TRUNCATED)
        self.texts[problem, number] = (completion.text or "") if usable else ""


async def generate(
    ledger: Ledger,
    spec: ModelSpec,
    questions: Sequence[Question],
    n: int,
    sampling: Sampling,
    budget: Budget,
    watch: Watch | None = None,
) -> Answers:
    """Ask each question `n` times.

    Args:
        ledger: where every call is recorded; what it holds is not asked again.
        spec: the model.
        questions: what is asked.
        n: answers to each.
        sampling: how they are drawn.
        budget: what may be spent; when it closes, what is in flight ends and is recorded.
        watch: shows the progress.

    Returns:
        The answers; `stopped` is set where a bound or the user ended it before all was asked.

    Raises:
        InputError: the cost is bounded, and the model's price is unknown.
        EndpointError, LedgerError: it cannot go on; what was answered is recorded.
    """
    identity = sampling.identity(spec)
    jobs = [
        _Job(question.id, number, sampling.request(question, number, identity))
        for number in range(n)
        for question in questions
    ]
    ledger.add_model(ROLE, identity, spec.model)
    asking = _Asking(budget)
    if all(ledger.reader.completion(job.request.key) is not None for job in jobs):
        await asking.work(Replayed(ledger.reader), jobs)  # nothing is left to ask: no endpoint is needed
        return asking.answers
    async with AsyncExitStack() as stack:
        stack.enter_context(stop_signals(budget))
        stack.enter_context(stop_clock(budget, budget.limits.minutes))
        model, pacer = await open_recorded(stack, ledger, spec, budget)
        budget.on_close.append(lambda why: pacer.stop(Stopped(why)))
        refresh = _refresher(budget.progress, model, pacer)
        if watch is not None:
            stack.enter_context(watch(budget.progress, refresh))
        try:
            await asking.work(model, jobs)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None  # the second Ctrl-C
        finally:
            refresh()
    return asking.answers


def standing(reader: Reader, spec: ModelSpec, wanted: int) -> Progress:
    """The counters that earlier sessions have left; `wanted` answers in all."""
    totals = reader.totals()
    price = unit_price(spec)
    spent = [
        cost(Usage(part.prompt_tokens, part.completion_tokens, cached=part.cached_tokens), price) for part in totals
    ]
    return Progress(
        seeds_total=wanted,
        calls=sum(part.calls for part in totals),
        prompt_tokens=sum(part.prompt_tokens for part in totals),
        completion_tokens=sum(part.completion_tokens for part in totals),
        cost=None if price is None else sum(one for one in spent if one is not None),
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """The question for a problem's answer `number`."""

    problem: str
    number: int
    request: Request


class _Asking:
    """Asks, some at once, and takes the answers."""

    def __init__(self, budget: Budget) -> None:
        self.answers = Answers()
        self._budget = budget

    async def work(self, model: Model, jobs: Iterable[_Job]) -> None:
        """Ask all. After an error none begins; those begun end (they are paid for), and it is raised."""
        left = iter(jobs)
        errors: list[EvoluteError] = []

        async def worker() -> None:
            while not errors and (job := next(left, None)) is not None:
                try:
                    await self._ask(model, job)
                except CallFailed as error:
                    self.answers.left += 1
                    self.answers.why_left = str(error)
                except EvoluteError as error:
                    errors.append(error)

        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(worker())
        self.answers.stopped = self._budget.why
        if failure := next((error for error in errors if not isinstance(error, Stopped)), None):
            raise failure

    async def _ask(self, model: Model, job: _Job) -> None:
        self.answers.add(job.problem, job.number, await model.complete(job.request))
        self._budget.progress.seeds_done += 1


def _refresher(progress: Progress, model: Recalled, pacer: Paced) -> Callable[[], None]:
    def refresh() -> None:
        progress.limit = pacer.limit
        progress.recalled = model.recalled
        progress.retries.clear()
        progress.retries.update(pacer.retries)

    return refresh

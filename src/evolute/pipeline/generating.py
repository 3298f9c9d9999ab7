"""Have a model answer questions, in one turn or several: through a ledger, so that every answer is paid for once."""

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
from evolute.models import Model, Pacer
from evolute.models.prices import cost, unit_price
from evolute.models.recording import Recalled, Replayed
from evolute.pipeline.evolving import Watch
from evolute.pipeline.stopping import stop_clock, stop_signals
from evolute.recipe import ModelSpec
from evolute.records import Completion, Failure, Message, Request, Usage, tagged_hash

ROLE = "solver"
"""The role under which the ledger lists these calls, where nothing else is said."""
_WORKERS = 512
"""Conversations that are under way at once, at most; the pacer decides how many calls are in flight."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked, to be answered `n` times: a prompt, or a conversation of several turns.

    `id` names it among the others. `messages` end with what is asked first. Each of `later` is what the user says once
    the turn before is answered; the model is then shown its own answers. `fields` are sampling fields of this question
    alone, which take the place of the common ones (None: is not sent). `shape` makes of the messages what is sent (a
    prompt format's rendering, say); None: they are sent as they are.
    """

    id: str
    messages: tuple[Message, ...]
    later: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    shape: Callable[[Sequence[Message]], Sequence[Message]] | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn: the request's sampling fields, and the seed from which each draw follows.

    With temperature 0 every draw is the same, so that a question has one answer.
    """

    fields: Mapping[str, Any]
    seed: int = 0

    def of(self, question: Question) -> Sampling:
        """With the question's own fields."""
        fields = {**self.fields, **question.fields}
        return Sampling({name: value for name, value in fields.items() if value is not None}, self.seed)

    def identity(self, spec: ModelSpec) -> bytes:
        """Hash of what, besides messages and draw, decides an answer."""
        return tagged_hash("asked-1", spec.identity, orjson.dumps(dict(self.fields), option=orjson.OPT_SORT_KEYS))

    def draw(self, problem: str, number: int, turn: int = 0, role: str = ROLE) -> int:
        """The draw of a problem's answer `number`, counted from 0; it does not depend on how many are wanted."""
        if self.fields.get("temperature", 1) == 0:
            return number
        later = (turn,) if turn else ()
        return int.from_bytes(tagged_hash("draw-1", self.seed, role, problem, number, *later)[:8], "big") >> 1


@dataclass(slots=True)
class Answers:
    """What the model said: in `said` the completions, turn by turn, by (question, number).

    A turn without usable text ends its conversation; `unasked` counts the turns behind such. `failed` counts
    completions without usable text, by their failure; a text that was cut off is an answer, and is counted there as
    well. `left` counts answers that could not be had, because a call failed (`why_left`); they are asked for again when
    the same is run again. `stopped` says why not all was asked.
    """

    said: dict[tuple[str, int], list[Completion]] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)
    unasked: int = 0
    left: int = 0
    why_left: str = ""
    stopped: str = ""

    @property
    def count(self) -> int:
        """How many answers there are, those without usable text included."""
        return sum(map(len, self.said.values()))

    def texts(self, question: str, number: int = 0) -> list[str]:
        """What was said to a question, turn by turn; an answer without usable text is empty, and the last."""
        return [usable_text(completion) for completion in self.said.get((question, number), ())]


def usable_text(completion: Completion) -> str:
    """The text of a completion, also of one that was cut off; empty where there is none to use."""
    return (completion.text or "") if completion.failure in (None, Failure.TRUNCATED) else ""


async def generate(
    ledger: Ledger,
    spec: ModelSpec,
    questions: Sequence[Question],
    n: int,
    sampling: Sampling,
    budget: Budget,
    watch: Watch | None = None,
    *,
    role: str = ROLE,
) -> Answers:
    """Ask each question `n` times; the turns of one in order, the questions abreast.

    Args:
        ledger: where every call is recorded; what it holds is not asked again.
        spec: the model.
        questions: what is asked; no two have the same id.
        n: answers to each.
        sampling: how they are drawn.
        budget: what may be spent; when it closes, what is in flight ends and is recorded.
        watch: shows the progress.
        role: under which the ledger lists the calls. Calls of two roles are never the same call.

    Returns:
        The answers; `stopped` is set where a bound or the user ended it before all was asked.

    Raises:
        InputError: the cost is bounded, and the model's price is unknown.
        EndpointError, LedgerError: it cannot go on; what was answered is recorded.
    """
    talks = [
        _Talk(question, number, role, sampling.of(question), spec) for number in range(n) for question in questions
    ]
    for identity in dict.fromkeys(talk.identity for talk in talks):
        ledger.add_model(role, identity, spec.model)
    asking = _Asking(budget)
    if all(talk.is_recorded(ledger.reader) for talk in talks):
        await asking.work(Replayed(ledger.reader), talks)  # nothing is left to ask: no endpoint is needed
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
            await asking.work(model, talks)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None  # the second Ctrl-C
        finally:
            refresh()
    return asking.answers


def standing(reader: Reader, specs: Mapping[str, ModelSpec], wanted: int) -> Progress:
    """The counters that earlier sessions have left; `specs` by role, and `wanted` answers in all."""
    totals = reader.totals()
    prices = {role: unit_price(spec) for role, spec in specs.items()}
    spent = [
        cost(
            Usage(part.prompt_tokens, part.completion_tokens, cached=part.cached_tokens),
            prices.get(part.role),
            part.share,
        )
        for part in totals
    ]
    return Progress(
        seeds_total=wanted,
        calls=sum(part.calls for part in totals),
        prompt_tokens=sum(part.prompt_tokens for part in totals),
        completion_tokens=sum(part.completion_tokens for part in totals),
        cost=None if None in (*prices.values(), *spent) else sum(one for one in spent if one is not None),
    )


class _Talk:
    """A question being answered, the time `number`."""

    def __init__(self, question: Question, number: int, role: str, sampling: Sampling, spec: ModelSpec) -> None:
        self.key = (question.id, number)
        self.turns = 1 + len(question.later)
        self.identity = sampling.identity(spec)
        self._question, self._role, self._sampling = question, role, sampling

    def request(self, said: Sequence[Completion]) -> Request | None:
        """The next call, behind what was said so far; None when the conversation is over."""
        texts = [usable_text(completion) for completion in said]
        if len(texts) == self.turns or not all(texts):
            return None
        messages: Sequence[Message] = self._question.messages
        for text, asked in zip(texts, self._question.later, strict=False):
            messages = (*messages, Message("assistant", text), Message("user", asked))
        if self._question.shape is not None:
            messages = self._question.shape(messages)
        draw = self._sampling.draw(*self.key, len(texts), self._role)
        return Request(self._role, tuple(messages), self.identity, draw, self._sampling.fields)

    def is_recorded(self, reader: Reader) -> bool:
        """Whether every answer is in the ledger."""
        said: list[Completion] = []
        while (request := self.request(said)) is not None:
            if (completion := reader.completion(request.key)) is None:
                return False
            said.append(completion)
        return True


class _Asking:
    """Asks, some at once, and takes the answers."""

    def __init__(self, budget: Budget) -> None:
        self.answers = Answers()
        self._budget = budget

    async def work(self, model: Model, talks: Iterable[_Talk]) -> None:
        """Ask all. After an error none begins; those begun end (they are paid for), and it is raised."""
        left = iter(talks)
        errors: list[EvoluteError] = []

        async def worker() -> None:
            while not errors and (talk := next(left, None)) is not None:
                try:
                    await self._have(model, talk)
                except CallFailed as error:
                    self.answers.left += talk.turns - len(self.answers.said[talk.key])
                    self.answers.why_left = str(error)
                except EvoluteError as error:
                    errors.append(error)

        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(worker())
        self.answers.stopped = self._budget.why
        if failure := next((error for error in errors if not isinstance(error, Stopped)), None):
            raise failure

    async def _have(self, model: Model, talk: _Talk) -> None:
        said = self.answers.said.setdefault(talk.key, [])
        while (request := talk.request(said)) is not None:
            completion = await model.complete(request)
            said.append(completion)
            self._budget.progress.seeds_done += 1
            if completion.failure is not None:
                self.answers.failed[completion.failure.value] += 1
        self.answers.unasked += talk.turns - len(said)


def _refresher(progress: Progress, model: Recalled, pacer: Pacer) -> Callable[[], None]:
    def refresh() -> None:
        progress.limit = pacer.limit
        progress.recalled = model.recalled
        progress.retries.clear()
        progress.retries.update(pacer.retries)

    return refresh

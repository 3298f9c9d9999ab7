"""Ask models about rows that are done: marks from the grader, further responses from the responder.

Every call goes through the ledger like those of the evolution: paid once, bounded, stopped by Ctrl-C.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from evolute.errors import CallFailed, EvoluteError, Stopped
from evolute.evolve.budget import Budget
from evolute.evolve.session import make_role, open_recorded, role_identity
from evolute.export.shapes import asked
from evolute.ledger import GradeRow, Ledger, SampleRow
from evolute.models import Model, Pacer
from evolute.operations import Grader, load_grader
from evolute.pipeline.steps import Tools
from evolute.pipeline.stopping import stop_clock, stop_signals
from evolute.recipe import Recipe
from evolute.records import Message, Reason, Row, tagged_hash
from evolute.select.grading import (
    DIFFICULTIES,
    instructions_as_items,
    pairs_as_items,
    parse_mark,
    parse_marks,
    responses_as_items,
    shown_reply,
)
from evolute.select.quality import quality
from evolute.text import check_response

WORKERS = 512
"""Rows that are asked about at once, at most; the pacer decides how many calls are in flight."""

GRADERS = ("difficulty", "complexity", "quality", "responses")

Job = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Grades:
    """What was answered. `unreadable` counts marks that no reply gave, `left` questions whose calls failed."""

    marks: dict[str, list[GradeRow]] = field(default_factory=dict)
    samples: list[SampleRow] = field(default_factory=list)
    unreadable: int = 0
    left: int = 0

    def add(self, kind: str, row: int, value: float | None, evidence: str, call: bytes) -> None:
        """Take a mark; None is a reply that was none."""
        self.marks.setdefault(kind, []).append(GradeRow(row, value, evidence if value is None else "", call))
        self.unreadable += value is None


async def grade(
    ledger: Ledger,
    recipe: Recipe,
    numbered: Iterable[tuple[int, Row]],
    budget: Budget,
    grades: Grades,
    tools: Tools,
    *,
    difficulty: Container[int],
    rest: bool,
) -> None:
    """Ask what `recipe.select.grade` wants to know of rows.

    Args:
        ledger: where every call is recorded.
        recipe: says what is asked, and who answers.
        numbered: rows in seed order with their numbers.
        budget: what may be spent; if it closes, what is in flight is recorded and `Stopped` is raised.
        grades: takes the answers.
        tools: the corpora that further responses must not overlap with.
        difficulty: numbers of the rows whose difficulty is wanted.
        rest: ask for all else that the recipe wants: marks of siblings, further responses.

    Raises:
        Stopped: a bound was reached, or the user stopped it.
        EndpointError, LedgerError: it cannot go on; what was answered is recorded.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(stop_signals(budget))
        stack.enter_context(stop_clock(budget, budget.limits.minutes))
        asking = _Asking(ledger, recipe, grades, tools, difficulty)
        await asking.open(stack, budget)
        await _work(asking.jobs(numbered, rest), grades)
        if budget.why:
            raise Stopped(budget.why)


def load_graders(recipe: Recipe) -> dict[str, Grader]:
    """The graders by name; one of a user's folder takes the place of a shipped one.

    Raises:
        InputError: a folder or file cannot be read.
    """
    folders = [Path(folder) for folder in recipe.evolve.operation_folders]
    return {name: load_grader(name, folders) for name in GRADERS}


class _Asking:
    """Makes the jobs, and takes their answers."""

    def __init__(
        self, ledger: Ledger, recipe: Recipe, grades: Grades, tools: Tools, difficulty: Container[int]
    ) -> None:
        self.grades = grades
        self._tools = tools
        self._ledger = ledger
        self._recipe = recipe
        self._spec = recipe.select.grade
        self._graders = load_graders(recipe)
        self._wanted = difficulty

    async def open(self, stack: AsyncExitStack, budget: Budget) -> None:
        """Open the models that will be asked."""
        names = ["grader", "responder"] if self._spec.responses > 1 else ["grader"]
        models: dict[str, Model] = {}
        pacers: list[Pacer] = []
        for name in sorted({self._recipe.spec(role)[0].model for role in names}):
            models[name], pacer = await open_recorded(stack, self._ledger, self._recipe.models[name], budget)
            pacers.append(pacer)
        for role in names:
            self._ledger.add_model(role, role_identity(self._recipe, role), self._recipe.spec(role)[1].model)
        for grader in self._graders.values():
            self._ledger.add_template(grader.hash, grader.name, grader.text)
        self._roles = {role: make_role(self._recipe, role, models[self._recipe.spec(role)[0].model]) for role in names}

        def close(why: str) -> None:
            for pacer in pacers:
                pacer.stop(Stopped(why))

        budget.on_close.append(close)

    def jobs(self, numbered: Iterable[tuple[int, Row]], rest: bool) -> Iterator[Job]:
        """One after the other, in seed order, so that marks come out in a steady order of asking."""
        for _, lineage in groupby(numbered, key=lambda pair: pair[1].root):
            rows = list(lineage)
            for number, row in rows:
                if number in self._wanted:
                    yield partial(self._difficulty, number, row)
                if rest and self._spec.responses > 1 and row.response is not None:
                    yield partial(self._responses, number, row)
            if rest and self._spec.siblings and len(rows) > 1:
                yield partial(self._siblings, rows, "complexity", instructions_as_items)
                answered = [pair for pair in rows if pair[1].response is not None]
                if len(answered) > 1:
                    yield partial(self._siblings, answered, "quality", pairs_as_items)

    async def _difficulty(self, number: int, row: Row) -> None:
        messages = self._graders["difficulty"].messages(row.asked, system=row.system, history=row.history)
        mark, said, call = await self._ask(messages, row.id, lambda text: parse_mark(text, 1, 10), DIFFICULTIES)
        self.grades.add("difficulty", number, mark, said, call)

    async def _siblings(
        self, rows: Sequence[tuple[int, Row]], kind: str, items: Callable[[Sequence[Row]], str]
    ) -> None:
        first = rows[0][1]
        messages = self._graders[kind].messages(
            items=items([row for _, row in rows]), system=first.system, history=first.history
        )
        marks, said, call = await self._ask(messages, first.root, lambda text: parse_marks(text, len(rows), 1, 6))
        for place, (number, _) in enumerate(rows):
            self.grades.add(kind, number, marks[place] if marks else None, said, call)

    async def _responses(self, number: int, row: Row) -> None:
        """Ask for further responses, and mark those that are sound against the row's own."""
        texts, calls = [row.response or ""], [b""]
        messages = tuple(asked(row))
        role = self._roles["responder"]
        for sample in range(1, self._spec.responses):
            request = role.request(messages, self._draw("responder", row.id, sample))
            completion = await role.model.complete(request)
            text = "" if completion.failure is not None else (completion.text or "").strip()
            if text and text not in texts and self._is_sound(row, text):
                texts.append(text)
                calls.append(request.key)
        marks = await self._marks(row, texts) if len(texts) > 1 else [None] * len(texts)
        self.grades.samples += [
            SampleRow(number, sample, call, mark) for sample, (call, mark) in enumerate(zip(calls, marks, strict=True))
        ]

    def _is_sound(self, row: Row, text: str) -> bool:
        """Whether a response would have passed what the row's own has."""
        if check_response(text, instruction=row.asked, rules=self._recipe.rules) is not None:
            return False
        select = self._recipe.select
        drops = frozenset(select.quality.drop) | {Reason.SECRET, Reason.PERSONAL_DATA}
        hits = [*quality([replace(row, response=text)]).hits]
        if any(hit.reason in drops for hit in hits):
            return False
        checked = select.contamination.check != "ignore"
        return not (checked and self._tools.corpora.check(text, select.contamination.words))

    async def _marks(self, row: Row, texts: Sequence[str]) -> Sequence[float | None]:
        """Marks; the responses are shown in an order drawn by hash, so that none is favoured by its place."""
        order = sorted(range(len(texts)), key=lambda place: self._hash("order-1", row.id, place))
        messages = self._graders["responses"].messages(
            row.asked, responses_as_items(texts[place] for place in order), system=row.system, history=row.history
        )
        shown, *_ = await self._ask(messages, row.id, lambda text: parse_marks(text, len(texts), 1, 10))
        if shown is None:
            self.grades.unreadable += 1
            return [None] * len(texts)
        marks: dict[int, float] = dict(zip(order, shown, strict=True))
        return [marks[place] for place in range(len(texts))]

    async def _ask(
        self,
        messages: tuple[Message, ...],
        name: str,
        parse: Callable[[str], Any],
        choices: tuple[str, ...] = (),
    ) -> tuple[Any, str, bytes]:
        """What `parse` reads in the reply, the reply, and the call; a reply that is none gets one more draw."""
        role = self._roles["grader"]
        said, key = "", b""
        for sample in (0, 1):
            draw = self._draw("grader", name, sample) if role.sampling.get("temperature", 1) else sample
            request = role.request(messages, draw, choices)
            completion = await role.model.complete(request)
            said, key = shown_reply(completion.text or completion.failure), request.key
            marks = parse(completion.text) if completion.failure is None and completion.text else None
            if marks is not None:
                return marks, said, key
        return None, said, key

    def _draw(self, role: str, name: str, sample: int) -> int:
        return int.from_bytes(self._hash("draw-1", role, name, sample)[:8], "big") >> 1

    def _hash(self, tag: str, *place: str | int) -> bytes:
        return tagged_hash(tag, self._recipe.seed, *place)


async def _work(jobs: Iterator[Job], grades: Grades) -> None:
    """Do the jobs, some at once. After an error none begins, those begun end (they are paid for), and it is raised."""
    errors: list[EvoluteError] = []

    async def worker() -> None:
        while not errors and (job := next(jobs, None)) is not None:
            try:
                await job()
            except CallFailed:
                grades.left += 1
            except EvoluteError as error:
                errors.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(worker())
    if errors:
        raise next((error for error in errors if not isinstance(error, Stopped)), errors[0])

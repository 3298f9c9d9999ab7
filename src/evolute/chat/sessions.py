"""What the page knows of one visitor, and how their questions are answered. Nothing here knows Gradio."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from evolute.chat.talking import Answer, Talks
from evolute.chat.turns import Turn, draw_of, messages_of
from evolute.errors import EvoluteError
from evolute.records import Message

PACE = 0.05
"""Seconds between two pictures of a growing answer."""
STOPPED = "stopped"


@dataclass(slots=True)
class Session:
    """One visitor's conversation. `order` says which model is shown at each place; `voted` on the last turn."""

    order: tuple[int, ...] = (0,)
    named: bool = True
    turns: list[Turn] = field(default_factory=list)
    voted: bool = False
    sent: Mapping[str, Any] = field(default_factory=dict)
    """The parameters of the last turn, `system` among them."""


class Panel:
    """The models of a page, one or two, and those who talk to them.

    Args:
        talkers: open models; their names differ.
        seed: what the draws and the blind orders follow from.
        blind: the names are hidden, and the order drawn for each conversation, until the visitor has voted.
    """

    def __init__(self, talkers: Sequence[Talks], *, seed: int = 0, blind: bool = False) -> None:
        self.talkers = talkers
        self.seed = seed
        self.blind = blind
        self._random = random.Random(seed)
        self._stops: dict[str, asyncio.Event] = {}

    def new_session(self) -> Session:
        """A new conversation."""
        order = list(range(len(self.talkers)))
        if self.blind:
            self._random.shuffle(order)
        return Session(tuple(order), named=not self.blind)

    def label(self, session: Session, place: int) -> str:
        """What the model at a place of the page is called there."""
        name = self.talkers[session.order[place]].name if session.named else ""
        if len(self.talkers) == 1:
            return name
        return f"{'AB'[place]}: {name}" if name else f"Model {'AB'[place]}"

    def busy(self, visitor: str) -> bool:
        """Whether a visitor's question is being answered."""
        return visitor in self._stops

    def stop(self, visitor: str) -> None:
        """End a visitor's answers where they are."""
        if visitor in self._stops:
            self._stops[visitor].set()

    async def ask(
        self, visitor: str, session: Session, system: str, sampling: Mapping[str, Any]
    ) -> AsyncGenerator[None]:
        """Have every model answer the session's last turn; gives a step, the first at once, for what may be shown.

        A failure stands in the answer's `problem`. Closing the iterator hangs up.
        """
        turn, stop = session.turns[-1], asyncio.Event()
        turn.answers = [Answer() for _ in self.talkers]
        turn.tries += 1
        session.voted, session.sent = False, {**sampling, "system": system, "seed": self.seed}
        tasks = {asyncio.create_task(self._one(side, session, system, sampling)) for side in range(len(self.talkers))}
        self._stops[visitor] = stop
        pending = tasks
        try:
            yield
            while pending and not stop.is_set():
                _, pending = await asyncio.wait(pending, timeout=PACE, return_when=asyncio.FIRST_COMPLETED)
                yield
        finally:
            del self._stops[visitor]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        yield

    async def _one(self, side: int, session: Session, system: str, sampling: Mapping[str, Any]) -> None:
        turn, place = session.turns[-1], len(session.turns)
        answer = turn.answers[side]
        messages: Sequence[Message] = messages_of(session.turns, side, system)
        draw = draw_of(self.seed, side, place, turn.tries)
        try:
            async with aclosing(self.talkers[side].stream(messages, answer, sampling, draw)) as pieces:
                async for _ in pieces:
                    pass
            if not answer.text.strip():
                answer.problem = "the model said nothing"
        except EvoluteError as error:
            answer.problem = str(error)
        except asyncio.CancelledError:
            answer.problem = STOPPED
            raise

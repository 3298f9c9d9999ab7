"""Conversations to train on: turns that alternate and end with an answer, and what is wrong with those that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from evolute.errors import InputError
from evolute.records import Message, Row, Seed

SKIP = "skip_bad (--set skip_bad=true)"
SHOWN = 5
"""How many bad rows a message shows; all are counted."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A system prompt or none, then turns of user and assistant, alternating, an answer last.

    `given` is Alpaca's separate input to the last question; `where` says file and line, for messages; `root` is the
    seed that it descends from, where that is known: all of one root are on one side of a split. `unlearned` are the
    places in `messages` of answers that bear no loss.
    """

    messages: tuple[Message, ...]
    given: str
    where: str
    root: str = ""
    unlearned: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Unusable:
    """A row that is no conversation to train on, and why."""

    where: str
    why: str


def of_seed(seed: Row | Seed, where: str) -> Conversation:
    """The conversation of a seed or row: what stood before it, the instruction, and the answer where there is one."""
    root = seed.root if isinstance(seed, Row) else ""
    system = (Message("system", seed.system),) if seed.system else ()
    answer = () if seed.response is None else (Message("assistant", seed.response),)
    return Conversation((*system, *seed.history, Message("user", seed.instruction), *answer), seed.input, where, root)


def objection(messages: Iterable[Message]) -> str:
    """Why these turns cannot be trained on; empty where they can."""
    expected, number = "user", 0
    for number, turn in enumerate(messages, 1):
        if turn.role == "system":
            if number > 1:
                return f"turn {number} is a system prompt in the middle; it belongs at the beginning"
            continue  # an empty one says nothing, and does no harm
        if turn.role != expected:
            if expected == "user":
                before = (
                    "begins with the assistant's turn" if number == 1 else "has two turns of the assistant in a row"
                )
            else:
                before = "has two turns of the user in a row"
            return f"the conversation {before} (turn {number}); user and assistant must alternate, the user first"
        if not turn.content or turn.content.isspace():
            return f"turn {number} (by the {turn.role}) is empty"
        expected = "assistant" if expected == "user" else "user"
    if not number:
        return "there are no turns"
    return "there is no answer: the last turn is not the assistant's" if expected == "assistant" else ""


def checked(
    found: Iterable[Conversation | Unusable],
    source: str,
    *,
    skip_bad: bool = False,
    on_bad: Callable[[Unusable], None] | None = None,
) -> Iterator[Conversation]:
    """The good conversations, one by one; the bad rows are counted, and at the end make one error.

    Args:
        found: what the rows are.
        source: what they were read from, for messages.
        skip_bad: leave bad rows out instead.
        on_bad: gets each of them.

    Raises:
        InputError: after the last row, there was a bad one without `skip_bad`; or there is no good one.
    """
    bad: list[Unusable] = []
    good = count = 0
    for one in found:
        problem = one if isinstance(one, Unusable) else None
        if problem is None and isinstance(one, Conversation):
            if not (why := objection(one.messages)):
                good += 1
                yield one
                continue
            problem = Unusable(one.where, why)
        if problem is not None:
            count += 1
            if len(bad) < SHOWN:
                bad.append(problem)
            if on_bad:
                on_bad(problem)
    shown = "".join(f"\n  {one.where}: {one.why}" for one in bad) + ("\n  …" if count > len(bad) else "")
    if count and (not skip_bad or not good):
        remedy = "" if not good else f"\nMend them, or leave them out with {SKIP}."
        told = (
            "none of its rows can be trained on"
            if not good
            else f"{count:,} of {count + good:,} rows cannot be trained on"
        )
        raise InputError(f"{source}: {told}:{shown}{remedy}")
    if not good:
        raise InputError(f"{source}: there are no rows to train on")

"""A model that answers from a rule, offline: tests, examples and `api: scripted` recipes run on it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable

from evolute.errors import EvoluteError
from evolute.records import Completion, Failure, Message, Request, Usage, tagged_hash

Rule = Callable[[Request], "str | Completion"]

# A line that only introduces what follows it: `#Given Prompt#:`, `## Instruction`, `<prompt>`, `[Prompt]:`.
_HEADING = re.compile(r"^[ \t]*(?:#[^#\n]{1,60}#+:?|#{2,6} [^\n]{1,60}|</?\w{1,30}>|\[[^\]\n]{1,40}\]:?)[ \t]*$", re.M)

_ACTIONS = (
    "name the two assumptions", "list the three trade-offs", "describe the main risks", "state the exact limits",
    "compare at least two alternatives", "work through one counterexample", "give a short numeric example",
    "mark the weakest step", "explain each intermediate result", "point out one common mistake",
    "estimate the likely cost", "define every technical term", "justify the chosen order", "cite one concrete case",
    "separate facts from opinions", "add a one-line summary",
)  # fmt: skip
_SCOPES = (
    "that a careful beginner would overlook", "that matter most under a tight budget", "as a cautious engineer would",
    "before drawing any conclusion", "with figures for a small village", "without using any outside tools",
    "for a reader who has never seen it", "with reference to a rainy winter", "in the light of a sudden shortage",
    "as if it were audited next week", "for a team spread over two continents", "when only an hour is available",
    "with one figure that can be checked", "from the point of view of a critic", "as it would stand in ten years",
    "while keeping every name anonymous",
)  # fmt: skip
_LIMITS = (
    "and stay below two hundred words", "and use no more than five steps", "and number every step",
    "and end with an open question", "and keep the original order", "and avoid all abbreviations",
    "and say what is left uncertain", "and show the result as a table", "and repeat none of the examples",
    "and give the units throughout", "and begin with the hardest part", "and justify the final choice",
    "and check the answer twice", "and mention one exception", "and keep each paragraph short",
    "and explain it to a colleague",
)  # fmt: skip
_SENTENCES = (
    "Begin with what is known and write it down plainly.",
    "The first part follows from the definition, so it needs only a short check.",
    "Two cases remain, and the second one is the harder of the two.",
    "A small example makes the difference visible at once.",
    "Most people overlook this point because it costs nothing at the start.",
    "Measure it once before and once after the change, under the same conditions.",
    "If the figures disagree, trust the one whose source can be named.",
    "Taken together, these steps give an answer that can be checked by hand.",
    "The cost grows slowly at first and then in proportion to the size.",
    "What is left uncertain is the time it takes, which depends on the people involved.",
    "A table with three columns is enough to compare the alternatives.",
    "In practice the simplest of these choices is the one that lasts.",
)  # fmt: skip


def given_instruction(text: str) -> str:
    """The instruction inside an evolver's prompt: the last section with text, else the whole."""
    sections = [part.strip() for part in _HEADING.split(text)]
    return next((part for part in reversed(sections) if part), text.strip())


def evolved(messages: Iterable[Message], draw: int) -> str:
    """The given instruction and one more constraint of 10 to 20 words, another one for each draw."""
    given, roll = given_instruction(_last_user(messages)), _roll(messages, draw)
    clause = f"also {_ACTIONS[roll[0] % 16]} {_SCOPES[roll[1] % 16]}, {_LIMITS[roll[2] % 16]}"
    gap = "\n\n" if given.rstrip().endswith("```") else " "  # behind a fence, words would leave it open
    return f"{given.rstrip()}{gap}In your reply, {clause}."


def answered(messages: Iterable[Message], draw: int) -> str:
    """Three to six plausible sentences."""
    roll = _roll(messages, draw)
    first, step = roll[0] % len(_SENTENCES), (1, 5, 7, 11)[roll[1] % 4]  # coprime to 12: no sentence comes twice
    return " ".join(_SENTENCES[(first + step * i) % len(_SENTENCES)] for i in range(3 + roll[2] % 4))


def judged(messages: Iterable[Message], draw: int, choices: tuple[str, ...]) -> str:
    """One of the choices: about one time in ten that which says "equal" outright, or the first of any others."""
    rare = next((choice for choice in choices if choice.strip().lower() == "equal"), choices[0])
    common = next((choice for choice in choices if choice != rare), rare)
    return rare if int.from_bytes(_roll(messages, draw)[:2], "little") % 10 == 0 else common


def graded(messages: Iterable[Message], draw: int) -> str:
    """A mark for each numbered item of the last message, or one for the whole: longer texts are given higher ones."""
    text = _last_user(messages)
    items = re.split(r"^#\w+ \[\d+\]#$", text, flags=re.MULTILINE)[1:]
    if not items:
        return str(1 + min(9, len(text.partition("Question:")[2]) // 60))
    roll = _roll(messages, draw)
    marks = (1 + min(4, len(item) // 400) + roll[place % 16] % 2 for place, item in enumerate(items))
    return "\n".join(f"[{number}] {mark}" for number, mark in enumerate(marks, 1))


def evolve_script(request: Request) -> str:
    """Play evolver, judge, responder or grader, deterministically from the messages and the draw."""
    if request.role == "grader":
        return graded(request.messages, request.draw)
    if request.choices:
        return judged(request.messages, request.draw, request.choices)
    play = evolved if request.role == "evolver" else answered
    return play(request.messages, request.draw)


def estimated_usage(messages: Iterable[Message], text: str) -> Usage:
    """Usage guessed from lengths, four characters a token."""
    return Usage(prompt=sum(len(m.content) // 4 + 4 for m in messages), completion=len(text) // 4 + 1)


class Scripted:
    """Answers each request with what `rule` says, after `latency` seconds.

    `faults` happen to the first calls, in turn: an error is raised, a failure becomes the completion's, and None lets
    the rule answer.
    """

    def __init__(
        self,
        rule: Rule = evolve_script,
        *,
        latency: float = 0.0,
        faults: Iterable[EvoluteError | Failure | None] = (),
    ) -> None:
        self.calls = 0
        self._rule = rule
        self._latency = latency
        self._faults = iter(faults)

    async def complete(self, request: Request) -> Completion:
        """Answer one request.

        Raises:
            EvoluteError: whichever `faults` holds for this call.
        """
        self.calls += 1
        fault = next(self._faults, None)
        await asyncio.sleep(self._latency)
        if isinstance(fault, EvoluteError):
            raise fault
        if fault is not None:
            return Completion(text=None, failure=fault, finish=fault.value, latency=self._latency, model="scripted")
        reply = self._rule(request)
        if isinstance(reply, Completion):
            return reply
        usage = estimated_usage(request.messages, reply)
        return Completion(text=reply, usage=usage, latency=self._latency, model="scripted")


def _last_user(messages: Iterable[Message]) -> str:
    return next((m.content for m in reversed(tuple(messages)) if m.role == "user"), "")


def _roll(messages: Iterable[Message], draw: int) -> bytes:
    said = [text for message in messages for text in (message.role, message.content)]
    return tagged_hash("script-1", draw, *said)

"""What a prompt format is, and what it has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from evolute.errors import InputError
from evolute.records import Message

Write = Callable[[str, Sequence[Message], str, str | None], str]
"""Makes the prompt of a system prompt (or ""), turns that end with the user's, that turn's separate input, and what
ends an answer (None: as the format has it)."""


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a conversation down.

    Args:
        name: what `--format` calls it.
        when: which models want it.
        source: where its wording is from.
        write: makes the prompt; None leaves that to the endpoint's own chat template.
        stops: where an answer is over: what is sent along as stop words.
        turns: whether it has room for turns before the last.
        system: whether it has room for a system prompt.
        input: whether it has a place for Alpaca's separate input; in any other, that stands below the instruction.
        lead: what stands between the prompt and an answer that was learned.
        jinja: the same as a chat template, for the tokenizer; None where there is none.
    """

    name: str
    when: str
    source: str
    write: Write | None = None
    stops: tuple[str, ...] = ()
    turns: bool = False
    system: bool = False
    input: bool = False
    lead: str = ""
    jinja: str | None = None

    def render(self, messages: Sequence[Message], given: str = "", end: str | None = None) -> str:
        """The prompt, up to where the answer begins.

        Args:
            messages: a system prompt or none, then turns of user and assistant, alternating, the user's last.
            given: Alpaca's separate input to the last turn.
            end: what ends the answers of earlier turns; None: as the format has it.

        Raises:
            InputError: the format has no room for the system prompt or earlier turns, or the turns do not alternate.
        """
        if self.write is None:
            raise InputError(f"the format {self.name!r} is written by the endpoint itself: there is no text of it here")
        if problem := self.objection(messages):
            raise InputError(problem)
        system = messages[0].content if messages[0].role == "system" else ""
        turns = [message for message in messages if message.role != "system"]
        if given and not self.input:
            turns, given = with_input(turns, given), ""
        return self.write(system, turns, given, end)

    def shape(self, messages: Sequence[Message], given: str = "") -> Sequence[Message]:
        """What is sent: the whole prompt as one message, or the messages themselves where the endpoint writes it.

        Answers of earlier turns lose the space around them: the format puts its own there.
        """
        if self.write is None:
            return with_input(messages, given) if given else messages
        return (Message("user", self.render(bare(messages), given)),)

    def objection(self, messages: Sequence[Message]) -> str:
        """Why these messages cannot be written in this format; empty where they can."""
        turns = messages[1:] if messages and messages[0].role == "system" else messages
        roles = [turn.role for turn in turns]
        if len(roles) % 2 == 0 or roles != (["user", "assistant"] * len(roles))[: len(roles)]:
            told = ", ".join(message.role for message in messages) or "nothing"
            return f"a prompt is made of turns of user and assistant, alternating, the user's last; here are: {told}"
        if len(turns) < len(messages) and messages[0].content and not self.system:
            return f"the format {self.name!r} has no room for a system prompt (chat and vicuna-v1.1 have)"
        if len(turns) > 1 and not self.turns:
            return f"the format {self.name!r} is for one turn only (chat and vicuna-v1.1 have several)"
        return ""


def bare(messages: Sequence[Message]) -> list[Message]:
    """The messages, answers without the space around them: a format puts its own there."""
    return [replace(turn, content=turn.content.strip()) if turn.role == "assistant" else turn for turn in messages]


def with_input(messages: Sequence[Message], given: str) -> list[Message]:
    """The messages with the input below the last one's text, as a seed shows it."""
    *before, last = messages
    return [*before, Message(last.role, f"{last.content}\n\n{given}")]

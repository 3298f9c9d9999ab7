"""`evolute chat`: a conversation in the terminal, or line by line from a pipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from evolute.chat.talking import Answer, Talks
from evolute.chat.turns import Turn, append_line, draw_of, messages_of, whole_messages
from evolute.errors import InputError
from evolute.text import printable

HELP = """\
/help          this list
/system TEXT   the system prompt from here on; without TEXT, shows it; /system - removes it
/retry         ask the last question again, for another answer
/undo          take the last question and its answer back
/save FILE     add the conversation to FILE, as a line that `evolute train` reads; it ends
               before an answer that was stopped or cut off
/clear         begin a new conversation; the system prompt stays
/exit          leave (Ctrl-D does as well)
Ctrl-C stops an answer. A line that ends in a backslash goes on in the next one; // at its beginning stands for /."""


@dataclass(slots=True)
class Terminal:
    """One conversation with one model; `take` each line that the user enters.

    Args:
        talker: the model.
        write: shows a part of an answer, escaped.
        remark: shows a line that is not the model's.
        sampling: the requests' fields.
        system: the system prompt.
        seed: what the draws follow from.
    """

    talker: Talks
    write: Callable[[str], None]
    remark: Callable[[str], None]
    sampling: Mapping[str, Any] = field(default_factory=dict)
    system: str = ""
    seed: int = 0
    turns: list[Turn] = field(default_factory=list)
    over: bool = False
    """Whether the user wants to leave."""

    async def take(self, line: str) -> None:
        """Do what a line says: a command, or the next question.

        Raises:
            EvoluteError: there is no such command, or it cannot be done; or the model failed. The conversation stays
                as it was, but for what came of a failed answer.
            CancelledError: the user stopped the answer; what came of it stays.
        """
        if line.startswith("/") and not line.startswith("//"):
            await self._command(*line[1:].strip().partition(" ")[::2])
        elif line.strip():
            self.turns.append(Turn(line[1:] if line.startswith("//") else line))
            await self._ask()

    async def _command(self, name: str, rest: str) -> None:
        rest = rest.strip()
        match name:
            case "help":
                self.remark(HELP)
            case "system":
                self._set_system(rest)
            case "retry":
                self._last()
                await self._ask()
            case "undo":
                self.remark(f"taken back: {_shortly(self._last().asked)}")
                self.turns.pop()
            case "save":
                self._save(rest)
            case "clear":
                self.turns.clear()
                self.remark("a new conversation")
            case "exit" | "quit":
                self.over = True
            case _:
                raise InputError(f"no command /{name}; /help lists them, and a line after // is sent as it is")

    async def _ask(self) -> None:
        """Ask the last turn, and show the answer as it comes. An answer without text takes no other's place."""
        turn, answer = self.turns[-1], Answer()
        before, turn.tries = turn.answers, turn.tries + 1
        try:
            answer.problem = "stopped"  # until it is whole
            await self._show(answer, draw_of(self.seed, 0, len(self.turns), turn.tries))
            answer.problem = ""
        finally:
            turn.answers = [answer] if answer.text.strip() else before
            if not turn.answers:
                self.turns.pop()  # as if it had not been asked
        if answer.cut:
            self.remark("(cut off at the most tokens of an answer: --max-tokens)")
        if not answer.text.strip():
            self.remark("(the model said nothing)")

    async def _show(self, answer: Answer, draw: int) -> None:
        messages = messages_of(self.turns, 0, self.system)
        thinks = False
        async with aclosing(self.talker.stream(messages, answer, self.sampling, draw)) as pieces:
            async for piece in pieces:
                if piece.thought and not thinks and not answer.text:
                    self.remark("(thinking)")
                    thinks = True
                begins = len(answer.text) == len(piece.text)
                self.write(printable(piece.text.lstrip() if begins else piece.text))
        self.write("\n")

    def _set_system(self, text: str) -> None:
        if not text:
            self.remark(f"the system prompt: {self.system}" if self.system else "there is no system prompt")
            return
        self.system = "" if text == "-" else text
        self.remark("the system prompt is set" if self.system else "the system prompt is removed")

    def _save(self, name: str) -> None:
        if not name:
            raise InputError("/save where? Give a file: /save talks.jsonl")
        if not self.turns:
            raise InputError("there is nothing to save yet: no question has an answer")
        whole = list(takewhile(lambda turn: not any(one.cut or one.problem for one in turn.answers), self.turns))
        if not whole:
            raise InputError("not saved: the answer was stopped or cut off, and a training would learn it so; /retry")
        messages = whole_messages(whole, 0, self.system)
        append_line(Path(name).expanduser(), {"messages": messages, "model": self.talker.name})
        left_out = len(self.turns) - len(whole)
        self.remark(f"added to {name}" + (", up to an answer that was stopped or cut off" if left_out else ""))

    def _last(self) -> Turn:
        if not self.turns:
            raise InputError("nothing has been asked yet")
        return self.turns[-1]


def _shortly(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"

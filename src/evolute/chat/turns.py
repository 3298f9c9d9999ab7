"""A conversation as people lead one: turns that can be taken back, asked again and changed, by one model or several."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from evolute.chat.talking import Answer
from evolute.errors import InputError
from evolute.records import Message, tagged_hash


@dataclass(slots=True)
class Turn:
    """What the user said, and the models' answers, in the models' order. `tries` counts how often it was asked."""

    asked: str
    answers: list[Answer] = field(default_factory=list)
    tries: int = 0


def messages_of(turns: Sequence[Turn], side: int, system: str = "") -> tuple[Message, ...]:
    """The conversation with one of the models, as it is sent: the last turn is what is asked now.

    An earlier turn to which that model said nothing (it was stopped, or failed) is left out: chat templates refuse two
    turns of the user in a row. Thoughts are no part of what is sent.
    """
    messages = [Message("system", system)] if system.strip() else []
    for turn in turns[:-1]:
        messages += _exchange(turn, side)
    messages += [Message("user", turns[-1].asked)] if turns else []
    return tuple(messages)


def whole_messages(turns: Sequence[Turn], side: int, system: str = "") -> tuple[Message, ...]:
    """The conversation with one of the models up to its last answer."""
    messages = [Message("system", system)] if system.strip() else []
    for turn in turns:
        messages += _exchange(turn, side)
    return tuple(messages)


def draw_of(seed: int, side: int, turn: int, tries: int) -> int:
    """The seed that is sent with a request: of the n-th model, turn and try, each another one."""
    return int.from_bytes(tagged_hash("talk-1", seed, side, turn, tries)[:4]) & 0x7FFFFFFF


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a file of JSON Lines, whole or not at all, and see it onto the disk.

    One write to a file that is open for appending: two programs that add to it do not mix their lines. A line that
    was left half-written (by another program, or a full disk) is closed first, so that it spoils no other.

    Raises:
        InputError: the file cannot be written.
    """
    line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    try:
        with path.open("ab+", buffering=0) as file:
            if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) and file.read(1) != b"\n":
                line = b"\n" + line
            if file.write(line) != len(line):
                raise OSError(None, "the disk is full")
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None


def _exchange(turn: Turn, side: int) -> list[Message]:
    answer = turn.answers[side].text if side < len(turn.answers) else ""
    if not answer.strip():
        return []
    return [Message("user", turn.asked), Message("assistant", answer)]

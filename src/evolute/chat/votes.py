"""Votes on two answers, a line each, in a shape that MT-Bench's pairwise judgments have."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from evolute.chat.turns import append_line
from evolute.errors import InputError
from evolute.records import Message

Choice = Literal["first", "second", "tie", "both-bad"]
_WINNERS: Mapping[Choice, str] = {"first": "model_1", "second": "model_2", "tie": "tie", "both-bad": "tie"}


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's view of two conversations that differ in the answers.

    Args:
        choice: which of `models` was better; "both-bad" counts as a tie.
        models: as they were shown, left to right.
        conversations: in that order, each up to its last answer.
        parameters: of the requests, and `seed`.
        blind: whether the models' names were hidden when the vote was given.
    """

    choice: Choice
    models: tuple[str, str]
    conversations: tuple[Sequence[Message], Sequence[Message]]
    parameters: Mapping[str, Any]
    blind: bool


def record_vote(path: Path, vote: Vote) -> None:
    """Add a vote to a file of JSON Lines.

    A line reads as a pairwise judgment of FastChat's (`llm_judge`): `g1_winner` and `g2_winner` are the same, for a
    person saw the answers in one order only; `choice`, `blind`, `time` (UTC), the conversations and the parameters
    are beside them.

    Raises:
        InputError: the file cannot be written.
    """
    winner = _WINNERS[vote.choice]
    append_line(path, {
        "question_id": f"vote-{secrets.token_hex(8)}",  # no draw that decides anything: a name that is nobody else's
        "turn": 1,
        "model_1": vote.models[0],
        "model_2": vote.models[1],
        "g1_winner": winner,
        "g2_winner": winner,
        "judge": ["person", "vote"],
        "choice": vote.choice,
        "blind": vote.blind,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": dict(vote.parameters),
        "conversation_1": list(vote.conversations[0]),
        "conversation_2": list(vote.conversations[1]),
    })  # fmt: skip


def check_votes(path: Path) -> None:
    """Look that votes can be recorded there.

    Raises:
        InputError: they cannot.
    """
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise InputError(f"--votes {path}: cannot be written: {error.strerror or error}") from None

"""Preference pairs: two responses to the same instruction, one better than the other, as TRL's DPO reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evolute.errors import InputError
from evolute.export.columns import Columns
from evolute.export.shapes import LINEAGE, Shape, answer, as_messages, asked, lineage_columns, prompt_text
from evolute.records import Row


@dataclass(frozen=True, slots=True)
class Preference:
    """Two responses to the instruction of `row`, and what a grader gave each; the row's own response plays no part.

    Raises:
        InputError: the responses are the same, or the chosen one's score is not above the other's.
    """

    row: Row
    chosen: str
    rejected: str
    chosen_score: float
    rejected_score: float

    def __post_init__(self) -> None:
        if self.chosen == self.rejected:
            raise InputError(f"{self.row.id}: both responses are the same text, which prefers nothing; leave it out")
        if not self.chosen_score > self.rejected_score:
            raise InputError(
                f"{self.row.id}: the chosen response must score above the rejected one,"
                f" got {self.chosen_score!r} and {self.rejected_score!r}; leave ties out"
            )


def preference(pair: Preference) -> dict[str, Any]:
    """TRL's conversational form: `prompt`, `chosen` and `rejected` are turns."""
    prompt = as_messages(asked(pair.row))
    chosen, rejected = as_messages(answer(pair.chosen)), as_messages(answer(pair.rejected))
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def preference_text(pair: Preference) -> dict[str, Any]:
    """TRL's plain form: all three are text; an empty line ends the prompt, since TRL joins them as they stand."""
    return {"prompt": prompt_text(pair.row), "chosen": pair.chosen, "rejected": pair.rejected}


_SCORES: Columns = {"score_chosen": "float64", "score_rejected": "float64"}
_TURNS: Columns = {"prompt": "messages", "chosen": "messages", "rejected": "messages"}
_TEXTS: Columns = {"prompt": "string", "chosen": "string", "rejected": "string"}
PREFERENCES: dict[str, Shape[Preference]] = {
    "preference": Shape(_TURNS, preference),
    "preference-text": Shape(_TEXTS, preference_text),
}


def preference_shape(name: str, *, lineage: bool) -> Shape[Preference]:
    """The shape of that name, with the scores and, if asked for, the lineage."""
    shape = PREFERENCES[name]

    def record(pair: Preference) -> dict[str, Any]:
        scores = {"score_chosen": float(pair.chosen_score), "score_rejected": float(pair.rejected_score)}
        return shape.record(pair) | scores | (lineage_columns(pair.row) if lineage else {})

    return Shape({**shape.columns, **_SCORES, **(LINEAGE if lineage else {})}, record)

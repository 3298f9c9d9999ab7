"""What a model answered, as rows of a file: in the order of what was asked, the failed ones with their reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from evolute.files import replacing
from evolute.pipeline.generating import Answers, Question, usable_text
from evolute.records import Completion, Failure, Seed

_WHY = {
    Failure.NULL: "the model gave no text",
    Failure.EMPTY: "the model gave an empty text",
    Failure.TRUNCATED: "cut off at the most tokens of an answer",
    Failure.FILTERED: "withheld by the endpoint's filter",
    Failure.REJECTED: "refused by the endpoint",
}


def write_responses(out: Path, rows: Sequence[tuple[Seed, Question]], answers: Answers, n: int, model: str) -> None:
    """Write a line of JSON for each row; docs/respond.md says what its fields are. `model` is the name asked for.

    Raises:
        InputError: the file cannot be written; then the old one, if any, is still there.
    """
    with replacing(out) as file:
        for seed, question in rows:
            said = [answers.said[question.id, number] for number in range(n)]
            file.write(orjson.dumps(_row(seed, question, said, model)) + b"\n")


def _row(seed: Seed, question: Question, said: Sequence[Sequence[Completion]], model: str) -> dict[str, Any]:
    """What was asked, and each answer: its fields stand alone for one answer, and as lists for several."""
    row: dict[str, Any] = {"id": seed.label if seed.label is not None else seed.id.hex()}
    answered: list[dict[str, Any]]
    if question.later:
        answered = [{"conversations": _conversation(question, one)} for one in said]
    else:
        row |= _asked(seed, question)
        answered = [{"response": usable_text(one[-1]).strip() or None} for one in said]
    for answer, turns in zip(answered, said, strict=True):
        answer |= {"model": turns[-1].model or model, "finish": turns[-1].finish, "failure": _failure(question, turns)}
    if len(answered) == 1:
        return row | answered[0]
    plural = {"response": "responses"}
    return row | {plural.get(name, name): [one[name] for one in answered] for name in answered[0]}


def _asked(seed: Seed, question: Question) -> dict[str, Any]:
    """The instruction and all that was shown with it."""
    *before, _ = question.messages
    asked: dict[str, Any] = {"instruction": seed.instruction}
    if seed.input:
        asked["input"] = seed.input
    if before and before[0].role == "system":
        asked["system"] = before.pop(0).content
    if before:
        asked["history"] = [{"role": turn.role, "content": turn.content} for turn in before]
    return asked


def _conversation(question: Question, said: Sequence[Completion]) -> list[dict[str, str]]:
    """The turns in ShareGPT's shape, up to the last that was answered or failed."""
    *before, first = question.messages
    turns = [{"from": turn.role, "value": turn.content} for turn in before]
    for text, completion in zip((first.content, *question.later), said, strict=False):
        turns.append({"from": "human", "value": text})
        if answer := usable_text(completion).strip():
            turns.append({"from": "gpt", "value": answer})
    return turns


def _failure(question: Question, said: Sequence[Completion]) -> str | None:
    """What is wrong with the first answer that is not whole; None where all are."""
    for number, completion in enumerate(said, 1):
        if completion.failure is not None:
            at = f"turn {number}: " if question.later else ""
            return f"{at}{completion.failure}: {completion.detail or _WHY[completion.failure]}"
    return None

"""What is worth reading of a judged evaluation: the questions that were won and lost most, with what was said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from evolute.pipeline.judged import ANSWERS, MODEL, OPPONENT
from evolute.report.scorecard import Reading
from evolute.scores import Item, Score

MOST = 4
"""Wins and losses of a benchmark, each at most."""
_VERDICTS = ("judgments.jsonl", "annotations.json")
_WORDS = ("text", "judgment", "g1_judgment", "g2_judgment", "raw_completion")
"""Under which names the formats of judgments keep the judge's words."""
_EVEN = {"%": 50.0, "points": 5.5}
"""Scores that are neither a win nor a loss."""


def readings_of(folder: Path, score: Score) -> list[Reading]:
    """The largest wins and losses of an evaluation, from the answers and judgments in its folder; none without a judge.

    `Reading.score` is by how much: of the points of both where there are points, else from the middle of the scale.
    """
    if not (folder / ANSWERS[MODEL]).is_file():
        return []
    asked = _answers(folder / ANSWERS[MODEL])
    others = _answers(folder / ANSWERS[OPPONENT])
    judged = _judged(folder, {row["instruction"]: question for question, row in asked.items()})
    margins = sorted(
        ((_margin(item, score.scale), item) for item in score.items if item.is_scored), key=lambda one: one[0]
    )
    chosen = [pair for pair in margins[:MOST] if pair[0] < 0] + [pair for pair in margins[-MOST:] if pair[0] > 0]
    readings = []
    for margin, item in chosen:
        question, turn = _place(item)
        if (row := asked.get(question)) is not None:
            readings.append(
                Reading(
                    score.benchmark, item.id, margin, _question(row, turn), _turn(row, turn),
                    _turn(others.get(question), turn), judged.get((question, turn), []), item.groups,
                )
            )  # fmt: skip
    return readings


def _margin(item: Item, scale: str) -> float:
    if item.weights is not None:
        return item.weights[0] - item.weights[1]
    return (item.score if item.score is not None else 0.0) - _EVEN.get(scale, 0.0)


def _place(item: Item) -> tuple[str, int]:
    """The question's id and its turn, from 1: an item of MT-Bench is one turn, and its cluster the question."""
    if item.cluster and item.cluster != item.id:
        return item.cluster, int(item.groups.get("turn", "1"))
    return item.id, 1


def _answers(path: Path) -> dict[str, Mapping[str, Any]]:
    if not path.is_file():
        return {}
    return {str(row["question_id"]): row for row in map(orjson.loads, path.read_bytes().splitlines())}


def _question(row: Mapping[str, Any], turn: int) -> str:
    """What was asked in a turn; of a later one, with what was asked before."""
    return "\n\n".join(row.get("questions", [row["instruction"]])[:turn])


def _turn(row: Mapping[str, Any] | None, turn: int) -> str:
    turns = row["choices"][0]["turns"] if row is not None else []
    return str(turns[turn - 1]) if turn <= len(turns) else ""


def _judged(folder: Path, questions: Mapping[str, str]) -> dict[tuple[str, int], list[str]]:
    """What the judge said, by question and turn; `questions` gives the id of an instruction."""
    found: dict[tuple[str, int], list[str]] = {}
    for row in _rows(folder):
        question = str(row["question_id"]) if "question_id" in row else questions.get(row.get("instruction", ""), "")
        words = [str(row[name]) for name in _WORDS if row.get(name)]
        found.setdefault((question, int(row.get("turn") or 1)), []).extend(words)
    return found


def _rows(folder: Path) -> Iterator[Mapping[str, Any]]:
    for path in (folder / name for name in _VERDICTS):
        if path.is_file():
            data = path.read_bytes()
            yield from orjson.loads(data) if path.suffix == ".json" else map(orjson.loads, data.splitlines())

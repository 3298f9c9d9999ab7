"""FastChat's files of judgments, in and out: MT-Bench's, single and pairwise, and the reviews of 2023."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.evaluate.judged.groups import UNKNOWN, groups_of
from evolute.evaluate.judged.mtbench import Duel, Grade, Side
from evolute.evaluate.judged.parsing import HIGHEST, LOWEST, Unread, read_rating, read_scores, read_verdict
from evolute.evaluate.judged.rows import Row, read_rows
from evolute.evaluate.judged.vicuna import Review

Groups = Mapping[str, Mapping[str, str]]
"""Each question's groups by its id; empty: FastChat's own categories by id."""


def is_pairwise(rows: Sequence[Row]) -> bool:
    """Whether MT-Bench judgments are of pairs."""
    return "model_1" in rows[0].fields


def grades_of(rows: Iterable[Row], groups: Groups) -> list[Grade]:
    """Single judgments. A stored -1 is read anew from the judge's text, in case ours can.

    Raises:
        InputError: a field is missing or wrong, or an answer is judged twice by one judge.
    """
    seen: dict[object, Row] = {}
    grades = []
    for row in rows:
        question, turn, model, judge = row.text("question_id"), row.whole("turn"), row.text("model"), _judge(row)
        _once(seen, (question, turn, model, judge), row)
        text = _said(row, "judgment")
        score = _stored(row.number("score"), read_rating(text))
        read, why = (None, score.why) if isinstance(score, Unread) else (score, "")
        category = groups_of(question, groups).get("category", UNKNOWN)
        grades.append(Grade(question, turn, category, model, judge, read, text, why))
    return grades


def duels_of(rows: Iterable[Row], groups: Groups) -> list[Duel]:
    """Pairwise judgments, each twice: as the first model's duel, and as the second's.

    Raises:
        InputError: a field is missing or wrong, or a pair is judged twice by one judge.
    """
    seen: dict[object, Row] = {}
    duels = []
    for row in rows:
        question, turn, judge = row.text("question_id"), row.whole("turn"), _judge(row)
        one, two = row.text("model_1"), row.text("model_2")
        if one == two:
            raise row.wrong("model_2", two, "another model than model_1")
        _once(seen, (question, turn, frozenset((one, two)), judge), row)
        texts = _said(row, "g1_judgment"), _said(row, "g2_judgment")
        first, second = _winner(row, "g1_winner", texts[0]), _winner(row, "g2_winner", texts[1], swapped=True)
        why = "; ".join(game.why for game in (first, second) if isinstance(game, Unread))
        sides = tuple(None if isinstance(game, Unread) else game for game in (first, second))
        category = groups_of(question, groups).get("category", UNKNOWN)
        duels.append(Duel(question, turn, category, one, two, (sides[0], sides[1]), judge, texts, why))
        turned = _turned(sides[1]), _turned(sides[0])
        duels.append(Duel(question, turn, category, two, one, turned, judge, (texts[1], texts[0]), why))
    return duels


def reviews_of(
    rows: Sequence[Row],
    names: tuple[str, str] | Mapping[str, str],
    groups: Groups,
    lengths: Mapping[str, int] | None = None,
) -> list[Review]:
    """Reviews of 2023, each twice: as the first model's, and as the second's.

    The stored scores count, as in what was published; a stored [-1, -1] is read anew from the judge's text.

    Args:
        rows: of one file.
        names: of the models shown first and second, or each answer's model by the answer's id.
        groups: of the questions.
        lengths: of the answers by id, where they are known.

    Raises:
        InputError: a field is missing or wrong, an answer is unknown, or a question is reviewed twice in one order.
    """
    seen: dict[object, Row] = {}
    reviews = []
    for row in rows:
        question, judge = row.text("question_id"), row.text("reviewer_id", "")
        one, two = names if isinstance(names, tuple) else (_model_of(row, side, names) for side in (1, 2))
        if one == two:
            raise row.wrong("answer2_id", row.fields.get("answer2_id"), f"an answer of another model than {one!r}")
        _once(seen, (question, one, two, judge), row)
        text = _said(row, "text")
        scores, why = _pair(row, text)
        known = [(lengths or {}).get(str(row.fields.get(f"answer{side}_id"))) for side in (1, 2)]
        long = (known[0], known[1]) if known[0] is not None and known[1] is not None else None
        found = groups_of(question, groups)
        reviews.append(Review(question, one, two, scores, one, found, judge, text, why, long))
        turned = scores and (scores[1], scores[0]), long and (long[1], long[0])
        reviews.append(Review(question, two, one, turned[0], one, found, judge, text, why, turned[1]))
    return reviews


def differing(rows: Iterable[Row]) -> list[str]:
    """Questions whose stored pair of scores is not what the judge's text says (some were mended by hand)."""
    found = []
    for row in rows:
        stored, said = row.fields.get("score"), read_scores(_said(row, "text"))
        if isinstance(stored, list) and not isinstance(said, Unread) and -1 not in stored and tuple(stored) != said:
            found.append(row.text("question_id"))
    return found


def names_of_file(path: Path) -> tuple[str, str] | None:
    """The two models that a name such as review_bard_vicuna-13b.jsonl tells of; None where it tells of none."""
    match = re.fullmatch(r"review_([^_]+)_([^_]+)\.jsonl(?:\.gz)?", path.name)
    return (match[1], match[2]) if match else None


def names_of_rows(rows: Iterable[Row]) -> dict[str, str] | None:
    """The answers' ids as the models' names, where a file has but two of them, as `review_rows` writes it."""
    ids = {row.text(f"answer{side}_id") for row in rows for side in (1, 2)}
    return {name: name for name in ids} if len(ids) == 2 else None


def read_answer_models(folder: Path) -> tuple[dict[str, str], dict[str, int]]:
    """Each answer's model, and its length in characters, by the answer's id.

    Args:
        folder: of the answer files of 2023, or with them in `answer`.

    Raises:
        InputError: a file is not as FastChat writes it.
    """
    home = folder / "answer" if (folder / "answer").is_dir() else folder
    rows = [row for file in sorted(home.glob("answer_*.jsonl*")) for row in read_rows(file)]
    models = {row.text("answer_id"): row.text("model_id").partition(":")[0] for row in rows}
    return models, {row.text("answer_id"): len(row.text("text")) for row in rows}


def grade_rows(grades: Iterable[Grade], prompts: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """As FastChat writes single judgments, -1 for a grade that is unscored; `prompts` are names by question."""
    return [
        {
            "question_id": _id(grade.question),
            "model": grade.model,
            "judge": [grade.judge, (prompts or {}).get(f"{grade.question}:{grade.turn}", "single-v1")],
            "judgment": grade.text,
            "score": -1 if grade.score is None else grade.score,
            "turn": grade.turn,
        }
        for grade in grades
    ]


def duel_rows(duels: Iterable[Duel], prompts: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """As FastChat writes pairwise judgments, "error" for a verdict that there is none of."""
    names: Mapping[Side | None, str] = {"win": "model_1", "loss": "model_2", "tie": "tie", None: "error"}
    return [
        {
            "question_id": _id(duel.question),
            "model_1": duel.model,
            "model_2": duel.opponent,
            "g1_winner": names[duel.verdicts[0]],
            "g2_winner": names[duel.verdicts[1]],
            "judge": [duel.judge, (prompts or {}).get(f"{duel.question}:{duel.turn}", "pair-v2")],
            "g1_judgment": duel.texts[0],
            "g2_judgment": duel.texts[1],
            "turn": duel.turn,
        }
        for duel in duels
    ]


def review_rows(reviews: Iterable[Review]) -> list[dict[str, Any]]:
    """As FastChat of 2023 writes reviews, [-1, -1] for one that is unscored; the answers' ids are the models' names."""
    rows: list[dict[str, Any]] = []
    for number, review in enumerate(reviews, 1):
        ours_first = review.first == review.model
        names = (review.model, review.opponent) if ours_first else (review.opponent, review.model)
        ours, theirs = review.scores or (-1, -1)
        rows.append(
            {
                "review_id": str(number),
                "question_id": _id(review.question),
                "answer1_id": names[0],
                "answer2_id": names[1],
                "text": review.text,
                "score": [ours, theirs] if ours_first else [theirs, ours],
                "reviewer_id": review.judge,
                "metadata": {},
            }
        )
    return rows


def as_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "backslashreplace")


def _id(question: str) -> int | str:
    return int(question) if question.isascii() and question.isdecimal() else question


def _once(seen: dict[object, Row], key: tuple[object, ...], row: Row) -> None:
    if (before := seen.get(key)) is not None:
        raise InputError(
            f"{row.where}: question {key[0]!r} is judged already, in {before.where}: leave one of them out"
        )
    seen[key] = row


def _said(row: Row, name: str) -> str:
    value = row.fields.get(name)
    if value is not None and not isinstance(value, str):
        raise row.wrong(name, value, "the judge's text")
    return value or ""


def _judge(row: Row) -> str:
    """The judge's name; FastChat writes it with that of the prompt."""
    value = row.fields.get("judge", "")
    name = value[0] if isinstance(value, list) and value else value
    if not isinstance(name, str):
        raise row.wrong("judge", value, "a name, or a name and a prompt's name")
    return name


def _stored(score: float | None, read: float | Unread) -> float | Unread:
    if score is None or score == -1:
        return read
    return score if LOWEST <= score <= HIGHEST else Unread(f"a score of {score:g}, outside {LOWEST:g} to {HIGHEST:g}")


def _winner(row: Row, name: str, text: str, *, swapped: bool = False) -> Side | Unread:
    """What a game's winner means for the first model; in the second game it was shown as B."""
    value = row.fields.get(name)
    if value == "error":
        verdict = read_verdict(text)
        if isinstance(verdict, Unread):
            return verdict
        value = {"A": "model_2", "B": "model_1"}.get(verdict, "tie") if swapped else _FIRST_GAME[verdict]
    sides: Mapping[object, Side] = {"model_1": "win", "model_2": "loss", "tie": "tie"}
    if not isinstance(value, str) or value not in sides:
        raise row.wrong(name, value, "model_1, model_2, tie or error")
    return sides[value]


_FIRST_GAME = {"A": "model_1", "B": "model_2", "C": "tie"}


def _turned(side: Side | None) -> Side | None:
    turned: Mapping[Side | None, Side | None] = {"win": "loss", "loss": "win", "tie": "tie", None: None}
    return turned[side]


def _pair(row: Row, text: str) -> tuple[tuple[float, float] | None, str]:
    stored = row.fields.get("score")
    if not isinstance(stored, list) or len(stored) != 2:
        raise row.wrong("score", stored, "two numbers, the first answer's score and the second's")
    pair = Row(row.where, {"score": stored[0]}).number("score"), Row(row.where, {"score": stored[1]}).number("score")
    if -1 in pair or None in pair:
        read = read_scores(text)
        return (None, read.why) if isinstance(read, Unread) else (read, "")
    ours, theirs = (_stored(one, Unread("")) for one in pair)
    if isinstance(ours, Unread) or isinstance(theirs, Unread):
        return None, next(one.why for one in (ours, theirs) if isinstance(one, Unread))
    return (ours, theirs), ""


def _model_of(row: Row, side: int, models: Mapping[str, str]) -> str:
    answer = row.text(f"answer{side}_id")
    if answer not in models:
        raise row.wrong(f"answer{side}_id", answer, "an answer that the answer files of --data hold")
    return models[answer]

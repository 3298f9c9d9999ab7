"""FastChat's stored judgments, summed up by model: MT-Bench, single and pairwise, and the reviews of 2023."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.evaluate.judged import mtbench, vicuna
from evolute.evaluate.judged.fastchat import (
    as_lines,
    differing,
    duel_rows,
    duels_of,
    grade_rows,
    grades_of,
    is_pairwise,
    names_of_file,
    names_of_rows,
    read_answer_models,
    review_rows,
    reviews_of,
)
from evolute.evaluate.judged.groups import groups_of, read_groups
from evolute.evaluate.judged.rows import Row, read_rows
from evolute.evaluate.statistics import mean
from evolute.pipeline.storing import NOT_JUDGED, Stored, gathered, ran_of, told, with_agreement
from evolute.scores import Measure, Score


def sum_up_mt_bench(judgments: Sequence[Path], data: Path | None) -> Stored:
    """Files of MT-Bench judgments; `data` has the questions.

    Raises:
        InputError: a file cannot be read, or holds a row that is wrong or comes twice.
    """
    groups = read_groups(data) if data is not None else {}
    rows = [row for path in judgments for row in read_rows(path)]
    if len({is_pairwise([row]) for row in rows}) > 1:
        raise InputError("single and pairwise judgments in one: give them one by one")
    return _duels(rows, groups, ran_of(judgments)) if is_pairwise(rows) else _grades(rows, groups, ran_of(judgments))


def sum_up_reviews(judgments: Sequence[Path], data: Path | None) -> Stored:
    """Files of reviews; `data` has the questions, or the answers, which name the models, or both.

    Raises:
        InputError: a file cannot be read, or holds a row that is wrong or comes twice.
    """
    has_questions = data is not None and (data.is_file() or any(data.glob("*.jsonl")))
    groups = read_groups(data) if data is not None and has_questions else {}
    models, lengths = read_answer_models(data) if data is not None and data.is_dir() else ({}, {})
    reviews: list[vicuna.Review] = []
    notes: dict[tuple[str, str], list[str]] = {}
    for path in judgments:
        rows = read_rows(path)
        read = reviews_of(rows, _names(path, rows, models), groups, lengths)
        if mended := differing(rows):
            said = (
                f"the stored scores, which count, are not what the text says: {path.name}, question {', '.join(mended)}"
            )
            for pair in {(review.model, review.opponent) for review in read}:
                notes.setdefault(pair, []).append(said)
        reviews += read
    return _reviewed(reviews, groups, notes, ran_of(judgments))


def _grades(rows: Sequence[Row], groups: Mapping[str, Mapping[str, str]], ran: Mapping[str, Any]) -> Stored:
    found = grades_of(rows, groups)
    expected = _turns(((one.question, one.turn) for one in found), groups)
    scores = {}
    for name, grades in gathered(found, lambda one: (one.model, "", one.judge)).items():
        there, first = {(one.question, one.turn) for one in grades}, grades[0]
        missing = [
            mtbench.Grade(question, turn, _category(question, groups), first.model, first.judge, None, "", NOT_JUDGED)
            for question, turn in expected
            if (question, turn) not in there
        ]
        scores[name] = mtbench.summarise_grades([*grades, *missing], ran=ran)
    prompts = _prompts(rows)
    scores = with_agreement(scores)
    table = {name: _grade_row(score) for name, score in scores.items()}
    return Stored("mt-bench", table, scores, {"single.jsonl": lambda: as_lines(grade_rows(found, prompts))})


def _grade_row(score: Score) -> dict[str, Any]:
    scored = [item for item in score.items if item.score is not None]
    error = mean([item.score or 0.0 for item in scored], [item.cluster for item in scored]).error if scored else None
    return {
        "score": score.measure.value,
        "standard_error": error if score.measure.value is not None else None,
        **told(score),
        "turns": {part.name: part.measure.value for part in score.parts if part.by == "turn"},
        "categories": {part.name: part.measure.value for part in score.parts if part.by == "category"},
    }


def _duels(rows: Sequence[Row], groups: Mapping[str, Mapping[str, str]], ran: Mapping[str, Any]) -> Stored:
    found = duels_of(rows, groups)
    expected = _turns(((one.question, one.turn) for one in found), groups)
    scores = {}
    for name, duels in gathered(found, lambda one: (one.model, one.opponent, one.judge)).items():
        there, first = {(one.question, one.turn) for one in duels}, duels[0]
        missing = [
            mtbench.Duel(
                question, turn, _category(question, groups), first.model, first.opponent, (None, None), first.judge,
                why=NOT_JUDGED,
            )
            for question, turn in expected
            if (question, turn) not in there
        ]  # fmt: skip
        scores[name] = mtbench.summarise_duels([*duels, *missing], ran=ran)
    prompts = _prompts(rows)
    scores = with_agreement(scores)
    table = {
        name: {"score": score.measure.value, "win_rate": score.also["win rate"].value, **told(score)}
        for name, score in scores.items()
    }
    return Stored("mt-bench", table, scores, {"pair.jsonl": lambda: as_lines(duel_rows(found[::2], prompts))})


def _reviewed(
    reviews: Sequence[vicuna.Review],
    groups: Mapping[str, Mapping[str, str]],
    notes: Mapping[tuple[str, str], Sequence[str]],
    ran: Mapping[str, Any],
) -> Stored:
    merged = _one_judge(reviews)
    expected = list(groups) or list(dict.fromkeys(one.question for one in merged))
    scores = {}
    for name, found in gathered(merged, lambda one: (one.model, one.opponent, one.judge)).items():
        there, first = {one.question for one in found}, found[0]
        missing = [
            vicuna.Review(
                question, first.model, first.opponent, None, first.first, groups_of(question, groups), first.judge,
                why=NOT_JUDGED,
            )
            for question in expected
            if question not in there
        ]  # fmt: skip
        pair = (first.model, first.opponent)
        scores[name] = vicuna.summarise([*found, *missing], ran=ran, notes=notes.get(pair, ()))
    scores = with_agreement(scores)
    table = {name: _review_row(score) for name, score in scores.items()}
    once = [one for one in reviews if one.first == one.model]
    return Stored("vicuna", table, scores, {"reviews.jsonl": lambda: as_lines(review_rows(once))})


def _review_row(score: Score) -> dict[str, Any]:
    sums = [sum(item.weights[side] for item in score.items if item.weights) for side in (0, 1)]
    means = [score.also.get(name, Measure()).value for name in ("mean score", "mean score of the opponent")]
    return {
        "score": score.measure.value,
        "total": sums[0],
        "opponent_total": sums[1],
        "mean_score": means[0],
        "opponent_mean_score": means[1],
        **told(score),
    }


def _one_judge(reviews: Sequence[vicuna.Review]) -> Sequence[vicuna.Review]:
    """As of one judge, unless two judged the same.

    FastChat's reviewers are one model with a prompt for each kind of question: gpt-4-0328-generic, gpt-4-0328-coding.
    """
    if len({(one.question, one.model, one.opponent, one.first) for one in reviews}) < len(reviews):
        return reviews
    judge = ", ".join(sorted({one.judge for one in reviews}))
    return [replace(one, judge=judge) for one in reviews]


def _names(path: Path, rows: Sequence[Row], models: Mapping[str, str]) -> tuple[str, str] | Mapping[str, str]:
    if any(str(row.fields.get("answer1_id")) in models for row in rows):
        return models
    said, by_id = names_of_file(path), names_of_rows(rows)
    if by_id is not None and (said is None or set(said) == set(by_id)):
        return by_id
    if said is None:
        raise InputError(
            f"{path}: which models are these? Name it review_FIRST_SECOND.jsonl, or give --data DIR with the answers"
        )
    return said


def _turns(found: Iterable[tuple[str, int]], groups: Mapping[str, object]) -> list[tuple[str, int]]:
    there = list(dict.fromkeys(found))
    turns = sorted({turn for _, turn in there})
    return list(dict.fromkeys([*((question, turn) for question in groups for turn in turns), *there]))


def _category(question: str, groups: Mapping[str, Mapping[str, str]]) -> str:
    return groups_of(question, groups).get("category", "unknown")


def _prompts(rows: Iterable[Row]) -> dict[str, str]:
    """The judge prompt's name of each question and turn, where the file says it."""
    return {
        f"{row.fields['question_id']}:{row.fields['turn']}": str(judge[1])
        for row in rows
        if isinstance(judge := row.fields.get("judge"), list) and len(judge) == 2
    }

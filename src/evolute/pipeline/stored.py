"""Judgments that others stored, summed up: what `evolute evaluate alpaca-eval|mt-bench|vicuna --judgments` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeVar

from evolute.errors import InputError
from evolute.evaluate.judged import alpaca, mtbench, vicuna
from evolute.evaluate.judged.annotations import annotation_rows, as_list, read_annotations, read_instructions
from evolute.evaluate.judged.controlled import REFERENCE, Control, Controlled, read_control
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
from evolute.evaluate.judged.rows import Row, read_bytes, read_rows
from evolute.evaluate.statistics import mean
from evolute.files import replacing
from evolute.scores import Measure, Score

StoredBenchmark = Literal["alpaca-eval", "mt-bench", "vicuna"]
NOT_JUDGED = "no judgment of it in the file"
_WEIGHTED = {1.0, 1.5, 2.0}
"""Preferences of AlpacaEval 1; others come from log-probabilities, as AlpacaEval 2 has them."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored:
    """What stored judgments come to.

    Args:
        benchmark: which.
        rows: for scripts and tables, by model.
        scores: the whole results, by model.
        files: others' formats of the same judgments, by file name.
    """

    benchmark: StoredBenchmark
    rows: Mapping[str, Mapping[str, Any]]
    scores: Mapping[str, Score]
    files: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)


def sum_up_stored(benchmark: StoredBenchmark, judgments: Sequence[Path], data: Path | None = None) -> Stored:
    """Read files of judgments and sum them up, a result for each model (and opponent, and judge, where they differ).

    What some model of the files is judged on, or `data` has, and another is not, is unscored for that other.

    Args:
        benchmark: whose judgments they are.
        judgments: the files; gzip's are unpacked.
        data: a file or folder of questions; for AlpacaEval of instructions, and of what the length-controlled win rate
            needs; for reviews of 2023 also of the answers, which name the models.

    Raises:
        InputError: a file cannot be read, or holds a row that is wrong or comes twice.
        MissingExtra: a length-controlled win rate must be fitted, and scikit-learn is not installed.
    """
    if not judgments:
        raise InputError("no judgments: give --judgments FILE")
    return _SUMMING[benchmark](judgments, data)


def write_stored(stored: Stored, out: Path) -> list[Path]:
    """Write results.json and the judgments in others' formats into a folder, which is made if need be.

    Raises:
        InputError: it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made: {error.strerror or error}") from None
    scores = {"scores": {name: score.to_json() for name, score in stored.scores.items()}}
    written = []
    contents = {"results.json": lambda: (json.dumps(scores, indent=1) + "\n").encode(), **stored.files}
    for name, content in contents.items():
        with replacing(out / name) as file:
            file.write(content())
        written.append(out / name)
    return written


def _alpaca(judgments: Sequence[Path], data: Path | None) -> Stored:
    instructions = _instructions(data)
    found = {path: read_annotations(path, instructions) for path in judgments}
    flat = [one for ones in found.values() for one in ones]
    expected = list(instructions.values()) or list(dict.fromkeys(one.instruction for one in flat))
    control = read_control(data) if data is not None and data.is_dir() else None
    ran = _ran(judgments)
    rows: dict[str, Mapping[str, Any]] = {}
    scores: dict[str, Score] = {}
    for name, ones in _by_model(found).items():
        whole = _with_missing(ones, expected)
        controlled = _controlled(control, whole)
        notes = [f"length-controlled win rate: {controlled.how}"] if controlled else []
        measure = controlled.measure if controlled else None
        scores[name] = alpaca.summarise(whole, ran=ran, notes=notes, length_controlled=measure)
        rows[name] = _alpaca_row(scores[name], whole, controlled)
    texts = {index: text for text, index in instructions.items()}
    return Stored("alpaca-eval", rows, scores, {"annotations.json": lambda: as_list(annotation_rows(flat, texts))})


def _by_model(found: Mapping[Path, Sequence[alpaca.Annotation]]) -> dict[str, list[alpaca.Annotation]]:
    """Several CSVs, which name neither reference nor judge, are kept apart by their names."""
    told = [
        (one, path.name if len(found) > 1 and not one.reference else "") for path, ones in found.items() for one in ones
    ]
    gathered = _gathered(told, lambda pair: (pair[0].model, pair[0].reference, pair[0].judge or pair[1]))
    return {name: [one for one, _ in pairs] for name, pairs in gathered.items()}


def _instructions(data: Path | None) -> dict[str, str]:
    file = data / "instructions.jsonl" if data is not None and data.is_dir() else data
    return read_instructions(file) if file is not None and file.is_file() else {}


def _with_missing(annotations: Sequence[alpaca.Annotation], expected: Iterable[str]) -> list[alpaca.Annotation]:
    first, there = annotations[0], {one.instruction for one in annotations}
    missing = [
        alpaca.Annotation(name, first.model, first.reference, None, judge=first.judge, why=NOT_JUDGED)
        for name in expected
        if name not in there
    ]
    return [*annotations, *missing]


def _controlled(control: Control | None, annotations: Sequence[alpaca.Annotation]) -> Controlled | None:
    """Only against the reference that the difficulties are of; the CSV does not name it, but its preferences do."""
    reference = annotations[0].reference
    weighted = any(one.preference is not None and one.preference not in _WEIGHTED for one in annotations)
    return control.of(annotations) if control and (reference == REFERENCE or (not reference and weighted)) else None


def _alpaca_row(
    score: Score, annotations: Sequence[alpaca.Annotation], controlled: Controlled | None
) -> dict[str, Any]:
    row: dict[str, Any] = asdict(alpaca.rates(one.preference for one in annotations))
    row |= {"unscored": score.unscored, "against": score.against, "judge": score.judge}
    if score.measure.value is None:
        return row | dict.fromkeys(("win_rate", "standard_error", "discrete_win_rate")) | {"notes": list(score.notes)}
    lengths = [one.lengths[0] for one in annotations if one.lengths]
    if lengths:
        row["avg_length"] = int(sum(lengths) / len(lengths))
    if controlled:
        row |= {"length_controlled_winrate": controlled.win_rate, "lc_standard_error": controlled.standard_error}
        row["length_controlled_from"] = controlled.how
    return row | {"low": score.measure.low, "high": score.measure.high, "notes": list(score.notes)}


def _mt_bench(judgments: Sequence[Path], data: Path | None) -> Stored:
    groups = read_groups(data) if data is not None else {}
    rows = [row for path in judgments for row in read_rows(path)]
    if len({is_pairwise([row]) for row in rows}) > 1:
        raise InputError("single and pairwise judgments in one: give them one by one")
    return _duels(rows, groups, _ran(judgments)) if is_pairwise(rows) else _grades(rows, groups, _ran(judgments))


def _grades(rows: Sequence[Row], groups: Mapping[str, Mapping[str, str]], ran: Mapping[str, Any]) -> Stored:
    found = grades_of(rows, groups)
    gathered = _gathered(found, lambda one: (one.model, "", one.judge))
    expected = _turns(((one.question, one.turn) for one in found), groups)
    scores = {}
    for name, grades in gathered.items():
        there, first = {(one.question, one.turn) for one in grades}, grades[0]
        missing = [
            mtbench.Grade(question, turn, _category(question, groups), first.model, first.judge, None, "", NOT_JUDGED)
            for question, turn in expected
            if (question, turn) not in there
        ]
        scores[name] = mtbench.summarise_grades([*grades, *missing], ran=ran)
    prompts = _prompts(rows)
    table = {name: _grade_row(score) for name, score in scores.items()}
    return Stored("mt-bench", table, scores, {"single.jsonl": lambda: as_lines(grade_rows(found, prompts))})


def _grade_row(score: Score) -> dict[str, Any]:
    scored = [item for item in score.items if item.score is not None]
    error = mean([item.score or 0.0 for item in scored], [item.cluster for item in scored]).error if scored else None
    return {
        "score": score.measure.value,
        "standard_error": error if score.measure.value is not None else None,
        **_told(score),
        "turns": {part.name: part.measure.value for part in score.parts if part.by == "turn"},
        "categories": {part.name: part.measure.value for part in score.parts if part.by == "category"},
    }


def _duels(rows: Sequence[Row], groups: Mapping[str, Mapping[str, str]], ran: Mapping[str, Any]) -> Stored:
    found = duels_of(rows, groups)
    expected = _turns(((one.question, one.turn) for one in found), groups)
    scores = {}
    for name, duels in _gathered(found, lambda one: (one.model, one.opponent, one.judge)).items():
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
    table = {
        name: {"score": score.measure.value, "win_rate": score.also["win rate"].value, **_told(score)}
        for name, score in scores.items()
    }
    return Stored("mt-bench", table, scores, {"pair.jsonl": lambda: as_lines(duel_rows(found[::2], prompts))})


def _vicuna(judgments: Sequence[Path], data: Path | None) -> Stored:
    has_questions = data is not None and (data.is_file() or any(data.glob("*.jsonl")))
    groups = read_groups(data) if data is not None and has_questions else {}
    models = read_answer_models(data) if data is not None and data.is_dir() else {}
    reviews: list[vicuna.Review] = []
    notes: dict[tuple[str, str], list[str]] = {}
    for path in judgments:
        rows = read_rows(path)
        read = reviews_of(rows, _names(path, rows, models), groups)
        if mended := differing(rows):
            said = (
                f"the stored scores, which count, are not what the text says: {path.name}, question {', '.join(mended)}"
            )
            for pair in {(review.model, review.opponent) for review in read}:
                notes.setdefault(pair, []).append(said)
        reviews += read
    return _reviewed(reviews, groups, notes, _ran(judgments))


def _reviewed(
    reviews: Sequence[vicuna.Review],
    groups: Mapping[str, Mapping[str, str]],
    notes: Mapping[tuple[str, str], Sequence[str]],
    ran: Mapping[str, Any],
) -> Stored:
    judges = sorted({one.judge for one in reviews})
    # FastChat's reviewers are one model with a prompt for each kind of question: gpt-4-0328-generic, …-coding.
    merged = [_with_judge(one, ", ".join(judges)) for one in reviews]
    expected = list(groups) or list(dict.fromkeys(one.question for one in merged))
    scores = {}
    for name, found in _gathered(merged, lambda one: (one.model, one.opponent, one.judge)).items():
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
        **_told(score),
    }


def _with_judge(review: vicuna.Review, judge: str) -> vicuna.Review:
    return replace(review, judge=judge)


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


def _told(score: Score) -> dict[str, Any]:
    row: dict[str, Any] = {"low": score.measure.low, "high": score.measure.high}
    row |= {"n": score.n, "unscored": score.unscored, "judge": score.judge}
    if score.outcome is not None:
        row |= {"against": score.against, **asdict(score.outcome)}
    return row | {"notes": list(score.notes)}


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


def _gathered(found: Sequence[T], sides: Callable[[T], tuple[str, str, str]]) -> dict[str, list[T]]:
    """By model; where one has several opponents or judges, each has a name that tells them apart."""
    gathered: dict[tuple[str, str, str], list[T]] = {}
    for one in found:
        gathered.setdefault(sides(one), []).append(one)
    judges = {judge for _, _, judge in gathered}
    return {_label(key, gathered, several=len(judges) > 1): ones for key, ones in gathered.items()}


def _label(key: tuple[str, str, str], keys: Iterable[tuple[str, str, str]], *, several: bool) -> str:
    model, opponent, judge = key
    opponents = {other for name, other, _ in keys if name == model}
    label = f"{model} v {opponent}" if len(opponents) > 1 else model
    return f"{label} ({judge})" if several else label


def _ran(judgments: Sequence[Path]) -> dict[str, Any]:
    return {"judgments": [{"file": path.name, "sha256": sha256(read_bytes(path)).hexdigest()} for path in judgments]}


_SUMMING: Mapping[StoredBenchmark, Callable[[Sequence[Path], Path | None], Stored]] = {
    "alpaca-eval": _alpaca,
    "mt-bench": _mt_bench,
    "vicuna": _vicuna,
}

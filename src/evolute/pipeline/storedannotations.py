"""AlpacaEval's stored annotations, summed up by model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evolute.evaluate.judged import alpaca
from evolute.evaluate.judged.annotations import annotation_rows, as_list, read_annotations, read_instructions
from evolute.evaluate.judged.controlled import REFERENCE, Control, Controlled, read_control
from evolute.evaluate.judged.gathering import covered
from evolute.pipeline.storing import NOT_JUDGED, Stored, gathered, ran_of, with_agreement
from evolute.scores import Score


def sum_up_annotations(judgments: Sequence[Path], data: Path | None) -> Stored:
    """Files of annotations; `data` has instructions, and what the length-controlled win rate needs.

    Raises:
        InputError: a file cannot be read, or holds a row that is wrong or comes twice.
        MissingExtra: a regression must be fitted, and scikit-learn is not installed.
    """
    instructions = _instructions(data)
    found = {path: read_annotations(path, instructions) for path in judgments}
    flat = [one for ones in found.values() for one in ones]
    expected = list(instructions.values()) or list(dict.fromkeys(one.instruction for one in flat))
    control = read_control(data) if data is not None and data.is_dir() else None
    ran = ran_of(judgments)
    models = _by_model(found)
    whole = {name: _with_missing(ones, expected) for name, (ones, _) in models.items()}
    weighted = {name: is_weighted for name, (_, is_weighted) in models.items()}
    controlled = {name: _controlled(control, ones, weighted[name]) for name, ones in whole.items()}
    scores = with_agreement({name: _score(ones, controlled[name], weighted[name], ran) for name, ones in whole.items()})
    rows = {name: _row(scores[name], ones, controlled[name]) for name, ones in whole.items()}
    texts = {index: text for text, index in instructions.items()}
    return Stored("alpaca-eval", rows, scores, {"annotations.json": lambda: as_list(annotation_rows(flat, texts))})


def _by_model(found: Mapping[Path, Sequence[alpaca.Annotation]]) -> dict[str, tuple[list[alpaca.Annotation], bool]]:
    """By model its annotations, and whether they are AlpacaEval 2's: all of a judge are, where a model may only draw.

    Several CSVs, which name neither reference nor judge, are kept apart by their names.
    """
    told = [
        (one, path.name if len(found) > 1 and not one.reference else "") for path, ones in found.items() for one in ones
    ]
    sides = gathered(told, lambda pair: (pair[0].model, pair[0].reference, pair[0].judge or pair[1]))
    models = {name: [one for one, _ in pairs] for name, pairs in sides.items()}
    judges = {name: (pairs[0][0].reference, pairs[0][0].judge or pairs[0][1]) for name, pairs in sides.items()}
    weighted = {judges[name] for name, ones in models.items() if alpaca.are_weighted(ones)}
    return {name: (ones, judges[name] in weighted) for name, ones in models.items()}


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


def _controlled(control: Control | None, annotations: Sequence[alpaca.Annotation], weighted: bool) -> Controlled | None:
    """Only against the reference that the difficulties are of; the CSV does not name it, but its preferences do."""
    if not covered(sum(one.preference is not None for one in annotations), len(annotations)):
        return None
    reference = annotations[0].reference
    return control.of(annotations) if control and (reference == REFERENCE or (not reference and weighted)) else None


def _score(
    annotations: Sequence[alpaca.Annotation], controlled: Controlled | None, weighted: bool, ran: Mapping[str, Any]
) -> Score:
    notes = [f"length-controlled win rate: {controlled.how}"] if controlled else []
    measure = controlled.measure if controlled else None
    return alpaca.summarise(annotations, ran=ran, notes=notes, weighted=weighted, length_controlled=measure)


def _row(score: Score, annotations: Sequence[alpaca.Annotation], controlled: Controlled | None) -> dict[str, Any]:
    row: dict[str, Any] = asdict(alpaca.rates(one.preference for one in annotations))
    row |= {"metric": score.metric, "unscored": score.unscored, "against": score.against, "judge": score.judge}
    if score.measure.value is None:
        return row | dict.fromkeys(("win_rate", "standard_error", "discrete_win_rate")) | {"notes": list(score.notes)}
    lengths = [one.lengths[0] for one in annotations if one.lengths]
    if lengths:
        row["avg_length"] = int(sum(lengths) / len(lengths))
    if controlled:
        row |= {"length_controlled_winrate": controlled.win_rate, "lc_standard_error": controlled.standard_error}
        row["length_controlled_from"] = controlled.how
    return row | {"low": score.measure.low, "high": score.measure.high, "notes": list(score.notes)}

"""AlpacaEval's annotations, in and out: its own annotations.json, and a compact CSV of many models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.evaluate.judged.alpaca import Annotation, normal_preference
from evolute.evaluate.judged.rows import Row, read_cells, read_rows

CSV_COLUMNS = ("model", "index", "preference", "len_output_1", "len_output_2", "switched", "raw")
"""Of the compact CSV: output_1 is the reference's, and `raw` is what the judge said."""
_TRUE = frozenset({"1", "1.0", "True", "true"})
_NO_GROUPS: Mapping[str, str] = {}
_NO_PREFERENCE = "the file has no preference for it"


def read_annotations(path: Path, instructions: Mapping[str, str] | None = None) -> list[Annotation]:
    """The annotations of a file, of one model or of many, in either format; also gzip's.

    An instruction's id is that of `instructions`, or else its text; the CSV's is its index.

    Args:
        path: annotations.json, or the compact CSV.
        instructions: ids by text.

    Raises:
        InputError: the file is neither, a field is missing or wrong, or an instruction comes twice for a model.
    """
    if path.name.removesuffix(".gz").endswith(".csv"):
        return _from_csv(path)
    return _from_json(path, instructions or {})


def read_instructions(path: Path) -> dict[str, str]:
    """Ids by text, from a file of instructions with an `index` each, or else numbered from 0.

    Raises:
        InputError: it cannot be read, or an instruction comes twice.
    """
    ids: dict[str, str] = {}
    for number, row in enumerate(read_rows(path)):
        text = row.text("instruction")
        if text in ids:
            raise InputError(f"{row.where}: the instruction {text[:60]!r} comes twice: leave one out")
        ids[text] = row.text("index", str(number))
    return ids


def annotation_rows(annotations: Iterable[Annotation], instructions: Mapping[str, str]) -> list[dict[str, Any]]:
    """As AlpacaEval writes annotations, without the answers' texts; `instructions` are texts by id.

    `output_1` and `output_2` are told by length alone, as `len_1` and `len_2`.
    """
    return [
        {
            "instruction": instructions.get(one.instruction, one.instruction),
            **one.groups,
            "generator_1": one.reference,
            "generator_2": one.model,
            **({} if one.lengths is None else {"len_1": one.lengths[1], "len_2": one.lengths[0]}),
            "annotator": one.judge,
            "preference": one.preference,
            "raw_completion": one.text or None,
        }
        for one in annotations
    ]


def as_list(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A JSON list, as AlpacaEval's files are."""
    return (json.dumps(rows, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "backslashreplace")


def _from_json(path: Path, instructions: Mapping[str, str]) -> list[Annotation]:
    seen: dict[tuple[str, str, str], str] = {}
    found = []
    for row in read_rows(path):
        one = _annotation(row, instructions)
        if (before := seen.setdefault((one.model, one.judge, one.instruction), row.where)) != row.where:
            name = one.instruction[:60]
            raise InputError(
                f"{row.where}: {one.model!r} on {name!r} is judged already, in {before}: leave one of them out"
            )
        found.append(one)
    return found


def _annotation(row: Row, instructions: Mapping[str, str]) -> Annotation:
    text = row.text("instruction")
    preference = _preference(row, row.number("preference"))
    return Annotation(
        instruction=instructions.get(text, text),
        model=row.text("generator_2"),
        reference=row.text("generator_1", ""),
        preference=preference,
        lengths=_lengths(row),
        groups={"dataset": row.text("dataset")} if row.fields.get("dataset") else {},
        judge=row.text("annotator", ""),
        text=_raw(row.fields.get("raw_completion")),
        why="" if preference is not None else _NO_PREFERENCE,
    )


def _preference(row: Row, value: float | None) -> float | None:
    try:
        return normal_preference(value)
    except ValueError:
        raise row.wrong("preference", value, "a number from 1 to 2, 0 for a draw, or null") from None


def _lengths(row: Row) -> tuple[int, int] | None:
    """(the model's, the reference's), in characters as AlpacaEval counts them."""
    theirs, ours = (row.fields.get(f"output_{side}") for side in (1, 2))
    if isinstance(ours, str) and isinstance(theirs, str):
        return len(ours), len(theirs)
    if "len_1" in row.fields and "len_2" in row.fields:
        return row.whole("len_2"), row.whole("len_1")
    return None


def _raw(value: object) -> str:
    """What the judge said; AlpacaEval 2 keeps the whole reply with its log-probabilities."""
    if value is None or isinstance(value, float):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _from_csv(path: Path) -> list[Annotation]:
    numbered = read_cells(path)
    numbers, rows = [number for number, _ in numbered], [cells for _, cells in numbered]
    if not rows or not set(CSV_COLUMNS[:3]) <= set(rows[0]):
        raise InputError(f"{path}: expected columns {', '.join(CSV_COLUMNS)}, got {rows[0] if rows else 'nothing'}")
    if len(rows) == 1:
        raise InputError(f"{path}: no row in it")
    width = len(rows[0])
    for number, cells in numbered:
        if len(cells) != width:
            raise InputError(f"{path}, line {number}: {len(cells)} cells, where the header has {width}")
    found = [_of_cells(path, number, cells) for number, cells in zip(numbers[1:], _arranged(rows), strict=True)]
    _check_once(path, found, numbers[1:])
    return found


def _arranged(rows: Sequence[Sequence[str]]) -> Iterable[Sequence[str]]:
    """The cells of each row as `CSV_COLUMNS` has them, empty where the file lacks a column."""
    width = len(rows[0])
    order = itemgetter(*(rows[0].index(name) if name in rows[0] else width for name in CSV_COLUMNS))
    return (order([*cells, ""]) for cells in rows[1:])


def _of_cells(path: Path, number: int, cells: Sequence[str]) -> Annotation:
    model, index, said, length_1, length_2, switched, raw = cells
    try:
        preference = normal_preference(float(said)) if said else None
        lengths = (int(length_2), int(length_1)) if length_1 and length_2 else None
        shown_first = switched in _TRUE if switched else None
    except ValueError as error:
        raise InputError(f"{path}, line {number}: {error}; mend the row or leave it out") from None
    why = "" if preference is not None else _NO_PREFERENCE
    return Annotation(index, model, "", preference, lengths, shown_first, _NO_GROUPS, "", raw, why)


def _check_once(path: Path, found: Sequence[Annotation], numbers: Sequence[int]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for number, one in zip(numbers, found, strict=True):
        if (before := seen.setdefault((one.model, one.instruction), number)) != number:
            raise InputError(
                f"{path}, line {number}: {one.model!r} on {one.instruction!r} is judged already, in line {before}: "
                "leave one of them out"
            )

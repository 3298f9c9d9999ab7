"""Write a dataset in the shape that a trainer reads: Alpaca, ShareGPT, chat messages, or Parquet.

Rows stream in and bytes stream out; the file appears whole or not at all; the same rows give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from evolute.errors import InputError
from evolute.export.shapes import SHAPES
from evolute.export.writers import write_json, write_parquet
from evolute.files import replacing
from evolute.records import Row

Format = Literal["alpaca", "sharegpt", "messages", "parquet"]

_LINES = (".jsonl", ".ndjson", "")
_SUFFIXES = {"parquet": (".parquet", "")}

__all__ = ["Format", "export"]


def export(rows: Iterable[Row], format: Format, out: Path, *, lineage: bool = True, reasoning: bool = False) -> int:
    """Write `rows`, in their order, to the file `out`, replacing what is there; returns how many were written.

    The JSON formats are an array where `out` ends with `.json` and one object a line otherwise (`.jsonl`, `.ndjson`,
    no suffix), compressed where `.gz` follows. `lineage` adds the columns that say how a row came to be; `reasoning`
    the responder's reasoning. A row without a response has an empty `output` in Alpaca, no answering turn in ShareGPT
    and messages, and a null `response` in Parquet.

    Raises:
        InputError: unknown format, a suffix that contradicts it, or a place that cannot be written.
        MissingExtra: Parquet without pyarrow.
    """
    suffix, compress = _check(format, out)
    with replacing(out) as file:
        if format == "parquet":
            return write_parquet(rows, file, lineage=lineage, reasoning=reasoning)
        shape = SHAPES[format]
        records = (shape(row, lineage=lineage, reasoning=reasoning) for row in rows)
        return write_json(records, file, array=suffix == ".json", compress=compress)


def _check(format: str, out: Path) -> tuple[str, bool]:
    """The suffix that decides the layout, and whether the file is compressed."""
    if format not in get_args(Format):
        raise InputError(f"unknown format {format!r}: choose one of {', '.join(get_args(Format))}")
    allowed = _SUFFIXES.get(format, (".json", *_LINES))
    name, compress = out.name, False
    if format != "parquet" and name.lower().endswith(".gz"):
        name, compress = name[:-3], True
    suffix = Path(name).suffix.lower()
    if suffix not in allowed:
        known = ", ".join(one for one in allowed if one)
        also = " (.gz may follow)" if format != "parquet" else ""
        raise InputError(f"{out}: a file in the format {format} is not called {out.suffix}; use {known}{also}")
    return suffix, compress

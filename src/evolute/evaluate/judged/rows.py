"""Rows of others' files, read strictly: each complaint names file, line, field, value and remedy."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolute.errors import InputError

_LONGEST = 64 << 20
"""Characters of a CSV's cell: the module's own limit, 128 K, is shorter than some judges' replies."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row and where it stands ("judgments.jsonl, line 3")."""

    where: str
    fields: Mapping[str, Any]

    def text(self, name: str, default: str | None = None) -> str:
        """A string, or a number as one.

        Raises:
            InputError: the field is missing (and has no default) or is neither.
        """
        value = self.fields.get(name, default)
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return str(value)
        raise self.wrong(name, value, "a text")

    def whole(self, name: str) -> int:
        """A whole number.

        Raises:
            InputError: the field is missing or is none.
        """
        value = self.fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise self.wrong(name, value, "a whole number")

    def number(self, name: str) -> float | None:
        """A number; None for null and nan.

        Raises:
            InputError: the field is missing or is no number.
        """
        if name in self.fields and (value := self.fields[name]) is None:
            return None
        value = self.fields.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) != math.inf:
            with suppress(OverflowError):  # JSON's integers have no end
                return None if value != value else float(value)
        raise self.wrong(name, value, "a number")

    def wrong(self, name: str, value: object, expected: str) -> InputError:
        """The complaint about a field."""
        said = repr(value) if name in self.fields else "nothing"
        return InputError(f"{self.where}: {name}: expected {expected}, got {said[:200]}; mend the row or leave it out")


def read_bytes(path: Path) -> bytes:
    """A file's bytes, unpacked where it is gzip's.

    Raises:
        InputError: it cannot be read, or is damaged.
    """
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_text(path: Path) -> str:
    """A file's text, which must be UTF-8, unpacked where it is gzip's.

    Raises:
        InputError: it cannot be read, or is no such text.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text: {error}") from None


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON list of objects or of JSON lines; either may be gzip's.

    Raises:
        InputError: the file cannot be read, is neither, or has no row.
    """
    text = read_text(path)
    rows = list(_listed(path, text) if text.lstrip().startswith("[") else _lines(path, text))
    if not rows:
        raise InputError(f"{path}: no row in it")
    return rows


def read_cells(path: Path) -> list[tuple[int, list[str]]]:
    """The rows of a CSV, each with the line where it begins; blank lines are no rows.

    Raises:
        InputError: the file cannot be read, or is none.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST))
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    found, line = [], 1
    try:
        for cells in reader:
            if cells:
                found.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {line}: not CSV: {error}") from None
    return found


def check_once(rows: Mapping[Any, Row] | None, key: object, row: Row, what: str) -> None:
    """Look that no earlier row is of the same question, model and judge.

    Raises:
        InputError: one is.
    """
    if rows is not None and (before := rows.get(key)) is not None:
        raise InputError(f"{row.where}: {what} is judged already ({before.where}): leave one of the two out")


def _listed(path: Path, text: str) -> Iterator[Row]:
    for number, fields in enumerate(_loaded(text, str(path)), 1):
        yield _row(f"{path}, row {number}", fields)


def _lines(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            yield _row(where, _loaded(line, where))


def _row(where: str, fields: object) -> Row:
    if not isinstance(fields, dict):
        raise InputError(f"{where}: expected an object with fields, got {str(fields)[:80]!r}")
    return Row(where, fields)


def _loaded(text: str, where: str) -> Any:  # noqa: ANN401 - JSON is any of its types
    load: Callable[[str], Any] = json.loads  # and not orjson: AlpacaEval's files hold NaN
    try:
        return load(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {error}") from None

"""Tell a file's format from its beginning, and read its rows: (line or row number from 1, decoded row or `Broken`)."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from evolute.errors import MissingExtra
from evolute.seeds.blocks import LONGEST_ROW, lines, not_utf8, read_blocks, refuse_binary
from evolute.seeds.jsonrows import JsonRows
from evolute.seeds.options import Broken, FileProblem, cut
from evolute.seeds.shapes import known_columns

Rows = Iterator[tuple[int, Any]]

COUNTS_LINES = frozenset({"jsonl", "csv", "text", "code"})  # the others count rows
_SUFFIXES = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "csv", ".tab": "csv",
    ".parquet": "parquet", ".txt": "text", ".text": "text", ".md": "text",
}  # fmt: skip
DATA_SUFFIXES = (*_SUFFIXES, ".gz")
_YAML = frozenset({".yaml", ".yml"})
_JSON_LIST = re.compile(rb"\[\s*[\[\]{\"]")
_JSON_OBJECT = re.compile(rb"\{\s*[}\"]")
_BATCH = 1024  # rows of a Parquet file decoded at once


def open_rows(path: Path | None) -> tuple[str, Rows]:
    """The format of a file (`None`: standard input) and its rows.

    Raises:
        FileProblem: it cannot be read, is empty, or is no data.
        MissingExtra: it is Parquet, and pyarrow is not installed.
    """
    blocks = read_blocks(path)
    head = next(blocks, b"")
    if head.startswith(b"PAR1"):
        return "parquet", _parquet(path)
    refuse_binary(head)
    suffix = _suffix(path)
    kind = sniff(head, suffix)
    if suffix in _YAML and kind in ("text", "csv"):  # each of a recipe's lines would be an instruction
        raise FileProblem("is YAML, which holds no seeds; write them as JSONL, CSV or plain text (docs/seeds.md)")
    everything = chain([head], blocks)
    if kind == "csv":
        return kind, _table(everything, _delimiter(head, suffix))
    reader = {"jsonl": _json_lines, "json": _json, "text": _text, "parquet": _no_parquet}[kind]
    return kind, reader(everything)


def _suffix(path: Path | None) -> str:
    if path is None:
        return ""
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def sniff(head: bytes, suffix: str) -> str:
    """The format that the beginning of a text is in. The suffix decides only where the content leaves it open."""
    named = _SUFFIXES.get(suffix, "")
    start = head.lstrip()
    first, _, rest = start.partition(b"\n")
    if start.startswith(b"{") and (kind := _object_kind(first, rest, named)):
        return kind
    if named == "jsonl":
        return named
    if _JSON_LIST.match(start) and named in ("", "json", "text", "csv"):
        return "json"
    if named:
        return named
    if _delimiter(head, suffix, at_least=2):
        return "csv"
    return "jsonl" if start.startswith(b'"') and _is_json(first) else "text"


def _object_kind(first: bytes, rest: bytes, named: str) -> str:
    """JSON Lines or one JSON document, for a text that begins with a brace; empty where it is neither."""
    if _is_json(first):
        return "jsonl" if rest.strip() or named == "jsonl" else "json"
    if named in ("json", "text", "csv", "") and _JSON_OBJECT.match(first + b"\n" + rest[:4096]):
        broken_line = first.rstrip().endswith(b"}") and rest.lstrip().startswith(b"{")
        return "jsonl" if broken_line else "json"
    return ""


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _delimiter(head: bytes, suffix: str, at_least: int = 0) -> str:
    """What separates the header's cells: the mark that finds the most columns with a usual name.

    Empty where `at_least` so many cells are asked for and no mark makes them, or none has a usual name.
    """
    header = next(iter(head[:4096].decode("utf-8", "replace").strip().splitlines()), "")
    default = "\t" if suffix in (".tsv", ".tab") else ","
    best, score = default, (0, 1)
    for mark in (default, ",", "\t", ";", "|"):
        cells = next(csv.reader([header], delimiter=mark), [])
        if (found := (known_columns(cells), len(cells))) > score and (found[0] or not at_least):
            best, score = mark, found
    return best if score[1] >= at_least else ""


def _json_lines(blocks: Iterable[bytes]) -> Rows:
    loads = orjson.loads
    for number, line in enumerate(lines(blocks), 1):
        try:
            yield number, loads(line)
        except orjson.JSONDecodeError:
            if line.strip():
                yield number, _decode_slowly(line)


def _decode_slowly(line: bytes) -> Any:  # noqa: ANN401 - JSON's own type
    """Read what orjson refuses: NaN and lone surrogates may stand where they do no harm. Else say what is broken."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return Broken(not_utf8(error), line.decode("utf-8", "backslashreplace"))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        found = cut(text[error.pos : error.pos + 40]) if error.pos < len(text) else "the end of the line"
        null = "a null byte in " if "\0" in text else ""
        return Broken(f"{null}broken JSON: {error.msg} at column {error.colno}, found {found}", text)
    except RecursionError:
        return Broken("broken JSON: nested too deeply", text)


def _json(blocks: Iterable[bytes]) -> Rows:
    return iter(JsonRows(blocks))


def _text(blocks: Iterable[bytes]) -> Rows:
    for number, line in enumerate(lines(blocks), 1):
        try:
            text = line.decode().strip()
        except UnicodeDecodeError as error:
            yield number, Broken(not_utf8(error), line.decode("utf-8", "backslashreplace"))
        else:
            if text:
                yield number, text


def _table(blocks: Iterable[bytes], delimiter: str) -> Rows:
    csv.field_size_limit(LONGEST_ROW)  # the module's own limit, 128 KB, is shorter than some answers
    undecodable: list[UnicodeDecodeError] = []
    reader = csv.reader(_decoded_lines(blocks, undecodable), delimiter=delimiter, strict=True)
    header = _header(reader)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, Broken(f"broken table row, up to line {reader.line_num}: {error}; is a quote left open?", "")
            continue
        if undecodable:
            yield line, Broken(not_utf8(undecodable[0]), delimiter.join(cells))
            undecodable.clear()
        elif len(cells) == len(header):
            yield line, dict(zip(header, cells, strict=True))
        elif cells:
            why = f"{len(cells)} cells where the header has {len(header)}; quote cells that hold {delimiter!r}"
            yield line, Broken(why, delimiter.join(cells))


def _decoded_lines(blocks: Iterable[bytes], undecodable: list[UnicodeDecodeError]) -> Iterator[str]:
    for line in lines(blocks):
        try:
            yield line.decode() + "\n"
        except UnicodeDecodeError as error:
            undecodable.append(error)
            yield line.decode("utf-8", "backslashreplace") + "\n"


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        header = next((cells for cells in reader if any(cells)), [])
    except csv.Error as error:
        raise FileProblem(f"the header cannot be read: {error}", 1) from None
    twice = next((name for place, name in enumerate(header) if name and name in header[:place]), None)
    if twice is not None:
        raise FileProblem(f"two columns are called {twice!r}; rename one of them", 1)
    return [name.strip() for name in header]


def _no_parquet(blocks: Iterable[bytes]) -> Rows:
    raise FileProblem("does not begin as a Parquet file; is it cut off, or packed?")


def _parquet(path: Path | None) -> Rows:
    if path is None:
        raise FileProblem("Parquet cannot be read from a pipe; save it to a file first")
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("reading Parquet", "parquet") from None
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                for row in _batch_rows(batch):
                    number += 1
                    yield number, row
    except (pa.ArrowException, OSError) as error:
        raise FileProblem(f"damaged Parquet, after row {number}: {cut(str(error), 200)}") from None


def _batch_rows(batch: Any) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
    try:
        rows: list[Any] = batch.to_pylist()
    except UnicodeDecodeError:
        if batch.num_rows == 1:
            return [Broken("a text that is not UTF-8; write the file again with its text as UTF-8", "")]
        return [row for place in range(batch.num_rows) for row in _batch_rows(batch.slice(place, 1))]
    return rows

"""Records to bytes: JSON in two layouts, and Parquet. The same records give the same bytes."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import orjson

from evolute.errors import InputError
from evolute.export.columns import Columns, arrow_schema

_ROWS_AT_ONCE = 2048
"""Rows of a Parquet row group, and so the most that are held in memory."""

Write = Callable[[dict[str, Any]], None]

KINDS: dict[str, Literal["array", "lines", "parquet"]] = {
    ".json": "array",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".parquet": "parquet",
}


@dataclass(frozen=True, slots=True)
class Container:
    """What a file is inside: a JSON array, JSON lines (either may be compressed with gzip) or Parquet."""

    kind: Literal["array", "lines", "parquet"]
    compress: bool = False

    @property
    def suffix(self) -> str:
        """How such a file's name ends."""
        name = next(suffix for suffix, kind in KINDS.items() if kind == self.kind)
        return f"{name}.gz" if self.compress else name


def container_of(out: Path) -> Container | None:
    """The container that a file's name asks for; None if it is no such name."""
    name = out.name.lower()
    compress = name.endswith(".gz")
    kind = KINDS.get(Path(name.removesuffix(".gz")).suffix)
    if kind is None or (compress and kind == "parquet"):
        return None
    return Container(kind, compress)


def container_named(name: str) -> Container:
    """The container that is called `parquet`, `jsonl` or `jsonl.gz`, say.

    Raises:
        InputError: there is none of that name.
    """
    container = container_of(Path(f"rows.{name}"))
    if container is None:
        raise InputError(f"unknown container {name!r}: choose one of parquet, jsonl, json, jsonl.gz, json.gz")
    return container


@contextmanager
def writing(container: Container, file: BinaryIO, columns: Columns) -> Iterator[Write]:
    """A function that writes one record; what the container needs at its end is written when the block ends.

    Parquet holds the name and version of the pyarrow that wrote it (the format wants that), so its bytes are the same
    as long as that is. In JSON a text that is not there is empty rather than null, since a column whose first rows are
    all null has no type for a reader.

    Raises:
        MissingExtra: Parquet without pyarrow.
    """
    with ExitStack() as stack:
        if container.kind == "parquet":
            yield stack.enter_context(_parquet(file, columns))
            return
        if container.compress:  # gzip's header names neither a time nor a file
            packed = gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0)
            put: Callable[[bytes], object] = stack.enter_context(packed).write
        else:
            put = file.write
        yield stack.enter_context(_array(put) if container.kind == "array" else _lines(put))


@contextmanager
def _lines(put: Callable[[bytes], object]) -> Iterator[Write]:
    def write(record: dict[str, Any]) -> None:
        put(orjson.dumps(_filled(record), option=orjson.OPT_APPEND_NEWLINE))

    yield write


@contextmanager
def _array(put: Callable[[bytes], object]) -> Iterator[Write]:
    before = b"[\n"

    def write(record: dict[str, Any]) -> None:
        nonlocal before
        put(before)
        put(orjson.dumps(_filled(record)))
        before = b",\n"

    yield write
    put(b"\n]\n" if before == b",\n" else b"[]\n")


def _filled(record: dict[str, Any]) -> dict[str, Any]:
    if None not in record.values():
        return record
    return {name: "" if value is None else value for name, value in record.items()}


@contextmanager
def _parquet(file: BinaryIO, columns: Columns) -> Iterator[Write]:
    schema = arrow_schema(columns)
    import pyarrow as pa
    from pyarrow import parquet

    waiting: list[dict[str, Any]] = []
    with parquet.ParquetWriter(file, schema, compression="zstd", compression_level=3, version="2.6") as writer:

        def flush() -> None:
            writer.write_batch(pa.RecordBatch.from_pylist(waiting, schema=schema))
            waiting.clear()

        def write(record: dict[str, Any]) -> None:
            waiting.append(record)
            if len(waiting) == _ROWS_AT_ONCE:
                flush()

        yield write
        if waiting:
            flush()

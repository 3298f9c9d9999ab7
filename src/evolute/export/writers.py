"""Records to bytes: JSON in two layouts, and Parquet. The same records give the same bytes."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, BinaryIO

import orjson

from evolute.errors import MissingExtra
from evolute.export.shapes import conversation, lineage_columns
from evolute.records import Row

_ROWS_AT_ONCE = 2048
"""Rows of a Parquet row group, and so the most that are held in memory."""


def write_json(records: Iterable[dict[str, Any]], file: BinaryIO, *, array: bool, compress: bool) -> int:
    """Write one object a line, or an array of them; gzip's header names neither a time nor a file."""
    if compress:
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            return _write_objects(records, packed.write, array=array)
    return _write_objects(records, file.write, array=array)


def _write_objects(records: Iterable[dict[str, Any]], write: Callable[[bytes], object], *, array: bool) -> int:
    count = 0
    for count, record in enumerate(records, start=1):
        if array:
            write(b"[\n" if count == 1 else b",\n")
        write(orjson.dumps(record) if array else orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
    if array:
        write(b"\n]\n" if count else b"[]\n")
    return count


def write_parquet(rows: Iterable[Row], file: BinaryIO, *, lineage: bool, reasoning: bool) -> int:
    """Write `messages` and the same as single columns, zstd-compressed.

    The bytes hold the name and version of pyarrow that wrote them (the format wants that), so they are the same as
    long as it is. Types are fixed, whatever the rows hold.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("Parquet", "parquet") from None
    schema = _schema(pa, lineage=lineage, reasoning=reasoning)
    count = 0
    with parquet.ParquetWriter(file, schema, compression="zstd", compression_level=3, version="2.6") as writer:
        waiting = iter(rows)
        while batch := list(islice(waiting, _ROWS_AT_ONCE)):
            records = [_record(row, schema.names) for row in batch]
            writer.write_batch(pa.RecordBatch.from_pylist(records, schema=schema))
            count += len(batch)
    return count


def _schema(pa: Any, *, lineage: bool, reasoning: bool) -> Any:  # noqa: ANN401 - pyarrow has no types
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    fields = [("messages", pa.list_(turn)), ("instruction", pa.string()), ("input", pa.string())]
    fields += [("response", pa.string())] + [("reasoning", pa.string())] * reasoning
    if lineage:
        names = ("id", "parent", "root", "round", "operation", "verdict", "evolver", "judge", "responder", "source")
        fields += [(name, pa.int32() if name == "round" else pa.string()) for name in names] + [("line", pa.int64())]
    return pa.schema(fields)


def _record(row: Row, names: list[str]) -> dict[str, Any]:
    columns = {
        "messages": [{"role": turn.role, "content": turn.content} for turn in conversation(row)],
        "instruction": row.instruction,
        "input": row.input,
        "response": row.response,
        "reasoning": row.reasoning,
    }
    columns |= lineage_columns(row)
    return {name: columns[name] for name in names}

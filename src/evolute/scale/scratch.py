"""A folder that every node of a cluster sees: a dataset's rows in Parquet blocks, and arrays, for as long as a job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from evolute.batches import batched
from evolute.errors import InputError, MissingExtra
from evolute.records import Message, Row

BLOCK = 18_000
"""Rows in a block: as many as one machine compares with benchmarks in meaning at once, in batches of 2,000. So even an
encoder whose vectors depend in their last bit on what is encoded together gives the same ones."""

_COLUMNS = tuple(field.name for field in fields(Row))
_HISTORY = _COLUMNS.index("history")


@dataclass(frozen=True)
class Scratch:
    """The folder, given to workers as it is.

    Attributes:
        url: a path, or whatever address fsspec knows (https://filesystem-spec.readthedocs.io).
        size: rows in each block, but for the last one.
    """

    url: str
    size: int = BLOCK

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        try:
            import fsspec
        except ImportError:
            raise MissingExtra("--on ray", "scale") from None
        try:
            fs, path = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise InputError(f"--scratch {self.url!r}: {error}") from None
        return fs, path

    @contextmanager
    def opened(self) -> Iterator[Scratch]:
        """The folder, empty, for the length of a block; then it is gone.

        Raises:
            InputError: it cannot be written.
        """
        fs, path = self._opened
        try:
            if fs.exists(path):
                fs.rm(path, recursive=True)
            fs.makedirs(path, exist_ok=True)
            self.save("probe", np.zeros(1))  # some stores make any folder, and refuse the first file
        except (OSError, NotImplementedError) as error:
            raise InputError(f"--scratch: {self.url!r} cannot be written: {error or 'it is read-only'}") from None
        try:
            yield self
        finally:
            fs.rm(path, recursive=True)

    def write_rows(self, rows: Iterable[Row]) -> Iterator[list[Row]]:
        """Write a dataset's rows, block by block, and give each block when it is written."""
        import pyarrow
        import pyarrow.parquet

        fs, path = self._opened
        for number, block in enumerate(batched(rows, self.size)):
            columns = {name: [getattr(row, name) for row in block] for name in _COLUMNS}
            columns["history"] = [orjson.dumps(turns).decode() if turns else "" for turns in columns["history"]]
            schema = pyarrow.schema([(name, _TYPES.get(name, "string")) for name in _COLUMNS])
            table = pyarrow.table(columns, schema=schema)
            pyarrow.parquet.write_table(table, f"{path}/rows-{number}.parquet", filesystem=fs, compression="zstd")
            yield block

    def rows(self, block: int) -> list[Row]:
        """The rows of a block.

        Raises:
            InputError: this machine does not see the folder.
        """
        import pyarrow.parquet

        fs, path = self._opened
        try:
            table = pyarrow.parquet.ParquetFile(f"{path}/rows-{block}.parquet", filesystem=fs).read()
        except FileNotFoundError:
            raise InputError(self._unseen()) from None
        columns = [table[name].to_pylist() for name in _COLUMNS]
        columns[_HISTORY] = [_turns(text) for text in columns[_HISTORY]]
        return [Row(*values) for values in zip(*columns, strict=True)]

    def save(self, name: str, array: NDArray[Any]) -> None:
        """Keep an array under a name, in the place of what was there."""
        fs, path = self._opened
        with fs.open(f"{path}/{name}.npy", "wb") as file:
            np.save(file, np.ascontiguousarray(array), allow_pickle=False)

    def load(self, name: str, row: int | None = None) -> NDArray[Any]:
        """An array by its name, or one row of it (of its first axis) without the others.

        Raises:
            InputError: this machine does not see the folder.
        """
        fs, path = self._opened
        try:
            if "file" in fs.protocol:
                array: NDArray[Any] = np.load(f"{path}/{name}.npy", mmap_mode="r", allow_pickle=False)
                return array if row is None else array[row]
            with fs.open(f"{path}/{name}.npy", "rb") as file:
                if row is None:
                    return np.load(file, allow_pickle=False)  # type: ignore[no-any-return]
                np.lib.format.read_magic(file)
                shape, _, kind = np.lib.format.read_array_header_1_0(file)
                width = int(np.prod(shape[1:])) * kind.itemsize
                file.seek(row * width, 1)
                return np.frombuffer(file.read(width), dtype=kind).reshape(shape[1:])
        except FileNotFoundError:
            raise InputError(self._unseen()) from None

    def _unseen(self) -> str:
        return f"a worker does not see {self.url!r}: give --scratch a folder or an address that all of Ray's nodes see"


_TYPES = {"round": "int32", "line": "int64", "verified": "bool"}


def _turns(text: str) -> tuple[Message, ...]:
    return tuple(Message(**turn) for turn in orjson.loads(text)) if text else ()

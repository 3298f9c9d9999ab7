"""Records to numbered files, as the hub names them: `data/train-00000-of-00004.parquet`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from evolute.export.columns import Columns
from evolute.export.writers import Container, Write, writing
from evolute.files import new_file

Keyed = Iterable[tuple[int, dict[str, Any]]]
"""Records, each with the number of the group that it must not be parted from."""


class Shards:
    """One split's files, written one after the other; their number is known, and put into the names, at the end.

    Args:
        folder: where they go.
        split: `train` or `validation`.
        container: what each file is.
        columns: the columns of every record.
        sizes: the rows of each file: one number for all of them, or one for each.
    """

    def __init__(
        self, folder: Path, split: str, container: Container, columns: Columns, sizes: int | Sequence[int]
    ) -> None:
        self.rows = 0
        self._folder, self._split = folder, split
        self._container, self._columns = container, columns
        self._sizes = repeat(sizes) if isinstance(sizes, int) else iter(sizes)
        self._room = 0
        self._files: list[Path] = []
        self._open = ExitStack()
        self._write: Write

    def write(self, record: dict[str, Any]) -> None:
        """Append a record, to a new file if the last is full."""
        if not self._room:
            self._begin()
        self._write(record)
        self._room -= 1
        self.rows += 1

    def __enter__(self) -> Shards:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Close the last file and name all; a split without rows has none, since `datasets` loads no empty split."""
        self._open.close()
        if kind is None:
            for number, path in enumerate(self._files):
                name = f"{self._split}-{number:05}-of-{len(self._files):05}{self._container.suffix}"
                path.rename(self._folder / name)

    def _begin(self) -> None:
        self._open.close()
        self._room = next(self._sizes)
        path = self._folder / f"{self._split}-{len(self._files):05}.partial"
        self._files.append(path)
        file = self._open.enter_context(new_file(path))
        self._write = self._open.enter_context(writing(self._container, file, self._columns))


def even(rows: int, shards: int) -> list[int]:
    """The sizes of at most so many shards, none of them empty, as equal as they can be."""
    shards = max(1, min(shards, rows))
    least, more = divmod(rows, shards)
    return [least + 1] * more + [least] * (shards - more)


class Spool:
    """Records put aside in a file until all have been seen, so that memory stays flat."""

    def __init__(self, path: Path, records: Keyed) -> None:
        self._path = path
        self.groups: dict[int, int] = {}
        with path.open("xb") as file:
            for number, record in records:
                file.write(orjson.dumps([number, record], option=orjson.OPT_APPEND_NEWLINE))
                self.groups[number] = self.groups.get(number, 0) + 1

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The records again, in the order in which they came."""
        with self._path.open("rb") as file:
            for line in file:
                number, record = orjson.loads(line)
                yield number, record

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the file."""
        self._path.unlink()

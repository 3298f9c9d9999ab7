"""Preferences to train on, from wherever they lie: a run that was graded, an exported folder, a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evolute.errors import InputError
from evolute.export.shapes import asked
from evolute.ledger import LEDGER
from evolute.pipeline.publishing import preferences
from evolute.seeds.options import Broken, FileProblem
from evolute.seeds.rows import COUNTS_LINES, DATA_SUFFIXES, open_rows
from evolute.train.preferences import Preferred, as_preferred


def read_preferences(path: Path) -> list[Preferred]:
    """All preferences of a dataset, in its order.

    Args:
        path: a run whose responses were graded (its best against its worst); or a folder of `evolute export`, or any
            file, in the form `preference` or `preference-text`, which is TRL's. Of a folder with splits, `train`.

    Raises:
        InputError: it cannot be read, holds none, or a row is no preference; the message names file and line.
    """
    if (path / LEDGER).is_file():
        found = [
            Preferred(tuple(asked(pair.row)), pair.chosen, pair.rejected, f"{path}, {pair.row.id}", pair.row.root)
            for pair in preferences(path)
        ]
    else:
        found = [pair for file in _files(path) for pair in _read(file)]
    if not found:
        raise InputError(f"{path}: holds no preferences")
    return found


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("data/train-*")) or sorted(one for one in path.iterdir() if one.suffix in DATA_SUFFIXES)
    if not files:
        raise InputError(f"{path}: neither a run nor a folder with data: export one with `evolute export`")
    return files


def _read(file: Path) -> Iterator[Preferred]:
    try:
        kind, rows = open_rows(file)
        unit = "line" if kind in COUNTS_LINES else "row"
        for number, row in rows:
            where = f"{file}, {unit} {number}"
            if isinstance(row, Broken):
                raise InputError(f"{where}: {row.why}")
            if not isinstance(row, dict):
                raise InputError(f"{where}: not a row with prompt, chosen and rejected: {str(row)[:80]!r}")
            yield as_preferred(row, where)
    except FileProblem as problem:
        raise InputError(f"{file}: {problem}") from None

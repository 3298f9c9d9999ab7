"""Write a dataset in the shape that a trainer reads: as one file, or as a folder that is ready to publish.

A format says what a row looks like; the file's name says what it is kept in (`.json`, `.jsonl`, `.parquet`). Rows
stream in and bytes stream out; what is written appears whole or not at all; the same rows give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from evolute.errors import InputError, MissingExtra
from evolute.export.card import CardFacts, dataset_card
from evolute.export.columns import arrow_schema
from evolute.export.folders import Layout, write_folder
from evolute.export.preferences import Preference, preference_shape
from evolute.export.shapes import Shape, row_shape
from evolute.export.splitting import group
from evolute.export.writers import Container, container_of, writing
from evolute.files import regular, replacing
from evolute.records import Row

T = TypeVar("T")

Format = Literal["alpaca", "sharegpt", "messages", "prompt-completion", "prompt-completion-text", "rows", "parquet"]
"""What a row looks like; `parquet` is `rows` kept in Parquet."""

PreferenceFormat = Literal["preference", "preference-text"]

__all__ = [
    "CardFacts",
    "Format",
    "Preference",
    "PreferenceFormat",
    "dataset_card",
    "export",
    "export_folder",
    "export_preferences",
    "features",
    "is_folder",
]


def export(
    rows: Iterable[Row],
    format: Format,
    out: Path,
    *,
    lineage: bool = True,
    reasoning: bool = False,
    verification: bool = False,
) -> int:
    """Write `rows`, in their order, to the file `out`, replacing what is there; returns how many were written.

    The name of `out` says what it is: `.json` an array, `.jsonl` or `.ndjson` one object a line (`.gz` may follow
    either), `.parquet`. `lineage` adds the columns that say how a row came to be; `reasoning` the responder's
    reasoning; `verification` whether the response is verified, and by which tests. A row without a response has an
    empty `output` in Alpaca, no answering turn in a conversation, and a `response` or `completion` that is null in
    Parquet and empty elsewhere.

    Raises:
        InputError: unknown format, a suffix that no container has, or a place that cannot be written.
        MissingExtra: Parquet without pyarrow.
    """
    shape = _row_shape(format, lineage, reasoning, verification)
    return _write_file(rows, shape, _container(format, out), out)


def export_folder(
    rows: Iterable[Row],
    format: Format,
    out: Path,
    *,
    container: str = "parquet",
    shards: int | None = None,
    rows_per_shard: int | None = None,
    validation: float = 0,
    seed: int = 0,
    lineage: bool = True,
    reasoning: bool = False,
    verification: bool = False,
    facts: CardFacts | None = None,
    figures: Sequence[Path] = (),
) -> dict[str, int]:
    """Write `rows`, in their order, as a folder that `datasets.load_dataset` reads and the hub shows.

    It holds `data/train-00000-of-00004.parquet` and so on, a README.md with the dataset's card, and the figures. It
    appears whole or not at all, and takes the place of an earlier export there; any other folder is left alone.

    Args:
        rows: the rows; they stream.
        format: what a row looks like.
        out: the folder.
        container: what each file is: `parquet`, `jsonl`, `json`, `jsonl.gz` or `json.gz`.
        shards: how many files of training rows, nearly equal, none empty; the rows are put aside on the disk for that.
        rows_per_shard: the rows of each file instead, 100,000 by default.
        validation: what share of the lineages to hold out (0.05), or at least how many rows (500). No lineage and no
            conversation is on both sides. A share is decided seed by seed, so it is met about, and what was decided
            stays when rows are added.
        seed: another seed holds out others.
        lineage: include where each row comes from.
        reasoning: include the responder's reasoning.
        verification: include whether the response is verified, and its tests.
        facts: what the card tells beside the files.
        figures: PNG files to put into the folder and onto the card.

    Returns:
        The number of rows of each split; one that got none has no file.

    Raises:
        InputError: there are no rows, an option has an impossible value, or the folder must not or cannot be written.
        MissingExtra: Parquet without pyarrow.
    """
    return write_folder(
        rows,
        _row_shape(format, lineage, reasoning, verification),
        lambda row: group(row, seed),
        out,
        Layout("parquet" if format == "parquet" else container, shards, rows_per_shard, validation),
        facts or CardFacts(),
        figures,
    )


def export_preferences(
    pairs: Iterable[Preference],
    out: Path,
    *,
    format: PreferenceFormat = "preference",
    lineage: bool = True,
    container: str = "parquet",
    shards: int | None = None,
    rows_per_shard: int | None = None,
    validation: float = 0,
    seed: int = 0,
    facts: CardFacts | None = None,
    figures: Sequence[Path] = (),
) -> dict[str, int]:
    """Write preference pairs as `prompt`, `chosen` and `rejected`, with their scores, for TRL's DPO.

    `out` is a file where its name ends like one (`.jsonl`, `.json`, `.parquet`; `.gz`), and a folder otherwise. The
    other options are those of `export_folder`, and have no meaning for a file.

    Raises:
        InputError: unknown format, an option has an impossible value, or `out` must not or cannot be written.
        MissingExtra: Parquet without pyarrow.
    """
    shape = preference_shape(_known(format, PreferenceFormat), lineage=lineage)
    if not is_folder(out, several=bool(shards or rows_per_shard or validation)):
        return {"train": _write_file(pairs, shape, _container(format, out), out)}
    return write_folder(
        pairs,
        shape,
        lambda pair: group(pair.row, seed),
        out,
        Layout(container, shards, rows_per_shard, validation),
        facts or CardFacts(),
        figures,
    )


def is_folder(out: Path, *, several: bool = False) -> bool:
    """Whether `out` is meant as a folder: it is one, has no suffix, or is no file's name though `several` are wanted.

    Raises:
        InputError: `out` is called like a file, and several are wanted.
    """
    if out.is_dir():
        return True
    if container_of(out) is None:
        return several or not out.suffix
    if several:
        raise InputError(f"{out} is one file, and shards or a validation split are several: name a folder")
    return False


def features(
    format: Format | PreferenceFormat, *, lineage: bool = True, reasoning: bool = False, verification: bool = False
) -> Any:  # noqa: ANN401
    """The columns of a format as `datasets.Features`, for `load_dataset(..., features=...)` on a file of JSON.

    Without it `load_dataset` guesses them from the first ten megabytes. Parquet and exported folders need no help.

    Raises:
        InputError: unknown format.
        MissingExtra: the package `datasets` is not installed.
    """
    if format in get_args(PreferenceFormat):
        columns = preference_shape(format, lineage=lineage).columns
    else:
        columns = _row_shape(format, lineage, reasoning, verification).columns
    try:
        from datasets import Features
    except ImportError:
        raise MissingExtra("datasets.Features", "parquet") from None
    return Features.from_arrow_schema(arrow_schema(columns))


def _write_file(items: Iterable[T], shape: Shape[T], kept_in: Container, out: Path) -> int:
    count = 0
    with replacing(out) as file, writing(kept_in, file, shape.columns) as write:
        for item in items:
            write(shape.record(item))
            count += 1
    return count


def _row_shape(format: str, lineage: bool, reasoning: bool, verification: bool) -> Shape[Row]:
    name = _known(format, Format)
    shape = "rows" if name == "parquet" else name
    return row_shape(shape, lineage=lineage, reasoning=reasoning, verification=verification)


def _known(format: str, formats: Any) -> str:  # noqa: ANN401 - a Literal is no type of its own
    if format not in get_args(formats):
        raise InputError(f"unknown format {format!r}: choose one of {', '.join(get_args(formats))}")
    return format


def _container(format: str, out: Path) -> Container:
    regular(out)
    kept_in = container_of(out)
    if kept_in is None or (format == "parquet" and kept_in.kind != "parquet"):
        known = ".parquet" if format == "parquet" else ".jsonl, .json (.gz may follow either) or .parquet"
        if not out.suffix:
            raise InputError(f"{out}: the name does not say what the file is to be; end it in {known}")
        raise InputError(f"{out}: a file in the format {format} is not called {out.suffix}; use {known}")
    return kept_in

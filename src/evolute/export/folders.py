"""A whole dataset as a folder that `load_dataset` reads and the hub shows: shards of each split, a card, figures."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from evolute.errors import InputError
from evolute.export.card import CardFacts, dataset_card, unchanged
from evolute.export.columns import Columns, arrow_schema, hub_features
from evolute.export.shapes import Shape
from evolute.export.shards import Keyed, Shards, Spool, even
from evolute.export.splitting import below, below_for, check_validation
from evolute.export.writers import Container, container_named
from evolute.files import new_file, replacing_folder

T = TypeVar("T")

ROWS_PER_SHARD = 100_000
"""Rows of a file unless said otherwise: some hundred megabytes, which is what the hub recommends."""

_OURS = re.compile(r"README\.md|data/(train|validation)-\d{5}-of-\d{5}\.(parquet|jsonl?(\.gz)?)|figures/[^/]+\.png")

_FOLDERS = ("data", "figures")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows lie in files; the fields are as in `export_folder`.

    Raises:
        InputError: a field has an impossible value, or two contradict each other.
    """

    container: str = "parquet"
    shards: int | None = None
    rows_per_shard: int | None = None
    validation: float = 0

    def __post_init__(self) -> None:
        container_named(self.container)
        check_validation(self.validation)
        if self.shards is not None and self.rows_per_shard is not None:
            raise InputError("shards and rows per shard decide the same thing: give one of them")
        for name, value in (("shards", self.shards), ("rows per shard", self.rows_per_shard)):
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, got {value!r}")

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits."""
        return ("train", "validation") if self.validation else ("train",)


def write_folder(
    items: Iterable[T],
    shape: Shape[T],
    group: Callable[[T], int],
    out: Path,
    layout: Layout,
    facts: CardFacts,
    figures: Sequence[Path],
) -> dict[str, int]:
    """Write the records of `items`, in their order, into the folder `out`; returns the rows of each split.

    `group` gives the number that decides an item's split. All else is as `export_folder` says.
    """
    kept_in = container_named(layout.container)
    if kept_in.kind == "parquet":
        arrow_schema(shape.columns)  # a missing package is told before a folder is made
    keyed = ((group(item), shape.record(item)) for item in items)
    with replacing_folder(out, objection) as folder:
        (folder / "data").mkdir()
        rows = _write_data(keyed, shape.columns, kept_in, folder, layout)
        shown = _copy_figures(figures, folder / "figures", facts)
        features = hub_features(shape.columns)
        filled = {split: count for split, count in rows.items() if count}
        told = replace(facts, splits=filled, features=features, files=f"*{kept_in.suffix}", figures=shown)
        with new_file(folder / "README.md") as file:
            file.write(dataset_card(told).encode())
    return rows


def _write_data(keyed: Keyed, columns: Columns, kept_in: Container, folder: Path, layout: Layout) -> dict[str, int]:
    """Write the shards; the rows are put aside first where something hangs on their number."""
    bound = below(layout.validation)
    sizes: dict[str, int | Sequence[int]] = dict.fromkeys(layout.splits, layout.rows_per_shard or ROWS_PER_SHARD)
    with ExitStack() as stack:
        if layout.shards is not None or layout.validation >= 1:
            spool = stack.enter_context(Spool(folder / "rows.partial", keyed))
            keyed = iter(spool)
            if layout.validation >= 1:
                bound = below_for(int(layout.validation), spool.groups)
            if layout.shards is not None:
                held = sum(rows for number, rows in spool.groups.items() if number < bound)
                sizes = _even_sizes(sum(spool.groups.values()) - held, held, layout.shards)
        written = {
            split: stack.enter_context(Shards(folder / "data", split, kept_in, columns, sizes[split]))
            for split in layout.splits
        }
        for number, record in keyed:
            written["validation" if number < bound else "train"].write(record)
    rows = {split: shards.rows for split, shards in written.items()}
    if not any(rows.values()):
        raise InputError("there is no row to export, and a folder without rows cannot be loaded")
    if not rows["train"]:
        raise InputError(f"all {rows['validation']:,} rows fell to validation: take a smaller share, or another seed")
    return rows


def _even_sizes(train: int, held: int, shards: int) -> dict[str, int | Sequence[int]]:
    """So many shards of the training rows, and of the others as many as make files of about the same size."""
    largest = max(1, -(-train // shards))
    return {"train": even(train, shards), "validation": even(held, -(-held // largest))}


def objection(folder: Path) -> str:
    """Why an export must not replace the folder: it holds what no export wrote, or a card that was changed by hand."""
    if strange := stranger(folder):
        return f"{strange}. Name a new folder"
    if not unchanged((folder / "README.md").read_text(encoding="utf-8", errors="replace")):
        return "its README.md was changed since. Move the folder away, or name a new one"
    return ""


def stranger(folder: Path) -> str:
    """What shows that the folder is not one that an export wrote; empty where it is."""
    for path in _entries(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() if name in _FOLDERS else _OURS.fullmatch(name)):
            return f"it holds {name}, which no export wrote"
    return "" if (folder / "README.md").is_file() else "it has no README.md, as every export writes"


def _entries(folder: Path) -> Iterator[Path]:
    """What lies where an export writes. Nothing deeper is looked at: the folder may be somebody's home."""
    for path in sorted(folder.iterdir()):
        yield path
        if path.name in _FOLDERS and path.is_dir():
            yield from sorted(path.iterdir())


def _copy_figures(figures: Sequence[Path], folder: Path, facts: CardFacts) -> dict[str, str]:
    """Copy the figures that are there, and give their captions by their new place."""
    shown = {}
    for figure in figures:
        if figure.suffix.lower() != ".png" or not figure.is_file():
            raise InputError(f"{figure}: a figure of the card must be a PNG file that is there")
        folder.mkdir(exist_ok=True)
        with new_file(folder / figure.name) as file, figure.open("rb") as source:
            shutil.copyfileobj(source, file)
        shown[f"figures/{figure.name}"] = facts.figures.get(figure.name, figure.stem.replace("-", " "))
    return shown

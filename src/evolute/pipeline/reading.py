"""Reading a run: how it stands, its rows, and its rows in the formats that trainers read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from evolute.errors import InputError
from evolute.export import CardFacts, Format
from evolute.export import export as write
from evolute.export import export_folder as write_folder
from evolute.ledger import LEDGER, Reader, SelectionReader
from evolute.pipeline.summary import DATASET, Summary, run_recipe, summarise
from evolute.records import Row

OWN_FILES = frozenset({LEDGER, "recipe.yaml", DATASET, "bad-rows.jsonl", "report.html", "run.lock"})


def status(run: str | Path) -> Summary:
    """How a run stands; also while another process writes it.

    Raises:
        InputError: there is no run.
        LedgerError: its ledger cannot be read.
    """
    with Reader(Path(run)) as reader:
        return summarise(Path(run), reader)


def dataset(run: str | Path, *, seeds: bool = True, selected: bool = True, up_to: int | None = None) -> Iterator[Row]:
    """The rows of the dataset in seed order, streamed.

    Args:
        run: the run's folder.
        seeds: include the seeds themselves.
        selected: only the rows that `select` kept, where the run has been selected.
        up_to: leave out the rows of later rounds.

    Raises:
        InputError: there is no run, or it has rows that its selection has not seen.
    """
    with Reader(Path(run)) as reader:
        reader.hold()
        selection = SelectionReader(reader)
        if not selected or selection.note() is None:
            yield from reader.dataset(seeds=seeds, up_to=up_to)
            return
        if not selection.is_current():
            raise InputError(
                f"{run} has changed since its rows were selected: run `evolute select {run}` again, or leave the "
                "selection aside with --unselected"
            )
        for _, row in selection.rows():
            if (seeds or row.round) and (up_to is None or row.round <= up_to):
                yield row


def export(
    run: str | Path,
    format: Format,
    out: str | Path,
    *,
    seeds: bool = True,
    selected: bool = True,
    up_to: int | None = None,
    lineage: bool = True,
    reasoning: bool = False,
) -> int:
    """Write the dataset of a run; returns the number of rows.

    Args:
        run: the run's folder.
        format: `alpaca`, `sharegpt`, `messages`, `prompt-completion`, `prompt-completion-text`, `rows` or `parquet`.
        out: the file, its suffix saying what it is (`.jsonl`, `.json`, `.parquet`; `.gz`); it is replaced as a whole or
            not at all.
        seeds: include the seeds themselves.
        selected: only the rows that `select` kept, where the run has been selected.
        up_to: leave out the rows of later rounds.
        lineage: include where each row comes from. Where the recipe verifies answers, the columns `verified` and
            `tests` are there in any case.
        reasoning: include reasoning content, where a model gave any.

    Raises:
        InputError: there is no run, the file's suffix contradicts the format, or it is one of the run's own files or
            a file of its seeds.
    """
    check_target(run, Path(out))
    rows = (published(row) for row in dataset(run, seeds=seeds, selected=selected, up_to=up_to))
    verification = run_recipe(Path(run)).verify.answers
    return write(rows, format, Path(out), lineage=lineage, reasoning=reasoning, verification=verification)


def export_folder(
    run: str | Path,
    format: Format,
    out: str | Path,
    *,
    container: str = "parquet",
    shards: int | None = None,
    rows_per_shard: int | None = None,
    validation: float = 0,
    seed: int = 0,
    seeds: bool = True,
    selected: bool = True,
    up_to: int | None = None,
    lineage: bool = True,
    reasoning: bool = False,
    facts: CardFacts | None = None,
    figures: Sequence[Path] = (),
) -> dict[str, int]:
    """Write the dataset of a run as a folder to load or publish; returns the rows of each split.

    The arguments are those of `export` and of `evolute.export.export_folder`.
    """
    check_target(run, Path(out))
    return write_folder(
        (published(row) for row in dataset(run, seeds=seeds, selected=selected, up_to=up_to)),
        format,
        Path(out),
        container=container,
        shards=shards,
        rows_per_shard=rows_per_shard,
        validation=validation,
        seed=seed,
        lineage=lineage,
        reasoning=reasoning,
        verification=run_recipe(Path(run)).verify.answers,
        facts=facts,
        figures=figures,
    )


def check_target(run: str | Path, out: Path) -> None:
    """Look that an export takes the place of nothing that the run lives on.

    Raises:
        InputError: `out` is one of the run's own files, or a file that its seeds were read from.
    """
    place = out.resolve()
    if place.parent == Path(run).resolve() and place.name in OWN_FILES:
        raise InputError(f"{out} is the run's own file: write somewhere else")
    with Reader(Path(run)) as reader:
        for (source,) in reader.select("SELECT path FROM sources"):
            if source and Path(source).resolve() == place:
                raise InputError(f"{out} is the file that the seeds of {run} were read from: write somewhere else")


def published(row: Row) -> Row:
    """The row without the path to its seed's file, which is nobody's business: the file's name stays."""
    return replace(row, source=PurePath(row.source).name)

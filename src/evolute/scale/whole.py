"""A selection's steps over the whole dataset, on Ray: the same findings as on one machine.

The rows go once from the run's ledger into Parquet blocks that all workers see, and every step takes each block through
its own measurer there, as `look_here` does with all rows. What a step keeps of a block is joined here:

- steps that look at rows by themselves (quality, contamination, tokens): their findings, with the rows' numbers
  moved; marks stay packed until they are written;
- exact duplicates: 16 bytes a row;
- near and semantic duplicates: `near.py`, `meaning.py`.

A step that asks an endpoint looks at the blocks in this process: the ledger remembers the answers, and one process
keeps to the endpoint's limits. The mixture needs nothing of this: it is drawn from ids, rounds and operations, which a
selection holds in any case (some 200 bytes a row: with near 100 million rows, what breaks first), or for `cluster`
and `coverage` from vectors that are encoded here.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from evolute.batches import batched
from evolute.ledger import GradeRow
from evolute.pipeline.measuring import BATCH, Look, Looked, Measurer, Step, Table, Texts, within_contexts
from evolute.pipeline.selecting import Looking
from evolute.pipeline.steps import Tools, steps_of
from evolute.recipe import Recipe
from evolute.records import Row, tagged_hash
from evolute.scale.jobs import each
from evolute.scale.meaning import join_vectors, keep_vectors
from evolute.scale.near import join_sets, keep_sets
from evolute.scale.scratch import BLOCK, Scratch
from evolute.scale.starting import check_address, connect
from evolute.select.duplicates import equal_pairs
from evolute.select.findings import Hit, Hits, Pairs

Marks = Mapping[str, Iterable[GradeRow]]


def looking_on(on: str, scratch: str | None = None, *, size: int = BLOCK) -> Looking:
    """What `evolute.pipeline.selecting.select` takes as `looking`, to measure on Ray.

    Nothing is started before there is something to measure.

    Args:
        on: `ray`, `ray://auto` or `ray://HOST:PORT`; see `evolute.scale.starting.connect`.
        scratch: a folder that all nodes see, as a path or an address that fsspec knows; default: the run's own folder.
            It takes about what the rows do and 150 bytes each, besides vectors, and is left as it was.
        size: rows in a block; decides no result.

    Raises:
        InputError: `on` is none of these.
    """
    check_address(on)

    def looking(run: Path, tools: Tools) -> Look:
        place = scratch if scratch and "://" in scratch else str(Path(scratch or run).resolve())
        name = f"scratch-{tagged_hash('scratch-1', str(run.resolve())).hex()[:12]}"
        folder = Scratch(f"{place}/{name}", size)

        def look(dataset: Callable[[], Iterator[Row]], steps: Sequence[Step], table: Table) -> Iterator[Looked]:
            with folder.opened(), connect(on):
                yield from _look(folder, tools, dataset(), steps, table)

        return look

    return looking


def _look(folder: Scratch, tools: Tools, rows: Iterator[Row], steps: Sequence[Step], table: Table) -> Iterator[Looked]:
    count = 0
    for block in folder.write_rows(rows):
        table.add(block)
        count += 1
    there = [step.name for step in steps if not step.asks]
    kept: dict[str, list[Any]] = {step.name: [None] * count for step in steps}
    work = Measuring(folder, _offline(tools.recipe), tuple(there), str(Path.cwd()))
    for number, (parts, unread) in each(work, count if there else 0):
        tools.unread_elsewhere += unread
        for name, part in parts.items():
            kept[name][number] = part
    for step in steps if count else ():
        if step.asks:
            kept[step.name] = [_keep(folder, number, step, folder.rows(number)) for number in range(count)]
        yield step, *_join(folder, step, kept.pop(step.name), len(table.ids))


@dataclass(frozen=True)
class Measuring:
    """Takes a block of rows through some of the steps of a recipe's selection."""

    scratch: Scratch
    recipe: str
    steps: tuple[str, ...]
    cwd: str
    """Where the command runs: the files that a recipe names may be told from there."""

    def __call__(self, block: int) -> tuple[dict[str, Any], int]:
        """What each step keeps of the block, by name; and how many texts the encoder could not read."""
        with chdir(self.cwd if Path(self.cwd).is_dir() else "."):
            steps, tools = _steps(self.recipe)
            rows, before = self.scratch.rows(block), tools.unread
            kept = {step.name: _keep(self.scratch, block, step, rows) for step in steps if step.name in self.steps}
            return kept, tools.unread - before


@lru_cache(maxsize=2)
def _steps(recipe: str) -> tuple[Sequence[Step], Tools]:
    """A recipe's steps, opened once in a worker: benchmarks and encoders take a while to load."""
    tools = Tools(Recipe.model_validate_json(recipe), None)
    return steps_of(tools.recipe.select, tools), tools


_BY_MEANING = ("duplicates", "contamination")


def _offline(recipe: Recipe) -> str:
    """The recipe without steps that ask an endpoint, for those who cannot."""
    if recipe.select.duplicates.encoder in recipe.models:
        select = recipe.select
        parts = {name: getattr(select, name).model_copy(update={"semantic": None}) for name in _BY_MEANING}
        recipe = recipe.model_copy(update={"select": select.model_copy(update=parts)})
    return recipe.model_dump_json()


def _keep(scratch: Scratch, block: int, step: Step, rows: Sequence[Row]) -> Any:  # noqa: ANN401 - what `_join` takes
    measurer = step.open()
    for some in batched(rows, BATCH):
        measurer.add(some)
    if not isinstance(measurer, Texts):
        return _packed(measurer)
    inner, contexts = measurer.inner, bytes(measurer.contexts)
    if step.name == "near-duplicates":
        return keep_sets(scratch, block, inner), contexts
    if step.name == "semantic-duplicates":
        return keep_vectors(scratch, block, inner), contexts
    return inner.keys, contexts


def _join(scratch: Scratch, step: Step, parts: list[Any], count: int) -> tuple[Hits | Pairs, Marks]:
    if isinstance(parts[0], bytes):
        return _joined(parts, scratch.size, count)
    columns, contexts = zip(*parts, strict=True)
    if step.name == "near-duplicates":
        pairs = join_sets(scratch, np.concatenate(columns), step.decides["floor"])
    elif step.name == "semantic-duplicates":
        pairs = join_vectors(scratch, list(columns), step.decides["floor"])
    else:
        pairs = equal_pairs(np.concatenate(columns))
    return within_contexts(pairs, b"".join(contexts)), {}


def _packed(measurer: Measurer) -> bytes:
    """What was found on a block's rows, each by itself, and their marks."""
    found = cast(Hits, measurer.found())
    return pickle.dumps((list(found.hits), {kind: list(grades) for kind, grades in measurer.marks().items()}))


def _joined(parts: Sequence[bytes], size: int, count: int) -> tuple[Hits, Marks]:
    hits: list[Hit] = []
    kinds: dict[str, None] = {}
    for number, part in enumerate(parts):
        own, marks = pickle.loads(part)
        hits += (replace(hit, row=hit.row + number * size) for hit in own)
        kinds.update(dict.fromkeys(marks))
    return Hits(count, hits), {kind: _grades(parts, kind, size) for kind in kinds}


def _grades(parts: Sequence[bytes], kind: str, size: int) -> Iterator[GradeRow]:
    for number, part in enumerate(parts):
        for grade in pickle.loads(part)[1].get(kind, ()):
            yield grade._replace(row=grade.row + number * size)

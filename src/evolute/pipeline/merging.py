"""Runs of one recipe, shards of the seeds on several machines say, into one run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evolute.errors import InputError
from evolute.evolve.walking import walk
from evolute.export import export
from evolute.files import replacing_folder
from evolute.ledger import LEDGER, Reader
from evolute.ledger.batches import batches
from evolute.ledger.merging import merge_ledgers, not_written, take_back
from evolute.ledger.rounds import Rounds
from evolute.pipeline.comparing import decisive_differences
from evolute.pipeline.evolving import write_recipe
from evolute.pipeline.ingest import BAD_ROWS
from evolute.pipeline.summary import DATASET, Summary, run_recipe, summarise
from evolute.recipe import Recipe, Source

_TAKEN = "it holds something already; name a folder that does not exist"


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge came to.

    `summary` is how the merged run stands; `shared` counts the seeds of several runs, `paid_twice` the calls that more
    than one run had made; `taken_back` the lineages to be grown again, because they rest on an answer which an earlier
    run has otherwise.
    """

    summary: Summary
    shared: int
    paid_twice: int
    taken_back: int


def merge(runs: Sequence[str | Path], *, out: str | Path, say: Callable[[str], None] = lambda remark: None) -> Merged:
    """Make one run of several: their seeds (in the order of the runs), calls, candidates and lineages.

    A seed of several runs counts once: a finished lineage wins over an unfinished one, then the earlier run. Calls are
    kept by key, so that the bill is that of the different ones. The recipe is the first run's. A selection is not
    taken over: rows have other numbers now. The runs themselves are left as they are.

    Args:
        runs: at least two folders of runs, made by the same recipe.
        out: the new run's folder; it appears whole or not at all.
        say: told how far it is.

    Raises:
        InputError: fewer than two runs, runs that another recipe made, or `out` is taken.
        RunBusy: one of the runs is being written.
        LedgerError: one of the ledgers is damaged, or `out` cannot be written.
    """
    folders = [Path(run) for run in runs]
    target = Path(out)
    _check_places(folders, target)
    with contextlib.ExitStack() as stack:
        for run in folders:
            Reader(run).close()  # that it is a run comes before whether it is in use
            stack.enter_context(not_written(run))
        recipes = _check_recipes(folders)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = stack.enter_context(replacing_folder(target, lambda folder: _TAKEN))
        ledger = merge_ledgers(folders, partial / LEDGER, say)
        write_recipe(partial, _recipe(recipes, target))
        taken_back = _grown_otherwise(partial) if ledger.differing else []
        if taken_back:
            take_back(partial / LEDGER, taken_back)
        _join_bad_rows(folders, partial / BAD_ROWS)
        with Reader(partial) as reader:
            export(reader.dataset(), "alpaca", partial / DATASET, verification=recipes[0].verify.answers)
    with Reader(target) as reader:
        return Merged(summarise(target, reader), ledger.shared, ledger.recorded - ledger.calls, len(taken_back))


def _check_places(runs: Sequence[Path], out: Path) -> None:
    if len(runs) < 2:
        raise InputError(
            f"a merge needs two runs or more (or one sink), got {len(runs)}: evolute merge RUN RUN --out RUN"
        )
    seen: dict[Path, Path] = {}
    for run in runs:
        other = seen.setdefault(run.resolve(), run)
        if other is not run:
            raise InputError(f"{run} is given twice: name each run once")
    if out.is_file():
        raise InputError(f"--out {out} is a file; name a folder that does not exist")
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"--out {out}: {_TAKEN}")


def _check_recipes(runs: Sequence[Path]) -> list[Recipe]:
    """The runs' recipes, if what decides the evolution is the same in all."""
    recipes, prints = [], []
    for run in runs:
        if not (run / "recipe.yaml").is_file():
            raise InputError(f"{run} has no recipe.yaml, so it has not begun: run `evolute evolve --out {run}` first")
        recipes.append(run_recipe(run))
        with Reader(run) as reader:
            prints.append(reader.meta("fingerprint"))
            if waiting := batches(reader, only_open=True):
                raise InputError(
                    f"{run} waits for batches ({len(waiting):,}), which a merged run would pay for again: fetch them "
                    "first, with the command that submitted them"
                )
            if Rounds.read(reader) is not None:
                raise InputError(
                    f"{run} is evolved round by round with a score of its own (evolve.stop), which a merged run would "
                    "not have: evolve all seeds in one run"
                )
        if prints[-1] is None:
            raise InputError(f"{run} has not begun: run `evolute evolve --out {run}` first, or leave it out")
        if prints[-1] != prints[0]:
            differing = decisive_differences(runs[0], run) or ["the version of Evolute that they were made by"]
            raise InputError(
                f"{runs[0]} and {run} were made by different recipes, so their rows do not belong in one run. They "
                f"differ in: {'; '.join(differing)}"
            )
    return recipes


def _recipe(recipes: Sequence[Recipe], out: Path) -> Recipe:
    """The first run's; where its seeds are read is that of all only if they say the same."""
    first = recipes[0]
    alike = all(recipe.seeds == first.seeds for recipe in recipes)
    return first.model_copy(update={"out": str(out), "seeds": first.seeds if alike else Source()})


def _grown_otherwise(run: Path) -> list[int]:
    """The seeds whose verdicts do not follow from the calls that were kept."""
    found = []
    with Reader(run) as reader:
        for again in walk(reader, run_recipe(run)):
            stored = set(reader.candidates(again.position))
            derived = set(again.rows)
            complete = reader.is_finished(again.position)
            if not stored <= derived or (complete and (again.missing or stored != derived)):
                found.append(again.position)
    return found


def _join_bad_rows(runs: Sequence[Path], out: Path) -> None:
    parts = [run / BAD_ROWS for run in runs if (run / BAD_ROWS).is_file()]
    if parts:
        with out.open("wb") as file:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, file)

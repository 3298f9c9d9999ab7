"""The main job: seeds in, an evolved dataset out."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from evolute.errors import InputError, LedgerError, RecipeError
from evolute.evolve.budget import Budget, Limits
from evolute.evolve.progress import Progress
from evolute.evolve.session import Craft, Session
from evolute.export import export
from evolute.ledger import LEDGER, Ledger, Reader
from evolute.ledger.batches import orphaned
from evolute.ledger.rounds import Rounds, forget
from evolute.models import Model
from evolute.models.opening import open_endpoint
from evolute.models.pacing import Paced
from evolute.pipeline.evolstop import evolve_in_rounds
from evolute.pipeline.ingest import Ingest, feed
from evolute.pipeline.stopping import INTERRUPTED, in_loop, stop_clock, stop_signals
from evolute.pipeline.summary import DATASET, Summary, prices_of, summarise, total_cost
from evolute.recipe import ModelSpec, Recipe, Source, assign, load, resolve
from evolute.seeds import SeedOptions

Watch = Callable[[Progress, Callable[[], None]], contextlib.AbstractContextManager[Any]]
"""Given the counters, and a function that brings them up to date, shows them while a run is under way."""


class Runner(Protocol):
    """Grows the lineages of a run elsewhere than in this process: on a cluster (`evolute.scale`)."""

    def check(self, recipe: Recipe, pilot: int | None) -> None:
        """Refuse what it cannot do, before anything is changed.

        Raises:
            InputError: the recipe declares something that needs all lineages in one process.
        """
        ...

    async def run(
        self,
        ledger: Ledger,
        ingest: Ingest,
        recipe: Recipe,
        craft: Craft,
        budget: Budget,
        pilot: int | None,
        watch: Watch | None,
        say: Callable[[str], None],
    ) -> None:
        """Read the seeds that `ingest` brings, and grow their lineages into the ledger."""
        ...


def resolve_recipe(
    run: str | Path | None = None, recipe: Recipe | str | Path | None = None, settings: Mapping[str, Any] | None = None
) -> Recipe:
    """The recipe of a run: the one named, else the run's own, else a shipped one; with `settings` on top.

    Args:
        run: the run's folder, if there is one.
        recipe: a shipped recipe's name, a file, or a recipe. Default: the run's own; for a new run `wizardlm`, or
            `tiny` where the settings name no endpoint, so that the embedded model answers.
        settings: values by dotted path (`{"evolve.rounds": 2}`).

    Raises:
        RecipeError: a field is unknown or has an impossible value.
    """
    settings = settings or {}
    own = Path(run) / "recipe.yaml" if run is not None and _begun(Path(run)) else None
    if isinstance(recipe, Recipe):
        source: str | Path = recipe.name
        fields = recipe.model_dump(mode="json")
    else:
        if recipe is not None:
            source = recipe
        elif own is not None:
            source = own
        else:
            source = "wizardlm" if {"models.default.base_url", "models.default.api"} & set(settings) else "tiny"
        fields = load(source)
    for path, value in settings.items():
        assign(fields, path.split("."), value)
    if settings.get("models.default.base_url") and not fields.get("models", {}).get("default", {}).get("model"):
        raise RecipeError("an endpoint needs a model: give --model NAME (`evolute models check URL` lists them)")
    return resolve(fields, str(source), settings)


def seed_options(source: Source) -> SeedOptions:
    """How the recipe wants its seeds read."""
    return SeedOptions(**source.model_dump(exclude={"files"}))


def _begun(run: Path) -> bool:
    """A run that has seeds; one whose first command failed before that has no say in what the next one means."""
    if not (run / LEDGER).is_file() or not (run / "recipe.yaml").is_file():
        return False
    with Reader(run) as reader:
        return reader.seed_count() > 0


@asynccontextmanager
async def open_model(spec: ModelSpec) -> AsyncIterator[Model]:
    """A paced model without a ledger, for trying things out."""
    async with open_endpoint(spec) as endpoint:
        yield Paced(endpoint, spec)


def evolve(
    sources: Sequence[str] | str = (),
    *,
    out: str | Path,
    recipe: Recipe | str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    seeds: SeedOptions | None = None,
    limits: Limits | None = None,
    pilot: int | None = None,
    watch: Watch | None = None,
    say: Callable[[str], None] = lambda remark: None,
    runner: Runner | None = None,
) -> Summary:
    """Evolve seeds into a dataset; on an existing run, go on where it stopped.

    Works inside a running event loop too (a notebook): the run then has a thread and a loop of its own. When it
    ends, `RUN/dataset.jsonl` holds the kept rows (Alpaca's fields with the lineage's); `export` writes other formats.

    Args:
        sources: files, folders, `-`, or names of hub datasets. May be empty for a run that has read its seeds.
        out: the run's folder.
        recipe: a recipe, a shipped one's name, or a file; see `resolve_recipe` for the default.
        settings: recipe fields by dotted path, on top of it: `{"models.default.base_url": URL}`.
        seeds: how to read the sources.
        limits: bounds on cost, calls, tokens and minutes.
        pilot: grow only so many lineages, and write no dataset.
        watch: shows the progress.
        say: told what was recognised in the sources, and what a resumed run goes on from.
        runner: what grows the lineages; default: this process (`evolute.scale` has one for a cluster).

    Returns:
        How the run stands; `stopped` is empty unless a bound or the user stopped it.

    Raises:
        InputError: the seeds, the recipe or a bound is wrong.
        LedgerError: the run is in use, damaged or cannot be written.
        EndpointError: the endpoint cannot serve the run; it is left ready to resume.
    """
    run = Path(out)
    chosen = resolve_recipe(run, recipe, settings)
    if limits is not None and limits.leave and not any(spec.batch for spec in chosen.models.values()):
        raise InputError("--leave is for batches: give --batch, too, or set models.NAME.batch in the recipe")
    places = [sources] if isinstance(sources, str) else list(sources)
    craft = Craft.of(chosen)  # a recipe that cannot work is refused before a folder is made
    if runner is not None:
        runner.check(chosen, pilot)
    options = seeds or SeedOptions()
    with Ledger(run) as ledger, _unless_refused(run):
        if not places and not ledger.reader.seed_count():
            raise InputError(f"{str(run)!r} has no seeds yet: say where they are (evolute evolve FILE --out {run})")
        if done := ledger.reader.finished_count():
            say(f"going on with {run}: recipe {chosen.name}, {done:,} of {ledger.reader.seed_count():,} seeds finished")
        write_recipe(run, chosen)
        if ledger.begin(craft.fingerprint(chosen), notes_of(chosen, craft)):
            say("the recipe has changed: verdicts are reached anew; of the calls, only those that changed are made")
        if left := orphaned(ledger.reader, {spec.identity for spec in chosen.models.values()}):
            say(f"{left:,} requests wait in batches of a model the recipe has no more: only the old one fetches them")
        if chosen.evolve.stop is None and Rounds.read(ledger.reader) is not None:
            forget(ledger)
        budget = Budget(limits or Limits(), standing(ledger, chosen))
        if budget.limits.cost is not None and budget.progress.cost is None:
            raise InputError(
                f"--max-cost: {run} has calls of a model whose price is unknown; see `evolute status {run}`"
            )
        try:
            in_loop(
                lambda: (runner.run if runner else _evolve)(
                    ledger, Ingest(ledger, places, options), chosen, craft, budget, pilot, watch, say
                ),
                lambda: budget.close(INTERRUPTED),
            )
        finally:
            if not ledger.failed:
                ledger.note("stopped", budget.why)
                ledger.flush()
        if pilot is None:
            export(ledger.reader.dataset(), "alpaca", run / DATASET, verification=chosen.verify.answers)
        return summarise(run, ledger.reader)


async def _evolve(
    ledger: Ledger,
    ingest: Ingest,
    recipe: Recipe,
    craft: Craft,
    budget: Budget,
    pilot: int | None,
    watch: Watch | None,
    say: Callable[[str], None],
) -> None:
    progress = budget.progress

    def counted(seeds: int) -> None:
        progress.seeds_total = seeds

    sessions: list[Session] = []

    async def grow(rounds: int) -> None:
        """Grow all unfinished lineages up to a round; the first time, while their seeds are still being read."""
        reading = Ingest(ledger, (), SeedOptions()) if sessions else ingest
        if sessions:
            _count_anew(ledger, progress)
        async with Session(ledger, recipe.up_to(rounds), craft, budget) as session:
            sessions.append(session)
            if watch is not None and len(sessions) == 1:
                stack.enter_context(watch(progress, lambda: sessions[-1].refresh()))
            try:
                await session.run(feed(ledger, reading, counted, say, pilot, stopping=lambda: budget.why))
            finally:
                session.refresh()

    with contextlib.ExitStack() as stack:
        stack.callback(ingest.close)
        budget.on_close.append(lambda why: ingest.wake())
        stack.enter_context(stop_signals(budget))
        stack.enter_context(stop_clock(budget, budget.limits.minutes))
        stop, rounds = recipe.evolve.stop, recipe.evolve.rounds
        try:
            if stop is not None and pilot is None:
                await evolve_in_rounds(ledger, stop, rounds, budget, grow, say)
            else:
                state = Rounds.read(ledger.reader)
                await grow(rounds if state is None else state.grown)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None  # the second Ctrl-C


def _count_anew(ledger: Ledger, progress: Progress) -> None:
    """In the next pass over the lineages, what was counted in the last is counted again."""
    progress.seeds_done = ledger.reader.finished_count()
    progress.kept = 0
    progress.dropped.clear()


def standing(ledger: Ledger, recipe: Recipe) -> Progress:
    """The counters that earlier sessions have left."""
    reader = ledger.reader
    totals = reader.totals()
    progress = Progress(
        seeds_done=reader.finished_count(),
        calls=sum(part.calls for part in totals),
        prompt_tokens=sum(part.prompt_tokens for part in totals),
        completion_tokens=sum(part.completion_tokens for part in totals),
        cost=total_cost(totals, prices_of(recipe, {part.model for part in totals})),
    )
    for (round_, _, reason), count in reader.tally(finished=True).items():
        if round_ and reason:
            progress.dropped[reason] += count
        elif round_:
            progress.kept += count
    return progress


def notes_of(recipe: Recipe, craft: Craft) -> dict[str, str]:
    """What a ledger remarks of the recipe when it is taken up."""
    return {"respond": recipe.evolve.respond, "craft": craft.note(), "stopped": ""}


def write_recipe(run: Path, recipe: Recipe) -> None:
    """Write the recipe as it was resolved into the run's folder."""
    head = "# The recipe of this run as it was resolved. Resuming reads it; --set and the flags change it.\n"
    _put_recipe(run / "recipe.yaml", head + recipe.to_yaml())


@contextlib.contextmanager
def _unless_refused(run: Path) -> Iterator[None]:
    """Where the block is refused, the run has the recipe again that it had: the next command obeys no bad one."""
    path = run / "recipe.yaml"
    before = path.read_text(encoding="utf-8") if path.is_file() else None
    try:
        yield
    except InputError:
        if before is not None:
            _put_recipe(path, before)
        raise


def _put_recipe(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise LedgerError(f"cannot write {path}: {error.strerror}. Nothing recorded before is lost") from None

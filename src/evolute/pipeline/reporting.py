"""The report of a run: what the recipe and the bill say of it, and its rows, made into a page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePath

from evolute import __version__
from evolute.encoders import Encoder
from evolute.errors import EvoluteError
from evolute.ledger import Reader, Totals
from evolute.models.prices import cost
from evolute.pipeline.publishing import FIGURES_OF, figures_state
from evolute.pipeline.summary import Summary, prices_of, run_recipe, summarise
from evolute.recipe import Recipe
from evolute.records import Usage
from evolute.report.facts import Facts, OperationUse, RoleUse
from evolute.report.writing import write_report


def report(
    run: str | Path,
    *,
    sample: int = 3000,
    seed: int = 0,
    encoder: Encoder | None = None,
    told: Callable[[str], None] = lambda phase: None,
) -> Path:
    """Write `RUN/report.html` and `RUN/figures/`; returns the page's path. It works while the run is being written.

    Args:
        run: the run's folder.
        sample: rows of the topic map and of the language mix, in equal parts from each round.
        seed: of the sample, the map's layout and clusters, and the lineages shown.
        encoder: makes the topic map's vectors; without one, the encoder that ships with the package does.
        told: is called with the name of each phase as it begins.

    Raises:
        InputError: there is no run, `sample` is out of range, or the page cannot be written.
        LedgerError: the run's ledger cannot be read.
        MissingExtra: the packages of `evolute[report]` are not installed.
    """
    folder = Path(run)
    with Reader(folder) as reader:
        told("bill")
        state = figures_state(reader)  # before all that is read: a run that grows meanwhile makes it an earlier one
        facts = facts_of(summarise(folder, reader), run_recipe(folder), reader)
        missing = ""
        if encoder is None:
            encoder, missing = _shipped_encoder()
        note = folder / FIGURES_OF
        with suppress(OSError):  # none is there, or the folder cannot be written, which is said below
            note.unlink()  # figures that are half of this report and half of another are of no state
        page = write_report(reader, facts, folder, encoder, no_encoder=missing, sample=sample, seed=seed, told=told)
        note.write_text(state, encoding="utf-8")
        return page


def _shipped_encoder() -> tuple[Encoder | None, str]:
    """The encoder, or why there is none: a report without a map is better than no report."""
    from evolute.encoders.static import shipped

    try:
        return shipped(), ""
    except EvoluteError as error:
        return None, f"{error}."


def facts_of(summary: Summary, recipe: Recipe, reader: Reader) -> Facts:
    """What the report's head and its bill say of a run."""
    prices = prices_of(recipe, {part.model for part in summary.roles})
    return Facts(
        name=summary.run.resolve().name,
        recipe=recipe.name,
        version=__version__,
        recipe_seed=recipe.seed,
        judged=recipe.evolve.judge,
        sources=sorted({PurePath(path).name for (path,) in reader.select("SELECT path FROM sources")}),
        seeds=summary.seeds,
        finished=summary.finished,
        duplicates=summary.duplicates,
        bad_rows=summary.bad_rows,
        kept=summary.kept,
        dropped=summary.dropped,
        seeds_dropped=summary.seeds_dropped,
        roles=[_role(part, cost(_usage(part), prices[part.model], part.share)) for part in summary.roles],
        operations=[
            OperationUse(use.operation, use.kept, use.dropped, use.tokens, use.seconds, use.cost)
            for use in summary.operations
        ],
        left_over=summary.left_over,
        evol_stop=summary.evol_stop,
        stopped=summary.stopped,
    )  # fmt: skip


def _usage(part: Totals) -> Usage:
    return Usage(part.prompt_tokens, part.completion_tokens, cached=part.cached_tokens)


def _role(part: Totals, price: float | None) -> RoleUse:
    return RoleUse(
        part.role,
        part.model,
        part.calls,
        part.attempts,
        part.prompt_tokens,
        part.completion_tokens,
        part.seconds,
        price,
    )

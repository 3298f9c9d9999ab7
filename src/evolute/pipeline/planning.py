"""Before anything large is spent: a small pilot, recorded and reused, and an estimate from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evolute.errors import EvoluteError, InputError
from evolute.evolve.budget import Limits
from evolute.evolve.planning import Estimate, estimate, lineage_uses
from evolute.evolve.session import Craft
from evolute.ledger import LEDGER, Reader
from evolute.pipeline.evolving import Watch, evolve, resolve_recipe
from evolute.pipeline.summary import prices_of
from evolute.recipe import Recipe
from evolute.seeds import SeedOptions

DEFAULT_IN_FLIGHT = 256


def plan(
    sources: Sequence[str] | str = (),
    *,
    out: str | Path,
    recipe: Recipe | str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    seeds: SeedOptions | None = None,
    limits: Limits | None = None,
    pilot: int = 8,
    watch: Watch | None = None,
    say: Callable[[str], None] = lambda remark: None,
) -> Estimate:
    """Grow `pilot` lineages (those that the run has already are counted), and estimate what all will take.

    The pilot's calls are in the run's ledger: `evolve` with the same `out` goes on from them. Arguments as for
    `evolve`.

    Raises:
        EvoluteError: no lineage of the pilot came to its end, so that nothing can be said.
    """
    run = Path(out)
    chosen = resolve_recipe(run, recipe, settings)
    grown = 0
    if (run / LEDGER).is_file():
        with Reader(run) as reader:
            before, grown = reader.meta("fingerprint"), reader.finished_count()
        if grown and before != Craft.of(chosen).fingerprint(chosen).hex():
            raise InputError(
                f"this would change the recipe of {run}, and its verdicts with it: plan with another --out"
            )
    evolve(
        sources,
        out=run,
        recipe=chosen,
        seeds=seeds,
        limits=limits,
        pilot=max(0, pilot - grown),
        watch=watch,
        say=say,
    )
    with Reader(run) as reader:
        names = {part.model for part in reader.totals()}
        uses = lineage_uses(reader, prices_of(chosen, names))
        if not uses:
            raise EvoluteError("the pilot finished no lineage, so nothing can be estimated: see `evolute status`")
        return estimate(uses, reader.seed_count(), _in_flight(chosen))


def _in_flight(recipe: Recipe) -> int:
    names = {recipe.spec(role)[0].model for role in ("evolver", "judge", "responder")}
    return sum(recipe.models[name].concurrency or DEFAULT_IN_FLIGHT for name in names)

"""Before anything large is spent: a small pilot, recorded and reused, and an estimate from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from evolute.errors import EvoluteError, InputError
from evolute.evolve.budget import Limits
from evolute.evolve.planning import Estimate, estimate, lineage_uses
from evolute.evolve.session import Craft
from evolute.ledger import LEDGER, Reader
from evolute.pipeline.evolving import Watch, evolve, resolve_recipe, seed_options
from evolute.pipeline.summary import prices_of
from evolute.recipe import EVOLVING_ROLES, Recipe
from evolute.seeds import SeedOptions

DEFAULT_IN_FLIGHT = 256
_AS_READ = asdict(SeedOptions())


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
    if grown < pilot and any(spec.batch for spec in chosen.models.values()):
        say("the pilot waits for batches, as the run will; --set models.NAME.batch=null asks it at once, at full price")
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


def plan_recipe(
    recipe: str | Path,
    *,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    seeds: SeedOptions | None = None,
    limits: Limits | None = None,
    pilot: int = 8,
    watch: Watch | None = None,
    say: Callable[[str], None] = lambda remark: None,
) -> tuple[Path, Estimate]:
    """Plan what a recipe's file says, as `run` would do it: from its own seeds, into its own folder.

    Args:
        recipe: the file.
        out: the run's folder; default: the recipe's `out`, else `runs/` and its name.
        settings: recipe fields by dotted path, on top of it.
        seeds: how to read the seeds, where that differs from the defaults; the rest is as the recipe says.
        limits: bounds on what the pilot may spend.
        pilot: as for `plan`.
        watch: shows the progress.
        say: told what is being done.

    Returns:
        The run's folder, which keeps the pilot, and the estimate.

    Raises:
        EvoluteError: as for `plan`.
    """
    chosen = resolve_recipe(None, recipe, settings)
    folder = Path(out or chosen.folder)
    if not chosen.seeds.files and not (folder / LEDGER).is_file():
        raise InputError(f"{recipe}: seeds.files names no file of seeds; write one there")
    given = {} if seeds is None else {name: value for name, value in asdict(seeds).items() if value != _AS_READ[name]}
    options = replace(seed_options(chosen.seeds), **given)
    files = list(chosen.seeds.files)
    return folder, plan(
        files, out=folder, recipe=chosen, seeds=options, limits=limits, pilot=pilot, watch=watch, say=say
    )


def _in_flight(recipe: Recipe) -> int:
    names = {recipe.spec(role)[0].model for role in EVOLVING_ROLES}
    return sum(recipe.models[name].concurrency or DEFAULT_IN_FLIGHT for name in names)

"""Which recipe selects from a run: its own, with what comes after the evolution taken from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolute.errors import InputError, RecipeError
from evolute.ledger import LEDGER
from evolute.pipeline.evolving import resolve_recipe
from evolute.recipe import EVOLVING_ROLES, Recipe, assign, load, resolve


def selecting_recipe(
    run: Path, recipe: Recipe | str | Path | None = None, settings: Mapping[str, Any] | None = None
) -> Recipe:
    """The run's own recipe, with what comes after the evolution taken from `recipe` and `settings`.

    Raises:
        InputError: there is no run.
        RecipeError: a setting would change the evolution, or another model has the name of one of the run's.
    """
    if not (run / LEDGER).is_file() or not (run / "recipe.yaml").is_file():
        raise InputError(
            f"{str(run)!r} is not a run: it has no {LEDGER}. A run is made by `evolute evolve FILE --out RUN`"
        )
    own = resolve_recipe(run)
    fields = load(run / "recipe.yaml")
    if recipe is not None:
        other = recipe if isinstance(recipe, Recipe) else resolve(load(recipe), str(recipe))
        _take_over(fields, own, other)
    for path, value in (settings or {}).items():
        assign(fields, path.split("."), value)
    chosen = resolve(fields, str(recipe or run / "recipe.yaml"), settings or ())
    if chosen.fingerprint() != own.fingerprint():
        raise RecipeError(
            f"that would change how {run} evolved, not which rows are selected: `evolute evolve --out {run}` takes it"
        )
    return chosen


def _take_over(fields: dict[str, Any], own: Recipe, other: Recipe) -> None:
    """What another recipe says of all that comes after the evolution, with the models that it needs for that."""
    taken = other.model_dump(mode="json")
    fields |= {part: taken[part] for part in ("select", "export")}
    fields["roles"]["grader"] = taken["roles"]["grader"]
    evolving = {own.spec(role)[0].model for role in EVOLVING_ROLES}
    for name in {other.roles.grader.model, other.select.duplicates.encoder} & set(other.models):
        mine = own.models.get(name)
        if name in evolving and mine is not None and mine.decisive() != other.models[name].decisive():
            raise RecipeError(
                f"models.{name} of {other.name!r} is not the model of that name that evolved the run: give the one for "
                "the grader (roles.grader.model) or the encoder another name"
            )
        fields["models"][name] = taken["models"][name]

"""Train: a dataset and a base model in, a model that answers in a format and stops, in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evolute.errors import InputError, MissingExtra
from evolute.pipeline.trainingrun import Task, Trained, Training
from evolute.recipe.models import ModelSpec
from evolute.recipe.training import TrainRecipe
from evolute.recipe.trainingfiles import resolve_training

__all__ = ["Task", "Trained", "plan", "prepare", "train"]

Say = Callable[[str], None]


def ignore(_: str) -> None:
    """Say nothing."""


def prepare(
    base: str | None, recipe: str | Path | None, settings: Mapping[str, Any] | None, max_steps: int | None
) -> TrainRecipe:
    """The resolved recipe, with the base model that is to be used.

    Raises:
        RecipeError: the recipe has an unknown field or an impossible value.
        InputError: neither a base nor a recipe that names one is given.
    """
    resolved = resolve_training(recipe, settings)
    changes: dict[str, Any] = {"base": base} if base else {}
    if max_steps is not None:
        if max_steps < 1:
            raise InputError(f"--max-steps must be at least 1, got {max_steps!r}")
        changes["steps"] = max_steps
    resolved = resolved.model_copy(update=changes)
    if not resolved.base:
        what = f"the recipe {recipe} names no base model" if recipe else "neither a base model nor a recipe is given"
        raise InputError(
            f"{what}: add --base FOLDER (as transformers writes it), or --recipe tiny, which trains the small model "
            "that `evolute models install smollm2` brings"
        )
    if not Path(resolved.base).exists() and not ModelSpec().model.startswith(resolved.base):
        raise InputError(
            f"--base {resolved.base}: there is no such folder or .gguf file; nothing is downloaded, so fetch the model "
            "first"
        )
    return resolved


def train(
    dataset: str | Path,
    *,
    out: Path,
    base: str | None = None,
    recipe: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    max_steps: int | None = None,
    task: Task = "respond",
    say: Say = ignore,
) -> Trained:
    """Train a model on a dataset, or go on with a training that was stopped: the same call does both.

    Args:
        dataset: a run's folder, an exported folder, or a file with conversations or answered instructions.
        out: the folder of the training; made if need be.
        base: the base model; None: the recipe's.
        recipe: a shipped training recipe's name, or a YAML file; None: the fields' defaults.
        settings: single fields of it, by their dotted names.
        max_steps: stop after so many optimizer steps.
        task: answers; preferences by DPO; or an evolver, from a run's ledger.
        say: gets remarks on how it goes.

    Raises:
        InputError: dataset, base, recipe or `out` cannot be used; the message says why and what to do.
        MissingExtra: a library is not installed.
        EvoluteError: the training broke down (a loss that is no number).
    """
    resolved = prepare(base, recipe, settings, max_steps)
    try:
        import matplotlib  # noqa: F401 - for the curve, at the very end
        import trl  # noqa: F401 - is it there?
    except ImportError:
        raise MissingExtra("training", "train") from None
    return _TASKS[task]()(Path(dataset), out, resolved, say).run()


def plan(
    dataset: str | Path,
    *,
    base: str | None = None,
    recipe: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    max_steps: int | None = None,
    task: Task = "respond",
    say: Say = ignore,
) -> None:
    """Read, count and check all that `train` would, and say it; nothing is written.

    Raises:
        InputError: as `train`.
    """
    resolved = prepare(base, recipe, settings, max_steps)
    training = _TASKS[task]()(Path(dataset), Path(os.devnull), resolved, say)
    _, _, train, _ = training.ready()
    tokens = sum(one.tokens for one in train)
    rows = -(-tokens // resolved.max_length) if resolved.packing and not training.pairs else len(train)
    steps = resolved.steps or max(1, int(resolved.epochs * -(-rows // resolved.batch)))
    say(
        f"a dry run: nothing was trained or written. It would be about {steps:,} steps of {resolved.batch} "
        f"{'packs' if rows != len(train) else 'examples'}; the same command without --dry-run does it"
    )


def _prefer() -> type[Training]:
    from evolute.pipeline.preferring import PreferenceTraining

    return PreferenceTraining


def _evolver() -> type[Training]:
    from evolute.pipeline.evolver import EvolverTraining

    return EvolverTraining


_TASKS: Mapping[Task, Callable[[], type[Training]]] = {
    "respond": lambda: Training,
    "prefer": _prefer,
    "evolver": _evolver,
}

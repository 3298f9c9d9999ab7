"""Recipes of trainings as files: those in the package, and the user's."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from evolute.errors import RecipeError
from evolute.recipe.files import assign
from evolute.recipe.training import TrainRecipe

_FOLDER = resources.files("evolute") / "recipes" / "train"


def train_recipes() -> list[str]:
    """The names of the training recipes inside the package."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _FOLDER.iterdir() if entry.name.endswith(".yaml"))


def train_recipe_text(name: str) -> str:
    """A shipped training recipe's file.

    Raises:
        RecipeError: there is none of that name.
    """
    known = train_recipes()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise RecipeError(f"no training recipe {name!r}: {hint}give a YAML file, or one of {', '.join(known)}")
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def resolve_training(recipe: str | Path | None = None, settings: Mapping[str, Any] | None = None) -> TrainRecipe:
    """A recipe by its name or file, with single fields changed; without one, the defaults.

    Args:
        recipe: a shipped recipe's name, or a YAML file.
        settings: dotted fields and their values, as `--set` gives them.

    Raises:
        RecipeError: there is no such recipe, or it has unknown fields or impossible values: all of them are named.
    """
    fields = {} if recipe is None else _read(recipe)
    for path, value in (settings or {}).items():
        assign(fields, path.split("."), value)
    try:
        return TrainRecipe.model_validate(fields)
    except ValidationError as error:
        said = [_complaint(recipe, settings or {}, {**problem}) for problem in error.errors()]
        raise RecipeError("\n".join(said)) from None


def _read(recipe: str | Path) -> dict[str, Any]:
    path = Path(recipe)
    is_file = path.suffix.lower() in (".yaml", ".yml") or path.is_file()
    try:
        text = path.read_text(encoding="utf-8-sig") if is_file else train_recipe_text(str(recipe))
        fields = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{recipe}: cannot be read as a text file: {error}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{recipe}: not valid YAML: {error}") from None
    if not isinstance(fields, dict | None):
        raise RecipeError(f"{recipe}: a recipe is a mapping of fields, not {type(fields).__name__}")
    return fields or {}


def _complaint(recipe: str | Path | None, settings: Mapping[str, Any], problem: dict[str, Any]) -> str:
    where = [str(step) for step in problem["loc"]]
    name = ".".join(where)
    source = "--set" if any(name.startswith(path) for path in settings) or recipe is None else str(recipe)
    if problem["type"] == "extra_forbidden":
        known = _fields_of(where[:-1])
        near = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.5)
        remedy = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"{source}: unknown field {name!r}; {remedy}"
    if problem["type"] == "value_error":
        return f"{source}: {name + ': ' if name else ''}{problem['ctx']['error']}"
    return f"{source}: {name}: {problem['msg']}, got {problem['input']!r}"


def _fields_of(steps: list[str]) -> list[str]:
    model: Any = TrainRecipe
    for step in steps:
        model = model.model_fields[step].annotation
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []

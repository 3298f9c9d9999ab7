"""Recipes as files: read, changed field by field, validated; each error names the field, its value and a remedy."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from evolute.errors import InputError, RecipeError
from evolute.recipe.whole import Recipe

_NAMED = 4  # fields that a message names at most
_DEEPEST = 8


def shipped() -> list[str]:
    """The names of the recipes inside the package."""
    folder = resources.files("evolute") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def recipe_text(name: str) -> str:
    """A shipped recipe's file.

    Raises:
        RecipeError: there is none of that name.
    """
    if name not in shipped():
        near = difflib.get_close_matches(name, shipped(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise RecipeError(f"no recipe {name!r}: {hint}give a YAML file, or one of {', '.join(shipped())}")
    return (resources.files("evolute") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")


def is_recipe_file(name: str) -> bool:
    """Whether a name is that of a file of YAML, which recipes are, and seeds never."""
    return Path(name).suffix.lower() in (".yaml", ".yml") and Path(name).is_file()


def refuse_recipe(seeds: str) -> None:
    """Look that what is given for seeds is no recipe.

    Raises:
        InputError: it looks like one.
    """
    if is_recipe_file(seeds):
        raise InputError(
            f"{seeds} looks like a recipe, not like seeds: `evolute run {seeds}` does what it says, and "
            f"`evolute plan {seeds}` estimates what that takes"
        )


def load(name_or_path: str | Path) -> dict[str, Any]:
    """Read a recipe's fields from a file, or from the package when it is a shipped recipe's name.

    Raises:
        RecipeError: there is no such recipe, or it is not YAML with fields.
    """
    path = Path(name_or_path)
    try:
        text = path.read_text(encoding="utf-8-sig") if path.is_file() else recipe_text(str(name_or_path))
        fields = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{name_or_path}: cannot be read as a text file: {error}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{name_or_path}: not valid YAML: {error}") from None
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise RecipeError(f"{name_or_path}: a recipe is a mapping of fields, not {type(fields).__name__}")
    return fields


def parse_assignment(text: str) -> tuple[str, Any]:
    """Read `evolve.rounds=3` into its dotted path and its value, which is YAML.

    Raises:
        RecipeError: there is no `=`, or no field before it.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise RecipeError(f"--set wants FIELD=VALUE (evolve.rounds=3), got {text!r}")
    try:
        return path.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        return path.strip(), value


def assign(fields: dict[str, Any], path: Sequence[str], value: Any) -> None:  # noqa: ANN401 - YAML's own type
    """Set the field at a path, making the mappings on the way. A group that is switched on (`true`) stays as it is.

    Raises:
        RecipeError: the path leads through a field that holds no fields.
    """
    for name in path[:-1]:
        if fields.get(name) in (None, True):
            fields[name] = {}
        inner = fields[name]
        if not isinstance(inner, dict):
            raise RecipeError(f"{'.'.join(path)}: {name!r} is not a group of fields")
        fields = inner
    if value is not True or not isinstance(fields.get(path[-1]), dict):
        fields[path[-1]] = value


def resolve(fields: Mapping[str, Any], source: str = "recipe", given: Collection[str] = ()) -> Recipe:
    """Validate fields into a recipe.

    Args:
        fields: the recipe's fields.
        source: where they come from, for messages.
        given: dotted paths of those that do not: they were given with `--set` or the like.

    Raises:
        RecipeError: names each wrong field, its value, and the nearest known name for an unknown one.
    """
    paths = [path.split(".") for path in given]
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        said = []
        for problem in error.errors():
            where = [str(step) for step in problem["loc"]]
            set_ = bool(where) and any(path[: len(where)] == where[: len(path)] for path in paths)
            said.append(complaint("--set" if set_ else source, dict(problem)))
        raise RecipeError("\n".join(said)) from None


def complaint(source: str, problem: dict[str, Any]) -> str:
    """What is wrong with a field of `source`, from one of the problems that pydantic found: field, value, remedy."""
    where = [str(step) for step in problem["loc"]]
    name = ".".join(where) or "recipe"
    if problem["type"] == "extra_forbidden":
        if meant := _meant(where, problem["input"]):
            return f"{source}: unknown field {meant[0]!r}; did you mean {meant[1]}?"
        known = _fields_beside(where)
        near = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.5)
        remedy = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"{source}: unknown field {name!r}; {remedy}"
    if problem["type"] == "value_error":
        return f"{source}: {name + ': ' if where else ''}{problem['ctx']['error']}"
    if where[2:3] == ["headers"]:  # models.NAME.headers: the value may be a secret
        return f"{source}: {name}: {problem['msg']}"
    return f"{source}: {name}: {problem['msg']}, got {problem['input']!r}"


def _meant(where: list[str], value: object) -> tuple[str, str] | None:
    """An unknown field's name, as it was given, and the fields whose full names end so; None where none does.

    `duplicates.near` is the end of `select.duplicates.near`.
    """
    from evolute.recipe.explaining import explain

    steps = list(where)
    while isinstance(value, dict) and len(value) == 1 and len(steps) < _DEEPEST:  # YAML can refer to itself
        ((name, value),) = value.items()
        steps.append(str(name))
    is_group = isinstance(value, dict)
    for end in (".".join(steps), steps[-1]):
        found = [field.name for field in explain() if field.name.endswith(f".{end}") and field.is_group == is_group]
        if found and len(found) <= _NAMED:
            named = [repr(name.replace(".NAME.", ".default.")) for name in found]
            return ".".join(steps), " or ".join(named)
    return None


def _fields_beside(where: list[str]) -> list[str]:
    """The names allowed where an unknown field was found."""
    model: Any = Recipe
    for step in where[:-1]:
        if isinstance(model, type) and issubclass(model, BaseModel) and step in model.model_fields:
            model = model.model_fields[step].annotation
            if getattr(model, "__origin__", None) is dict:
                model = model.__args__[1]
            parts = [part for part in get_args(model) if isinstance(part, type) and issubclass(part, BaseModel)]
            model = parts[0] if parts else model  # of `BatchSpec | None`
    if isinstance(model, type) and issubclass(model, BaseModel):
        return list(model.model_fields)
    return []

"""What a stage was told, as one YAML file in its folder: read, changed by dotted path, and held to when it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError

from evolute.errors import InputError
from evolute.files import replacing
from evolute.models.weights import find_model
from evolute.recipe import ModelSpec
from evolute.recipe.models import Part

P = TypeVar("P", bound=Part)


def read_settings(kind: type[P], path: Path) -> P | None:
    """What the file holds; None where there is no such file.

    Raises:
        InputError: it cannot be read, or a field in it is unknown or has an impossible value.
    """
    if not path.is_file():
        return None
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if not isinstance(fields, dict):
        raise InputError(f"{path}: expected fields, got {type(fields).__name__}")
    _check_benchmark(kind, fields, path)
    return validated(kind, fields, str(path))


def _check_benchmark(kind: type[Part], fields: Mapping[str, Any], path: Path) -> None:
    """Say in a sentence that a folder holds another kind of evaluation, rather than complain of each field."""
    known = kind.model_fields.get("benchmark")
    said = fields.get("benchmark", "")
    if known is not None and said not in get_args(known.annotation):
        raise InputError(f"{path.parent} holds an evaluation on {said!r}: give another --out")


def validated(kind: type[P], fields: Mapping[str, Any], source: str) -> P:
    """The settings that the fields make; `source` is named where they do not.

    Raises:
        InputError: a field is unknown or has an impossible value.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise InputError("\n".join(_complaint(source, dict(problem)) for problem in error.errors())) from None


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path, what: str) -> None:
    """Look that the decisive fields are as they were; `what` the folder holds is named in the message.

    Raises:
        InputError: they are not; the message names the fields.
    """
    if names := [name for name in {**before, **now} if before.get(name) != now.get(name)]:
        told = ", ".join(f"{name} {before.get(name)!r}, not {now.get(name)!r}" for name in names)
        raise InputError(f"{folder} holds {what} ({told}): give another --out, or leave these as they are")


def write_settings(settings: Part, path: Path, heading: str) -> None:
    """Write them, under a line of comment.

    Raises:
        InputError: it cannot be written.
    """
    data = settings.model_dump(mode="json")
    with replacing(path) as file:
        file.write(f"# {heading}\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}".encode())


def check_address(spec: ModelSpec, address: str = "--base-url", api: str = "--api") -> None:
    """Look that a model is somewhere; `address` and `api` are the flags that say where (an empty `api`: none does).

    Raises:
        InputError: it has no address, and runs nowhere here; or a local one's files are not there.
    """
    if spec.api == "local":
        find_model(spec.model)
    elif spec.api not in ("embedded", "scripted") and not spec.base_url:
        here = f", {api} embedded for SmolLM2, which runs here, or {api} local for a model's own folder or .gguf file"
        raise InputError(f"where is the model {spec.model!r}? Give {address} URL{here if api else ''}")


def no_format_here(name: str) -> str:
    """Why a format that writes the whole prompt does not go with the embedded model, and what does."""
    return (
        f"the format {name!r} writes the whole prompt, and the embedded model has a chat template of its own: leave "
        "out --format, or name a model behind an endpoint (--api completions --base-url URL --model NAME)"
    )


def _complaint(source: str, problem: Mapping[str, Any]) -> str:
    """Field, what is wrong with it, and its value, unless that may be a secret."""
    where = [str(step) for step in problem["loc"]]
    name = f"{'.'.join(where)}: " if where else ""
    if problem["type"] == "value_error":
        return f"{source}: {name}{problem['ctx']['error']}"
    if problem["type"] == "extra_forbidden":
        return f"{source}: {name}there is no such field"
    value = "" if "headers" in where else f", got {problem['input']!r}"
    return f"{source}: {name}{problem['msg']}{value}"

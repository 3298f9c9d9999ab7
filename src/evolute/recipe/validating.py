"""All that is wrong with a recipe's file at once, each with its line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from evolute.errors import RecipeError
from evolute.recipe.files import complaint, load, recipe_text
from evolute.recipe.whole import Recipe

_Path = tuple[str, ...]


def validate(name_or_path: str | Path) -> tuple[Recipe | None, list[str]]:
    """A recipe, and what is wrong with it: fields unknown, impossible or written twice.

    The recipe is that of the fields which are right, so that one can go on looking; None where nothing can be made of
    the file. An error names file, line, field, value and remedy.
    """
    try:
        fields = load(name_or_path)
    except RecipeError as error:
        return None, [str(error)]
    path = Path(name_or_path)
    text = path.read_text(encoding="utf-8-sig") if path.is_file() else recipe_text(str(name_or_path))
    lines: dict[_Path, int] = {}
    errors = []
    for place, line in _places(yaml.compose(text, yaml.SafeLoader), (), set()):
        if place in lines:
            errors.append(
                f"{_at(path, line)}: {'.'.join(place)!r} is written twice (line {lines[place]} as well): keep one"
            )
        lines[place] = line
    while True:
        try:
            return Recipe.model_validate(fields), errors
        except ValidationError as error:
            problems: list[dict[str, Any]] = [{**problem} for problem in error.errors()]
        gone = 0
        for problem in problems:
            where = tuple(str(step) for step in problem["loc"]) or _named(problem)
            errors.append(complaint(_at(path, _line(lines, where)), problem))
            gone += _forget(fields, where)
        if not gone:
            return None, errors


def _at(path: Path, line: int | None) -> str:
    return str(path) if line is None else f"{path}, line {line}"


def _line(lines: dict[_Path, int], where: _Path) -> int | None:
    """The line of a field, or of the group that holds it where it stands nowhere itself."""
    while where and where not in lines:
        where = where[:-1]
    return lines.get(where)


def _places(node: yaml.Node | None, above: _Path, seen: set[int]) -> Iterator[tuple[_Path, int]]:
    """Each field's path and line, from 1; what an alias repeats (itself, even) is looked at once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*above, str(key.value))
            yield place, key.start_mark.line + 1
            yield from _places(value, place, seen)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            place = (*above, str(number))
            yield place, value.start_mark.line + 1
            yield from _places(value, place, seen)


def _named(problem: dict[str, Any]) -> _Path:
    """The field with which the message of a problem of the whole recipe begins (`roles.judge.model is …`)."""
    return tuple(str(problem.get("ctx", {}).get("error", "")).partition(" ")[0].split("."))


def _forget(fields: dict[str, Any], where: Sequence[str]) -> bool:
    """Take away the field that is wrong, or the nearest thing around it; whether anything was there."""
    holder: Any = fields
    last = None
    for step in where:
        name = next((name for name in holder if str(name) == step), None) if isinstance(holder, dict) else None
        if name is None:
            break
        last = (holder, name)
        holder = holder[name]
    if last is None:
        return False
    del last[0][last[1]]
    return True

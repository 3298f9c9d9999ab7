"""What each field of a recipe means.

Its type, default and range come from the model, its description from the string that stands beneath it in the source:
there is one text for whoever reads the code and whoever asks on a terminal.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import orjson
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from evolute.errors import RecipeError
from evolute.recipe.whole import Recipe

_PLAIN = {bool: "true or false", int: "whole number", float: "number", str: "text", Any: "anything"}
_MANY = {"true or false": "true or false", "whole number": "whole numbers", "number": "numbers", "text": "texts"}
_HEADING = ("", "| field | what it holds | default | what it does |", "|---|---|---|---|")
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


@dataclass(frozen=True, slots=True)
class FieldHelp:
    """One field, or a group of them (then `type` is `group`, and `default` and `allowed` are empty).

    `name` is dotted; `NAME` in it stands for a name that the user chooses.
    """

    name: str
    type: str
    default: str
    allowed: str
    description: str

    @property
    def is_group(self) -> bool:
        """Whether it only holds other fields."""
        return self.type == "group"


def explain(name: str = "") -> list[FieldHelp]:
    """The field of that dotted name and all below it, in the recipe's order; without a name, every field.

    A model's own name may stand for `NAME`: `models.default.price`.

    Raises:
        RecipeError: there is none of that name; the message has the nearest.
    """
    fields = list(_fields(Recipe, ""))
    if not name:
        return fields
    asked = name.strip().split(".")
    known = {tuple(field.name.split(".")): field for field in fields}
    found = [
        field
        for parts, field in known.items()
        if len(parts) >= len(asked) and all(a in (b, "NAME") or b == "NAME" for a, b in zip(asked, parts, strict=False))
    ]
    if not found:
        raise RecipeError(f"no field {name!r} in a recipe{_nearest(name, [field.name for field in fields])}")
    return found


def explain_part(part: type[BaseModel]) -> list[FieldHelp]:
    """Every field of a model that is no recipe of a run (`TrainRecipe`, say), in its order."""
    return list(_fields(part, ""))


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not near:
        last = name.rpartition(".")[2]
        ends = {other.rpartition(".")[2]: other for other in reversed(known)}
        near = [ends[end] for end in difflib.get_close_matches(last, ends, n=1)]
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; it has: {', '.join(name for name in known if '.' not in name)}"


def _fields(model: type[BaseModel], before: str, defaults: BaseModel | None = None) -> Iterator[FieldHelp]:
    said = descriptions(model)
    for name, field in model.model_fields.items():
        default = getattr(defaults, name) if defaults else field.get_default(call_default_factory=True)
        inner, chosen = _group(field.annotation)
        described = said.get(name) or (inspect.getdoc(inner) if inner else "") or ""
        description = " ".join(described.split())
        if inner is None:
            shape, allowed = _shape(field.annotation, field.metadata)
            yield FieldHelp(before + name, shape, _shown(default), allowed, description)
            continue
        yield FieldHelp(before + name, "group", "null" if default is None else "", "", description)
        given = default if isinstance(default, inner) else None
        yield from _fields(inner, f"{before}{name}.{'NAME.' if chosen else ''}", given)


def _group(annotation: Any) -> tuple[type[BaseModel] | None, bool]:  # noqa: ANN401 - a type, or typing's own forms
    """The model behind a field, if it is a group; and whether the user chooses names for several."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    if get_origin(annotation) is dict:
        return _group(get_args(annotation)[1])[0], True
    for part in get_args(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part, False
    return None, False


def descriptions(class_: type) -> dict[str, str]:
    """The strings beneath a class's fields, by the fields' names."""
    (cls,) = ast.parse(inspect.getsource(class_)).body
    found = {}
    lines = cls.body if isinstance(cls, ast.ClassDef) else []
    for line, below in pairwise(lines):
        if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            found[line.target.id] = below.value.value
    return found


def _shape(annotation: Any, metadata: list[Any]) -> tuple[str, str]:  # noqa: ANN401 - as in _group
    """A type and its range, in plain words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        field = [item for item in parts[1:] if isinstance(item, FieldInfo)]
        return _shape(parts[0], [*metadata, *(bound for item in field for bound in item.metadata)])
    allowed = _range(metadata)
    if origin in (Union, types.UnionType):
        shapes = [_shape(part, []) for part in parts if part is not type(None)]
        inner = ", ".join(filter(None, [allowed, *(bound for _, bound in shapes)]))
        return " or ".join([*(shape for shape, _ in shapes), "null"]), inner
    if origin is Literal:
        return "one of", ", ".join(map(str, parts))
    if origin is tuple:
        return _tuple(parts)
    if origin is dict:
        shape, bound = _shape(parts[1], [])
        return f"names with {_MANY.get(shape, shape)}", bound
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return "reason", "those that docs/select.md lists"
    return _PLAIN[annotation], allowed


def _tuple(parts: tuple[Any, ...]) -> tuple[str, str]:
    shape, bound = _shape(parts[0], [])
    many = _MANY.get(shape, f"{shape}s")
    return (f"list of {many}" if Ellipsis in parts else f"list of {len(parts)} {many}"), bound


def _range(metadata: list[Any]) -> str:
    bounds = ((_BOUNDS[name], getattr(item, name)) for item in metadata for name in _BOUNDS if hasattr(item, name))
    return ", ".join(f"{words} {bound:,}" for words, bound in bounds)


def _shown(default: object) -> str:
    if default is PydanticUndefined:
        return "must be given"
    return default if isinstance(default, str) and default else orjson.dumps(default).decode()


def as_markdown(fields: Iterable[FieldHelp]) -> str:
    """The fields as tables, one for each group: the tables of docs/recipes.md are made by this."""
    tables: dict[str, list[str]] = {}
    for field in fields:
        if field.is_group:
            tables[field.name] = [f"**`{field.name}`**: {_cell(field.description)}", *_HEADING]
            continue
        allowed = f"{field.type}: {field.allowed}" if field.allowed else field.type
        group = field.name.rpartition(".")[0].removesuffix(".NAME")
        tables.setdefault(group, [*_HEADING[1:]]).append(
            f"| `{field.name}` | {_cell(allowed)} | `{field.default}` | {_cell(field.description)} |"
        )
    groups = (lines for lines in tables.values() if lines[-1] != _HEADING[-1])
    return "\n\n".join("\n".join(lines) for lines in groups) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

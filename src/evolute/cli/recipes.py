"""Commands on recipes: list, show, validate, explain."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Annotated

from cyclopts import Parameter

from evolute.cli.screen import say
from evolute.pipeline.validating import validate as validate_recipe
from evolute.recipe import recipe_text, shipped
from evolute.recipe.explaining import FieldHelp, as_markdown
from evolute.recipe.explaining import explain as explain_fields
from evolute.recipe.trainingfiles import train_recipe_text, train_recipes
from evolute.text import printable

_WIDTH = 80
_TRAIN = "train/"


def list_recipes() -> None:
    """The names of the shipped recipes, each with its first sentence."""
    rows = []
    for name, text in _all_texts():
        comment = takewhile(lambda line: line.startswith("#"), text.splitlines())
        first, _, _ = " ".join(line.lstrip("# ") for line in comment).partition(". ")
        rows.append((name, first))
    _print_columns(rows)


def _all_texts() -> Iterator[tuple[str, str]]:
    for name in shipped():
        yield name, recipe_text(name)
    for name in train_recipes():
        yield f"{_TRAIN}{name}", train_recipe_text(name)


def show_recipe(name: str, /) -> None:
    """Print a shipped recipe: `evolute recipe show wizardlm > mine.yaml`, change it, and give it with --recipe.

    Args:
        name: The recipe's name; one for `evolute train` begins with train/ (train/tiny).
    """
    sys.stdout.write(train_recipe_text(name.removeprefix(_TRAIN)) if name.startswith(_TRAIN) else recipe_text(name))


def explain(
    field: str = "",
    /,
    *,
    markdown: Annotated[bool, Parameter(negative="", help="As the tables of docs/recipes.md.")] = False,
) -> None:
    """Say what a field of a recipe means: its type, default and range. Without FIELD, all of them.

    Args:
        field: Its dotted name, or a group's: select, select.duplicates.near, models.default.price.
    """
    fields = explain_fields(field)
    if markdown:
        sys.stdout.write(as_markdown(fields))
        return
    for one in fields:
        for line in _show(one):
            sys.stdout.write(line + "\n")


def validate(recipe: str, /) -> None:
    """Look at a recipe before anything is spent: all that is wrong with it at once, and what `evolute run` would do.

    No endpoint is asked. The status is 2 where something is wrong; what only this machine lacks (a key, say) is told.

    Args:
        recipe: A file, or a shipped recipe's name.
    """
    found = validate_recipe(recipe)
    _print_columns(found.plan)
    for lacking in found.missing:
        sys.stdout.write(f"missing: {printable(lacking)}\n")
    if found.errors:
        for error in found.errors:
            say(error)
        say(f"{recipe}: {len(found.errors)} to mend")
        sys.exit(2)
    wanting = ", but something is missing" if found.missing else ""
    sys.stdout.write(f"{printable(recipe)}: nothing is wrong{wanting}\n")


def _print_columns(rows: Sequence[tuple[str, str]]) -> None:
    """Names, and beside them what is told of each, as wide as the terminal, or as COLUMNS says."""
    indent = max((len(name) for name, _ in rows), default=0) + 2
    width = max(shutil.get_terminal_size((120, 24)).columns, indent + 20)
    for name, told in rows:
        lines = textwrap.wrap(printable(told), width - indent, break_on_hyphens=False, break_long_words=False)
        for number, line in enumerate(lines or [""]):
            sys.stdout.write(f"{'' if number else name:<{indent}}{line}".rstrip() + "\n")


def _show(field: FieldHelp) -> Iterator[str]:
    if field.is_group:
        yield ""
    yield field.name
    if not field.is_group:
        allowed = f": {field.allowed}" if field.type == "one of" else f", {field.allowed}" if field.allowed else ""
        default = field.default if field.default == "must be given" else f"default {field.default}"
        yield _indented(f"{field.type}{allowed}; {default}")
    yield _indented(field.description)


def _indented(text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)

"""Commands on recipes: list, show, validate, explain."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from itertools import takewhile
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from evolute.cli.screen import out as screen
from evolute.cli.screen import say
from evolute.pipeline.validating import validate as validate_recipe
from evolute.recipe import recipe_text, shipped
from evolute.recipe.explaining import FieldHelp, as_markdown
from evolute.recipe.explaining import explain as explain_fields
from evolute.text import printable

_WIDTH = 80


def list_recipes() -> None:
    """The names of the shipped recipes, each with its first sentence."""
    table = Table.grid(padding=(0, 2))
    for name in shipped():
        comment = takewhile(lambda line: line.startswith("#"), recipe_text(name).splitlines())
        first, _, _ = " ".join(line.lstrip("# ") for line in comment).partition(". ")
        table.add_row(name, Text(first))
    screen().print(table)


def show_recipe(name: str, /) -> None:
    """Print a shipped recipe: `evolute recipe show wizardlm > mine.yaml`, change it, and give it with --recipe.

    Args:
        name: The recipe's name.
    """
    sys.stdout.write(recipe_text(name))


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
    console = screen()
    table = Table.grid(padding=(0, 2))
    for stage, told in found.plan:
        table.add_row(stage, Text(printable(told)))
    console.print(table)
    for lacking in found.missing:
        console.print(Text(f"missing: {printable(lacking)}"))
    if found.errors:
        for error in found.errors:
            say(error)
        say(f"{recipe}: {len(found.errors)} to mend")
        sys.exit(2)
    console.print(Text(f"{recipe}: nothing is wrong" + (", but something is missing" if found.missing else "")))


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

"""A format by its name, or from a file with a template of the user's own."""

from __future__ import annotations

from pathlib import Path

from evolute.errors import InputError
from evolute.formats.declared import FORMATS
from evolute.formats.format import Format

_SUFFIXES = frozenset({".jinja", ".jinja2", ".j2", ".txt"})


def find_format(name: str) -> Format:
    """The format of that name, or of the Jinja template in the file of that name.

    Raises:
        InputError: there is neither, or the template cannot be read or makes no prompt.
        MissingExtra: it is a template, and jinja2 is not installed.
    """
    if (found := FORMATS.get(name)) is not None:
        return found
    path = Path(name)
    if path.is_file() or path.suffix.lower() in _SUFFIXES:
        from evolute.formats.template import template_format

        return template_format(path)
    raise InputError(f"no prompt format {name!r}: there are {', '.join(FORMATS)}, or give a file with a Jinja template")

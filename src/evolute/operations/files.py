"""Read an operation's Markdown file: a short YAML header, then sections under `##` headings.

Headings inside a fenced code block are text. What stands before the first section is a note to the reader and is never
sent. This module knows the layout; what the sections must hold is checked where a prompt is made of them.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from evolute.errors import OperationError

QUESTIONS = ("judge", "grader", "verifier")
"""Families of files that ask about instructions, or for tests of an answer, rather than rewrite them."""
FAMILIES = ("in-depth", "in-breadth", "code", *QUESTIONS)
# In the order in which a resolved file is written out and hashed.
SECTIONS = (
    "Template", "Method", "Conversation", "Short template", "Short answer", "Example", "Variants", "Demonstrations",
)  # fmt: skip
_FIELDS = ("name", "family", "weight", "source", "extends")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_FENCE = re.compile(r"\s{0,3}(```+|~~~+)")


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt and what the operation makes of it. `variant` is empty where the operation has none."""

    prompt: str
    rewrite: str
    variant: str = ""


@dataclass(frozen=True, slots=True)
class OperationFile:
    """One file, as it was read: nothing inherited yet."""

    path: str
    header: Mapping[str, Any] = field(default_factory=dict)
    sections: Mapping[str, str] = field(default_factory=dict)

    def merged(self, base: OperationFile) -> OperationFile:
        """This file with what it lacks taken from `base`; a section is taken as a whole."""
        return OperationFile(self.path, {**base.header, **self.header}, {**base.sections, **self.sections})

    def error(self, message: str) -> OperationError:
        """An error that names this file."""
        return OperationError(f"{self.path}: {message}")


def read_file(path: Path) -> OperationFile:
    """Read one file.

    Raises:
        OperationError: names the file, the line or field, the value and the remedy.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise OperationError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    return parse(text, str(path))


def parse(text: str, path: str) -> OperationFile:
    """Read a file's text; `path` is for messages."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        raise OperationError(f"{path}: line 1: an operation starts with a header between two lines of '---'")
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"), None)
    if end is None:
        raise OperationError(f"{path}: the header that starts on line 1 is never closed; add a line of '---'")
    file = OperationFile(path, _header("\n".join(lines[1:end]), path))
    return OperationFile(path, file.header, parse_sections("\n".join(lines[end + 1 :]), path, end + 1))


def parse_sections(text: str, path: str, line: int = 0) -> dict[str, str]:
    """The sections of a file's text below its header, which ended on `line`."""
    sections: dict[str, str] = {}
    for title, body, number in _split(text, "## ", path, line):
        if title not in SECTIONS:
            near = difflib.get_close_matches(title, SECTIONS, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(SECTIONS)}"
            raise OperationError(f"{path}: line {number}: unknown section {title!r}; {remedy}")
        if title in sections:
            raise OperationError(f"{path}: line {number}: there are two sections {title!r}; keep one")
        sections[title] = body
    return sections


def write_sections(sections: Mapping[str, str]) -> str:
    """The canonical text of a resolved file: `parse_sections` reads it back unchanged."""
    return "\n\n".join(f"## {title}\n\n{sections[title]}" for title in SECTIONS if title in sections) + "\n"


def parse_variants(body: str) -> tuple[str, ...]:
    """The items of a bullet list, one a line."""
    items = (line.strip().removeprefix("-").removeprefix("*").strip() for line in body.splitlines())
    return tuple(item for item in items if item)


def parse_demonstrations(body: str, path: str) -> tuple[Demonstration, ...]:
    """The pairs under `### Prompt` (or `### Prompt: VARIANT`) and `### Rewrite`."""
    parts = list(_split(body, "### ", path))
    found = []
    for (title, prompt, _), (second, rewrite, _) in zip(parts[::2], parts[1::2], strict=False):
        kind, _, variant = title.partition(":")
        if kind != "Prompt" or second != "Rewrite" or not prompt or not rewrite:
            break
        found.append(Demonstration(prompt, rewrite, variant.strip()))
    if len(found) * 2 != len(parts) or not parts:
        raise OperationError(
            f"{path}: Demonstrations: after {len(found)} pairs, expected '### Prompt' with text and then '### Rewrite' "
            f"with text, got {[title for title, _, _ in parts[len(found) * 2 :][:2]]!r}"
        )
    return tuple(found)


def _header(text: str, path: str) -> dict[str, Any]:
    try:
        header = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise OperationError(f"{path}: the header is not valid YAML: {error}") from None
    if not isinstance(header, dict):
        raise OperationError(f"{path}: the header must hold fields ({', '.join(_FIELDS)}), got {header!r}")
    for name, value in header.items():
        _check_field(path, name, value)
    return header


def _check_field(path: str, name: object, value: object) -> None:
    if name not in _FIELDS:
        near = difflib.get_close_matches(str(name), _FIELDS, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(_FIELDS)}"
        raise OperationError(f"{path}: unknown field {name!r}; {remedy}")
    if name == "weight":
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or value < 0:  # type: ignore[operator]
            raise OperationError(f"{path}: weight must be a number of at least 0, got {value!r}")
    elif not isinstance(value, str) or not value.strip():
        raise OperationError(f"{path}: {name} must be text, got {value!r}")
    elif name == "name" and not _NAME.fullmatch(value):
        raise OperationError(f"{path}: name must be small letters, digits and hyphens, got {value!r}")
    elif name == "family" and value not in FAMILIES:
        raise OperationError(f"{path}: family must be one of {', '.join(FAMILIES)}, got {value!r}")


def _split(text: str, mark: str, path: str, line: int = 0) -> Iterator[tuple[str, str, int]]:
    """Title, body and line number of each part under a heading that starts with `mark`."""
    title, start, body = "", 0, list[str]()
    fence, opened = "", 0
    for number, content in enumerate(text.splitlines(), line + 1):
        if (match := _FENCE.match(content)) and (not fence or match[1].startswith(fence)):
            fence, opened = ("", 0) if fence else (match[1], number)
        if not fence and content.startswith(mark):
            if title:
                yield title, "\n".join(body).strip(), start
            title, start, body = content[len(mark) :].strip(), number, []
        else:
            body.append(content)
    if fence:
        raise OperationError(f"{path}: the code block that line {opened} opens is never closed")
    if title:
        yield title, "\n".join(body).strip(), start

"""Evol from source: the functions and classes of one's own code, each as a programming task.

Python is parsed. Of other languages a small file is taken whole, and of a longer one the blocks that begin and end at
its left edge; nothing is known there of names, signatures and documentation. Imports and what else a piece of code
needs from its file are not taken along.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolute.records import tagged_hash
from evolute.seeds.sourcefiles import LANGUAGES, code_files, read_code

FEWEST_LINES, MOST_LINES = 4, 120
"""Lines that hold something in a piece of code: shorter ones say too little, longer ones are no one task."""
WHOLE_CLASS = 60
"""Lines up to which a class is one piece; of a longer one the methods are."""
FIELDS = ("instruction", "output", "language", "kind", "name", "task", "path", "lines")
"""What `--where` can ask of a piece."""

_HOLDS_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_\w{30,}|sk-[\w-]{20,}|xox[bap]-[\w-]{10,})"
    r"|(?:api_?key|secret|token|passw(?:or)?d)\w*[\"']?\s*[:=]\s*[\"'][^\"'\s]{8,}[\"']",
    re.IGNORECASE,
)
_BLOCK_START = re.compile(r"(?:[A-Za-z_@#].*\{|(?:def|function|local function|class|module|defmodule)\s.*)\s*$")
_BLOCK_END = re.compile(r"(?:\}|end\b)")
_COMMENT = re.compile(r"(?:///?|/?\*|#|--)")
_STUB = "Write the {language} {kind} `{name}`. This is its beginning:\n\n{stub}"
# What is asked about a piece of code that stands below. One is drawn by a hash of the code.
_TASKS = {
    "explain": "Explain step by step what this {language} {kind} does, and which arguments or inputs it cannot handle.",
    "review": "Find what can go wrong in this {language} {kind}, and correct it without changing what else it does.",
    "extend": "Extend this {language} {kind} so that it checks what it is given and says what is wrong with it.",
    "test": "Write tests for this {language} {kind}: its usual behaviour, its edge cases, and what it should refuse.",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of code, the line where it begins (from 1), and its own stub where it is documented Python."""

    kind: str
    name: str
    line: int
    code: str
    stub: str = ""


def source_rows(folder: Path, skipped: Counter[str]) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """The tasks made of a folder's code: the file, the line, and a row with `FIELDS`; in the order of the paths.

    Raises:
        SeedError: a folder cannot be read.
    """
    for path in code_files(folder, skipped):
        text = read_code(path, skipped)
        language = LANGUAGES[path.suffix.lower()]
        for piece in pieces(text, language, skipped):
            if _HOLDS_SECRET.search(piece.code):
                skipped["pieces that seem to hold a secret"] += 1
                continue
            yield path, piece.line, _row(piece, language, path.relative_to(folder).as_posix())


def pieces(text: str, language: str, skipped: Counter[str]) -> Iterator[Piece]:
    """The pieces of a file that are neither too short nor too long for a task."""
    if not text.strip():
        return
    for piece in _python(text, skipped) if language == "Python" else _others(text):
        if FEWEST_LINES <= _length(piece.code) <= MOST_LINES:
            yield piece


def _length(code: str) -> int:
    return sum(bool(line.strip()) for line in code.split("\n"))


def _python(text: str, skipped: Counter[str]) -> Iterator[Piece]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, RecursionError, MemoryError, ValueError):
        skipped["Python that does not parse"] += 1
        return
    lines = text.split("\n")
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from _class(node, lines)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("test_"):
            yield _piece("function", node.name, node, lines)


def _class(node: ast.ClassDef, lines: list[str]) -> Iterator[Piece]:
    whole = _piece("class", node.name, node, lines)
    if _length(whole.code) <= WHOLE_CLASS:
        yield whole
        return
    for member in node.body:
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and not member.name.startswith(("__", "test_")):
            yield _piece("method", f"{node.name}.{member.name}", member, lines)


def _piece(
    kind: str, name: str, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, lines: list[str]
) -> Piece:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    code = textwrap.dedent("\n".join(lines[first - 1 : node.end_lineno]))
    stub = ""
    if kind == "function" and ast.get_docstring(node) and len(node.body) > 1:
        stub = textwrap.dedent("\n".join(lines[first - 1 : node.body[0].end_lineno]))
    return Piece(kind, name, first, code, stub)


def _others(text: str) -> Iterator[Piece]:
    lines = text.split("\n")
    if _length(text) <= WHOLE_CLASS:
        yield Piece("file", "", 1, text.strip("\n"))
        return
    start = None
    for number, line in enumerate(lines):
        if start is None and _BLOCK_START.match(line) and not _COMMENT.match(line):
            start = number
            while start and _COMMENT.match(lines[start - 1]) and not lines[start - 1].startswith("#include"):
                start -= 1
        elif start is not None and _BLOCK_END.match(line):
            yield Piece("piece of code", "", start + 1, "\n".join(lines[start : number + 1]))
            start = None


def _row(piece: Piece, language: str, path: str) -> dict[str, Any]:
    fenced = _fenced(piece.code, language)
    tasks = ["write", *_TASKS] if piece.stub else list(_TASKS)
    task = tasks[int.from_bytes(tagged_hash("source-task-1", piece.code), "little") % len(tasks)]
    said = {"language": language, "kind": "program" if piece.kind == "file" else piece.kind, "name": piece.name}
    if task == "write":
        instruction, output = _STUB.format(**said, stub=_fenced(piece.stub, language)), fenced
    else:
        instruction, output = f"{_TASKS[task].format(**said)}\n\n{fenced}", None
    values = (instruction, output, language.lower(), piece.kind, piece.name, task, path, _length(piece.code))
    return dict(zip(FIELDS, values, strict=True))


def _fenced(code: str, language: str) -> str:
    """The code in a fence longer than any inside it."""
    longest = max((len(run) for run in re.findall(r"^[ \t]*(`{3,})", code, re.MULTILINE)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language.lower()}\n{code}\n{fence}"

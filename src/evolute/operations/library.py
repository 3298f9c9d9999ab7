"""Find the operations: the shipped ones, and the user's folders."""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from evolute.errors import InputError, RecipeError
from evolute.operations.files import QUESTIONS, OperationFile, read_file
from evolute.operations.prompts import (
    VERIFIERS,
    Grader,
    Judge,
    Operation,
    Verifier,
    make_grader,
    make_judge,
    make_operation,
    make_verifier,
)

SHIPPED = Path(__file__).parent
EQUALITY_PAIRS = SHIPPED / "judges" / "equality_pairs.jsonl"
"""Pairs of instructions with the verdict that a good judge gives: `{"first", "second", "verdict"}` a line."""


def load_operations(folders: Sequence[Path] = ()) -> dict[str, Operation]:
    """All operations by name, sorted: the shipped ones, then each folder's; where a name recurs, the last wins.

    A folder is read with its subfolders. Files named README or starting with `_` are not operations; judges and
    graders are left to `load_judge` and `load_grader`.

    Raises:
        OperationError: a file is not an operation; two files of one folder have one name.
        InputError: a folder does not exist or holds no operation.
    """
    found: dict[str, Operation] = {}
    for folder in (SHIPPED, *folders):
        found |= _folder(folder)
    return dict(sorted(found.items()))


def load_judge(name: str = "equality", folders: Sequence[Path] = ()) -> Judge:
    """The judge of that name; a user's folder wins over the shipped one.

    Raises:
        InputError: there is none.
    """
    return make_judge(_named(_questions("judge", folders), "judge", name))


def load_grader(name: str, folders: Sequence[Path] = ()) -> Grader:
    """The grader of that name; a user's folder wins over the shipped one.

    Raises:
        InputError: there is none.
    """
    return make_grader(_named(_questions("grader", folders), "grader", name))


def load_verifiers(folders: Sequence[Path] = ()) -> dict[str, Verifier]:
    """All verifiers by name; a user's folder wins over the shipped one.

    Raises:
        OperationError: a file is not as it should be.
    """
    known = _questions("verifier", folders)
    return {name: make_verifier(_named(known, "verifier", name)) for name in VERIFIERS}


def weigh(
    operations: Mapping[str, Operation], chosen: Mapping[str, float | None], families: Sequence[str]
) -> dict[str, float]:
    """The weights to draw with: those of `chosen` (None: the file's own), or all of `families` where none is chosen.

    Raises:
        RecipeError: an unknown operation or family is named, or nothing is left to draw from.
    """
    for name in chosen:
        if name not in operations:
            near = difflib.get_close_matches(name, operations, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(operations)}"
            raise RecipeError(f"evolve.operations: no operation {name!r}; {remedy}")
    known = {operation.family for operation in operations.values()}
    if unknown := sorted(set(families) - known):
        there = ", ".join(sorted(known))
        raise RecipeError(f"evolve.families: no operation is of family {unknown[0]!r}; there are: {there}")
    names = chosen or {name: None for name, operation in operations.items() if operation.family in families}
    weights = {name: operations[name].weight if weight is None else weight for name, weight in names.items()}
    if not any(weight > 0 for weight in weights.values()):
        raise RecipeError("evolve.operations: every weight is 0; give at least one operation a weight above 0")
    return weights


def choose(operations: Mapping[str, Operation], weights: Mapping[str, float], key: bytes) -> Operation:
    """Draw an operation by weighted rendezvous hashing: each scores -ln(u) / weight, and the least wins.

    (Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005.) `u` in (0, 1) is a hash of `key` and the
    name alone, so that adding or reweighting one operation changes only the draws which that operation wins or loses.
    Weights of 0 never win.
    """
    best, least = "", math.inf
    for name, weight in weights.items():
        if weight > 0:
            digest = hashlib.blake2b(key + name.encode(), digest_size=8, person=b"choose-1").digest()
            # 53 bits, moved half a step up: never 0, never 1, and exact as a float.
            score = -math.log(((int.from_bytes(digest, "little") >> 11) + 0.5) / 2**53) / weight
            if score < least or (score == least and name < best):
                best, least = name, score
    if not best:
        raise RecipeError("no operation to choose from: every weight is 0")
    return operations[best]


def _folder(folder: Path) -> dict[str, Operation]:
    found: dict[str, Operation] = {}
    for file in _files(folder):
        if file.header.get("family") in QUESTIONS:
            continue
        operation = make_operation(file)
        if other := found.get(operation.name):
            raise file.error(f"the name {operation.name!r} is taken by {other.path}; rename one of them")
        found[operation.name] = operation
    return found


def _questions(family: str, folders: Sequence[Path]) -> dict[str, OperationFile]:
    found: dict[str, OperationFile] = {}
    for folder in (SHIPPED, *folders):
        found |= {str(f.header.get("name")): f for f in _files(folder) if f.header.get("family") == family}
    return found


def _named(found: Mapping[str, OperationFile], family: str, name: str) -> OperationFile:
    if name not in found:
        raise InputError(f"no {family} {name!r}; there are: {', '.join(sorted(found))}")
    return found[name]


def _files(folder: Path) -> Iterator[OperationFile]:
    """The resolved files of a folder, or of one file."""
    if not folder.exists():
        raise InputError(f"no such folder of operations: {str(folder)!r}")
    paths = sorted(folder.rglob("*.md")) if folder.is_dir() else [folder]
    paths = [path for path in paths if not path.name.startswith("_") and path.stem.upper() != "README"]
    if not paths:
        raise InputError(f"{str(folder)!r} holds no operation: add a .md file (docs/operations.md shows one)")
    return (_resolve(path) for path in paths)


def _resolve(path: Path) -> OperationFile:
    file = read_file(path)
    name = file.header.get("extends")
    return _with_conversation(file if name is None else file.merged(_base(file, path, str(name))))


def _base(file: OperationFile, path: Path, name: str) -> OperationFile:
    shipped = sorted(SHIPPED.rglob(Path(name).name))
    base_path = next((found for found in (path.parent / name, *shipped) if found.is_file()), None)
    if base_path is None:
        raise file.error(f"extends: no file {name!r} beside it or among the shipped ones")
    base = read_file(base_path)
    if "extends" in base.header:
        raise file.error(f"extends: {name!r} itself extends another file; extend that one")
    return base


def _with_conversation(file: OperationFile) -> OperationFile:
    """A file that says nothing of conversations shows them before its template, in the words of the shipped ones."""
    sections = dict(file.sections)
    for title in ("Template", "Short template"):
        if title in sections and "{conversation}" not in sections[title]:
            sections[title] = "{conversation}\n\n" + sections[title]
    if "Conversation" not in sections:
        sections["Conversation"] = read_file(SHIPPED / "wizardlm" / "_in-depth.md").sections["Conversation"]
    return replace(file, sections=sections)

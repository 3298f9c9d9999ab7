"""What the user named: files, folders, standard input, or a dataset on the hub."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evolute.errors import SeedError
from evolute.seeds.options import quoted
from evolute.seeds.rows import DATA_SUFFIXES

_HUB = "hf:"
_CODE = "code:"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_BESIDE_THE_DATA = ("readme", "license", "licence", "dataset_infos.json")  # papers that lie in a dataset's folder


@dataclass(frozen=True, slots=True)
class Place:
    """One thing to read. `shown` is what the user called it; `path` is None for standard input and the hub.

    With `code` it is a folder of source code.
    """

    shown: str
    path: Path | None = None
    hub: str = ""
    in_folder: bool = False
    code: bool = False


def places(source: str) -> Iterator[Place]:
    """What stands behind one name that the user gave.

    Raises:
        SeedError: nothing does, or a folder is empty or unreadable.
    """
    path = Path(source)
    _refuse_name(source)
    if source == "-":
        yield Place("standard input")
    elif source.startswith(_CODE) and not path.exists():
        yield _code(source)
    elif path.is_dir():
        yield from _within(source, path)
    elif path.exists():
        yield Place(source, path)
    elif source.startswith(_HUB):
        yield Place(source, hub=source.removeprefix(_HUB))
    elif _may_be_hub(source, path):
        yield Place(source, hub=source)
    else:
        raise SeedError(f"{quoted(source)}: no such file or folder. {_nearest(path)}")


def _code(source: str) -> Place:
    folder = Path(source.removeprefix(_CODE) or ".")
    if not folder.is_dir():
        near = _nearest(folder) if not folder.exists() else "That is a file: give the folder that it is in."
        raise SeedError(f"{quoted(source)}: no such folder of source code. {near}")
    return Place(str(folder), folder, code=True)


def _may_be_hub(source: str, path: Path) -> bool:
    """Whether a name that is no file can be meant for the hub: nothing that looks like a mistyped path goes there."""
    return (
        _HUB_NAME.fullmatch(source) is not None
        and not path.parent.exists()
        and not source.startswith(".")
        and path.suffix.lower() not in DATA_SUFFIXES
    )


def _nearest(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        known = next((above for above in folder.parents if above.is_dir()), Path())
        return f"Its folder {str(folder)!r} is not there either ({str(known)!r} is)."
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        names = []
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    if near:
        return f"Did you mean {str(folder / near[0])!r}?"
    return f"Give a file, a folder, '-' for standard input, or {_HUB}OWNER/NAME for a dataset on the Hugging Face hub."


def _within(source: str, folder: Path) -> Iterator[Place]:
    def refuse(error: OSError) -> None:
        raise SeedError(f"{quoted(str(error.filename))}: the folder cannot be read: {error.strerror}") from None

    found = False
    for at, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith((".", "_")) and not name.lower().startswith(_BESIDE_THE_DATA):
                found = True
                path = Path(at, name)
                _refuse_name(str(path))
                yield Place(str(path), path, in_folder=True)
    if not found:
        raise SeedError(f"{quoted(source)}: the folder holds no files (hidden ones and READMEs are left out)")


def _refuse_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SeedError(f"{quoted(name)}: a file's name that is not UTF-8; rename it") from None

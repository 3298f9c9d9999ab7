"""A file that appears whole or not at all; every stage that writes one for the user uses it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from evolute.errors import InputError


@contextmanager
def replacing(out: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `out` when the block ends well, and is removed when it does not.

    A link is followed, so that what it points to is replaced. The bytes are on the disk before the old file is gone.

    Raises:
        InputError: `out` is a folder or a device, or its folder is missing or not writable, or the disk is full.
    """
    target = _regular(out)
    partial = target.with_name(f".evolute-{secrets.token_hex(6)}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _regular(out: Path) -> Path:
    target = out.resolve()
    if target.is_dir():
        raise InputError(f"{out} is a folder: name a file in it")
    if target.exists() and not target.is_file():
        raise InputError(f"{out} is not a regular file; a dataset is written whole and then put in place")
    if not target.parent.is_dir():
        raise InputError(f"{out}: there is no folder {target.parent}; make it first")
    return target


def _sync_folder(folder: Path) -> None:
    """Make the new name durable as well; Windows has no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

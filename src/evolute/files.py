"""A file, or a folder of files, that appears whole or not at all; every stage that writes for the user uses it."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
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
    target = regular(out)
    partial = _beside(target)
    try:
        with new_file(partial) as file:
            yield file
        partial.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise _unwritable(out, error) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(out: Path, objection: Callable[[Path], str]) -> Iterator[Path]:
    """A new folder to fill, that takes the place of `out` when the block ends well, and is removed when it does not.

    Where `out` holds something, `objection` says why it must not be replaced, or nothing. It is moved aside and deleted
    after the new one is in its place. Between those two renames a crash leaves the old and the new folder, each whole,
    under hidden names beside `out`; it never leaves files of both in one.

    Raises:
        InputError: `out` is a file or may not be replaced, or cannot be written, or the disk is full.
    """
    target = out.resolve()
    _check_folder(out, target, objection)
    partial = _beside(target)
    try:
        partial.mkdir()
        yield partial
        for folder in (partial, *(path for path in partial.iterdir() if path.is_dir())):
            sync_folder(folder)
        _check_folder(out, target, objection)  # once more: writing took a while
        _swap(partial, target)
        sync_folder(target.parent)
    except OSError as error:
        raise _unwritable(out, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that is on the disk when the block ends."""
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _swap(new: Path, target: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    old = _beside(target)
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(target: Path) -> Path:
    return target.with_name(f".evolute-{secrets.token_hex(6)}.partial")


def _unwritable(out: Path, error: OSError) -> InputError:
    return InputError(f"{out}: cannot be written: {error.strerror or error}")


def _check_folder(out: Path, target: Path, objection: Callable[[Path], str]) -> None:
    if target.exists() and not target.is_dir():
        raise InputError(f"{out} is a file, and a dataset of several files needs a folder: name another, or remove it")
    _check_parent(out, target)
    try:
        why = objection(target) if target.is_dir() and any(target.iterdir()) else ""
    except OSError as error:
        raise InputError(f"{out}: cannot be read: {error.strerror or error}") from error
    if why:
        raise InputError(f"{out} is a folder that must not be replaced: {why}")


def regular(out: Path) -> Path:
    """The file that `out` is or links to, or will be.

    Raises:
        InputError: it is a folder or a device, or there is no folder to put it in.
    """
    target = out.resolve()
    if target.is_dir():
        raise InputError(f"{out} is a folder: name a file in it")
    if target.exists() and not target.is_file():
        raise InputError(f"{out} is not a regular file; a dataset is written whole and then put in place")
    _check_parent(out, target)
    return target


def _check_parent(out: Path, target: Path) -> None:
    if not target.parent.is_dir():
        raise InputError(f"{out}: there is no folder {target.parent}; make it first")


def sync_folder(folder: Path) -> None:
    """Make the new name durable as well; Windows has no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

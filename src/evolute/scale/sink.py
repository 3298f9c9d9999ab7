"""The durable place of a run on a cluster: immutable files under a folder or URL, reached through fsspec.

Where the file system has folders, a file is written beside its place and renamed; an object store takes it whole.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from evolute.errors import InputError, LedgerError, MissingExtra
from evolute.files import replacing

T = TypeVar("T")

_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "memory"}
"""Protocols whose put is all or nothing (https://filesystem-spec.readthedocs.io/en/latest/api.html)."""
_TRIES, _FIRST_PAUSE = 5, 0.5  # a store that fails in passing: 0.5, 1, 2 and 4 seconds between the tries


class Sink:
    """Files by relative names (`calls/SHARD/NAME.parquet`) under one folder or URL."""

    def __init__(self, url: str) -> None:
        """Reach the place.

        Raises:
            InputError: the URL names no file system that fsspec knows.
            MissingExtra: fsspec is not installed.
        """
        try:
            import fsspec
        except ImportError:
            raise MissingExtra("a sink (fsspec)", "scale") from None
        self.url = url
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise InputError(f"--sink {url!r}: {error} on every node (pip install s3fs, gcsfs, adlfs, …)") from None
        except ValueError as error:
            raise InputError(f"--sink {url!r} cannot be reached: {error}") from None
        self._root = self._root.rstrip("/")
        protocol = self._fs.protocol
        self._puts_whole = bool(_OBJECT_STORES & ({protocol} if isinstance(protocol, str) else set(protocol)))
        self._local = "file" in protocol

    def put(self, name: str, data: bytes) -> None:
        """Write a file that was not there, or put a new one in its place; it is durable when this returns.

        Raises:
            LedgerError: it cannot be written, time and again.
        """
        self._persist("written", name, lambda: self._put(f"{self._root}/{name}", data))

    def get(self, name: str) -> bytes:
        """Read a file.

        Raises:
            LedgerError: it cannot be read, time and again.
        """
        return bytes(self._persist("read", name, lambda: self._fs.cat_file(f"{self._root}/{name}")))

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return bool(self._persist("read", name, lambda: self._isfile(f"{self._root}/{name}")))

    def names(self, folder: str) -> list[str]:
        """All files in a folder and those below it, in the order of their names; half-written ones are no files."""
        found = self._persist("read", folder, lambda: self._find(f"{self._root}/{folder}"))
        kept = [str(path)[str(path).index(self._root) + len(self._root) + 1 :] for path in found]
        return sorted(name for name in kept if not name.endswith(".partial"))

    def _isfile(self, path: str) -> bool:
        self._fs.invalidate_cache()
        return bool(self._fs.isfile(path))

    def _find(self, path: str) -> list[str]:
        self._fs.invalidate_cache()
        return list(self._fs.find(path)) if self._fs.exists(path) else []

    def _put(self, path: str, data: bytes) -> None:
        if self._puts_whole:
            self._fs.pipe_file(path, data)
            return
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        if self._local:
            with replacing(Path(path)) as file:
                file.write(data)
            return
        partial = f"{path}.{secrets.token_hex(4)}.partial"
        self._fs.pipe_file(partial, data)
        self._fs.mv(partial, path)

    def _persist(self, what: str, name: str, act: Callable[[], T]) -> T:
        failure: Exception | None = None
        for number in range(_TRIES):
            if number:
                time.sleep(_FIRST_PAUSE * 2 ** (number - 1))
            try:
                return act()
            except (FileExistsError, NotADirectoryError, FileNotFoundError, PermissionError, InputError) as error:
                if what == "written":
                    raise InputError(
                        f"--sink {self.url!r}: {name} cannot be written there: {error}; name a place that can be"
                    ) from None
                failure = error
                break
            except OSError as error:  # fsspec's file systems translate their own errors to it
                failure = error
        raise LedgerError(
            f"{self.url}: {name} cannot be {what}: {failure}. Nothing in the sink is lost; run the same command again"
        ) from None


def place_of(url: str | None, run: Path) -> str:
    """The sink that is meant: `url`, an absolute path where it is one; by default a folder in the run's.

    A relative path would be another place for every process.
    """
    if url is None:
        return str((run / "segments").resolve())
    return url if "://" in url or "::" in url else str(Path(url).resolve())

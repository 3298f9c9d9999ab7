"""The file of a batch while its requests are being collected."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from evolute.files import sync_folder
from evolute.ledger.batches import Asked


class Collection:
    """Requests on their way into a batch: lines in a file, and in memory only what the ledger is to know of them.

    Args:
        folder: where the file is written, as `NAME.jsonl` once it is whole.
        asker: whose batch it is; the name begins with it.
        most: requests that it takes.
        most_bytes: bytes that it takes.
    """

    def __init__(self, folder: Path, asker: bytes, most: int, most_bytes: int) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        self.name = f"{prefix(asker)}{stamp}-{secrets.token_hex(4)}"
        self.asked: list[Asked] = []
        self._most, self._most_bytes, self._bytes = most, most_bytes, 0
        self._path = folder / f"{self.name}.jsonl"
        self._part = folder / f"{self.name}.jsonl.part"
        self._file = self._part.open("wb", buffering=1 << 18)

    @property
    def is_full(self) -> bool:
        """Whether it takes no more requests."""
        return len(self.asked) >= self._most

    def has_room(self, line: bytes) -> bool:
        """Whether the line fits; the first always does."""
        return not self.asked or self._bytes + len(line) + 1 <= self._most_bytes

    def add(self, asked: Asked, line: bytes) -> None:
        """Take a request."""
        self._file.write(line + b"\n")
        self._bytes += len(line) + 1
        self.asked.append(asked)

    def finish(self) -> None:
        """Bring the file to the disk under its name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self._path)
        sync_folder(self._path.parent)

    def discard(self) -> None:
        """Remove the file."""
        self._file.close()
        self._part.unlink(missing_ok=True)


def prefix(asker: bytes) -> str:
    """How the names of an asker's batches begin."""
    return f"{asker.hex()[:8]}-"


def tidy(folder: Path, asker: bytes, kept: set[str]) -> None:
    """Remove the files of requests that no batch came of, for the process was killed; answers stay."""
    for path in folder.glob(f"{prefix(asker)}*.jsonl*"):
        name = path.name.partition(".")[0]
        if name not in kept and path.name in (f"{name}.jsonl", f"{name}.jsonl.part"):
            path.unlink(missing_ok=True)

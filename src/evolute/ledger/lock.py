"""One process at a time writes a run; the lock says which."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from types import TracebackType

import orjson

from evolute.errors import RunBusy

try:
    import fcntl
except ImportError:  # Windows has no flock; there, SQLite's own lock is what stands between two writers
    fcntl = None  # type: ignore[assignment]


class RunLock:
    """An advisory lock on `RUN/run.lock`, released by the system when the process ends, however it ends."""

    def __init__(self, run: Path) -> None:
        self.path = run / "run.lock"
        self._file = -1

    def __enter__(self) -> RunLock:
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        if not self._taken():
            os.close(self._file)
            raise RunBusy(
                f"{self.path.parent} is in use by {describe(holder(self.path.parent))}. Wait for it, or stop it; "
                f"`evolute status {self.path.parent}` shows how far it is"
            )
        mine = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, orjson.dumps(mine), 0)
        return self

    def _taken(self) -> bool:
        if fcntl is None:
            return True  # type: ignore[unreachable]
        for _ in range(20):  # `holder` holds it, too, for an instant
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(0.01)
            else:
                return True
        return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.ftruncate(self._file, 0)
        os.close(self._file)


def holder(run: Path) -> dict[str, object] | None:
    """Who writes this run at the moment: pid, host, since (Unix seconds); None if nobody does."""
    path = run / "run.lock"
    with contextlib.suppress(OSError, orjson.JSONDecodeError):
        with path.open("rb") as file:
            said = orjson.loads(file.read())
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:
                    return dict(said)
        return None
    return None


def describe(who: dict[str, object] | None) -> str:
    """The holder in words."""
    if who is None:
        return "another process"
    since = time.strftime("%H:%M:%S", time.localtime(float(str(who["since"]))))
    return f"process {who['pid']} on {who['host']} since {since}"

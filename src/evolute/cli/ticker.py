"""One line that says how far an evaluation is: drawn anew on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from types import TracebackType
from typing import Any, TextIO

from evolute.cli.live import LINE_SECONDS, PANEL_SECONDS
from evolute.cli.screen import money
from evolute.evolve.progress import Progress
from evolute.text import printable

_ERASE = "\r\x1b[2K"


class Ticker:
    """Shows a `Progress` in one line while its block runs, from the running event loop; a context manager.

    `refresh` is called before each look, to bring the counters up to date.
    """

    def __init__(self, progress: Progress, stream: TextIO, refresh: Callable[[], None]) -> None:
        self._progress = progress
        self._stream = stream
        self._refresh = refresh
        self._drawn = stream.isatty()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Ticker:
        self._plan()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._show("\n")

    def _plan(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PANEL_SECONDS if self._drawn else LINE_SECONDS, self._tick)

    def _tick(self) -> None:
        self._show("" if self._drawn else "\n")
        self._plan()

    def _show(self, end: str) -> None:
        self._refresh()
        text = line(self._progress, time.monotonic() - self._progress.started)
        self._stream.write((_ERASE if self._drawn else "") + text + end)
        self._stream.flush()


def line(progress: Progress, elapsed: float) -> str:
    """How far it is; `elapsed` in seconds."""
    total = progress.seeds_total or 0
    parts = [f"[{timedelta(seconds=round(elapsed))}] {progress.seeds_done:,} of {total:,}"]
    if progress.limit:
        recalled = f" ({progress.recalled:,} recalled)" if progress.recalled else ""
        retries = f", {progress.retries.total():,} retries" if progress.retries else ""
        parts[0] += f" answers{recalled}"
        parts.append(f"{progress.in_flight:,} of {progress.limit:,} calls in flight{retries}")
        parts.append(f"cost {money(progress.cost)}")
    parts.append(printable(progress.note).replace("\n", " "))
    return "; ".join(part for part in parts if part)


def tick_on(stream: TextIO) -> Callable[[Progress, Callable[[], None]], AbstractContextManager[Any]]:
    """A view of the progress on `stream`."""
    return lambda progress, refresh: Ticker(progress, stream, refresh)

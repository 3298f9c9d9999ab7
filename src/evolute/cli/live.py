"""What a run shows while it works: a panel on a terminal, log lines anywhere else."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from evolute.cli.screen import money
from evolute.evolve.progress import Progress
from evolute.text import printable

PANEL_SECONDS = 0.25
LINE_SECONDS = 10.0
_FIRST_LINE_SECONDS = 1.0
_RATE_SECONDS = 5.0  # rates are those of the last few seconds
_REASONS = 6
_LABEL_CELLS = 9


class Rates:
    """How fast a run goes: calls and generated tokens a second of late, and the time that is left."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()
        self._first: tuple[float, int] | None = None

    def look(self, now: float, progress: Progress) -> None:
        """Note where the run stands at the time `now`, in seconds."""
        self._first = self._first or (now, progress.seeds_done)
        self._seen.append((now, progress.calls, progress.completion_tokens))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _RATE_SECONDS:
            self._seen.popleft()

    @property
    def per_second(self) -> tuple[float, float]:
        """Calls and generated tokens a second, over the last five seconds or between the last two looks."""
        if len(self._seen) < 2:
            return 0.0, 0.0
        (begin, calls, tokens), (end, more_calls, more_tokens) = self._seen[0], self._seen[-1]
        seconds = max(end - begin, 1e-9)
        return (more_calls - calls) / seconds, (more_tokens - tokens) / seconds

    def left(self, progress: Progress) -> float | None:
        """Seconds left at the mean pace since the first look; None while nothing tells."""
        if self._first is None or progress.seeds_total is None:
            return None
        begin, done = self._first
        finished = progress.seeds_done - done
        if finished <= 0:
            return None
        return (progress.seeds_total - progress.seeds_done) * (self._seen[-1][0] - begin) / finished


class LiveView:
    """Shows a `Progress` while its block runs, from the running event loop; a context manager.

    On a terminal it is a panel, drawn anew four times a second; elsewhere (or where `plain` says so) a line after one
    second, one every ten, and one at the end. `refresh` is called before each look, to bring the counters up to date.
    """

    def __init__(
        self,
        progress: Progress,
        stream: TextIO,
        plain: bool | None = None,
        *,
        refresh: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._stream = stream
        self._refresh = refresh
        self._clock = clock
        self._rates = Rates()
        self._timer: asyncio.TimerHandle | None = None
        console = Console(file=stream, highlight=False, markup=False, emoji=False)
        if plain is None:
            plain = not stream.isatty() or console.is_dumb_terminal
        self._every = LINE_SECONDS if plain else PANEL_SECONDS
        self._live = None if plain else Live(console=console, auto_refresh=False)

    def __enter__(self) -> LiveView:
        self._look()
        if self._live is not None:
            self._live.start()
            self._show()
        self._plan(min(self._every, _FIRST_LINE_SECONDS))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._look()
        self._show()
        if self._live is not None:
            self._live.stop()

    def _plan(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._tick)

    def _tick(self) -> None:
        self._look()
        self._show()
        self._plan(self._every)

    def _look(self) -> None:
        self._refresh()
        self._rates.look(self._clock(), self._progress)

    def _show(self) -> None:
        elapsed = self._clock() - self._progress.started
        if self._live is None:
            self._stream.write(line(self._progress, self._rates, elapsed) + "\n")
            self._stream.flush()
        else:
            self._live.update(panel(self._progress, self._rates, elapsed), refresh=True)


def line(progress: Progress, rates: Rates, elapsed: float) -> str:
    """Where a run stands, as one line of a log; `elapsed` in seconds."""
    parts = [
        f"{_seeds(progress)} seeds",
        f"kept {progress.kept:,}",
        f"dropped {_dropped(progress)}",
        _speed(progress, rates),
        f"retries {_most(progress.retries)}" if progress.retries else "",
        f"cost {money(progress.cost)}",
        f"{_left(progress, rates)} left" if _left(progress, rates) else "",
        printable(progress.note).replace("\n", " "),
    ]
    return f"[{_clock_time(elapsed)}] " + "; ".join(part for part in parts if part)


def panel(progress: Progress, rates: Rates, elapsed: float) -> Panel:
    """Where a run stands, as a panel; `elapsed` in seconds."""
    tokens = f"{progress.prompt_tokens:,} tokens in, {progress.completion_tokens:,} out"
    recalled = f" ({progress.recalled:,} more recalled)" if progress.recalled else ""
    left = _left(progress, rates)
    rows = [
        ("seeds", _seeds(progress), "cyan"),
        ("kept", f"{progress.kept:,}", "green"),
        ("dropped", _dropped(progress), ""),
        ("speed", _speed(progress, rates), ""),
        ("retries", _most(progress.retries), "yellow"),
        ("spent", f"{money(progress.cost)}; {progress.calls:,} calls{recalled}; {tokens}", ""),
        ("time", _clock_time(elapsed) + (f", about {left} left" if left else ""), ""),
        ("note", printable(progress.note), "yellow"),
    ]
    body = _Rows([row for row in rows if row[1]], latest=_one_line(progress.last))
    return Panel(body, title="evolute", title_align="left", border_style="dim")


class _Rows:
    """Labels and values, wrapped beside their label; a rich table does the same at four times the time."""

    def __init__(self, rows: list[tuple[str, str, str]], latest: Text) -> None:
        self._rows = rows
        self._latest = latest

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(options.max_width - _LABEL_CELLS, 8)
        for label, value, style in self._rows:
            lead = label
            for line in Text(value, style=style).wrap(console, width):
                yield Text.assemble((lead.ljust(_LABEL_CELLS), "bold"), line)
                lead = ""
        self._latest.truncate(width, overflow="ellipsis")
        yield Text.assemble(("latest".ljust(_LABEL_CELLS), "bold"), self._latest)


def _seeds(progress: Progress) -> str:
    if progress.seeds_total is None:
        return f"{progress.seeds_done:,}/?"
    share = f" ({progress.seeds_done / progress.seeds_total:.0%})" if progress.seeds_total else ""
    return f"{progress.seeds_done:,}/{progress.seeds_total:,}{share}"


def _dropped(progress: Progress) -> str:
    count = sum(progress.dropped.values())
    return f"{count:,} ({_most(progress.dropped)})" if count else "0"


def _most(counts: Counter[str]) -> str:
    """The most frequent of some counts, and how many others there are."""
    named = [f"{printable(name)} {count:,}" for name, count in counts.most_common(_REASONS)]
    others = sum(counts.values()) - sum(count for _, count in counts.most_common(_REASONS))
    return ", ".join([*named, f"others {others:,}"] if others else named)


def _speed(progress: Progress, rates: Rates) -> str:
    calls, tokens = rates.per_second
    return f"{calls:,.1f} calls/s, {tokens:,.0f} tokens/s, {progress.in_flight:,} of {progress.limit:,} in flight"


def _left(progress: Progress, rates: Rates) -> str:
    seconds = rates.left(progress)
    return "" if seconds is None else _clock_time(seconds)


def _clock_time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _one_line(text: str) -> Text:
    """A model's text, safe and on one line."""
    return Text(printable(" ".join(text[:1000].split())), style="dim")

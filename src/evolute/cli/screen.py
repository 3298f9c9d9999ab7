"""What the commands print: results on standard output, all else on standard error."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any, TextIO

import orjson
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evolute.evolve.planning import Estimate, Range
from evolute.evolve.progress import Progress
from evolute.ledger.batches import BatchRow
from evolute.pipeline.stopping import INTERRUPTED
from evolute.pipeline.summary import DATASET, Summary
from evolute.text import printable

Json = Annotated[bool, Parameter(name="--json", negative="", help="The result as JSON on standard output.")]


def say(message: str) -> None:
    """A remark on standard error."""
    sys.stderr.write(printable(message) + "\n")


def out() -> Console:
    """Standard output; as wide as needed where it is not a terminal."""
    console = Console(highlight=False, markup=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, emoji=False, width=120)


def write_json(record: Any) -> None:  # noqa: ANN401 - any of our result records
    """A result for scripts."""
    data = orjson.dumps(record, default=_plain, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    sys.stdout.write(data.decode() + "\n")


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def status_of(stopped: str) -> int:
    """The exit status of a stage that is not done: interrupted, stopped by a bound, or left over."""
    if stopped == INTERRUPTED:
        return 130
    return 4 if stopped.startswith("--") else 3


def watch_on(stream: TextIO) -> Callable[[Progress, Callable[[], None]], AbstractContextManager[Any]]:
    """A view of the progress on `stream`."""

    def watch(progress: Progress, refresh: Callable[[], None]) -> AbstractContextManager[Any]:
        from evolute.cli.live import LiveView

        return LiveView(progress, stream, refresh=refresh)

    return watch


def money(cost: float | None) -> str:
    """US dollars, or `unknown`; never 0 for what is not known."""
    if cost is None:
        return "unknown"
    return f"${cost:,.2f}" if cost >= 1 else f"${cost:.4f}"


def show_summary(summary: Summary, *, ended: bool = False) -> None:
    """How a run stands, in one screen."""
    console = out()
    line = f"{summary.run}: {summary.finished:,} of {summary.seeds:,} seeds finished"
    if summary.pending and summary.stopped:
        line += f", {summary.pending:,} pending ({summary.stopped})"
    elif summary.pending:
        line += f", {summary.pending:,} pending"
    console.print(Text(printable(line), style="bold"))
    if summary.duplicates or summary.bad_rows:
        console.print(
            f"read: {summary.duplicates:,} exact duplicates (evolved once), {summary.bad_rows:,} bad rows set aside"
        )
    if summary.evol_stop:
        console.print(f"Evol Stop: {summary.evol_stop}")
    _show_verdicts(console, summary)
    if tried := summary.verified + sum(summary.unverified.values()):
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in summary.unverified.items())
        console.print(f"verified {summary.verified:,} of {tried:,} answers" + (f"; not: {reasons}" if reasons else ""))
    console.print(
        f"calls {summary.calls:,} (in {summary.tries:,} tries) · tokens {summary.prompt_tokens:,} in, "
        f"{summary.completion_tokens:,} out · cost {money(summary.cost)}"
        + (f", {money(summary.cost_per_kept)} per kept instruction" if summary.cost_per_kept is not None else "")
    )
    if (selection := summary.selection) is not None:
        stale = "" if selection.current else " (the run has changed since: select again)"
        console.print(f"selected {selection.kept:,} of {selection.rows:,} rows{stale}")
    _show_batches(console, summary.batches)
    for why, count in summary.left_over.items():
        console.print(Text(printable(f"left over: {count:,} lineages: {why}")))
    if ended and summary.pending:
        bound = summary.stopped.partition(" ")[0]
        how = f"with a higher {bound}" if bound.startswith("--max-") else "again"
        console.print(f"to go on, run the same command {how}: nothing recorded is paid for twice")
    elif (file := summary.run / DATASET).is_file() and file.stat().st_size:
        console.print(Text(f"all kept rows: {file}"))


def _show_verdicts(console: Console, summary: Summary) -> None:
    total = summary.kept + sum(summary.dropped.values())
    if not total:
        return
    rounds = ", ".join(f"round {n}: {kept} of {kept + gone}" for n, kept, gone in summary.by_round)
    console.print(f"kept {summary.kept:,} evolved instructions ({rounds})")
    if summary.dropped:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in summary.dropped.items())
        console.print(f"dropped {sum(summary.dropped.values()):,}: {reasons}")
    if summary.seeds_dropped:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in summary.seeds_dropped.items())
        console.print(f"seeds without a usable response, so not in the dataset: {reasons}")
    table = Table(box=None, pad_edge=False)
    for heading in ("operation", "kept", "dropped", "tokens", "cost", "cost per kept"):
        table.add_column(heading, justify="left" if heading == "operation" else "right")
    for use in summary.operations:
        per_kept = money(use.cost / use.kept) if use.cost is not None and use.kept else "–"
        table.add_row(
            Text(printable(use.operation)),
            f"{use.kept:,}",
            f"{use.dropped:,}",
            f"{use.tokens:,}",
            money(use.cost),
            per_kept,
        )
    for use in summary.others:
        table.add_row(use.operation, "–", "–", f"{use.tokens:,}", money(use.cost), "–")
    console.print(table)


def _show_batches(console: Console, batches: Sequence[BatchRow]) -> None:
    """Those that are open, one by one; the others in a line."""
    states = Counter(batch.state for batch in batches if not batch.is_open)
    if states:
        ended = [batch for batch in batches if not batch.is_open]
        answered, asked = sum(batch.answered for batch in ended), sum(batch.requests for batch in ended)
        told = ", ".join(f"{count:,} {state}" for state, count in states.items())
        console.print(f"batches: {told}; {answered:,} of their {asked:,} requests answered")
    waiting = [batch for batch in batches if batch.is_open]
    if not waiting:
        return
    requests = sum(batch.requests for batch in waiting)
    where = f"{requests:,} requests wait in {len(waiting):,} batch{'es' if len(waiting) > 1 else ''}"
    if all(batch.place == "files" for batch in waiting):
        console.print(f"{where} to be answered by hand; the run's command takes the answers up")
    elif all(batch.provider_id is None for batch in waiting):
        console.print(f"{where}, which may not have reached the provider; the run's command looks, and submits them")
    else:
        console.print(f"{where}, which go on without us; the run's command fetches them")
    table = Table(box=None, pad_edge=False)
    for heading in ("batch", "state", "requests", "answered", "hours"):
        table.add_column(heading, justify="right" if heading in ("requests", "answered", "hours") else "left")
    for batch in waiting:
        name, hours = batch.provider_id or batch.name, (time.time() - batch.since) / 3600
        state = "not confirmed" if batch.provider_id is None else batch.detail or "submitted"
        table.add_row(
            Text(printable(name)), Text(printable(state)), f"{batch.requests:,}", f"{batch.answered:,}", f"{hours:,.1f}"
        )
    console.print(table)


def show_estimate(estimate: Estimate, go_on: str) -> None:
    """An estimate as ranges, and the command that goes on from its pilot."""
    console = out()
    console.print(f"{estimate.seeds:,} seeds, estimated from {estimate.pilot:,} finished lineages (90 % range):")
    table = Table(box=None, pad_edge=False)
    for heading in ("", "low", "middle", "high"):
        table.add_column(heading, justify="right")

    def row(name: str, values: Range, shown: Callable[[float], str]) -> None:
        table.add_row(name, shown(values.low), shown(values.middle), shown(values.high))

    row("calls", estimate.calls, lambda value: f"{value:,.0f}")
    row("tokens", estimate.tokens, lambda value: f"{value:,.0f}")
    row("kept rows", estimate.rows, lambda value: f"{value:,.0f}")
    if estimate.cost is None:
        table.add_row("cost", "unknown", "unknown", "unknown")
    else:
        row("cost", estimate.cost, money)
    row(f"minutes at {estimate.in_flight} in flight", estimate.minutes, lambda value: f"{value:,.2g}")
    row(f"minutes at {estimate.pilot_in_flight}, as the pilot", estimate.pilot_minutes, lambda value: f"{value:,.2g}")
    console.print(table)
    if estimate.cost is None:
        console.print("for the cost, give a price (dollars per million tokens): ", end="")
        console.print("--set 'models.default.price={input: 0.4, output: 1.6}'")
    console.print(Text(printable(f"to go on from the pilot: {go_on}")), soft_wrap=True)

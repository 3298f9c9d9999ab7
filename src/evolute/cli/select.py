"""`evolute select`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter
from rich.table import Table
from rich.text import Text

from evolute.cli.evolve import MaxCalls, MaxCost, MaxMinutes, MaxTokens
from evolute.cli.screen import Json, say, status_of, write_json
from evolute.cli.screen import out as screen
from evolute.errors import InputError
from evolute.evolve.budget import Limits
from evolute.pipeline.selected import Selected
from evolute.pipeline.selecting import Looking
from evolute.pipeline.selecting import select as select_rows
from evolute.recipe import parse_assignment
from evolute.text import printable

_RECIPE = Group("Recipe", sort_key=2)

Recipe = Annotated[
    str | None,
    Parameter(group=_RECIPE, help="Take what to select from this recipe (its select, export and roles.grader)."),
]
_CLUSTER = Group("Cluster (docs/scale.md)", sort_key=5)

On = Annotated[
    str | None,
    Parameter(group=_CLUSTER, help="Measure on Ray: ray starts one here; ray://HOST:PORT joins a cluster."),
]
Scratch = Annotated[
    str | None,
    Parameter(
        group=_CLUSTER,
        help="A folder or URL (s3://, gs://) that all nodes see, for the rows while they are measured. Default: RUN.",
    ),
]
Set = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        group=_RECIPE,
        negative="",
        help="Any field of the selection: select.duplicates.near=0.9 (`evolute recipe explain select`).",
    ),
]


def select(
    run: Path,
    /,
    *,
    rows: Annotated[int | None, Parameter(help="So many rows, drawn from all that pass.")] = None,
    by: Annotated[
        Literal["uniform", "round", "operation", "difficulty", "cluster", "coverage"] | None,
        Parameter(help="How they are drawn (default: uniform)."),
    ] = None,
    recipe: Recipe = None,
    set_: Set = None,
    max_cost: MaxCost = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_minutes: MaxMinutes = None,
    on: On = None,
    scratch: Scratch = None,
    json: Json = False,
) -> None:
    """Decide which rows of a run make its dataset: duplicates, overlaps with benchmarks, faulty responses, mixture.

    Nothing is deleted: each drop is recorded with its reason and evidence, and another threshold can be looked at
    without measuring again. `export` and `report` then follow the selection.

    Args:
        run: The run's folder.
    """
    settings: dict[str, Any] = dict(parse_assignment(text) for text in set_ or ())
    if rows is not None:
        settings["select.mixture.rows"] = rows
    if by is not None:
        settings = {"select.mixture.by": by, "select.mixture.quotas": {}} | settings  # quotas of other groups
    limits = Limits(max_cost, max_calls, max_tokens, max_minutes)
    looking = _looking(on, scratch)
    selected = select_rows(run, recipe=recipe, settings=settings, limits=limits, looking=looking, say=say)
    if json:
        write_json(selected)
    else:
        show_selected(selected)
    if selected.stopped:
        sys.exit(status_of(selected.stopped))


def _looking(on: str | None, scratch: str | None) -> Looking | None:
    if on is None:
        if scratch is not None:
            raise InputError("--scratch is for a cluster: give --on ray, too")
        return None
    from evolute.scale.whole import looking_on

    return looking_on(on, scratch)


def show_selected(selected: Selected, *, last: bool = True) -> None:
    """What a selection came to, in one screen; `last` adds what one would do next."""
    console = screen()
    run = selected.run
    if selected.stopped:
        console.print(Text(f"{run}: not selected yet: {printable(selected.stopped)}", style="bold"))
        how = "with a higher bound" if selected.stopped.startswith("--max-") else "again"
        console.print(f"what the grader answered is recorded; run the same command {how} to go on")
        return
    console.print(Text(f"{run}: {selected.kept:,} of {selected.rows:,} rows selected", style="bold"))
    if selected.pending:
        console.print(f"{selected.pending:,} seeds of the run are not finished: their rows are missing here")
    table = Table(box=None, pad_edge=False)
    table.add_column("step")
    table.add_column("dropped", justify="right")
    left = selected.rows
    table.add_column("left", justify="right")
    for name, count in selected.steps:
        left -= count
        table.add_row(Text(name), f"{count:,}", f"{left:,}")
    console.print(table)
    for title, counts in (("dropped", selected.dropped), ("flagged, and kept", selected.flagged)):
        if counts:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts.items())
            console.print(f"{title}: {reasons}")
    for kind, marks in selected.marks.items():
        spread = f", mean {marks['mean']:.2f} ({marks['low']:g} to {marks['high']:g})" if marks["rows"] else ""
        console.print(Text(f"{kind}: {marks['rows']:,.0f} rows marked{spread}"))
    if selected.groups:
        groups = ", ".join(f"{name}: {count:,}" for name, count in selected.groups.items())
        console.print(Text(printable(f"drawn of each group: {groups}")))
    if selected.corpora_checked:
        console.print(Text(f"checked against: {', '.join(selected.corpora_checked)}"))
    if selected.corpora_not_checked:
        console.print(
            Text(
                f"not checked against: {', '.join(selected.corpora_not_checked)} "
                "(docs/select.md tells how to give their files)"
            )
        )
    if selected.unreadable:
        console.print(f"{selected.unreadable:,} marks are missing: the grader's replies gave none")
    if selected.left:
        console.print(f"{selected.left:,} questions to the grader failed; run the same command again to ask them")
    if selected.changed and last:
        fields = ", ".join(f"{name}={value}" for name, value in selected.changed.items())
        console.print(Text(printable(f"settings of this run, kept for the next time: {fields}")))
        console.print("(--recipe NAME begins with that recipe's instead)")
    if last:
        console.print(Text(f"next: evolute report {run}; evolute export {run} --format messages --out train.jsonl"))

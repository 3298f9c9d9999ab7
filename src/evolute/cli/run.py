"""`evolute run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from evolute.cli.cluster import Cluster
from evolute.cli.evolve import Batch, Leave, MaxCalls, MaxCost, MaxMinutes, MaxTokens, Set, in_batches
from evolute.cli.screen import Json, say, show_summary, status_of, watch_on, write_json
from evolute.cli.screen import out as screen
from evolute.cli.select import show_selected
from evolute.evolve.budget import Limits
from evolute.pipeline.running import Ran
from evolute.pipeline.running import run as go_the_whole_way
from evolute.recipe import parse_assignment
from evolute.text import printable


def run(
    recipe: str,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="The run's folder. Default: the recipe's `out`, or runs/NAME.")] = None,
    seeds: Annotated[
        list[str] | None, Parameter(negative="", help="Files of seeds. Default: the recipe's `seeds.files`.")
    ] = None,
    leave_over: Annotated[
        bool, Parameter(negative="", help="Go on although some lineages could not be finished, without their rows.")
    ] = False,
    anew: Annotated[
        bool, Parameter(negative="", help="Evolve a run of another recipe anew, where its calls differ.")
    ] = False,
    set_: Set = None,
    max_cost: MaxCost = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_minutes: MaxMinutes = None,
    batch: Batch = False,
    leave: Leave = False,
    cluster: Cluster | None = None,
    json: Json = False,
) -> None:
    """Do the whole way that a recipe describes: evolve, select, report, export.

    Run the same command again to go on at the stage where it stopped: nothing is paid for twice. It leaves
    RUN/report.html to look at and RUN/dataset/ to train on or to publish.

    Args:
        recipe: A recipe's file (`evolute init` writes one), or a shipped one's name.
    """
    ran = go_the_whole_way(
        recipe,
        out=out,
        sources=seeds or (),
        settings=in_batches(batch, cluster) | dict(parse_assignment(text) for text in set_ or ()),
        limits=Limits(max_cost, max_calls, max_tokens, max_minutes, leave),
        leave_over=leave_over,
        anew=anew,
        watch=None if json else watch_on(sys.stderr),
        say=say,
        runner=cluster.runner() if cluster else None,
        looking=cluster.looking() if cluster else None,
    )
    if json:
        write_json(ran)
    else:
        show_ran(ran)
    if ran.stopped:
        sys.exit(status_of(ran.stopped))


def show_ran(ran: Ran) -> None:
    """What the stages came to."""
    show_summary(ran.summary, ended=True)
    if ran.selected is not None:
        show_selected(ran.selected, last=False)
    console = screen()
    if ran.stopped:
        console.print(Text(printable(f"stopped: {ran.stopped}; run the same command to go on"), style="bold"))
        return
    splits = ", ".join(f"{rows:,} rows of {split}" for split, rows in (ran.splits or {}).items())
    if ran.report is not None:
        console.print(Text(f"report: {ran.report}"))
    console.print(Text(f"dataset: {ran.dataset} ({splits}), with its card in {ran.dataset}/README.md"))
    console.print(Text(f"to publish it: evolute push {ran.dataset} OWNER/NAME"))

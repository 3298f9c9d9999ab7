"""`evolute prove`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from evolute.cli.evolve import MaxCalls, MaxCost, MaxMinutes, MaxTokens
from evolute.cli.screen import Json, money, say, status_of, write_json
from evolute.cli.screen import out as screen
from evolute.cli.ticker import tick_on
from evolute.evolve.budget import Limits
from evolute.pipeline.proving import Proved
from evolute.pipeline.proving import prove as go_through
from evolute.pipeline.provplan import Foreseen, foresee
from evolute.recipe import parse_assignment
from evolute.report.proof import Line, Proof, gain, gain_interval
from evolute.text import printable


def prove(
    recipe: str,
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="The proof's folder. Default: the recipe's `out`, or runs/NAME.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", negative="", help="Any field of the recipe: arms.rounds=true. May be repeated."),
    ] = None,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Say what will be asked, trained and evaluated, and do nothing.")
    ] = False,
    max_cost: MaxCost = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_minutes: MaxMinutes = None,
    json: Json = False,
) -> None:
    """Train one base on the seeds and on the evolved set, evaluate both and the base, and say whether it helped.

    With equal examples and with equal tokens; one responder answers all instructions anew; held-out lineages are
    trained on by no arm. OUT/proof.html has it all. The same command goes on where it was stopped: nothing is paid
    for or trained twice. The bounds hold for each stage: evolving, answering, evaluating.

    Args:
        recipe: A proof's recipe: a YAML file, or `tiny` (offline, minutes, a demonstration) or `real` (to copy).
    """
    settings = dict(parse_assignment(text) for text in set_ or ())
    if dry_run:
        foreseen = foresee(recipe, out=out, settings=settings)
        write_json(foreseen) if json else show_foreseen(foreseen)
        return
    proved = go_through(
        recipe, out=out, settings=settings, limits=Limits(max_cost, max_calls, max_tokens, max_minutes),
        watch=None if json else tick_on(sys.stderr), say=say,
    )  # fmt: skip
    if json:
        write_json(_as_json(proved))
    elif proved.proof is not None:
        show_proof(proved.proof)
        screen().print(Text(f"the page: {proved.page}"), soft_wrap=True)
    if proved.stopped:
        say(f"stopped: {proved.stopped}. Run the same command again to go on: nothing is paid for or trained twice")
        sys.exit(status_of(proved.stopped))
    if proved.proof is not None and proved.proof.left_out:
        sys.exit(1)


def _as_json(proved: Proved) -> dict[str, object]:
    said: dict[str, object] = {"folder": proved.folder, "page": proved.page, "stopped": proved.stopped}
    if (proof := proved.proof) is not None:
        said |= {"verdict": proof.verdict, "sentence": proof.sentence, "demonstration": proof.demonstration}
        said |= {"compared": proof.compared, "arms": proof.arms, "left_out": proof.left_out}
    return said


def show_proof(proof: Proof) -> None:
    """The differences, what each arm took, and the sentence last, where one looks."""
    console = screen()
    table = Table(box=None, pad_edge=False)
    for heading in ("comparison", "measure", "gain", "95 % interval", "items", "alone it says"):
        table.add_column(heading, justify="right" if heading in ("gain", "95 % interval", "items") else "left")
    for one in proof.compared:
        for place, line in enumerate(one.lines):
            table.add_row(Text(printable(one.name if not place else "")), *map(Text, _cells(line)))
    console.print(table)
    costs = Table(box=None, pad_edge=False)
    for heading in ("arm", "examples", "tokens", "answers", "evolving", "trained on", "seconds"):
        costs.add_column(heading, justify="left" if heading == "arm" else "right")
    for arm in proof.arms:
        costs.add_row(
            Text(printable(arm.name)), f"{arm.examples:,}", f"{arm.tokens:,}", money(arm.answer_cost),
            money(arm.evolving_cost), f"{arm.trained_tokens:,} tokens", f"{arm.seconds:,.0f}",
        )  # fmt: skip
    console.print(costs)
    for name, why in proof.left_out.items():
        console.print(Text(printable(f"left out: {name}: {why}")), soft_wrap=True)
    for warning in proof.warnings:
        console.print(Text(printable(warning)), soft_wrap=True)
    console.print(Text(printable(proof.sentence), style="bold"), soft_wrap=True)


def _cells(line: Line) -> tuple[str, ...]:
    said = line.why or line.verdict
    return line.benchmark, gain(line.measure.value, line.scale), gain_interval(line), f"{line.n:,}", printable(said)


def show_foreseen(foreseen: Foreseen) -> None:
    """What a proof would do."""
    console = screen()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for what, told in foreseen.stages:
        table.add_row(Text(printable(what)), Text(printable(told)))
    console.print(table)
    console.print(Text("Nothing was done. The same command without --dry-run does it."))

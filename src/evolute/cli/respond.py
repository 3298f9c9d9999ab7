"""`evolute respond`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter
from rich.text import Text

from evolute.cli import screen
from evolute.cli.answering import model_settings
from evolute.cli.evolve import (
    Api,
    BaseUrl,
    Column,
    Concurrency,
    File,
    KeyVariable,
    Limit,
    MaxCalls,
    MaxCost,
    MaxMinutes,
    MaxTokens,
    ModelName,
    Split,
    Where,
)
from evolute.cli.ticker import tick_on
from evolute.evolve.budget import Limits
from evolute.pipeline.responding import FOLDER, Responded
from evolute.pipeline.responding import respond as respond_to
from evolute.recipe import parse_assignment
from evolute.seeds import SeedOptions
from evolute.text import printable

_ROWS = Group("Rows", sort_key=3)
_ASKED = Group("How the model is asked", sort_key=2)


@Parameter(name="*")
@dataclass(frozen=True)
class Asked:
    """Which model answers, and how it is asked."""

    base_url: BaseUrl = None
    model: ModelName = None
    api: Api = None
    api_key_env: KeyVariable = None
    concurrency: Concurrency = None
    format: Annotated[
        str | None,
        Parameter(
            group=_ASKED,
            help="chat (the endpoint's own template, the default), plain, wizardlm-7b, vicuna-v1.1, alpaca, "
            "wizardcoder, wizardmath, or a file with a Jinja template. All but chat want --api completions.",
        ),
    ] = None
    system: Annotated[str | None, Parameter(group=_ASKED, help="A system prompt for rows that bring none.")] = None
    last_turn: Annotated[
        bool | None,
        Parameter(
            group=_ASKED,
            negative="",
            help="Of a conversation, ask the last turn alone, behind the answers in the file. Default: every turn of "
            "the user is asked, behind the model's own answers.",
        ),
    ] = None
    n: Annotated[int | None, Parameter(group=_ASKED, help="Answers to each row (default 1).")] = None
    temperature: Annotated[float | None, Parameter(group=_ASKED, help="Default: 0, greedy.")] = None
    top_p: Annotated[float | None, Parameter(group=_ASKED, help="Default: not sent.")] = None
    answer_tokens: Annotated[
        int | None, Parameter(group=_ASKED, help="The most tokens of one answer (default 2048).")
    ] = None
    run_seed: Annotated[
        int | None, Parameter(group=_ASKED, help="The seed from which every draw follows (default 0).")
    ] = None
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", group=_ASKED, negative="", help="Any other field of respond.yaml: model.retries=2."),
    ] = None
    max_cost: MaxCost = None
    max_calls: MaxCalls = None
    max_tokens: MaxTokens = None
    max_minutes: MaxMinutes = None


def respond(
    file: File,
    /,
    *,
    out: Annotated[Path, Parameter(help="The file to write, as JSON Lines. The record of calls lies beside it.")],
    asked: Asked = Asked(),
    column: Annotated[Column, Parameter(group=_ROWS)] = None,
    where: Annotated[Where, Parameter(group=_ROWS)] = None,
    limit: Annotated[Limit, Parameter(group=_ROWS, help="The first N rows.")] = None,
    split: Annotated[Split, Parameter(group=_ROWS)] = "train",
    skip_bad: Annotated[
        bool, Parameter(group=_ROWS, negative="", help="Set bad rows aside in OUT.ledger/bad-rows.jsonl.")
    ] = False,
    json: screen.Json = False,
) -> None:
    """Have a model answer every row of a file, in its order.

    Every call is in OUT.ledger before anything depends on it: the same command goes on where it was stopped, and
    nothing is paid for twice. OUT is written whole at the end. A row whose answer failed says why.

    Args:
        file: The instructions or conversations: JSON, JSONL, CSV, TSV, Parquet, text, gzip of these, a folder, - for
            standard input, or the name of a dataset on the hub (owner/name).
    """
    responded = respond_to(
        file,
        out,
        settings=_settings(asked),
        seeds=SeedOptions(column=column, where=tuple(where or ()), limit=limit, split=split, skip_bad=skip_bad),
        limits=Limits(asked.max_cost, asked.max_calls, asked.max_tokens, asked.max_minutes),
        watch=tick_on(sys.stderr),
        say=screen.say,
    )
    if json:
        screen.write_json(responded)
    else:
        _show(responded)
    if responded.stopped:
        sys.exit(screen.status_of(responded.stopped))


def _settings(asked: Asked) -> dict[str, Any]:
    """The fields that the flags stand for; what was not given is not among them."""
    flags: dict[str, Any] = {
        **model_settings(asked),
        "format": asked.format,
        "system": asked.system,
        "last_turn": asked.last_turn,
        "n": asked.n,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "answer_tokens": asked.answer_tokens,
        "seed": asked.run_seed,
    }
    given = {path: value for path, value in flags.items() if value is not None}
    return dict(map(parse_assignment, asked.set_ or ())) | given


def _show(responded: Responded) -> None:
    console = screen.out()
    lines = [
        f"{responded.answers:,} of {responded.wanted:,} answers to {responded.rows:,} rows; calls "
        f"{responded.calls:,}; cost {screen.money(responded.cost)}"
    ]
    if responded.failed:
        failed = ", ".join(f"{name} {count:,}" for name, count in responded.failed.items())
        unasked = f"; {responded.unasked:,} later turns were not asked" if responded.unasked else ""
        lines.append(f"not whole: {failed}{unasked}")
    if responded.stopped:
        bound = responded.stopped.partition(" ")[0]
        how = f"with a higher {bound}" if bound.startswith("--max-") else "again"
        lines.append(
            f"{responded.out} was not written: {responded.stopped}. Run the same command {how}: nothing is paid for "
            "twice"
        )
    else:
        lines.append(f"every row: {responded.out}, and the record of calls in {responded.out}{FOLDER}")
    for line in lines:
        console.print(Text(printable(line)), soft_wrap=True)

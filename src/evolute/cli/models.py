"""`evolute models check`: what an endpoint can do and how fast it is, on one screen."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from evolute.recipe import ModelSpec, Price
from evolute.text import printable

if TYPE_CHECKING:
    from evolute.models.probe import Report


def check(
    base_url: Annotated[
        str, Parameter(help="The endpoint, up to its version: http://localhost:8000/v1. Default: the embedded model.")
    ] = "",
    model: Annotated[str, Parameter(help="The model's name there. Default: the first one listed.")] = "",
    *,
    api: Annotated[Literal["chat", "completions", "anthropic"], Parameter(help="How to talk to it.")] = "chat",
    api_key_env: Annotated[str, Parameter(help="The environment variable with the key.")] = "OPENAI_API_KEY",
    json: Annotated[bool, Parameter(negative="", help="The result as JSON on standard output.")] = False,
) -> None:
    """Ask an endpoint some forty short questions and say what it can do.

    Raises:
        EvoluteError: the endpoint cannot be used; the message says why.
    """
    spec = ModelSpec(api=api, model=model, base_url=base_url, api_key_env=api_key_env, read_timeout=120, retries=3)
    report = asyncio.run(_probe(spec))
    if json:
        sys.stdout.write(to_json(report) + "\n")
    else:
        _show(report)


def to_json(report: Report) -> str:
    """The report for a script."""
    import orjson

    data = dataclasses.asdict(report) | {"price": report.price and report.price.model_dump()}
    return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()


def lines(report: Report) -> Iterator[tuple[str, str]]:
    """The report for a person: what was asked, and what was found."""
    yield "endpoint", f"{report.base_url} ({report.api})"
    yield "model", f"{report.model}, {_listing(report)}"
    yield "answers", repr(report.answer[:60])
    yield "bound on tokens", report.max_tokens
    yield "seed", report.seed
    yield "system prompt", report.system
    yield "held to choices by", ", ".join(f"{how}: {found}" for how, found in report.constraints.items())
    yield "reasoning", "yes, kept apart from the answer" if report.reasoning else "none seen"
    yield "latency", "unknown" if report.latency is None else f"{report.latency:.3f} s (median, one at a time)"
    yield "tokens a second", _speeds(report) or "not counted by the endpoint"
    yield "price", _price(report)
    yield "in a recipe", f"constrain: {_best(report)}"


async def _probe(spec: ModelSpec) -> Report:
    from evolute.models.probe import probe

    if spec.base_url:
        return await probe(spec, tell=_tell)
    from evolute.models.embedded import Embedded

    _tell("loading the embedded model")
    async with Embedded(ModelSpec(api="embedded")) as embedded:
        here = {"base_url": embedded.base_url, "api_key_env": "", "price": Price(input=0, output=0)}
        return await probe(
            spec.model_copy(update=here | {"headers": {"Authorization": f"Bearer {embedded.key}"}}), tell=_tell
        )


def _show(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    for name, found in lines(report):
        table.add_row(Text(name, style="bold"), Text(printable(found)))
    Console().print(table)


def _tell(step: str) -> None:
    sys.stderr.write(f"{step} …\n")


def _listing(report: Report) -> str:
    if not report.models:
        return "the endpoint lists no models"
    others = len(report.models) - (report.model in report.models)
    return f"{'listed' if report.model in report.models else 'not listed'}, with {others} others"


def _speeds(report: Report) -> str:
    return ", ".join(f"{speed:,.0f} at {parallel}" for parallel, speed in report.tokens_per_second.items())


def _price(report: Report) -> str:
    if report.price is None:
        return "unknown; set `price` in the recipe to have costs"
    return f"${report.price.input:g} in, ${report.price.output:g} out per million tokens"


def _best(report: Report) -> str:
    """The strictest way that works; `auto` where that is what it would find."""
    honoured = [how for how, found in report.constraints.items() if found == "honoured"]
    if not honoured:
        return "none"
    return "auto" if "json_schema" in honoured else honoured[0]

"""What an endpoint can do, found out by asking it some forty short questions."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from evolute.errors import CallFailed, ConnectionLost, EndpointGone, EvoluteError, InputError, RequestRejected
from evolute.models.http import Http
from evolute.models.pacing import Paced
from evolute.models.prices import unit_price
from evolute.recipe import ModelSpec, Price
from evolute.records import Completion, Message, Request

CHOICES = ("Equal", "Not Equal")
PARALLEL = (1, 8, 16)

_NAME = "Invent a name for a small harbour town and add a number from 1 to 1000. Reply with both and nothing else."
_OFF_TOPIC = "Write one sentence about a river."
_TASK = "Explain in a few sentences why bread rises. Variation {}."
_RETRIES = 2


@dataclass(slots=True)
class Report:
    """What was found. Free texts are meant for a person; None means that it was not asked."""

    base_url: str
    model: str
    api: str
    models: list[str] = field(default_factory=list)
    """The models that the endpoint lists; empty where it lists none."""
    answer: str = ""
    """What it said to a plain request: text, or the failure."""
    max_tokens: str = "max_tokens"
    """The name under which the bound on an answer's tokens is taken."""
    seed: Literal["honoured", "ignored", "refused", "no difference", "not sent"] = "not sent"
    constraints: dict[str, str] = field(default_factory=dict)
    """For `json_schema`, `grammar` and `choice`: "honoured", "ignored" or "refused"."""
    reasoning: bool = False
    """Whether it thinks before it answers."""
    system: Literal["followed", "not followed", "refused"] = "refused"
    latency: float | None = None
    """Median seconds of a short answer, one at a time."""
    tokens_per_second: dict[int, float] = field(default_factory=dict)
    """Completion tokens a second, by calls in flight; empty where the endpoint counts none."""
    price: Price | None = None


async def probe(spec: ModelSpec, *, tell: Callable[[str], None] = lambda step: None) -> Report:
    """Find out what an endpoint can do; `tell` hears of each step. An empty `spec.model` takes the first one listed.

    Raises:
        EndpointError: it cannot be used at all.
        InputError: no model was named, and the endpoint lists none.
    """
    tell("listing models")
    listed = await _listed(spec)
    if not spec.model:
        if not listed:
            raise InputError(f"{spec.base_url} lists no models: name one with --model")
        spec = spec.model_copy(update={"model": listed[0]})
    report = Report(spec.base_url, spec.model, spec.api, listed, price=unit_price(spec))
    tell("asking a plain question")
    async with Http(spec) as http:
        first = await Paced(http, spec).complete(_ask("Say hello.", tokens=64))
        report.answer = first.text if first.failure is None and first.text else f"({first.failure})"
        report.max_tokens = http.terms.max_tokens
        report.reasoning = bool(first.reasoning or first.usage.reasoning)
        tell("does it honour a seed, and a system prompt?")
        report.seed = await _seed(http, spec)
        report.system = await _system(http)
        tell("timing short answers")
        report.latency = await _latency(http)
    for how in ("json_schema", "grammar", "choice"):
        tell(f"does it hold an answer to a {how}?")
        report.constraints[how] = await _constraint(spec, how)
    for parallel in PARALLEL:
        tell(f"measuring speed, {parallel} at once")
        speed = await _speed(spec, parallel)
        if speed:
            report.tokens_per_second[parallel] = speed
    return report


def _ask(
    text: str,
    *,
    draw: int = 0,
    system: str = "",
    tokens: int = 32,
    choices: tuple[str, ...] = (),
    sampling: Mapping[str, Any] | None = None,
) -> Request:
    messages = ((Message("system", system),) if system else ()) + (Message("user", text),)
    return Request("check", messages, b"", draw, {"max_tokens": tokens, **(sampling or {})}, choices)


async def _try(model: Http, request: Request) -> Completion | None:
    """The completion, or None where the request is refused; a passing failure is tried again."""
    for _ in range(_RETRIES):
        try:
            return await model.complete(request)
        except CallFailed:
            await asyncio.sleep(0.5)
        except RequestRejected:
            return None
    return await model.complete(request)


async def _listed(spec: ModelSpec) -> list[str]:
    async with Http(spec) as http:
        try:
            return await http.models()
        except ConnectionLost as error:
            raise EndpointGone(f"{error}. Is the server running, and is the port right?") from None
        except EvoluteError:  # it lists none; whether it answers is asked next
            return []


async def _seed(http: Http, spec: ModelSpec) -> Literal["honoured", "ignored", "refused", "no difference", "not sent"]:
    if spec.api == "anthropic" or not spec.send_seed:
        return "not sent"
    if not http.terms.seed:
        return "refused"
    one, same, other = [await _try(http, _ask(_NAME, draw=draw, sampling={"temperature": 1.0})) for draw in (1, 1, 2)]
    if one is None or same is None or other is None:
        return "refused"
    if one.text != same.text:
        return "ignored"
    return "honoured" if other.text != one.text else "no difference"


async def _system(http: Http) -> Literal["followed", "not followed", "refused"]:
    completion = await _try(http, _ask("What is 2 + 2?", system="Whatever is asked, reply only: PINEAPPLE", tokens=128))
    if completion is None:
        return "refused"
    return "followed" if "PINEAPPLE" in (completion.text or "").upper() else "not followed"


async def _latency(http: Http) -> float:
    taken = [await _try(http, _ask("Say yes.", draw=draw, tokens=16)) for draw in range(5)]
    return statistics.median(completion.latency for completion in taken if completion is not None)


async def _constraint(spec: ModelSpec, how: str) -> str:
    async with Http(spec.model_copy(update={"constrain": how})) as http:
        try:
            completion = await _try(http, _ask(_OFF_TOPIC, choices=CHOICES, tokens=256))
        except EvoluteError:  # an endpoint that fails on what it does not know refuses it
            return "refused"
    if completion is None:
        return "refused"
    return "honoured" if _verdict(completion.text or "", how) in CHOICES else "ignored"


def _verdict(text: str, how: str) -> object:
    if how != "json_schema":
        return text.strip()
    try:
        return orjson.loads(text)["verdict"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


async def _speed(spec: ModelSpec, parallel: int) -> float | None:
    """Completion tokens a second with so many calls in flight, two each where there are few."""
    async with Http(spec) as http:
        paced = Paced(http, spec.model_copy(update={"concurrency": parallel}))
        await paced.complete(_ask("Say yes.", tokens=1))  # open a connection, and learn the terms, off the clock
        started = time.perf_counter()
        count = max(2, parallel)
        done = await asyncio.gather(*(paced.complete(_ask(_TASK.format(n), draw=n, tokens=32)) for n in range(count)))
    return sum(completion.usage.completion for completion in done) / (time.perf_counter() - started) or None

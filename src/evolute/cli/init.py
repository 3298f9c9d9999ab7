"""`evolute init`: a first recipe, from a few questions or from flags."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from cyclopts import Parameter

from evolute.cli.screen import say
from evolute.errors import AuthenticationFailed, EvoluteError, InputError
from evolute.models.http import Http
from evolute.models.prices import unit_price
from evolute.models.weights import find_model
from evolute.pipeline.starting import (
    ANTHROPIC,
    NoColumn,
    Start,
    default_rounds,
    default_run,
    free_run,
    offered_models,
    recognise_seeds,
    write_start,
)
from evolute.pipeline.validating import validate
from evolute.recipe import ModelSpec, Price, resolve
from evolute.seeds.sources import places
from evolute.text import printable

T = TypeVar("T")
ApiName = Literal["chat", "completions", "anthropic", "embedded", "local", "scripted"]
_LISTED = 30


def init(
    file: str | None = None,
    /,
    *,
    base_url: Annotated[str | None, Parameter(help="The endpoint, up to its version: http://host:8000/v1.")] = None,
    model: Annotated[str | None, Parameter(help="The model's name at the endpoint.")] = None,
    api: Annotated[
        ApiName | None, Parameter(help="How to talk to it. Default: chat; embedded needs no endpoint.")
    ] = None,
    api_key_env: Annotated[str | None, Parameter(help="The environment variable with the key.")] = None,
    price: Annotated[
        str | None,
        Parameter(help="US dollars per million tokens, in and out: 0.4,1.6. For models without a known one."),
    ] = None,
    column: Annotated[str | None, Parameter(help="The column with the instruction.")] = None,
    limit: Annotated[int | None, Parameter(help="Only the first N seeds.")] = None,
    rounds: Annotated[int | None, Parameter(help="Rounds of evolution.")] = None,
    code: Annotated[
        bool, Parameter(negative="", help="The seeds are programming tasks (as those of code:FOLDER always are).")
    ] = False,
    run: Annotated[str | None, Parameter(help="The run's folder. Default: runs/ and the seeds' name.")] = None,
    out: Annotated[Path, Parameter(help="The recipe to write.")] = Path("recipe.yaml"),
    yes: Annotated[bool, Parameter(negative="", help="Ask nothing: take the default of what no flag says.")] = False,
    force: Annotated[bool, Parameter(negative="", help="Replace the recipe if it is there already.")] = False,
) -> None:
    """Write a commented recipe for your seeds and endpoint, after a few questions or from flags.

    Args:
        file: The seeds: a file, a folder, a dataset on the hub (OWNER/NAME), or your own code (code:FOLDER).
    """
    if out.exists() and not force:
        raise InputError(f"{out} is there already: give another name with --out, or --force to replace it")
    asks = not yes and sys.stdin.isatty() and sys.stdout.isatty()
    if limit is not None and limit < 1:
        raise InputError(f"--limit must be at least 1, got {limit!r}")
    seeds, column = _seeds(file, column, asks)
    code = code or next(places(seeds)).code
    spec = _spec(base_url, model, api, api_key_env, asks, yes)
    given = _price(price, "--price") if price is not None else None
    if given is None and asks and unit_price(spec) is None:
        given = _ask("Price in US dollars per million tokens, in and out (0.4,1.6; empty: unknown)", "", _maybe_price)
    if rounds is None:
        rounds = default_rounds(spec.api, code=code)
        rounds = _ask("Rounds of evolution", str(rounds), _rounds) if asks else rounds
    else:
        rounds = _rounds(str(rounds), "--rounds")
    run = _run(run, default_run(seeds), asks)
    write_start(Start(seeds, spec, rounds, run, given, column, limit, code), out, force=force)
    say(f"{out} is written. Look at it, and at what it would do: evolute recipe validate {out}")
    for lacking in validate(out).missing:
        say(f"still missing: {lacking}")
    say(f"then: evolute run {out}")


def _seeds(file: str | None, column: str | None, asks: bool) -> tuple[str, str | None]:
    """The seeds, and the column that holds the instruction, where it must be named."""

    def known(source: str) -> tuple[str, str | None]:
        try:
            say(recognise_seeds(source, column))
        except NoColumn as unknown:
            if not asks:
                raise InputError(f"{unknown}. Name it: --column {unknown.columns[0]!r}") from None
            say(str(unknown))
            return source, _ask("Column with the instruction", unknown.columns[0], lambda name: held(source, name))
        return source, column

    def held(source: str, name: str) -> str:
        say(recognise_seeds(source, name))
        return name

    if file is not None:
        return known(file)
    if not asks:
        raise InputError("which seeds? evolute init FILE")
    return _ask("Seeds: a file, a folder, or OWNER/NAME of a dataset on the hub", "", known)


def _run(folder: str | None, default: str, asks: bool) -> str:
    """The run's folder; where one would be gone on with, a free name is proposed."""
    wanted = default if folder is None else folder
    free = free_run(wanted)
    if free != wanted:
        say(f"{wanted} holds a run already, with which `evolute run` would go on; {free} is free")
    if folder is not None:
        return folder
    return _ask("Folder of the run", free, str) if asks else free


def _spec(
    base_url: str | None, model: str | None, api: ApiName | None, key: str | None, asks: bool, yes: bool
) -> ModelSpec:
    """Who answers."""
    if base_url is None and api is None and asks:
        base_url = _ask("Endpoint (http://host:8000/v1; empty: the embedded model, offline)", "", _address) or None
        api = None if base_url else "embedded"
    if base_url is None and api is None:
        if not yes:
            raise InputError("who answers? --base-url URL --model NAME, or --api embedded")
        api = "embedded"
    if api == "local":
        return ModelSpec(api=api, model=str(find_model(model or "").path))
    if api in ("embedded", "scripted"):
        return ModelSpec(api=api, model=model or ("scripted" if api == "scripted" else ModelSpec().model))
    api = api or "chat"
    if base_url is None and api != "anthropic":
        raise InputError(f"--api {api} needs an endpoint: --base-url URL")
    variable = key or ("ANTHROPIC_API_KEY" if api == "anthropic" else ModelSpec().api_key_env)
    spec = ModelSpec(api=api, base_url=base_url or ANTHROPIC, api_key_env=variable, model=model or "")
    return spec if model else spec.model_copy(update={"model": _model(spec, asks)})


def _address(answer: str) -> str:
    if answer:
        with suppress(AuthenticationFailed):  # the key is another matter
            Http(ModelSpec(base_url=answer))
    return answer


def _model(spec: ModelSpec, asks: bool) -> str:
    listed = offered_models(spec, say)
    if not asks:
        if len(listed) == 1:
            say(f"model: {listed[0]}")
            return listed[0]
        known = f"; it lists {printable(', '.join(listed[:_LISTED]))}" if listed else ""
        raise InputError(f"which model of {spec.base_url}? --model NAME{known}")
    for number, name in enumerate(listed[:_LISTED], 1):
        say(f"{number:3}  {name}")
    if len(listed) > _LISTED:
        say(f"     and {len(listed) - _LISTED:,} more")

    def chosen(answer: str) -> str:
        if answer.isdecimal() and 1 <= int(answer) <= len(listed):
            return listed[int(answer) - 1]
        if not answer:
            raise InputError("an endpoint needs a model's name")
        return answer

    return _ask("Model, by name or number" if listed else "Model", listed[0] if listed else "", chosen)


def _rounds(answer: str, flag: str = "the rounds") -> int:
    if not answer.isdecimal():
        raise InputError(f"{flag}: a whole number, got {answer!r}")
    return resolve({"evolve": {"rounds": int(answer)}}, flag).evolve.rounds


def _maybe_price(answer: str) -> Price | None:
    return _price(answer) if answer else None


def _price(answer: str, flag: str = "the price") -> Price:
    try:
        dollars = [float(part) for part in answer.split(",")]
        if len(dollars) == 2 and all(0 <= part < float("inf") for part in dollars):
            return Price(input=dollars[0], output=dollars[1])
    except ValueError:
        pass
    raise InputError(f"{flag} is two numbers of dollars per million tokens, in and out (0.4,1.6), got {answer!r}")


def _ask(question: str, default: str, read: Callable[[str], T]) -> T:
    """Ask until the answer can be read; Enter takes the default."""
    shown = f" [{printable(default)}]" if default else ""
    while True:
        try:
            answer = input(f"{question}{shown}: ").strip()
        except EOFError:
            raise InputError(f"the input ended before an answer to: {question}") from None
        try:
            return read(answer or default)
        except EvoluteError as error:
            say(str(error))

"""From what the user calls a model to one that streams: behind an endpoint, or in this process."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from evolute.chat.talking import Talker, Talks
from evolute.errors import InputError
from evolute.formats import Format, find_format
from evolute.models.embedded import Embedded
from evolute.models.weights import find_model
from evolute.recipe import ModelSpec

_LONGEST = 3600.0
"""Seconds that one answer may take: a slow machine writes a long one."""
_NAME_AT_URL = re.compile(r"(?P<name>.*?)@(?P<url>https?://.+)", re.DOTALL)
_SLOTS = 4
"""Answers that llama.cpp writes at once."""
_CONTEXT = 8192
"""Tokens of a conversation with llama.cpp: SmolLM2's most."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which model, and where it answers.

    Args:
        model: its name at the endpoint ("": the only one that it lists); without one, a folder as transformers writes
            it, a `.gguf`, or `smollm2`.
        base_url: the endpoint, up to its version; empty: in this process.
        api_key_env: the environment variable with the endpoint's key.
        format: the prompt format's name, or a file with a Jinja template of one.
    """

    model: str
    base_url: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    format: str = "chat"


def place_of(model: str, base_url: str = "", api_key_env: str = "OPENAI_API_KEY", format: str = "chat") -> Place:
    """The place that `NAME@URL` names, or the model of that name at `base_url`.

    Raises:
        InputError: neither a model nor an endpoint is named.
    """
    if found := _NAME_AT_URL.fullmatch(model):
        return Place(found["name"], found["url"], api_key_env, format)
    if not model and not base_url:
        raise InputError(
            "which model? Give a folder, a .gguf or smollm2 (which comes with Evolute); NAME@URL; or --base-url URL"
        )
    return Place(model, base_url, api_key_env, format)


@asynccontextmanager
async def open_talker(place: Place) -> AsyncIterator[Talks]:
    """Open the model; closed, what was started for it is ended.

    Raises:
        InputError: there is no such model or format, or the model's files cannot be opened.
        MissingExtra: what the model runs on is not installed.
        EvoluteError: the endpoint lists its models, and the choice among them is not ours; or it cannot be reached.
    """
    form = find_format(place.format)
    if place.base_url:
        async with _at_endpoint(place, form) as talker:
            yield talker
    else:
        async with _in_process(place, form) as talker:
            yield talker


@asynccontextmanager
async def _at_endpoint(place: Place, form: Format) -> AsyncIterator[Talker]:
    spec = ModelSpec(model=place.model, base_url=place.base_url, api_key_env=place.api_key_env, total_timeout=_LONGEST)
    if not spec.model:
        async with Talker(spec) as asking:
            spec = spec.model_copy(update={"model": _only(await asking.models(), place.base_url)})
    async with Talker(spec, form) as talker:
        yield talker


def _only(listed: list[str], base_url: str) -> str:
    if len(listed) == 1:
        return listed[0]
    known = f"it lists {', '.join(listed[:20])}" if listed else "it lists none"
    raise InputError(f"which model of {base_url}? Name it; {known}")


@asynccontextmanager
async def _in_process(place: Place, form: Format) -> AsyncIterator[Talks]:
    found = find_model(place.model)
    if found.path.suffix != ".gguf":
        from evolute.chat.inprocess import LocalTalker
        from evolute.models.local import Local

        async with Local(ModelSpec(api="local", model=str(found.path)), format=form) as local:
            yield LocalTalker(local)
        return
    async with Embedded(ModelSpec(api="embedded", model=str(found.path)), slots=_SLOTS, context=_CONTEXT) as engine:
        here = ModelSpec(model=found.name, base_url=engine.base_url, api_key_env="", total_timeout=_LONGEST)
        key = {"headers": {"Authorization": f"Bearer {engine.key}"}}  # in the spec's copy: it is none of the user's
        async with Talker(here.model_copy(update=key), form) as talker:
            yield talker

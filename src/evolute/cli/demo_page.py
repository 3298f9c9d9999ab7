"""`evolute demo`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from evolute.cli.chat import COUNT, SHARE, WARMTH, BaseUrl, FormatName, KeyVariable, Seed, System
from evolute.cli.screen import say
from evolute.errors import InputError

_PAGE = Group("Page", sort_key=3)
_START = Group("What the controls stand at", sort_key=4)


def demo(
    model: str = "",
    model2: str = "",
    /,
    *,
    base_url: BaseUrl = "",
    api_key_env: KeyVariable = "OPENAI_API_KEY",
    format_: FormatName = "chat",
    host: Annotated[
        str, Parameter(group=_PAGE, help="The address to listen at; another needs a password.")
    ] = "127.0.0.1",
    port: Annotated[int, Parameter(group=_PAGE, help="The port; 0 takes a free one.")] = 7860,
    password_env: Annotated[
        str, Parameter(group=_PAGE, help="The environment variable with the password that visitors have to enter.")
    ] = "",
    votes: Annotated[
        Path | None,
        Parameter(group=_PAGE, help="Where votes on two models are added, as JSON Lines. Default: votes.jsonl."),
    ] = None,
    blind: Annotated[
        bool, Parameter(group=_PAGE, negative="", help="Of two models, hide which is which until the vote.")
    ] = False,
    seed: Seed = 0,
    system: System = "",
    temperature: Annotated[
        float, Parameter(group=_START, validator=WARMTH, help="0: the likeliest word each time.")
    ] = 0.7,
    top_p: Annotated[
        float, Parameter(group=_START, validator=SHARE, help="Only the likeliest words of this probability.")
    ] = 0.95,
    max_tokens: Annotated[int, Parameter(group=_START, validator=COUNT, help="The most tokens of one answer.")] = 1024,
) -> None:
    """Open a page to talk to a model, or to two side by side with a vote.

    Args:
        model: A folder, a .gguf, smollm2 (the default), a name at --base-url (none: the only one), or NAME@URL.
        model2: A second one, to be set beside the first.
    """
    from evolute.chat.demo_serving import Demo, serve
    from evolute.chat.opening import place_of
    from evolute.chat.votes import check_votes

    named = [model or ("" if base_url else "smollm2"), *([model2] if model2 else [])]
    places = [place_of(name, base_url, api_key_env, format_) for name in named]
    if (blind or votes) and len(places) < 2:
        raise InputError("--blind and --votes are for two models: evolute demo MODEL MODEL2")
    votes = (votes or Path("votes.jsonl")) if len(places) == 2 else None
    start = {"system": system, "temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
    asked = Demo(places, host, port, _password(password_env), votes, blind, seed, start)
    if votes is not None:
        check_votes(votes)
    told = f"; votes are added to {votes}" if votes is not None else ""
    asyncio.run(serve(asked, lambda address: say(f"the page is open at {address} (Ctrl-C ends it){told}")))


def _password(variable: str) -> str:
    if not variable:
        return ""
    password = os.environ.get(variable, "")
    if len(password) < 8:
        raise InputError(f"--password-env {variable}: that variable holds no password of at least 8 characters")
    return password

"""The page, served: on this machine's loopback, or elsewhere behind a password; it asks nobody else for anything."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolute.chat.opening import Place, open_talker
from evolute.chat.sessions import Panel
from evolute.errors import InputError, MissingExtra

# Read when Gradio is imported: nothing is told to anybody, and no version is asked for.
_QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "GRADIO_SSR_MODE": "False", "GRADIO_NODE_MODE": "0",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Demo:
    """What is served, and where.

    Args:
        places: the models, one or two.
        host: the address to listen at; one other than loopback needs a password.
        port: 0 takes a free one.
        password: what visitors have to enter; empty: nothing. It is never shown or written.
        votes: where votes on two models are recorded.
        blind: hide the models' names until the vote, and draw their order.
        seed: what draws and orders follow from.
        start: what the controls stand at, by name: `system`, `temperature`, `top_p`, `max_tokens`.
    """

    places: Sequence[Place]
    host: str = "127.0.0.1"
    port: int = 7860
    password: str = ""
    votes: Path | None = None
    blind: bool = False
    seed: int = 0
    start: Mapping[str, Any] = field(default_factory=dict)


async def serve(demo: Demo, started: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C or SIGTERM; `started` is told the address once it answers.

    Raises:
        InputError: a model cannot be opened, two have one name, the address is taken, or a password is wanting.
        MissingExtra: Gradio is not installed.
    """
    with _quiet():
        await _serve(demo, started)


@contextmanager
def _quiet() -> Iterator[None]:
    """With Gradio's variables set, and afterwards those that were there: other programs are started with them, too."""
    before = {name: os.environ.get(name) for name in _QUIET}
    os.environ.update(_QUIET)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


async def _serve(demo: Demo, started: Callable[[str], None]) -> None:
    if importlib.util.find_spec("gradio") is None:
        raise MissingExtra("the page (evolute demo)", "web")
    from evolute.chat.serving import Server, is_loopback, listening_socket, shown_host, until_stopped

    here = is_loopback(demo.host)
    if not demo.password and not here:
        raise InputError(
            f"--host {demo.host} lets others in, which needs a password: put one into an environment variable, say "
            "DEMO_PASSWORD, and add --password-env DEMO_PASSWORD"
        )
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(listening_socket(demo.host, demo.port))  # before models load, which takes long
        talkers = [await stack.enter_async_context(open_talker(place)) for place in demo.places]
        if len({talker.name for talker in talkers}) < len(talkers):
            raise InputError(f"both models are called {talkers[0].name!r}: a vote could not tell them apart")
        import uvicorn

        from evolute.chat.demo import Page, Start
        from evolute.chat.demo_app import app_of

        page = Page(Panel(talkers, seed=demo.seed, blind=demo.blind), demo.votes, Start(**demo.start))
        app = app_of(page.blocks, demo.password, only_here=here)
        server = Server(uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=1))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await until_stopped(lambda: started(f"http://{shown_host(demo.host)}:{listening.getsockname()[1]}"))
        finally:
            server.should_exit = True
            await task

"""A served model as a process: the address and its guard, the engine, and an end that is clean."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from evolute.chat.serve import make_app
from evolute.errors import InputError, MissingExtra
from evolute.formats import Format
from evolute.models.embedded import serve_gguf
from evolute.models.local import SLOTS, Local
from evolute.models.weights import LocalModel
from evolute.recipe import ModelSpec

try:
    import uvicorn
except ImportError:
    raise MissingExtra("evolute serve", "web") from None

Engine = Literal["auto", "transformers", "llama.cpp"]
GGUF_SLOTS = 8
"""Answers that llama.cpp's server makes together."""
GGUF_CONTEXT = 4096
"""Tokens of prompt and answer in each of them."""


@dataclass(frozen=True, slots=True)
class Serving:
    """How a model is served.

    Args:
        found: its files.
        format: how conversations are written; "chat": the tokenizer's own template.
        engine: "auto": llama.cpp for a `.gguf`, transformers for a folder.
        name: what clients call the model; empty: its file's or folder's name.
        host: where it listens.
        port: 0 takes a free one.
        key: the bearer token that clients must send; empty: none.
        slots: answers that grow together; None: the engine's default.
        context: of llama.cpp, tokens of prompt and answer in one slot.
        dtype: as `open_files`.
        device: as `open_files`.
    """

    found: LocalModel
    format: Format
    engine: Engine = "auto"
    name: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    key: str = ""
    slots: int | None = None
    context: int = GGUF_CONTEXT
    dtype: str = "auto"
    device: str | None = None

    @property
    def served_name(self) -> str:
        """What clients call the model."""
        return self.name or self.found.name

    @property
    def resolved_engine(self) -> Literal["transformers", "llama.cpp"]:
        """The engine that serves it.

        Raises:
            InputError: llama.cpp is asked for what is no `.gguf`, or to write another format than the file's own.
        """
        gguf = self.found.path.suffix == ".gguf"
        if self.engine == "llama.cpp" and not gguf:
            raise InputError(f"{self.found.path}: llama.cpp serves .gguf files; for a folder there is transformers")
        if self.engine == "transformers" or not gguf:
            return "transformers"
        if self.format.write is not None:
            raise InputError(
                f"--format {self.format.name}: llama.cpp writes prompts in the template that is in the file; "
                "with --engine transformers another can be named"
            )
        return "llama.cpp"


@asynccontextmanager
async def serving(how: Serving, say: Callable[[str], None] = lambda remark: None) -> AsyncIterator[str]:
    """Serve while the block runs; gives the address, up to `/v1`. `say` is told what is opened.

    Raises:
        InputError: it would listen to others without a key, the address is taken, or the model cannot be opened.
        MissingExtra: what it needs is not installed.
    """
    check_guard(how.host, how.key)
    say(f"opening {how.found.path} with {how.resolved_engine} …")
    if how.resolved_engine == "llama.cpp":
        with listening_socket(how.host, how.port) as taken:
            port = taken.getsockname()[1]
        with _llama(how, port) as url:
            yield url
        return
    spec = ModelSpec(api="local", model=str(how.found.path))
    local = Local(spec, how.slots or SLOTS, how.format, how.dtype, how.device)
    with listening_socket(how.host, how.port) as listening:  # before the model is loaded, which takes a while
        async with local, _http(local, how, listening) as url:
            yield url


@asynccontextmanager
async def _http(local: Local, how: Serving, listening: socket.socket) -> AsyncIterator[str]:
    port = listening.getsockname()[1]
    hosts = ("127.0.0.1", "localhost", "::1") if is_loopback(how.host) else ()
    config = uvicorn.Config(
        make_app(local, how.served_name, how.key, hosts),
        log_level="critical", access_log=False, lifespan="off", server_header=False, ws="none",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://{shown_host(how.host)}:{port}/v1"
    finally:
        server.should_exit = True
        await task


class Server(uvicorn.Server):  # type: ignore[misc] # uvicorn's types are not followed
    """Leaves signals to who started it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@contextlib.contextmanager
def _llama(how: Serving, port: int) -> Iterator[str]:
    server: Any = serve_gguf(
        how.found.path, how.served_name, how.slots or GGUF_SLOTS, how.context, how.key, host=how.host, port=port
    )
    try:
        yield f"http://{shown_host(how.host)}:{port}/v1"
    finally:
        del server  # its destructor ends its threads


async def until_stopped(started: Callable[[], None]) -> None:
    """Wait for Ctrl-C or SIGTERM; `started` is called once they are heard."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    heard = (signal.SIGINT, signal.SIGTERM)
    with contextlib.suppress(NotImplementedError):  # Windows: KeyboardInterrupt ends it
        for one in heard:
            loop.add_signal_handler(one, stop.set)
    started()
    try:
        await stop.wait()
    finally:
        with contextlib.suppress(NotImplementedError):
            for one in heard:
                loop.remove_signal_handler(one)


def check_guard(host: str, key: str) -> None:
    """Look that nobody but this machine is served without a key.

    Raises:
        InputError: others would be.
    """
    if not key and not is_loopback(host):
        raise InputError(
            f"--host {host} lets other machines ask this model: give --api-key-env NAME, with a key in that "
            "environment variable, or stay with 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that is bound to the address.

    Raises:
        InputError: it is taken, or is none of this machine's.
    """
    if not 0 <= port < 2**16:
        raise InputError(f"--port must be from 0 to {2**16 - 1}, got {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(address)
            bound.listen(256)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise InputError(
            f"cannot listen at {host}:{port}: {error.strerror or error}. Give another --port (0: any free one)"
        ) from None
    return bound


def shown_host(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host

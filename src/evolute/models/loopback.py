"""A real HTTP server on this machine that speaks the APIs and misbehaves on demand: what tests and benchmarks talk to.

It answers OpenAI's chat, plain completions and embeddings, Anthropic's Messages, both batch APIs, and `/v1/models`,
from a rule that is a function of the model, the messages and the seed alone. `python -m evolute.models.loopback --help`
runs it as a process of its own; `/stats` tells what it has seen.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from evolute.errors import MissingExtra

try:
    from aiohttp import web
except ImportError:
    raise MissingExtra("the loopback server", "loopback") from None

from evolute.models.loopback_batches import Batches, BatchFaults
from evolute.models.loopback_reply import prompt_key, reply_body, scripted_rule
from evolute.models.loopback_stream import send_events, words_of
from evolute.recipe.explaining import descriptions

Reply = str | AsyncIterator[str] | Mapping[str, Any] | web.Response
"""The text of the answer (streamed word by word where that is asked for), the pieces of a streamed one, the whole body
of a 200, or the whole HTTP response."""

_INSTEAD = {"max_tokens": " Use 'max_completion_tokens' instead."}
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares (0 to 1) of requests that go wrong, each try rolled anew. At most one happens to a request."""

    too_many: float = 0.0
    """429, at once, with Retry-After."""
    error: float = 0.0
    """500."""
    reset: float = 0.0
    """The connection is reset instead of an answer."""
    hang: float = 0.0
    """No answer, ever."""
    null: float = 0.0
    """The content is null."""
    empty: float = 0.0
    """The content is the empty string."""
    length: float = 0.0
    """Half of the text, with finish_reason "length"."""
    cut: float = 0.0
    """A 200 whose JSON stops half-way."""
    drop: float = 0.0
    """The connection closes half-way through the body."""
    not_json: float = 0.0
    """A 200 whose body is plain text."""
    html: float = 0.0
    """A 200 with a page of HTML."""


class LoopbackServer:
    """The server: `async with LoopbackServer(...) as server`, then `server.base_url` (which ends in `/v1`).

    Args:
        rule: the answer to a parsed request body.
        latency: seconds before each answer.
        rate: requests a second allowed; a token bucket answers 429 with Retry-After beyond it.
        retry_after: the seconds that a 429 asks for; None sends no header.
        faults: shares of requests that go wrong.
        models: the models known; any other gets a 404. None knows every model.
        require_key: the key without which a request gets a 401.
        refuse: body parameters answered with a 400 that names them, as OpenAI does.
        max_body: bytes of request body beyond which the answer is a 413.
        batches: how batches go.
        folder: where batches are kept, so that a server that starts on it again goes on; None: a temporary one.
        seed: what the faults are drawn from.
        port: 0 takes a free one.
    """

    def __init__(
        self,
        rule: Callable[[Mapping[str, Any]], Reply] = scripted_rule,
        *,
        latency: float = 0.0,
        rate: float | None = None,
        retry_after: float | None = 1.0,
        faults: Faults | None = None,
        models: tuple[str, ...] | None = None,
        require_key: str | None = None,
        refuse: tuple[str, ...] = (),
        max_body: int | None = None,
        batches: BatchFaults | None = None,
        folder: Path | None = None,
        seed: int = 0,
        port: int = 0,
    ) -> None:
        self.requests = 0
        self.answers = 0
        self.in_flight = 0
        self.peak_in_flight = 0
        self.prompts: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.last_body: Mapping[str, Any] = {}
        self.last_headers: Mapping[str, str] = {}
        self.base_url = ""
        self._rule, self._latency, self._models, self._refuse = rule, latency, models, refuse
        self._require_key, self._max_body, self._port = require_key, max_body, port
        self._retry_after = retry_after
        self._bucket = _Bucket(rate) if rate else None
        shares = [(field.name, getattr(faults, field.name)) for field in fields(Faults)] if faults else []
        self._faults = [(name, share) for name, share in shares if share > 0]
        self._random = random.Random(seed)
        self.batches = Batches(rule, batches, folder, seed)
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> LoopbackServer:
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, access_log=None, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=4096)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self.batches.close()

    def stats(self) -> dict[str, int | dict[str, int]]:
        """What has been seen: requests, whole answers, in flight and its peak, prompts, statuses, faults, batches."""
        return {
            "requests": self.requests,
            "answers": self.answers,
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak_in_flight,
            "prompts": len(self.prompts),
            "repeated": self.requests - len(self.prompts),
            "statuses": dict(self.statuses),
            "batches": self.batches.stats(),
        }

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.rstrip("/")
        if path == "/stats":
            return _reply(self.stats() | ({"by_prompt": dict(self.prompts)} if "prompts" in request.query else {}))
        if path.endswith("/models"):
            return _reply({"object": "list", "data": [{"id": name} for name in self._models or ("loopback",)]})
        if "/batches" in path or "/files" in path:
            refused = self._refusal(request, b"") or self._limited(self._roll())
            if (response := refused or await self.batches.handle(request)) is not None:
                self.statuses[str(response.status)] += 1
                return response
        if not path.endswith(("/chat/completions", "/completions", "/messages", "/embeddings")):
            return _error(404, f"no such path {path}")
        self.requests += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            return await self._serve(request, path.rsplit("/", 1)[-1] if "chat" not in path else "chat")
        finally:
            self.in_flight -= 1

    async def _serve(self, request: web.BaseRequest, api: str) -> web.StreamResponse:
        raw = await request.read()
        fault = self._roll()
        response: web.StreamResponse | None = self._refusal(request, raw) or self._limited(fault)
        if response is None:
            body = orjson.loads(raw)
            self.last_body, self.last_headers = body, request.headers
            self.prompts[prompt_key(body)] += 1
            if fault == "hang":
                self.statuses["hang"] += 1
                await asyncio.Event().wait()
            await asyncio.sleep(self._latency)
            response = self._unknown(body) or await self._answer(request, body, api, fault)
        self.statuses[fault or str(response.status)] += 1
        return response

    def _roll(self) -> str:
        if self._faults:
            point = self._random.random()
            for name, share in self._faults:
                point -= share
                if point < 0:
                    return name
        return ""

    def _refusal(self, request: web.BaseRequest, raw: bytes) -> web.Response | None:
        if self._require_key is not None:
            offered = request.headers.get("x-api-key") or request.headers.get("Authorization") or ""
            key = offered.removeprefix("Bearer ")
            if key != self._require_key:
                return _error(401, f"Incorrect API key provided: {key}.")
        if self._max_body is not None and len(raw) > self._max_body:
            return _error(413, f"request body of {len(raw)} bytes is larger than {self._max_body}")
        return None

    def _limited(self, fault: str) -> web.Response | None:
        if fault != "too_many" and (self._bucket is None or self._bucket.take()):
            return None
        response = _error(429, "Rate limit reached", "rate_limit_exceeded")
        if self._retry_after is not None:
            response.headers["Retry-After"] = f"{self._retry_after:g}"
        return response

    def _unknown(self, body: Mapping[str, Any]) -> web.Response | None:
        if self._models is not None and body.get("model") not in self._models:
            return _error(404, f"The model `{body.get('model')}` does not exist", "model_not_found")
        for name in self._refuse:
            if name in body:
                what = f"Unsupported parameter: '{name}' is not supported with this model."
                return _error(400, what + _INSTEAD.get(name, ""), "unsupported_parameter", param=name)
        return None

    async def _answer(
        self, request: web.BaseRequest, body: Mapping[str, Any], api: str, fault: str
    ) -> web.StreamResponse:
        if fault == "error":
            return _error(500, "The server had an error while processing your request")
        if fault == "not_json":
            return web.Response(text="upstream timed out", content_type=_JSON)
        if fault == "html":
            return web.Response(text="<html><body>Please log in</body></html>", content_type="text/html")
        reply = self._rule(body)
        if isinstance(reply, web.Response):
            return reply
        if body.get("stream") and isinstance(reply, str) and not fault:
            reply = words_of(reply)
        if isinstance(reply, AsyncIterator):
            streamed = await send_events(request, body, api, reply)
            self.answers += 1
            return streamed
        data = orjson.dumps(reply_body(api, body, reply, fault) if isinstance(reply, str) else reply)
        if fault == "cut":
            return web.Response(body=data[: len(data) // 2], content_type=_JSON)
        if fault in ("reset", "drop"):
            return await _break(request, data[: len(data) // 2] if fault == "drop" else b"", len(data))
        self.answers += 1
        return web.Response(body=data, content_type=_JSON)


class _Bucket:
    """Tokens that refill at `rate` a second, up to a tenth of a second's worth (at least one)."""

    def __init__(self, rate: float) -> None:
        self._rate, self._most = rate, max(1.0, rate / 10)
        self._tokens, self._at = self._most, time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


async def _break(request: web.BaseRequest, part: bytes, promised: int) -> web.StreamResponse:
    """Send `part` of a body of `promised` bytes, if any, and reset the connection."""
    response = web.StreamResponse(headers={"Content-Length": str(promised), "Content-Type": _JSON})
    transport = request.transport
    if part:
        await response.prepare(request)
        await response.write(part)
    if transport is not None:
        if not part:  # a reset rather than a polite end
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        transport.close()
    return response


def _reply(data: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, content_type=_JSON)


def _error(status: int, message: str, code: str = "", param: str | None = None) -> web.Response:
    return _reply({"error": {"message": message, "type": "error", "param": param, "code": code}}, status)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evolute.models.loopback", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--rate", type=float, help="requests a second allowed; 429 beyond")
    parser.add_argument("--retry-after", type=float, default=1.0, help="seconds that a 429 asks for")
    parser.add_argument("--model", action="append", help="a model known (repeatable); none given: all are")
    parser.add_argument("--require-key", help="the key without which the answer is a 401")
    parser.add_argument("--refuse", action="append", default=[], help="a body parameter to refuse (repeatable)")
    parser.add_argument("--max-body", type=int, help="bytes of request body beyond which the answer is a 413")
    parser.add_argument("--seed", type=int, default=0, help="what the faults are drawn from")
    shares = parser.add_argument_group("faults", "the share of requests, 0 to 1, that each happens to")
    for name, happens in descriptions(Faults).items():
        shares.add_argument("--" + name.replace("_", "-"), type=float, default=0.0, metavar="SHARE", help=happens)
    batches = parser.add_argument_group("batches")
    batches.add_argument(
        "--batch-folder", type=Path, help="where batches are kept, for a server that goes on with them"
    )
    for name, means in descriptions(BatchFaults).items():
        kind = getattr(BatchFaults(), name)
        taken: dict[str, Any] = {"action": "store_true"} if kind is False else {"type": type(kind), "default": kind}
        batches.add_argument("--batch-" + name.replace("_", "-"), help=means, **taken)
    return parser


async def _run(options: argparse.Namespace) -> None:
    faults = Faults(**{field.name: getattr(options, field.name) for field in fields(Faults)})
    server = LoopbackServer(
        latency=options.latency,
        rate=options.rate,
        retry_after=options.retry_after,
        faults=faults,
        models=tuple(options.model) if options.model else None,
        require_key=options.require_key,
        refuse=tuple(options.refuse),
        max_body=options.max_body,
        batches=BatchFaults(**{field.name: getattr(options, "batch_" + field.name) for field in fields(BatchFaults)}),
        folder=options.batch_folder,
        seed=options.seed,
        port=options.port,
    )
    async with server:
        sys.stdout.write(f"{server.base_url}\n")  # the first line: whoever started us waits for it
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Serve until interrupted."""
    options = _arguments().parse_args()
    try:
        import uvloop

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    except ImportError:  # Windows has none
        runner = asyncio.Runner()
    try:
        with runner:
            runner.run(_run(options))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

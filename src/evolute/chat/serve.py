"""An OpenAI-compatible endpoint before the transformers engine: starlette's routes, and nothing that can be heard."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import orjson

from evolute.chat.serve_bodies import Asked, Reply, error_body, read_body
from evolute.errors import CallFailed, EvoluteError, InputError, MissingExtra, RequestRejected
from evolute.models.local import Local, Piece
from evolute.models.local_sampling import Sampling

try:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route
except ImportError:
    raise MissingExtra("evolute serve", "web") from None

MOST_BYTES = 32 * 2**20
"""Of a request's body."""
_JSON = "application/json"
_Answer = tuple[int, Piece]


def make_app(local: Local, name: str, key: str = "", hosts: Sequence[str] = ()) -> Starlette:
    """The endpoint's application: /v1/models, /v1/chat/completions, /v1/completions and /health.

    Bodies must be declared as JSON, and where `hosts` are given the Host header must name one of them: no web page can
    then make a visitor's browser ask.

    Args:
        local: the open engine.
        name: what the model is called.
        key: what /v1 wants as a bearer token; empty: nothing.
        hosts: names under which the endpoint answers; none: under any.
    """
    created = int(time.time())

    async def health(request: Request) -> Response:
        growing, waiting = local.load
        return _json({"status": "ok", "running": growing, "waiting": waiting})

    async def models(request: Request) -> Response:
        about = {"id": name, "object": "model", "created": created, "owned_by": "evolute"}
        return _json({"object": "list", "data": [about | {"max_model_len": local.window}]})

    def guarded(handle: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guard(request: Request) -> Response:
            try:
                _check(request, key, hosts)
                return await handle(request)
            except (RequestRejected, InputError) as error:
                return _error(str(error), error.status if isinstance(error, RequestRejected) else 400)
            except CallFailed as error:
                return _error(str(error), 503)
            except EvoluteError as error:
                return _error(str(error), 500)

        return guard

    def completions(chat: bool) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            if not request.headers.get("content-type", "").startswith(_JSON):
                raise RequestRejected(f"the body must be declared as {_JSON}", status=415)
            model, asked = read_body(await _bytes(request), chat=chat)
            if model and model != name:
                raise RequestRejected(f"there is no model {model!r} here; {name!r} is served", status=404)
            return await _answered(request, local, name, asked)

        return handle

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", guarded(models)),
            Route("/v1/chat/completions", guarded(completions(chat=True)), methods=["POST"]),
            Route("/v1/completions", guarded(completions(chat=False)), methods=["POST"]),
        ]
    )


def _check(request: Request, key: str, hosts: Sequence[str]) -> None:
    if hosts and request.url.hostname not in hosts:
        raise RequestRejected(f"this endpoint answers as {', '.join(hosts)} alone", status=403)
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if key and not hmac.compare_digest(given.encode(), key.encode()):
        raise RequestRejected("this endpoint wants its API key as a bearer token", status=401)


async def _bytes(request: Request) -> bytes:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MOST_BYTES:
            raise RequestRejected(f"the body has more than {MOST_BYTES:,} bytes", status=413)
    return bytes(raw)


async def _answered(request: Request, local: Local, name: str, asked: Asked) -> Response:
    """The whole answer, or the stream of it; whatever is wrong with the request is found before either begins."""
    sampling = local.sampling(asked.fields)
    prompts = [_encoded(local, asked, prompt) for prompt in asked.prompts]
    for prompt in prompts:
        local.room(prompt, sampling)
    drawn = [(prompt, _nth(sampling, number)) for prompt in prompts for number in range(asked.n)]
    pieces = _merged([local.stream(prompt, one) for prompt, one in drawn])
    reply, prompt_tokens = Reply(asked, name), sum(len(prompt) for prompt, _ in drawn)
    if asked.stream:
        events = _events(pieces, reply, asked, len(drawn), prompt_tokens)
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
    answers = await _unless_gone(request, _collected(pieces, len(drawn)))
    if answers is None:
        return Response(status_code=499)  # nobody reads it
    return Response(reply.whole(answers, prompt_tokens), media_type=_JSON)


def _encoded(local: Local, asked: Asked, prompt: Any) -> list[int]:  # noqa: ANN401 - as the request has it
    if asked.chat:
        return local.encode(prompt)
    if isinstance(prompt, list):
        local.check_tokens(prompt)
        return prompt
    return local.encode_text(prompt)


def _nth(sampling: Sampling, number: int) -> Sampling:
    """The sampling of a request's further answers: other draws, that follow from its seed as well."""
    return sampling if sampling.seed is None else replace(sampling, seed=(sampling.seed + number) % 2**63)


async def _events(
    pieces: AsyncGenerator[_Answer], reply: Reply, asked: Asked, count: int, prompt_tokens: int
) -> AsyncGenerator[bytes]:
    tokens = [0] * count
    async with aclosing(pieces):
        try:
            for index in range(count if asked.chat else 0):
                yield reply.begin(index)
            async for index, piece in pieces:
                tokens[index] = piece.tokens
                if piece.text or piece.finish or piece.logprobs:
                    yield reply.chunk(index, piece)
        except EvoluteError as error:
            yield b"data: " + error_body(str(error), 500) + b"\n\n"
            return
    if asked.usage:
        yield reply.usage(prompt_tokens, sum(tokens))
    yield b"data: [DONE]\n\n"


async def _collected(pieces: AsyncGenerator[_Answer], count: int) -> list[list[Piece]]:
    answers: list[list[Piece]] = [[] for _ in range(count)]
    async with aclosing(pieces):
        async for index, piece in pieces:
            answers[index].append(piece)
    return answers


async def _merged(streams: Sequence[AsyncGenerator[Piece]]) -> AsyncGenerator[_Answer]:
    """The pieces of several answers as they come, each with its answer's number; left, it ends them all."""
    told: asyncio.Queue[_Answer | BaseException | None] = asyncio.Queue()

    async def follow(index: int, stream: AsyncGenerator[Piece]) -> None:
        try:
            async with aclosing(stream):
                async for piece in stream:
                    told.put_nowait((index, piece))
        except EvoluteError as error:
            told.put_nowait(error)
        else:
            told.put_nowait(None)

    tasks = [asyncio.create_task(follow(index, stream)) for index, stream in enumerate(streams)]
    try:
        left = len(tasks)
        while left:
            one = await told.get()
            if isinstance(one, BaseException):
                raise one
            if one is None:
                left -= 1
            else:
                yield one
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _unless_gone(request: Request, work: Any) -> list[list[Piece]] | None:  # noqa: ANN401 - a coroutine
    """What the work gives; None, and the work is cancelled, where the client leaves before."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return (await working) if working.done() else None
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type=_JSON)


def _error(message: str, status: int) -> Response:
    return Response(error_body(message, status), status_code=status, media_type=_JSON)

"""The loopback server's streamed answers: server-sent events as OpenAI's chat and plain completions send them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from aiohttp import web

from evolute.models.loopback_reply import messages_of
from evolute.models.scripted import estimated_usage


async def words_of(text: str) -> AsyncIterator[str]:
    """A text in pieces, each a word with the space before it."""
    for piece in re.findall(r"\s*\S+|\s+$", text):
        yield piece


async def send_events(
    request: web.BaseRequest, body: Mapping[str, Any], api: str, pieces: AsyncIterator[str]
) -> web.StreamResponse:
    """Send the pieces as they come, each as one event, then why it ended, the usage if wanted, and [DONE]."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    said = ""
    async for piece in pieces:
        said += piece
        await response.write(_event(body, api, piece, None))
    await response.write(_event(body, api, "", "stop"))
    if (body.get("stream_options") or {}).get("include_usage"):
        usage = estimated_usage(messages_of(body), said)
        counted = {"prompt_tokens": usage.prompt, "completion_tokens": usage.completion}
        await response.write(_data({"id": "loopback", "model": body.get("model"), "choices": [], "usage": counted}))
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _event(body: Mapping[str, Any], api: str, text: str, finish: str | None) -> bytes:
    said = {"delta": {"content": text}} if api == "chat" else {"text": text}
    choice = said | {"index": 0, "finish_reason": finish}
    return _data({"id": "loopback", "model": body.get("model"), "choices": [choice]})


def _data(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"

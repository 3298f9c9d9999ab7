"""What is sent to the loopback server as a file or a long list goes to disk as it comes."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
from aiohttp import BodyPartReader, MultipartReader, web

_OPENING = re.compile(r'\s*\{\s*"requests"\s*:\s*\[')
_DECODER = json.JSONDecoder()


async def receive_form(request: web.BaseRequest, path: Path) -> tuple[int, str]:
    """Write the `file` of a form to `path`; its bytes, and the form's `purpose`."""
    size, purpose = 0, ""
    form = MultipartReader(request.headers, request.content)
    while (part := await form.next()) is not None:
        if not isinstance(part, BodyPartReader):
            continue
        if part.name != "file":
            purpose = await part.text()
            continue
        with path.open("wb") as file:
            while piece := await part.read_chunk(1 << 20):
                size += file.write(piece)
    return size, purpose


async def receive_requests(request: web.BaseRequest, path: Path) -> int:
    """Write the `requests` of an Anthropic batch to `path`, each on a line as OpenAI's; how many there are.

    Raises:
        ValueError: the body is not such an object.
    """
    count = 0
    with path.open("wb") as file:
        async for asked in _elements(request):
            file.write(orjson.dumps({"custom_id": asked["custom_id"], "body": asked["params"]}) + b"\n")
            count += 1
    return count


async def _elements(request: web.BaseRequest) -> AsyncIterator[dict[str, dict[str, object]]]:
    """The elements of `requests`, one at a time, with no more of the body in memory than a piece and an element."""
    text, opened, pending = "", False, b""
    async for piece in request.content.iter_chunked(1 << 18):
        pending += piece
        whole = pending.rfind(b"}") + 1  # never in the middle of a character
        text, pending = text + pending[:whole].decode(), pending[whole:]
        if not opened:
            found = _OPENING.match(text)
            if found is None:
                raise ValueError("requests: Field required")
            text, opened = text[found.end() :], True
        at = 0
        while (start := text.find("{", at)) >= 0:
            try:
                asked, at = _DECODER.raw_decode(text, start)
            except json.JSONDecodeError:
                break
            yield asked
        text = text[at:]
    if not opened or text.strip(" \n,]}") or pending.strip(b" \n]}"):
        raise ValueError("The body is not an object with a list of requests")

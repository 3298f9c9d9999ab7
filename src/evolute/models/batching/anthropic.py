"""Anthropic's Message Batches: a batch is made of a list of requests, and one file of results comes out.

Sources: https://docs.anthropic.com/en/docs/build-with-claude/batch-processing and
https://docs.anthropic.com/en/api/creating-message-batches.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import orjson
from pyreqwest.client import Client
from pyreqwest.request import RequestBuilder

from evolute.errors import CallFailed, EndpointError
from evolute.models.batching import BatchResult, BatchStatus
from evolute.models.batching.client import BatchHttp, id_of, no_batch, upload_seconds
from evolute.models.batching.lines import Lines, name_of, parsed, read_name
from evolute.recipe import ModelSpec
from evolute.records import Request

_PATH = "/messages/batches"
_PAGE = 100
_CLOCK_SLACK = 60.0  # seconds by which the provider's clock may be behind ours
_NO_API = "has no Message Batches API here. Is base_url right? It ends in its version (…/v1)"
_OPENING, _CLOSING = b'{"requests":[', b"]}"
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The HTTP status of each kind of error, from https://docs.anthropic.com/en/api/errors; any other is a 500."""


class AnthropicBatches:
    """Message Batches at `http`'s endpoint; `folder` is where the files of requests lie."""

    most_requests = 100_000
    most_bytes = 256_000_000 - len(_OPENING + _CLOSING)

    def __init__(self, http: BatchHttp, spec: ModelSpec, folder: Path) -> None:
        self._http, self._folder = http, folder
        self._lines = Lines(spec, http.secrets)

    def line(self, key: str, request: Request) -> bytes:
        """One element of the list; in the file it stands on a line of its own.

        Raises:
            RequestRejected: the request cannot be written as JSON.
        """
        return orjson.dumps({"custom_id": name_of(key, request), "params": self._lines.body(request)})

    async def submit(self, name: str, path: Path, count: int) -> str:
        """Make a batch of the file; its id.

        Raises:
            CallFailed: it is not known whether there is a batch now: `find` it before submitting again.
            EndpointError: the endpoint refuses.
        """
        size = sum(map(len, _listed(path)))

        def build(client: Client) -> RequestBuilder:
            post = self._http.post_json(client, _PATH).header("Content-Length", str(size))
            return post.body_stream(_pieces(path))

        return id_of(await self._http.call(build, missing=_NO_API, again=False, seconds=upload_seconds()))

    async def find(self, name: str, created: float, count: int, known: Collection[str]) -> str | None:
        """The first batch of `count` requests that was made at `created` (Unix time) or later and is not `known`.

        A batch has no name there. One that has ended is looked into: it is ours if its results answer requests of
        ours. One that has not is taken to be, and turns out not to be when its results answer none: whoever asked
        then asks again, with that one among `known`.
        """
        found = [id async for id in self._like(created, count) if id not in known]
        for id in reversed(found):  # the list begins with the newest
            if await self._may_be_ours(id, name):
                return id
        return None

    async def status(self, id: str) -> BatchStatus:
        """How far a batch is. The counts stay as they were at its beginning until it has ended."""
        batch = await self._batch(id)
        counts = {kind: int(count or 0) for kind, count in (batch.get("request_counts") or {}).items()}
        failed = sum(counts.get(kind, 0) for kind in ("errored", "canceled", "expired"))
        said = str(batch.get("processing_status"))
        return BatchStatus(_state(batch, counts), counts.get("succeeded", 0), failed, sum(counts.values()), said)

    async def results(self, id: str) -> AsyncIterator[BatchResult]:
        """The results, streamed. Lines that cannot be read, or answer nothing of ours, are left out.

        There are none any more 29 days after the batch was made: then it is `archived_at`.
        """
        batch = await self._batch(id)
        if batch.get("results_url") and not batch.get("archived_at"):
            async for line in self._lines_of(id):
                if (result := self._result(line)) is not None:
                    yield result

    async def cancel(self, id: str) -> None:
        """Ask for a batch's end; what it has answered so far can be fetched once it has ended."""
        try:
            await self._http.post_object(f"{_PATH}/{id}/cancel", {}, missing=no_batch(id), again=True)
        except EndpointError:
            if (await self._batch(id)).get("processing_status") == "in_progress":
                raise  # else it has ended by itself, or been cancelled before, which is as good

    async def _batch(self, id: str) -> dict[str, Any]:
        return await self._http.get(f"{_PATH}/{id}", missing=no_batch(id))

    async def _like(self, created: float, count: int) -> AsyncIterator[str]:
        after: dict[str, str] = {}
        while True:
            page = await self._http.get(_PATH, missing=_NO_API, limit=_PAGE, **after)
            batches = [batch for batch in page.get("data") or () if isinstance(batch, dict)]
            for batch in batches:
                total = sum(int(part or 0) for part in (batch.get("request_counts") or {}).values())
                if total == count and _made(batch) >= created - _CLOCK_SLACK:
                    yield id_of(batch)
            older = all(_made(batch) < created - _CLOCK_SLACK for batch in batches)
            if older or not page.get("has_more"):
                return
            after = {"after_id": id_of(batches[-1])}

    async def _may_be_ours(self, id: str, name: str) -> bool:
        if not (await self._batch(id)).get("results_url"):
            return True
        ours = _names(self._folder / f"{name}.jsonl")
        async with aclosing(self._lines_of(id)) as lines:
            async for line in lines:
                return parsed(line).get("custom_id") in ours
        return False

    def _lines_of(self, id: str) -> AsyncGenerator[bytes, None]:
        return self._http.lines(f"{_PATH}/{id}/results", missing=f"the results of {id} are not there")

    def _result(self, line: bytes) -> BatchResult | None:
        data = parsed(line)
        known, result = read_name(data.get("custom_id")), data.get("result")
        if known is None or not isinstance(result, dict):
            return None
        kind = result.get("type")
        if kind == "succeeded":
            return self._lines.answered(*known, result.get("message"))
        if kind == "errored":
            error = result.get("error")
            inner = error.get("error") if isinstance(error, dict) else None
            said = inner.get("type") if isinstance(inner, dict) else None
            return BatchResult(known[0], None, self._lines.refused(_STATUSES.get(str(said), 500), error))
        return BatchResult(known[0], None, CallFailed(f"a batch left this request unanswered ({kind!s:.50})"))


def _names(path: Path) -> set[object]:
    with path.open("rb") as file:
        return {parsed(line).get("custom_id") for line in file}


def _state(batch: dict[str, Any], counts: dict[str, int]) -> Literal["running", "ended", "expired", "cancelled"]:
    if batch.get("processing_status") != "ended":
        return "running"
    if batch.get("cancel_initiated_at"):
        return "cancelled"
    return "expired" if counts.get("expired") or batch.get("archived_at") else "ended"


def _made(batch: dict[str, Any]) -> float:
    try:
        return datetime.fromisoformat(str(batch.get("created_at"))).timestamp()
    except ValueError:
        return 0.0


def _listed(path: Path) -> Iterator[bytes]:
    """The body of a batch, line by line of its file."""
    yield _OPENING
    with path.open("rb") as file:
        for number, line in enumerate(file):
            yield (b"," if number else b"") + line.rstrip(b"\n")
    yield _CLOSING


def _pieces(path: Path) -> Iterator[bytes]:
    piece = bytearray()
    for line in _listed(path):
        piece += line
        if len(piece) > 1 << 20:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)

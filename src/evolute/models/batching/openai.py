"""OpenAI's Batch API: a file of requests is uploaded, a batch is made of it, and two files come out.

Sources: https://platform.openai.com/docs/guides/batch, https://platform.openai.com/docs/api-reference/batch and
https://platform.openai.com/docs/api-reference/files.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson
from pyreqwest.client import Client
from pyreqwest.multipart import FormBuilder, PartBuilder
from pyreqwest.request import RequestBuilder

from evolute.errors import EndpointError
from evolute.models import wire
from evolute.models.batching import BatchResult, BatchStatus
from evolute.models.batching.client import BatchHttp, id_of, no_batch, pieces_of, upload_seconds
from evolute.models.batching.lines import Lines, name_of
from evolute.recipe import ModelSpec
from evolute.records import Request

_CLOCK_SLACK = 600.0  # seconds by which the provider's clock may be behind ours
_NAMED = "evolute_batch"  # the field of a batch's metadata that holds our name for it
_PAGE = 100  # the most that a page of the list may hold
_KEPT_DAYS = 29  # the files of a batch are kept for 30 days
_NO_API = (
    "has no batch API here. Batches need a provider's own; for vLLM, have them written as files with "
    "--set models.NAME.batch.provider=files"
)
_STATES: dict[str, Literal["ended", "failed", "expired", "cancelled"]] = {
    "completed": "ended",
    "failed": "failed",
    "expired": "expired",
    "cancelled": "cancelled",
}


class OpenAIBatches:
    """Files and Batches at `http`'s endpoint, for chat or plain completions."""

    most_requests = 50_000
    most_bytes = 200_000_000

    def __init__(self, http: BatchHttp, spec: ModelSpec) -> None:
        self._http, self._spec = http, spec
        self._lines = Lines(spec, http.secrets, _terms(spec))
        self._endpoint = "/v1" + wire.PATHS[spec.api]
        self._uploaded: dict[str, str] = {}

    def line(self, key: str, request: Request) -> bytes:
        """One line of the file.

        Raises:
            RequestRejected: the request cannot be written as JSON.
        """
        body = self._lines.body(request)
        return orjson.dumps({"custom_id": name_of(key, request), "method": "POST", "url": self._endpoint, "body": body})

    async def submit(self, name: str, path: Path, count: int) -> str:
        """Upload the file and make a batch of it; the batch's id. A file once accepted is not uploaded again.

        Raises:
            CallFailed: it is not known whether there is a batch now: `find` it before submitting again.
            EndpointError: the endpoint refuses.
        """
        if name not in self._uploaded:
            self._uploaded[name] = await self._upload(name, path)
        asked = {
            "input_file_id": self._uploaded[name],
            "endpoint": self._endpoint,
            "completion_window": "24h",
            "metadata": {_NAMED: name},
        }
        made = await self._http.post_object("/batches", asked, missing=_NO_API, again=False)
        return id_of(made)

    async def find(self, name: str, created: float, count: int, known: Collection[str]) -> str | None:
        """The batch whose metadata holds `name`, made at `created` (Unix time) or later, and not among `known`."""
        after: dict[str, str] = {}
        while True:
            page = await self._http.get("/batches", missing=_NO_API, limit=_PAGE, **after)
            batches = [batch for batch in page.get("data") or () if isinstance(batch, dict)]
            for batch in batches:
                if (batch.get("metadata") or {}).get(_NAMED) == name and batch.get("id") not in known:
                    return id_of(batch)
            older = all(_made(batch) < created - _CLOCK_SLACK for batch in batches)  # newest come first
            if older or not page.get("has_more"):
                return None
            after = {"after": id_of(batches[-1])}

    async def status(self, id: str) -> BatchStatus:
        """How far a batch is.

        A `failed` one was refused as a whole, before any of its requests was made: `detail` says why.
        """
        batch = await self._batch(id)
        said, counts = str(batch.get("status")).lower(), batch.get("request_counts") or {}
        return BatchStatus(
            _STATES.get(said, "running"),
            done=int(counts.get("completed") or 0),
            failed=int(counts.get("failed") or 0),
            total=int(counts.get("total") or 0),
            detail=_problems(batch) or said,
        )

    async def results(self, id: str) -> AsyncIterator[BatchResult]:
        """The lines of both files, streamed. Those that cannot be read, or answer nothing of ours, are left out."""
        batch = await self._batch(id)
        for file in (batch.get("output_file_id"), batch.get("error_file_id")):
            if not file or time.time() - _made(batch) > _KEPT_DAYS * 86400:
                continue
            async for line in self._http.lines(f"/files/{file}/content", missing=f"the file {file} is not there"):
                if (result := self._lines.openai(line)) is not None:
                    yield result

    async def cancel(self, id: str) -> None:
        """Ask for a batch's end; what it has answered so far can be fetched once it is `cancelled`."""
        try:
            await self._http.post_object(f"/batches/{id}/cancel", {}, missing=no_batch(id), again=True)
        except EndpointError:
            if (await self._batch(id)).get("status") in ("validating", "in_progress", "finalizing"):
                raise  # else it has ended by itself, or been cancelled before, which is as good

    async def _batch(self, id: str) -> dict[str, Any]:
        return await self._http.get(f"/batches/{id}", missing=no_batch(id))

    async def _upload(self, name: str, path: Path) -> str:
        def build(client: Client) -> RequestBuilder:
            part = PartBuilder.from_stream_with_length(pieces_of(path), path.stat().st_size)
            file = part.file_name(f"{name}.jsonl").mime("application/jsonl")
            form = FormBuilder().text("purpose", "batch").part("file", file)
            return client.post(self._http.url("/files")).multipart(form)

        return id_of(await self._http.call(build, missing=_NO_API, seconds=upload_seconds()))


def _terms(spec: ModelSpec) -> wire.Terms | None:
    """OpenAI's own models: those that reason refuse `max_tokens`, which would show only when a whole batch is back.

    Source: `max_tokens` in https://platform.openai.com/docs/api-reference/chat/create
    """
    if spec.api != "chat" or urlsplit(spec.base_url).hostname != "api.openai.com":
        return None
    first = wire.first_terms(spec)
    return wire.Terms("max_completion_tokens", first.seed, first.constrain)


def _made(batch: dict[str, Any]) -> float:
    """When a batch was made; one that does not say so in seconds counts as new."""
    at = batch.get("created_at")
    return float(at) if isinstance(at, int | float) else time.time()


def _problems(batch: dict[str, Any]) -> str:
    found = (batch.get("errors") or {}).get("data") or ()
    said = [f"{problem.get('code')}: {problem.get('message')}" for problem in found[:3]]
    return "; ".join(said)

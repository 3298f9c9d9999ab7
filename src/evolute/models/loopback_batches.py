"""The batch APIs of the loopback server: OpenAI's Files and Batches, and Anthropic's Message Batches.

Requests lie in files, and replies are made while they are sent, so that memory stays flat however many there are.
What becomes of a request is a function of the server's seed, the batch and the request's `custom_id`.
"""

from __future__ import annotations

import random
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from evolute.models.loopback_batch_bodies import Batch, Outcome, answer, batch_body, error_body, objection, result_line
from evolute.models.loopback_uploads import receive_form, receive_requests
from evolute.records import tagged_hash

_FLUSH = 1 << 16  # bytes of results sent at a time


@dataclass(frozen=True, slots=True)
class BatchFaults:
    """How batches go. Shares are 0 to 1, of the requests of a batch."""

    seconds: float = 0.0
    """Seconds until a batch ends."""
    fail: float = 0.0
    """The share that fails with a 500."""
    expire: float = 0.0
    """The share that expires unanswered."""
    shuffle: bool = False
    """Results come out of order."""
    never: bool = False
    """No batch ends by itself."""
    lose: int = 0
    """So many first batches are made, and their maker gets no answer: the connection is reset."""
    lose_500: int = 0
    """So many further ones are made, and their maker gets a 500."""
    unlisted: int = 0
    """So many first lists of batches hold none, as if they were behind."""
    refuse: int = 0
    """So many first batches end as failed, as if too many tokens were waiting (OpenAI only)."""
    cut: int = 0
    """So many first downloads of results break off half-way."""
    page: int = 1000
    """The most batches in a page of the list, whatever is asked for."""


class Batches:
    """What has been uploaded and made of it.

    Args:
        rule: the answer to a request's body, as the server's.
        faults: how batches go.
        folder: where they are kept; a server that starts on the same one goes on. None: a temporary one.
        seed: what the shares are drawn from.

    Attributes:
        bodies: how often each body was submitted in a batch, by its hash.
        paid: how often each body was answered in a batch, by its hash.
        uploads: files accepted.
    """

    def __init__(
        self,
        rule: Callable[[Mapping[str, Any]], Any],
        faults: BatchFaults | None = None,
        folder: Path | None = None,
        seed: int = 0,
    ) -> None:
        self.faults = faults or BatchFaults()
        self.bodies: Counter[bytes] = Counter()
        self.paid: Counter[bytes] = Counter()
        self.uploads = 0
        self._rule, self._seed = rule, seed
        self._given = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        kept = sorted(folder.glob("*.batch")) if folder else []
        self.made = [Batch(**orjson.loads(path.read_bytes())) for path in kept]
        self._tallies: dict[str, Counter[Outcome]] = {}
        self._lost = self._cut = self._listed = 0
        for batch in self.made:
            self._count(batch)

    @property
    def folder(self) -> Path:
        """Where the files are."""
        if self._given is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="loopback")
            self._given = Path(self._temporary.name)
        self._given.mkdir(parents=True, exist_ok=True)
        return self._given

    def close(self) -> None:
        """Remove a temporary folder."""
        if self._temporary is not None:
            self._temporary.cleanup()

    def stats(self) -> dict[str, int]:
        """Batches, the requests in them, how many of their bodies came twice, and how many were answered twice."""
        requests = sum(self.bodies.values())
        return {
            "uploads": self.uploads,
            "batches": len(self.made),
            "requests": requests,
            "repeated": requests - len(self.bodies),
            "answered": sum(self.paid.values()),
            "answered_twice": sum(self.paid.values()) - len(self.paid),
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """Answer a request to either batch API; None where it is to neither."""
        method, parts = request.method, request.path.strip("/").split("/")[1:]  # after the version
        match method, parts:
            case "POST", ["files"]:
                return await self._upload(request)
            case "GET", ["files", file, "content"]:
                return await self._download(request, file)
            case "POST", ["batches"]:
                return await self._make_openai(request)
            case "POST", ["messages", "batches"]:
                return await self._make_anthropic(request)
            case "GET", ["batches"] | ["messages", "batches"]:
                return self._list(request, "anthropic" if len(parts) == 2 else "openai")
            case "GET", ["messages", "batches", id, "results"]:
                return await self._results(request, id)
            case "GET", ["batches", id] | ["messages", "batches", id]:
                return self._show(id)
            case "POST", ["batches", id, "cancel"] | ["messages", "batches", id, "cancel"]:
                return self._cancel(id)
        return None

    async def _upload(self, request: web.BaseRequest) -> web.Response:
        if request.content_type != "multipart/form-data":
            return _error(400, f"{request.content_type} is not multipart/form-data")
        self.uploads += 1
        id = f"file-{self.uploads:06d}-{time.time_ns():x}"
        size, purpose = await receive_form(request, self.folder / id)
        if purpose != "batch":
            return _error(400, f"'{purpose}' is not one of ['batch']")
        return _json({"id": id, "object": "file", "bytes": size, "created_at": int(time.time()), "purpose": purpose})

    async def _make_openai(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = orjson.loads(await request.read())
        path = self.folder / Path(str(asked.get("input_file_id"))).name
        if not path.is_file():
            return _error(400, f"Invalid file id {asked.get('input_file_id')!r}")
        batch = self._new("openai", path.name, asked.get("metadata") or {}, str(asked.get("endpoint")))
        return await self._made(request, batch)

    async def _make_anthropic(self, request: web.BaseRequest) -> web.StreamResponse:
        id = f"requests-{len(self.made):06d}-{time.time_ns():x}"
        try:
            await receive_requests(request, self.folder / id)
        except ValueError as problem:
            return _error(400, str(problem))
        return await self._made(request, self._new("anthropic", id, {}, ""))

    def _new(self, api: str, file: str, metadata: dict[str, str], endpoint: str) -> Batch:
        number = len(self.made)
        prefix = "batch" if api == "openai" else "msgbatch"
        batch = Batch(f"{prefix}_{number:06d}", api, file, 0, time.time(), metadata, endpoint)
        batch.errors = self._objections(batch, number)
        self.made.append(batch)
        self._count(batch)
        self._keep(batch)
        return batch

    async def _made(self, request: web.BaseRequest, batch: Batch) -> web.StreamResponse:
        self._lost += 1
        if self._lost <= self.faults.lose:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        if self._lost <= self.faults.lose + self.faults.lose_500:
            return _error(500, "The server had an error while processing your request")
        return _json(self._body(batch))

    def _objections(self, batch: Batch, number: int) -> list[dict[str, Any]]:
        """What validation finds, as OpenAI reports it; counts the requests on its way."""
        seen: set[bytes] = set()
        for line, raw in enumerate(self._raw_lines(batch), 1):
            try:
                asked = orjson.loads(raw)
                name, _ = asked["custom_id"], asked["body"]
            except (orjson.JSONDecodeError, KeyError, TypeError):
                return [objection("invalid_json_line", "This line is not parseable as valid JSON.", line)]
            if batch.api == "openai" and asked.get("url") != batch.endpoint:
                return [objection("mismatched_url", f"The URL is not {batch.endpoint}.", line)]
            digest = tagged_hash("custom-id-1", name)[:8]
            if digest in seen:
                return [objection("duplicate_custom_id", f"The custom_id {name} is used more than once.", line)]
            seen.add(digest)
        if batch.api == "openai" and number < self.faults.refuse:
            return [objection("token_limit_exceeded", "Enqueued token limit reached. Please try again later.", None)]
        batch.total = len(seen)
        return []

    def _count(self, batch: Batch) -> None:
        for name, body in () if batch.errors else self._requests(batch):
            digest = tagged_hash("body-1", orjson.dumps(body))
            self.bodies[digest] += 1
            if self._drawn(batch, name) == "succeeded":
                self.paid[digest] += 1

    def _drawn(self, batch: Batch, name: str) -> Outcome:
        point = random.Random(f"{self._seed} {batch.id} {name}").random() if self._is_mixed else 1.0
        if point < self.faults.fail:
            return "errored"
        return "expired" if point < self.faults.fail + self.faults.expire else "succeeded"

    @property
    def _is_mixed(self) -> bool:
        return self.faults.fail + self.faults.expire > 0

    def _outcome(self, batch: Batch, number: int, name: str) -> Outcome:
        return "canceled" if number >= self._reached(batch) else self._drawn(batch, name)

    def _reached(self, batch: Batch) -> int:
        """How many requests have had their turn."""
        seconds = float("inf") if self.faults.never else self.faults.seconds
        passed = (batch.cancelled or time.time()) - batch.created
        return batch.total if passed >= seconds else int(batch.total * passed / seconds)

    def _is_over(self, batch: Batch) -> bool:
        return bool(batch.errors or batch.cancelled) or self._reached(batch) == batch.total

    def _cancel(self, id: str) -> web.Response:
        batch = self._batch(id)
        if batch is None:
            return _error(404, f"No batch found with id '{id}'.")
        if self._is_over(batch):
            return _error(409 if batch.api == "openai" else 400, "Cannot cancel a batch that has ended.")
        batch.cancelled = time.time()
        self._keep(batch)
        return _json(self._body(batch))

    def _show(self, id: str) -> web.Response:
        batch = self._batch(id)
        return _json(self._body(batch)) if batch else _error(404, f"No batch found with id '{id}'.")

    def _batch(self, id: str) -> Batch | None:
        return next((batch for batch in reversed(self.made) if batch.id == id), None)

    def _list(self, request: web.BaseRequest, api: str) -> web.Response:
        self._listed += 1
        known = self.made if self._listed > self.faults.unlisted else []
        newest = [batch for batch in reversed(known) if batch.api == api]
        cursor = request.query.get("after") or request.query.get("after_id")
        ids = [batch.id for batch in newest]
        start = ids.index(cursor) + 1 if cursor in ids else 0
        end = start + min(int(request.query.get("limit", 20)), self.faults.page)
        page = [self._body(batch) for batch in newest[start:end]]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
        return _json({"object": "list", "data": page, "has_more": end < len(newest), **ends})

    def _body(self, batch: Batch) -> dict[str, Any]:
        over = self._is_over(batch)
        if over and batch.id not in self._tallies:
            self._tallies[batch.id] = self._tally(batch)
        return batch_body(batch, over, self._tallies[batch.id] if over else Counter())

    def _tally(self, batch: Batch) -> Counter[Outcome]:
        if batch.errors or not self._is_mixed:
            reached = self._reached(batch)
            return Counter({"succeeded": reached, "canceled": batch.total - reached})
        return Counter(self._outcome(batch, n, name) for n, (name, _) in enumerate(self._requests(batch)))

    async def _download(self, request: web.BaseRequest, file: str) -> web.StreamResponse:
        kind, _, id = file.partition("-")
        batch = self._batch(id)
        if kind not in ("output", "error") or batch is None:
            return _error(404, f"No such File object: {file}")
        return await self._send(request, batch, lambda outcome: (outcome == "succeeded") == (kind == "output"))

    async def _results(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        batch = self._batch(id)
        if batch is None or not self._is_over(batch):
            return _error(404, f"No results of '{id}'.")
        return await self._send(request, batch, lambda outcome: True)

    async def _send(
        self, request: web.BaseRequest, batch: Batch, wanted: Callable[[Outcome], bool]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-jsonl"})
        await response.prepare(request)
        self._cut += 1
        cut_at = batch.total // 2 if self._cut <= self.faults.cut else -1
        buffer = bytearray()
        for sent, (number, raw) in enumerate(self._in_order(batch)):
            if sent == cut_at and request.transport is not None:
                await response.write(bytes(buffer))
                request.transport.abort()
                return response
            asked = orjson.loads(raw)
            outcome = self._outcome(batch, number, asked["custom_id"])
            if wanted(outcome):
                reply = answer(batch, asked["body"], self._rule(asked["body"])) if outcome == "succeeded" else (0, {})
                buffer += orjson.dumps(result_line(batch, asked["custom_id"], outcome, *reply)) + b"\n"
            if len(buffer) > _FLUSH:
                await response.write(bytes(buffer))
                buffer.clear()
        await response.write(bytes(buffer))
        return response

    def _in_order(self, batch: Batch) -> Iterator[tuple[int, bytes]]:
        """The lines with their numbers, in the order in which their results are sent."""
        if not self.faults.shuffle:
            yield from enumerate(self._raw_lines(batch))
            return
        offsets = array("Q", [0])
        for raw in self._raw_lines(batch):
            offsets.append(offsets[-1] + len(raw))
        order = array("L", range(len(offsets) - 1))
        random.Random(f"{self._seed} {batch.id}").shuffle(order)
        with (self.folder / batch.file).open("rb") as file:
            for number in order:
                file.seek(offsets[number])
                yield number, file.read(offsets[number + 1] - offsets[number])

    def _requests(self, batch: Batch) -> Iterator[tuple[str, Any]]:
        for raw in self._raw_lines(batch):
            asked = orjson.loads(raw)
            yield asked["custom_id"], asked["body"]

    def _raw_lines(self, batch: Batch) -> Iterator[bytes]:
        with (self.folder / batch.file).open("rb") as file:
            yield from file

    def _keep(self, batch: Batch) -> None:
        (self.folder / f"{batch.id}.batch").write_bytes(orjson.dumps(asdict(batch)))


def _json(data: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json")


def _error(status: int, message: str) -> web.Response:
    return _json(error_body(message), status)

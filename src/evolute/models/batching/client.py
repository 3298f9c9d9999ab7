"""HTTP for batches: the live client's connection, key and errors, with tries made again and files streamed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from pyreqwest.client import Client
from pyreqwest.exceptions import RequestError
from pyreqwest.request import RequestBuilder

from evolute.errors import (
    CallFailed,
    ConnectionLost,
    EndpointError,
    EvoluteError,
    Malformed,
    RateLimited,
    RequestRejected,
    TimedOut,
)
from evolute.models import refusals
from evolute.models.batching import NotConnected, NotFound
from evolute.models.http import Http
from evolute.recipe import ModelSpec
from evolute.records import Request

_LONGEST_UPLOAD = 3600.0  # seconds for up to 256 MB: the live client's bound would end a slow line's half-way
_LONGEST_DOWNLOAD = 6 * 3600.0  # seconds; one that stands still ends after the model's `read_timeout`
_BACKOFF, _LONGEST_PAUSE = 0.5, 60.0  # seconds
_UNREACHED = 2  # times a call is made again where nothing has ever answered: a wrong address stays one
_PIECE = 1 << 20  # bytes of a file read at a time

Build = Callable[[Client], RequestBuilder]
"""Makes a request anew for each try: a body that is streamed can be sent only once."""


class BatchHttp(Http):
    """One provider's batch API. A call that fails in passing is made again, up to `spec.retries` times.

    Raises:
        InputError, AuthenticationFailed: as `Http`.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec.model_copy(update={"read_timeout": _LONGEST_UPLOAD}))
        self._headers.pop("Content-Type")  # a form brings its own
        self._idle = spec.read_timeout
        self._reached = False
        self._random = random.Random()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be in no message."""
        return self._secrets

    async def call(self, build: Build, *, missing: str, again: bool = True, seconds: float = 0.0) -> dict[str, Any]:
        """Make a call; the object that it answers.

        Args:
            build: makes the request.
            missing: the message where the answer is that there is no such thing (404, 405).
            again: whether to make it again whatever failed. If not, only a 429 is waited for: it says that nothing
                was done, and anything else leaves open whether something was.
            seconds: what one try may take; 0: the model's `total_timeout`.

        Raises:
            CallFailed: the last try failed as well, or one that may have done something.
            EndpointError: the endpoint refuses.
        """
        tries = 0
        while True:
            try:
                return await self._try(build, missing, seconds or self.spec.total_timeout)
            except CallFailed as error:
                tries += 1
                most = self.spec.retries if self._reached else min(self.spec.retries, _UNREACHED)
                if tries > most or not (again or isinstance(error, RateLimited)):
                    raise
                await asyncio.sleep(self._pause(tries, error))

    async def get(self, path: str, *, missing: str, **query: str | int) -> dict[str, Any]:
        """What stands at `path`, below the base URL."""
        return await self.call(lambda client: client.get(self._base + path).query(query), missing=missing)

    async def post_object(self, path: str, body: object, *, missing: str, again: bool) -> dict[str, Any]:
        """What the endpoint answers to an object sent to `path`."""
        raw = orjson.dumps(body)
        return await self.call(
            lambda client: self.post_json(client, path).body_bytes(raw), missing=missing, again=again
        )

    def post_json(self, client: Client, path: str) -> RequestBuilder:
        """The beginning of a request whose body is JSON."""
        return client.post(self._base + path).header("Content-Type", "application/json")

    async def lines(self, path: str, *, missing: str) -> AsyncGenerator[bytes, None]:
        """The lines of the file at `path`; nothing is kept of it.

        Where the connection fails half-way, the file is asked for again, and goes on where it stopped.

        Raises:
            CallFailed, EndpointError: as `call`.
        """
        seen = tries = 0
        while True:
            number = 0
            try:
                async with aclosing(_split(self._pieces(path, missing))) as lines:
                    async for line in lines:
                        number += 1
                        if number > seen:
                            seen, tries = number, 0
                            yield line
                return
            except CallFailed as error:
                tries += 1
                if tries > self.spec.retries:
                    raise
                await asyncio.sleep(self._pause(tries, error))

    def url(self, path: str) -> str:
        """The whole URL of `path`."""
        return self._base + path

    async def _try(self, build: Build, missing: str, seconds: float) -> dict[str, Any]:
        client = self._client or self._open()
        try:
            response = await build(client).timeout(timedelta(seconds=seconds)).build().send()
            self._reached = True
            status, headers, raw = response.status, response.headers, bytes(await response.bytes())
        except RequestError as problem:
            failed = self._failed(problem)
            # Its ConnectError is also for a connection that broke afterwards.
            if isinstance(failed, ConnectionLost) and "client error (Connect)" in str(failed):
                failed = NotConnected(str(failed))
        else:
            if status in (200, 201):
                return self._object(headers.get("Content-Type", ""), raw)
            failed = self._refused(status, headers, raw, missing)
        raise failed  # out here, without the library's error as its context: that one may hold the request's headers

    async def _pieces(self, path: str, missing: str) -> AsyncGenerator[bytes, None]:
        client = self._client or self._open()
        request = client.get(self._base + path).timeout(timedelta(seconds=_LONGEST_DOWNLOAD)).build_streamed()
        failed: EvoluteError | None = None
        try:
            async with request as response:
                if response.status == 200:
                    while (piece := await asyncio.wait_for(response.body_reader.read_chunk(), self._idle)) is not None:
                        yield bytes(piece)
                else:
                    raw = bytes(await response.bytes())
                    failed = self._refused(response.status, response.headers, raw, missing)
        except RequestError as problem:
            failed = self._failed(problem)
        except TimeoutError:
            failed = TimedOut(f"{self.spec.base_url} sent nothing of {path} for {self._idle:g} s")
        if failed is not None:
            raise failed

    def _object(self, content_type: str, raw: bytes) -> dict[str, Any]:
        if content_type.startswith("text/html"):
            raise refusals.no_web_page(self.spec)
        try:
            data = orjson.loads(raw)
        except orjson.JSONDecodeError:
            data = None
        if not isinstance(data, dict):
            start = refusals.shown(raw[:200].decode("utf-8", "replace"), self._secrets)
            raise Malformed(
                f"{self.spec.base_url} answered with what is not the batch API's JSON: {start!r}", status=200
            )
        return data

    def _refused(self, status: int, headers: Mapping[str, str], raw: bytes, missing: str) -> EvoluteError:
        refusal = refusals.read_refusal(status, headers, raw, self._secrets)
        if status in (404, 405):
            return NotFound(f"{self.spec.base_url}: {missing} ({status}: {refusal.message})")
        error = refusals.error(refusal, self.spec, Request("", (), b"", 0))
        if isinstance(error, RequestRejected) or status == 409:  # of a batch, not of one of its requests
            return EndpointError(f"{self.spec.base_url} refuses the batch ({status}: {refusal.message})")
        return error

    def _pause(self, tries: int, error: CallFailed) -> float:
        jitter = self._random.uniform(0.5, 1.0)
        if error.retry_after is not None:
            return error.retry_after + jitter * min(_BACKOFF, error.retry_after)
        return jitter * min(_LONGEST_PAUSE, _BACKOFF * 2.0 ** (tries - 1))


def id_of(data: dict[str, Any]) -> str:
    """The id of an object of a batch API.

    Raises:
        Malformed: it has none.
    """
    found = data.get("id")
    if not isinstance(found, str) or not found:
        raise Malformed(f"the batch API answered an object without an id: {data!s:.200}", status=200)
    return found


def no_batch(id: str) -> str:
    """The message where a provider does not know a batch."""
    return f"it knows no batch {id}. Is this the key (the organisation, the project) that it was submitted with?"


def upload_seconds() -> float:
    """What one upload may take."""
    return _LONGEST_UPLOAD


def pieces_of(path: Path) -> Iterator[bytes]:
    """A file's bytes, a piece at a time."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


async def _split(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    rest = b""
    async with aclosing(pieces):
        async for piece in pieces:
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line
    if rest:
        yield rest

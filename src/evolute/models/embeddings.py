"""Embeddings over HTTP: OpenAI's `/embeddings`, behind the same client, pacing and errors as completions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from evolute.errors import BadReply, InputError, Malformed, RequestRejected
from evolute.models import refusals
from evolute.models.http import Http
from evolute.recipe import ModelSpec
from evolute.records import Completion, Message, Request, Usage


@dataclass(frozen=True, slots=True)
class Embeddings(Completion):
    """What came back: a row per text, in the order of the request, as the endpoint gave them; `text` is empty."""

    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))


def embeddings_request(texts: list[str], spec: ModelSpec) -> Request:
    """The request for the vectors of some texts: a message for each."""
    return Request("encoder", tuple(Message("user", text) for text in texts), spec.identity, 0)


class EmbeddingsHttp(Http):
    """An OpenAI-compatible `/embeddings` endpoint as a `Model` whose completions are `Embeddings`.

    Raises:
        InputError: `spec` is no such endpoint, or as `Http` says.
        AuthenticationFailed: as `Http` says.
    """

    def __init__(self, spec: ModelSpec) -> None:
        if spec.api not in ("chat", "completions") or not spec.base_url:
            raise InputError(
                f"model {spec.model!r} (api: {spec.api}, base_url: {spec.base_url!r}) has no embeddings endpoint: "
                f"give an OpenAI-compatible base_url, and api: chat"
            )
        super().__init__(spec)
        self._url = self._base + "/embeddings"
        self._say_format = True

    async def complete(self, request: Request) -> Embeddings:
        """Make one call.

        Raises:
            BadReply: the vectors are not one for each text, not of one length, not finite, or zero.
            CallFailed, RequestRejected, EndpointError: as for completions.
        """
        while True:
            said = self._say_format
            status, headers, raw = await self.post(self._body(request, said))
            if status == 200:
                return self._embeddings(raw, request, headers.get("Content-Type", ""))
            refusal = refusals.read_refusal(status, headers, raw, self._secrets)
            if not (said and status in (400, 422) and refusal.blames("encoding_format")):
                known = await self._known_models() if status == 404 else None
                raise refusals.error(refusal, self.spec, request, known=known)
            self._say_format = False  # floats are the default wherever this is not known

    def _body(self, request: Request, say_format: bool) -> bytes:
        body: dict[str, Any] = {"model": self.spec.model, "input": [message.content for message in request.messages]}
        if say_format:
            body["encoding_format"] = "float"
        try:
            return orjson.dumps(body | self.spec.extra_body)
        except TypeError as problem:
            raise RequestRejected(f"this request cannot be written as JSON: {problem}", status=400) from None

    def _embeddings(self, raw: bytes, request: Request, content_type: str) -> Embeddings:
        try:
            data = orjson.loads(raw)
            rows = sorted(data["data"], key=lambda row: row["index"])
            numbers = [row["index"] for row in rows]
            vectors = [row["embedding"] for row in rows]
            usage = data.get("usage") or {}
        except (KeyError, TypeError, AttributeError, ValueError):
            if content_type.startswith("text/html"):
                raise refusals.no_web_page(self.spec) from None
            start = refusals.shown(raw[:200].decode("utf-8", "replace"), self._secrets)
            what = f"{self.spec.base_url} answered 200 with what are not embeddings: {start!r}"
            raise Malformed(what, status=200) from None
        if numbers != list(range(len(request.messages))):
            raise self._bad(f"gave {len(rows)} vectors, numbered {numbers[:9]}…, for {len(request.messages)} texts")
        tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        counted = Usage(prompt=max(tokens, 0)) if isinstance(tokens, int) else Usage()
        return Embeddings("", usage=counted, model=str(data.get("model") or ""), vectors=self._array(vectors))

    def _array(self, vectors: list[Any]) -> NDArray[np.float32]:
        try:
            with np.errstate(over="ignore"):
                array = np.array(vectors, dtype=np.float32)
        except (ValueError, TypeError, OverflowError):
            array = np.empty(0, np.float32)
        if array.ndim != 2 or not array.shape[1]:
            lengths = sorted({len(vector) if isinstance(vector, list) else 0 for vector in vectors})
            raise self._bad(f"gave no lists of numbers of one length; their lengths are {lengths[:9]}")
        if not np.isfinite(array).all():
            raise self._bad("gave a vector with a number that is not finite")
        if not array.any(axis=1).all():
            raise self._bad("gave a vector that is all zero")
        return array

    def _bad(self, what: str) -> BadReply:
        return BadReply(
            f"{self.spec.base_url} ({self.spec.model}) {what}. Is it an embedding model, and its server sound?"
        )

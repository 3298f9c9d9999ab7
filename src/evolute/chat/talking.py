"""The streaming client: an answer that comes piece by piece from an OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import orjson
from pyreqwest.exceptions import RequestError
from pyreqwest.response import Response

from evolute.chat.events import Events
from evolute.chat.thinking import Thinking
from evolute.errors import ConnectionLost, EndpointError, EvoluteError, Malformed, RequestRejected
from evolute.formats import Format, find_format
from evolute.models import refusals, wire
from evolute.models.http import Http
from evolute.recipe import ModelSpec
from evolute.records import Message, Request, Usage

DONE = "[DONE]"
_STREAM = {"stream": True, "stream_options": {"include_usage": True}}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer as it comes: of its text, or of the thoughts before it."""

    text: str = ""
    thought: str = ""


@dataclass(slots=True)
class Answer:
    """What has come of an answer so far; it is whole when its stream is over.

    `finish` is why it ended, in the endpoint's words (`stop`, `length`, …); empty while it streams, or if it was
    stopped. `model` is what the endpoint calls itself. `usage` is zero where the endpoint counts nothing. `problem` is
    for who asks: why there is no whole answer.
    """

    text: str = ""
    thoughts: str = ""
    finish: str = ""
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    problem: str = ""

    @property
    def cut(self) -> bool:
        """Whether it ended at the most tokens of an answer."""
        return self.finish == "length"


class Talks(Protocol):
    """A model that streams, wherever it is."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    def stream(
        self, messages: Sequence[Message], answer: Answer, sampling: Mapping[str, Any] | None = None, draw: int = 0
    ) -> AsyncGenerator[Piece]:
        """As `Talker.stream`."""
        ...


class Talker(Http):
    """A model that streams, behind an endpoint; `async with Talker(spec, format)`.

    Args:
        spec: where it is: `api` "chat", or "completions" for a format that is written out here.
        form: how a conversation is written down; by default the endpoint does that.

    Raises:
        InputError, AuthenticationFailed: as `Http`.
    """

    def __init__(self, spec: ModelSpec, form: Format | None = None) -> None:
        self.form = form or find_format("chat")
        api = "chat" if self.form.write is None else "completions"
        super().__init__(spec.model_copy(update={"api": api}))
        self._counts = True

    async def __aenter__(self) -> Self:
        return self

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.spec.model

    async def stream(
        self, messages: Sequence[Message], answer: Answer, sampling: Mapping[str, Any] | None = None, draw: int = 0
    ) -> AsyncGenerator[Piece]:
        """Ask, and give the answer's pieces as they come; `answer` gathers them, and what else is said of them.

        Closing the iterator (or cancelling the task) hangs up, at which servers stop writing.

        Args:
            messages: a system prompt or none, then turns, the user's last.
            answer: an empty one, to be filled.
            sampling: `temperature`, `top_p`, `max_tokens`, …: the request's fields; None values are not sent.
            draw: the seed that is sent.

        Raises:
            InputError: the format has no room for these messages.
            CallFailed: the call failed, or the answer was cut off half-way; asking again may help.
            RequestRejected: the endpoint will never take this request.
            EndpointError: the endpoint cannot serve any.
        """
        request = self._request(messages, sampling or {}, draw)
        thinking = Thinking()
        async with aclosing(self._chunks(request)) as chunks:
            async for chunk in chunks:
                text, thought = self._read(chunk, answer)
                thoughts, said = thinking.feed(text)
                if piece := add_piece(answer, said, thought + thoughts):
                    yield piece
        thoughts, said = thinking.end()
        if piece := add_piece(answer, said, thoughts):
            yield piece
        if "</think>" in answer.text and not answer.thoughts:
            answer.text, thought_before = wire.split_thinking(answer.text, None)
            answer.thoughts = thought_before or ""

    def _request(self, messages: Sequence[Message], sampling: Mapping[str, Any], draw: int) -> Request:
        fields = {name: value for name, value in sampling.items() if value is not None}
        if self.form.stops:
            fields["stop"] = list(self.form.stops)
        return Request("chat", tuple(self.form.shape(messages)), b"", draw, fields)

    async def _chunks(self, request: Request) -> AsyncGenerator[dict[str, Any]]:
        """The events' JSON. A field that is refused and can be left out is left out, as `Http.complete` does."""
        while True:
            terms, body = self.terms, self._body(request)
            post = (self._client or self._open()).post(self._url).body_bytes(body)
            call = post.streamed_read_buffer_limit(0).build_streamed()  # else it waits for the first 64 KiB
            failed: EvoluteError | None = None
            try:
                async with call as response:
                    if response.status == 200:
                        async with aclosing(self._events(response)) as chunks:
                            async for chunk in chunks:
                                yield chunk
                        return
                    status, headers, raw = response.status, response.headers, bytes(await response.bytes())
            except RequestError as problem:
                failed = self._failed(problem)
            if failed is not None:
                raise failed  # out here, without the library's error as its context: it may hold the request's headers
            refusal = refusals.read_refusal(status, headers, raw, self._secrets)
            better = refusals.better_terms(refusal, terms, self.spec, request)
            if better is not None:
                self.terms = better
            elif self._counts and status in (400, 422) and refusal.blames("stream_options"):
                self._counts = False
            else:
                raise await self._refused(refusal, request)

    def _body(self, request: Request) -> bytes:
        streaming = _STREAM if self._counts else {"stream": True}
        asked = replace(request, sampling={**request.sampling, **streaming})
        try:
            return wire.encode(self.spec, asked, self.terms)
        except TypeError as problem:
            raise RequestRejected(f"this request cannot be written as JSON: {problem}", status=400) from None

    async def _refused(self, refusal: refusals.Refusal, request: Request) -> EvoluteError:
        blamed = next(filter(refusal.blames, sorted(request.sampling)), None)
        if refusal.status in (400, 422) and blamed is not None:
            return EndpointError(
                f"{self.spec.base_url} ({self.spec.model}) refuses the parameter {blamed} ({refusal.status}: "
                f"{refusal.message}). Ask without it."
            )
        known = await self._known_models() if refusal.status == 404 else None
        return refusals.error(refusal, self.spec, request, known=known)

    async def _events(self, response: Response) -> AsyncGenerator[dict[str, Any]]:
        kind = response.headers.get("Content-Type", "")
        if kind.startswith("text/html"):
            raise refusals.no_web_page(self.spec)
        if kind.startswith("application/json"):  # an endpoint that does not stream: the answer in one piece
            yield self._json(bytes(await response.bytes()).decode("utf-8", "replace"))
            return
        events, ended = Events(), False
        while (raw := await response.body_reader.read_chunk()) is not None:
            for data in self._fed(events, bytes(raw)):
                if data == DONE:
                    return
                chunk = self._json(data)
                ended = ended or any(choice.get("finish_reason") for choice in chunk.get("choices") or ())
                yield chunk
        if not ended:
            raise ConnectionLost(f"{self.spec.base_url}: the connection ended before the answer did")

    def _fed(self, events: Events, raw: bytes) -> list[str]:
        try:
            return events.feed(raw)
        except ValueError as problem:
            raise Malformed(f"{self.spec.base_url} sends what is no stream of events: {problem}", status=200) from None

    def _json(self, data: str) -> dict[str, Any]:
        try:
            chunk = orjson.loads(data)
            if not isinstance(chunk, dict) or not all(isinstance(one, dict) for one in chunk.get("choices") or ()):
                raise ValueError
        except (ValueError, TypeError):
            raise self._malformed(data) from None
        if chunk.get("error") and not chunk.get("choices"):
            inner = chunk["error"]
            code = inner.get("code") if isinstance(inner, dict) else None
            status = code if isinstance(code, int) and 400 <= code < 600 else 502
            refusal = refusals.read_refusal(status, {}, data.encode(), self._secrets)
            raise refusals.error(refusal, self.spec, Request("chat", (), b"", 0))
        return chunk

    def _malformed(self, data: str) -> Malformed:
        start = refusals.shown(data[:200], self._secrets)
        return Malformed(f"{self.spec.base_url} streams what is not the API's JSON: {start!r}", status=200)

    def _read(self, chunk: Mapping[str, Any], answer: Answer) -> tuple[str, str]:
        try:
            return _parts(chunk, answer)
        except (AttributeError, TypeError):
            raise self._malformed(orjson.dumps(chunk).decode()) from None


def _parts(chunk: Mapping[str, Any], answer: Answer) -> tuple[str, str]:
    """The text and the thought of one event (or of a whole reply); the rest goes into `answer`."""
    answer.model = str(chunk.get("model") or answer.model)
    if isinstance(chunk.get("usage"), dict):
        answer.usage = wire.usage_of(chunk["usage"])
    text = thought = ""
    for choice in (chunk.get("choices") or ())[:1]:
        answer.finish = str(choice.get("finish_reason") or answer.finish)
        said = choice.get("delta") or choice.get("message") or {}
        content, reasoning = said.get("content", choice.get("text")), said.get("reasoning_content")
        reasoning = reasoning or said.get("reasoning")
        text = content if isinstance(content, str) else ""
        thought = reasoning if isinstance(reasoning, str) else ""
    return text, thought


def add_piece(answer: Answer, text: str, thought: str) -> Piece | None:
    """Add to an answer; what was added, or None where that is nothing."""
    answer.text += text
    answer.thoughts += thought
    return Piece(text, thought) if text or thought else None

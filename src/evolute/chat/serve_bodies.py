"""What goes over the wire of our endpoint: OpenAI's requests read with care, and its replies (API reference, 2025)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from evolute.errors import RequestRejected
from evolute.models.local import Piece
from evolute.records import Message, Speaker

MOST_ANSWERS = 128
"""Answers of one request, `n` for each prompt; OpenAI's own bound on `n`."""
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_IGNORED = frozenset({
    "model", "messages", "prompt", "stream", "stream_options", "n", "user", "metadata", "store", "service_tier",
    "parallel_tool_calls", "safety_identifier", "prompt_cache_key",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its prompts (conversations, texts or tokens), how often each is answered, and how it is drawn."""

    chat: bool
    prompts: Sequence[Any]
    n: int
    stream: bool
    usage: bool
    """Whether a stream ends with the usage."""
    fields: Mapping[str, Any] = field(default_factory=dict)


def read_body(raw: bytes, *, chat: bool) -> tuple[str, Asked]:
    """The model's name (or "") and what is asked.

    Raises:
        RequestRejected: the body is no JSON object, or a field has a wrong type.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RequestRejected(f"the body is not JSON: {error}", status=400) from None
    if not isinstance(body, dict):
        raise RequestRejected("the body must be a JSON object", status=400)
    prompts = [_messages(body.get("messages"))] if chat else _prompts(body.get("prompt"))
    n, stream, options = body.get("n") or 1, body.get("stream") or False, body.get("stream_options") or {}
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n * len(prompts) <= MOST_ANSWERS:
        raise RequestRejected(f"n must give 1 to {MOST_ANSWERS} answers, got {n!r}", status=400)
    if not isinstance(stream, bool) or not isinstance(options, dict):
        raise RequestRejected("stream must be true or false, and stream_options an object", status=400)
    fields = {name: value for name, value in body.items() if name not in _IGNORED}
    return str(body.get("model") or ""), Asked(chat, prompts, n, stream, options.get("include_usage") is True, fields)


def _messages(given: object) -> tuple[Message, ...]:
    if not isinstance(given, list) or not given:
        raise RequestRejected("messages must be a list of at least one message", status=400)
    return tuple(_message(n, one) for n, one in enumerate(given))


def _message(number: int, given: object) -> Message:
    role = _ROLES.get(given.get("role", "")) if isinstance(given, dict) and isinstance(given.get("role"), str) else None
    if role is None or not isinstance(given, dict):
        raise RequestRejected(f"messages[{number}].role must be one of {', '.join(_ROLES)}", status=400)
    content = given.get("content")
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        content = "".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str):
        raise RequestRejected(f"messages[{number}].content must be a text: this model reads nothing else", status=400)
    return Message(cast("Speaker", role), content)


def _prompts(given: object) -> list[str] | list[list[int]]:
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given:
        if all(isinstance(one, str) for one in given):
            return given
        rows = given if isinstance(given[0], list) else [given]
        if all(isinstance(row, list) and row and all(type(one) is int for one in row) for row in rows):
            return rows
    raise RequestRejected("prompt must be a text, a list of texts, or a list of token numbers", status=400)


class Reply:
    """The bodies of one reply, whole or in chunks."""

    def __init__(self, asked: Asked, model: str) -> None:
        self._asked, self._model = asked, model
        self._id = f"{'chatcmpl' if asked.chat else 'cmpl'}-{secrets.token_hex(12)}"
        self._created = int(time.time())

    def whole(self, answers: Sequence[Sequence[Piece]], prompt_tokens: int) -> bytes:
        """A reply that does not stream; `answers` hold each choice's pieces."""
        choices = [self._whole_choice(index, pieces) for index, pieces in enumerate(answers)]
        usage = _usage(prompt_tokens, sum(pieces[-1].tokens for pieces in answers))
        return self._body("chat.completion" if self._asked.chat else "text_completion", choices, usage=usage)

    def begin(self, index: int) -> bytes:
        """The chunk with which a chat's choice begins."""
        choice = {"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": None}
        return self._chunk([choice | {"finish_reason": None}])

    def chunk(self, index: int, piece: Piece) -> bytes:
        """A choice's next piece."""
        told = self._logprobs([piece])
        if self._asked.chat:
            choice: dict[str, Any] = {"index": index, "delta": {"content": piece.text} if piece.text else {}}
        else:
            choice = {"index": index, "text": piece.text}
        return self._chunk([choice | {"logprobs": told, "finish_reason": piece.finish or None}])

    def usage(self, prompt_tokens: int, completion_tokens: int) -> bytes:
        """The chunk that tells the usage, and has no choices."""
        return self._chunk([], usage=_usage(prompt_tokens, completion_tokens))

    def _whole_choice(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        text = "".join(piece.text for piece in pieces)
        said = {"message": {"role": "assistant", "content": text}} if self._asked.chat else {"text": text}
        about = {"logprobs": self._logprobs(pieces), "finish_reason": pieces[-1].finish}
        return {"index": index} | said | about

    def _logprobs(self, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        told = [one for piece in pieces for one in piece.logprobs]
        if not told:
            return None
        if self._asked.chat:
            return {"content": told}
        return {
            "tokens": [one["token"] for one in told],
            "token_logprobs": [one["logprob"] for one in told],
            "top_logprobs": [{top["token"]: top["logprob"] for top in one["top_logprobs"]} for one in told],
            "text_offset": [],
        }

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:  # noqa: ANN401 - JSON
        kind = "chat.completion.chunk" if self._asked.chat else "text_completion"
        return b"data: " + self._body(kind, choices, **more) + b"\n\n"

    def _body(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> bytes:  # noqa: ANN401 - JSON
        about = {"id": self._id, "object": kind, "created": self._created, "model": self._model}
        return orjson.dumps(about | {"choices": choices} | more)


def error_body(message: str, status: int) -> bytes:
    """An error as OpenAI's clients read it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    codes = {401: "invalid_api_key", 404: "model_not_found"}
    code = "context_length_exceeded" if "context length" in message else codes.get(status)
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

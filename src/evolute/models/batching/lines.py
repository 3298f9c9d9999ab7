"""One request as a line of a batch, and one line of its results: as in live mode, for both go through `wire`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from evolute.errors import CallFailed, EvoluteError, Malformed, RequestRejected
from evolute.models import refusals, wire
from evolute.models.batching import BatchResult
from evolute.models.wire import Terms
from evolute.recipe import ModelSpec
from evolute.records import Request

_NAME = re.compile(r"([0-9a-f]{1,48})(?:-(lp[01]?))?")
_ANY = Request("ROLE", (), b"", 0, {"temperature": 0, "top_p": 0, "max_tokens": 0}, ("",))
"""Stands for the request that a line answers, of which only the key has come back: it may have had any of these."""

ASKED_AGAIN = {
    "batch_expired": "the batch's time was over before this request's turn",
    "batch_cancelled": "the batch was cancelled before this request's turn",
}


class Lines:
    """Writes bodies and reads replies for `spec`, and learns from refusals what the endpoint takes, as `Http` does.

    Args:
        spec: the model.
        secrets: what must be in no message.
        terms: on which terms to ask at first.
    """

    def __init__(self, spec: ModelSpec, secrets: Iterable[str] = (), terms: Terms | None = None) -> None:
        self.terms = terms or wire.first_terms(spec)
        self._spec, self._secrets = spec, tuple(secrets)

    def body(self, request: Request) -> orjson.Fragment:
        """The request's body, as it would go over the wire.

        Raises:
            RequestRejected: it cannot be written as JSON.
        """
        try:
            return orjson.Fragment(wire.encode(self._spec, request, self.terms))
        except TypeError as problem:
            raise RequestRejected(f"this request cannot be written as JSON: {problem}", status=400) from None

    def openai(self, line: bytes) -> BatchResult | None:
        """A line of an output or error file, as OpenAI and `vllm run-batch` write them; None where it is none.

        Source: https://platform.openai.com/docs/api-reference/batch/request-output
        """
        data = parsed(line)
        known = read_name(data.get("custom_id"))
        if known is None:
            return None
        response, error = data.get("response"), data.get("error")
        if isinstance(response, dict):
            body = response.get("body") or (error if error else {})  # vLLM writes an error beside an empty response
            status = response.get("status_code", 200)
            if status == 200:
                return self.answered(*known, body)
            return BatchResult(known[0], None, self.refused(status if isinstance(status, int) else 500, body))
        return BatchResult(known[0], None, _unasked(error))

    def answered(self, key: str, sampling: Mapping[str, Any], body: object) -> BatchResult:
        """What a request that got the API's 200 was answered."""
        try:
            if isinstance(body, dict) and body.get("error") and not body.get("choices"):  # OpenRouter, behind a 200
                code = body["error"].get("code") if isinstance(body["error"], dict) else None
                return BatchResult(key, None, self.refused(code if isinstance(code, int) else 502, body))
            return BatchResult(key, wire.decode(self._spec.api, body, 0.0, sampling), None)  # type: ignore[arg-type]
        except (KeyError, IndexError, TypeError, AttributeError, ValueError):
            start = refusals.shown(str(body)[:200], self._secrets)
            return BatchResult(key, None, Malformed(f"a batch's answer is not the API's JSON: {start!r}", status=200))

    def refused(self, status: int, body: object) -> EvoluteError:
        """The error that a refused request is: one that may be asked again where better terms have been learned."""
        refusal = refusals.read_refusal(status, {}, orjson.dumps(body), self._secrets)
        if refusals.better_terms(refusal, wire.first_terms(self._spec), self._spec, _ANY) is not None:
            self.terms = refusals.better_terms(refusal, self.terms, self._spec, _ANY) or self.terms
            return CallFailed(
                f"{self._spec.base_url}: a field is left out from now on ({refusal.message})", status=status
            )
        return refusals.error(refusal, self._spec, _ANY)


def name_of(key: str, request: Request) -> str:
    """A request's `custom_id`: its key, and what the reading of its reply needs to know of what it asked.

    That is nothing but whether log-probabilities were asked for, and whether of one token at most. Anthropic takes
    what matches `^[a-zA-Z0-9_-]{1,64}$`.
    """
    if not wire.asks_logprobs(request.sampling):
        return key
    few = request.sampling.get("max_tokens")
    return f"{key}-lp{few if few in (0, 1) else ''}"


def read_name(custom_id: object) -> tuple[str, Mapping[str, Any]] | None:
    """The key in a `custom_id`, and the sampling that it tells of; None where `name_of` cannot have written it."""
    found = _NAME.fullmatch(custom_id) if isinstance(custom_id, str) else None
    if found is None:
        return None
    if found[2] is None:
        return found[1], {}
    few = found[2].removeprefix("lp")
    return found[1], {"logprobs": True} | ({"max_tokens": int(few)} if few else {})


def parsed(line: bytes) -> dict[str, Any]:
    """The object in a line; an empty one where there is none (a line cut short)."""
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return data if isinstance(data, dict) else {}


def _unasked(error: object) -> CallFailed:
    code = error.get("code") if isinstance(error, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return CallFailed(ASKED_AGAIN.get(str(code), f"a batch left this request unanswered ({message!s:.200})"))

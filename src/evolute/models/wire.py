"""What goes over the wire: bodies and replies of OpenAI's chat and plain completions, and Anthropic's Messages.

Pure functions. Which fields an endpoint has refused so far is a `Terms`; errors are `refusals`' part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson

from evolute.recipe import ModelSpec
from evolute.records import Completion, Failure, Request, Usage

PATHS = {"chat": "/chat/completions", "completions": "/completions", "anthropic": "/messages"}

_TRUNCATED = frozenset({"length", "max_tokens", "model_length", "model_context_window_exceeded"})
_FILTERED = frozenset({"content_filter", "refusal", "safety"})
_MOST_TOKENS = 2**53  # counts are sums in the ledger and numbers in JSON: what is more is no count
_ASK_LOGPROBS = ("logprobs", "top_logprobs", "prompt_logprobs", "echo")
_ANTHROPIC_MAX_TOKENS = 4096  # the API wants one; this is sent where the recipe has none


@dataclass(frozen=True, slots=True)
class Terms:
    """What an endpoint takes, as learned from its refusals."""

    max_tokens: str = "max_tokens"
    """The name under which `max_tokens` is sent."""
    seed: bool = True
    constrain: str = "json_schema"
    """How choices are constrained: `json_schema`, `grammar`, `choice` or `none`."""


def first_terms(spec: ModelSpec) -> Terms:
    """What is sent before anything was refused. Anthropic has no seeds."""
    constrain = "json_schema" if spec.constrain == "auto" else spec.constrain
    return Terms(seed=spec.send_seed and spec.api != "anthropic", constrain=constrain)


def encode(spec: ModelSpec, request: Request, terms: Terms) -> bytes:
    """The request's body.

    Raises:
        TypeError: a text is not Unicode (a lone surrogate), or an extra field is not JSON.
    """
    body: dict[str, Any] = {"model": spec.model}
    if spec.api == "chat":
        body["messages"] = request.messages  # orjson writes the dataclasses as they are
    elif spec.api == "completions":
        body["prompt"] = flatten(request)
    else:
        _put_anthropic_messages(body, request)
    body.update(request.sampling)
    if terms.max_tokens != "max_tokens" and "max_tokens" in body:
        body[terms.max_tokens] = body.pop("max_tokens")
    if terms.seed:
        body["seed"] = request.draw & 0x7FFFFFFF
    if request.choices and terms.constrain != "none":
        body.update(constraint(spec.api, terms.constrain, request.choices))
    if spec.extra_body:
        body.update(spec.extra_body)
    return orjson.dumps(body)


def flatten(request: Request) -> str:
    """A conversation as one prompt for plain completions.

    A single user turn stands as it is, below the system prompt if any, for templates end where the answer begins.
    More turns are labelled, and the prompt ends with the assistant's label.
    """
    system = [m.content for m in request.messages if m.role == "system"]
    turns = [m for m in request.messages if m.role != "system"]
    if len(turns) == 1:
        return "\n\n".join([*system, turns[0].content])
    said = [f"{m.role.capitalize()}: {m.content}" for m in turns]
    return "\n\n".join([*system, *said, "Assistant:"])


def constraint(api: str, how: str, choices: tuple[str, ...]) -> dict[str, Any]:
    """The fields that hold the answer to one of the choices."""
    if how == "grammar":  # llama.cpp's GBNF; JSON's quoting is its own
        return {"grammar": "root ::= " + " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)}
    if how == "choice":  # vLLM: the second name is that of versions before 0.12; both ignore the other's
        return {"structured_outputs": {"choice": choices}, "guided_choice": choices}
    schema = {
        "type": "object",
        "properties": {"verdict": {"type": "string", "enum": choices}},
        "required": ["verdict"],
        "additionalProperties": False,
    }
    if api == "anthropic":
        return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    return {"response_format": {"type": "json_schema", "json_schema": _named(schema)}}


def decode(
    api: str, data: dict[str, Any], latency: float, sampling: Mapping[str, Any] = MappingProxyType({})
) -> Completion:
    """The completion that a reply's JSON holds; `sampling` is what the request asked for.

    Where that was log-probabilities and they came, an empty text is none the worse, nor one that ends after the one
    token that was allowed: those of the prompt or of the first token were wanted.

    Raises:
        KeyError, IndexError, TypeError, AttributeError, ValueError: the JSON is not this API's.
    """
    model = str(data.get("model") or "")
    if api == "anthropic":
        text, reasoning, finish, detail = _anthropic_answer(data)
        usage = _anthropic_usage(data.get("usage") or {})
    else:
        text, reasoning, finish, detail = _openai_answer(data["choices"][0])
        usage = usage_of(data.get("usage") or {})
    if text is not None and not isinstance(text, str):
        raise TypeError(f"content is {type(text).__name__}, not text")
    if text is not None and ("</think>" in text or text.lstrip().startswith("<think>")):
        text, reasoning = split_thinking(text, reasoning)
    failure, logprobs = _failure(text, finish), _logprobs(data, sampling)
    cut_as_wanted = failure is Failure.TRUNCATED and sampling.get("max_tokens") in (0, 1)
    if logprobs and (cut_as_wanted or failure in (Failure.NULL, Failure.EMPTY)):
        text, failure = text or "", None
    return Completion(text, failure, str(finish), reasoning or None, usage, latency, 1, model, detail, logprobs)


def split_thinking(text: str, reasoning: str | None) -> tuple[str, str | None]:
    """Take a leading `<think>…</think>` off a text.

    Templates that open the tag in the prompt leave only the closing one, which counts as well. An unclosed tag is
    reasoning to its end.
    """
    head, closed, rest = text.partition("</think>")
    before, opened, thought = head.partition("<think>")
    if before.strip() and opened:
        return text, reasoning  # the tags stand inside the answer
    said = thought if opened else head
    return (rest.lstrip() if closed else ""), "\n".join(part for part in (reasoning, said.strip()) if part)


def asks_logprobs(sampling: Mapping[str, Any]) -> bool:
    """Whether a request with this sampling asks for log-probabilities."""
    return any(sampling.get(name) is not None and sampling[name] is not False for name in _ASK_LOGPROBS)


def _logprobs(data: dict[str, Any], sampling: Mapping[str, Any]) -> str:
    """The log-probabilities as JSON, if they were asked for (0 asks: for the token's own alone) and came."""
    if not asks_logprobs(sampling):
        return ""
    choice = (data.get("choices") or [{}])[0]
    prompt = choice.get("prompt_logprobs") or data.get("prompt_logprobs")  # in vLLM's chat beside the choices
    found = {
        name: value for name, value in (("logprobs", choice.get("logprobs")), ("prompt_logprobs", prompt)) if value
    }
    return orjson.dumps(found).decode() if found else ""


def _failure(text: str | None, finish: str) -> Failure | None:
    if finish in _FILTERED:
        return Failure.FILTERED
    if finish in _TRUNCATED:
        return Failure.TRUNCATED
    if text is None:
        return Failure.NULL
    return None if text.strip() else Failure.EMPTY


def _openai_answer(choice: dict[str, Any]) -> tuple[Any, str | None, str, str]:
    finish = choice.get("finish_reason") or "stop"
    if "message" not in choice:
        return choice["text"], None, finish, ""
    message = choice["message"]
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content)
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    refusal = message.get("refusal")
    if refusal and not content:
        finish = "refusal"
    return content, reasoning if isinstance(reasoning, str) else None, finish, str(refusal or "")


def usage_of(usage: dict[str, Any]) -> Usage:
    """The tokens that an OpenAI-compatible reply counts."""
    spent, given = usage.get("completion_tokens_details") or {}, usage.get("prompt_tokens_details") or {}
    return Usage(
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        _count(spent.get("reasoning_tokens")),
        _count(given.get("cached_tokens") or usage.get("prompt_cache_hit_tokens")),
    )


def _put_anthropic_messages(body: dict[str, Any], request: Request) -> None:
    system = [m.content for m in request.messages if m.role == "system" and m.content]
    if system:
        body["system"] = "\n\n".join(system)
    body["messages"] = [m for m in request.messages if m.role != "system"]
    body["max_tokens"] = _ANTHROPIC_MAX_TOKENS


def _anthropic_answer(data: dict[str, Any]) -> tuple[str | None, str | None, str, str]:
    blocks = data["content"]
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    thoughts = [block["thinking"] for block in blocks if block["type"] == "thinking"]
    finish = data.get("stop_reason") or "end_turn"
    return "".join(texts) if texts else None, "\n".join(thoughts) or None, finish, ""


def _anthropic_usage(usage: dict[str, Any]) -> Usage:
    cached = _count(usage.get("cache_read_input_tokens"))
    prompt = _count(usage.get("input_tokens")) + cached + _count(usage.get("cache_creation_input_tokens"))
    return Usage(_count(prompt), _count(usage.get("output_tokens")), 0, cached)


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return min(max(value, 0), _MOST_TOKENS)


def _named(schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": "verdict", "strict": True, "schema": schema}

"""What the loopback server says: bodies in each API's shape, and the scripted answers to them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import orjson

from evolute.models.loopback_logprobs import wants_logprobs, with_logprobs
from evolute.models.scripted import answered, estimated_usage, evolved, given_instruction, graded, judged
from evolute.records import Message, tagged_hash

EMBEDDED = 64
"""Numbers in an embedding."""
_ASKS_FOR_MARKS = ("\nScore:", "\nYour scores, one line for each:")
"""How the shipped graders' prompts end."""


def scripted_rule(body: Mapping[str, Any]) -> str | dict[str, Any]:
    """Play evolver, judge, responder or grader like `evolve_script`; the role is guessed from the prompt's shape.

    A request for embeddings gets the whole body of `embeddings_body`.
    """
    if "input" in body:
        return embeddings_body(body)
    messages, draw, choices = messages_of(body), int(body.get("seed") or 0), choices_of(body)
    prompt = messages[-1].content if messages else ""
    if prompt.rstrip().endswith(_ASKS_FOR_MARKS):
        return _in_its_form(body, graded(messages, draw))
    if choices:
        return _in_its_form(body, judged(messages, draw, choices))
    if "Not Equal" in prompt:
        return judged(messages, draw, ("Equal", "Not Equal"))
    play = answered if given_instruction(prompt) == prompt.strip() else evolved
    return play(messages, draw)


def _in_its_form(body: Mapping[str, Any], verdict: str) -> str:
    """A verdict as JSON, where the request wants that."""
    return orjson.dumps({_verdict_field(body): verdict}).decode() if "response_format" in body else verdict


def embeddings_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """Embeddings in OpenAI's shape: texts that share words are near each other. A token is a word."""
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    data = [{"object": "embedding", "index": i, "embedding": hashed_vector(text)} for i, text in enumerate(texts)]
    tokens = sum(len(text.split()) for text in texts)
    return {"object": "list", "model": body.get("model"), "data": data, "usage": {"prompt_tokens": tokens}}


def hashed_vector(text: str) -> list[float]:
    """The sum of a random vector for each word, drawn by the word's hash; never all zero."""
    vector = [1e-3] * EMBEDDED
    for word in text.casefold().split():
        drawn = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=EMBEDDED).digest()
        vector = [was + (byte - 127.5) / 127.5 for was, byte in zip(vector, drawn, strict=True)]
    return vector


def reply_body(api: str, body: Mapping[str, Any], text: str, fault: str) -> dict[str, Any]:
    """The answer in the API's own shape."""
    usage = estimated_usage(messages_of(body), text)
    content = {"null": None, "empty": "", "length": text[: len(text) // 2]}.get(fault, text)
    finish = "length" if fault == "length" else "stop"
    model = body.get("model")
    if api == "messages":
        stop = "max_tokens" if fault == "length" else "end_turn"
        blocks = [{"type": "text", "text": content}] if content is not None else []
        counted = {"input_tokens": usage.prompt, "output_tokens": usage.completion}
        return {"type": "message", "model": model, "content": blocks, "stop_reason": stop, "usage": counted}
    if wants_logprobs(body) and content is not None:
        prompt = "\n".join(message.content for message in messages_of(body))
        choice = with_logprobs(api, body, prompt, content)
    else:
        said = {"message": {"role": "assistant", "content": content}} if api == "chat" else {"text": content}
        choice = said | {"index": 0, "finish_reason": finish}
    counted = {"prompt_tokens": usage.prompt, "completion_tokens": usage.completion}
    return {"id": "loopback", "model": model, "choices": [choice], "usage": counted}


def messages_of(body: Mapping[str, Any]) -> tuple[Message, ...]:
    """The conversation that a request holds, whichever its API."""
    if "prompt" in body:
        return (Message("user", str(body["prompt"])),)
    system = [Message("system", str(body["system"]))] if "system" in body else []
    return (*system, *(Message(m["role"], str(m["content"])) for m in body.get("messages", ())))


def choices_of(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The only answers that the request allows, however it says so."""
    properties = _properties(body)
    if properties:
        return tuple(next(iter(properties.values())).get("enum", ()))
    if "grammar" in body:
        return tuple(re.findall(r'"((?:[^"\\]|\\.)*)"', body["grammar"]))
    return tuple(body.get("structured_outputs", {}).get("choice", ()) or body.get("guided_choice", ()))


def _properties(body: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    properties: Mapping[str, Any] = schema.get("properties", {})
    return properties


def _verdict_field(body: Mapping[str, Any]) -> str:
    return next(iter(_properties(body)), "verdict")


def prompt_key(body: Mapping[str, Any]) -> str:
    """The same text for the same model, messages (or input) and seed."""
    said = [body.get(name) for name in ("model", "messages", "prompt", "input", "system", "seed")]
    return tagged_hash("loopback-1", orjson.dumps(said)).hex()

"""The loopback server's log-probabilities: made up, deterministic, in the shapes of OpenAI's APIs and of vLLM.

A token is a word, a mark or a space. Its log-probability follows from the model and all the text before it, so that a
text has the same log-likelihood wherever it is cut into prompt and answer.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

_TOKEN = re.compile(r"\s?\w+|\s?[^\w\s]|\s")
_RIVALS = tuple(string.ascii_uppercase)


class Token(NamedTuple):
    """A token, its log-probability, and the likeliest tokens in its place, the likeliest first."""

    text: str
    logprob: float
    top: list[tuple[str, float]]


def wants_logprobs(body: Mapping[str, Any]) -> bool:
    """Whether a request asks for log-probabilities, or for its prompt back."""
    names = ("logprobs", "prompt_logprobs", "echo")
    return any(body.get(name) is not None and body[name] is not False for name in names)


def with_logprobs(api: str, body: Mapping[str, Any], prompt: str, answer: str) -> dict[str, Any]:
    """The choice that answers a request for log-probabilities: at most `max_tokens` tokens of the answer."""
    most = body.get("max_tokens", body.get("max_completion_tokens"))
    count = _wanted(body)
    before, said = _TOKEN.findall(prompt), _TOKEN.findall(answer)
    tokens = list(_marked(str(body.get("model")), [*before, *said[:most]], count))
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop" if most is None or len(said) <= most else "length"}
    if body.get("prompt_logprobs") is not None:
        choice["prompt_logprobs"] = [None, *map(_vllm, tokens[1 : len(before)])]
    shown = tokens if body.get("echo") else tokens[len(before) :]
    text = "".join(token.text for token in shown)
    if api == "chat":
        return choice | {"message": {"role": "assistant", "content": text}, "logprobs": _chat(shown)}
    given = body.get("logprobs")
    return choice | {"text": text, "logprobs": _plain(shown, bool(body.get("echo"))) if given is not None else None}


def _wanted(body: Mapping[str, Any]) -> int:
    """How many of the likeliest tokens are told; `logprobs` is that number for completions, and a switch for chat."""
    given = (body.get(name) for name in ("logprobs", "top_logprobs", "prompt_logprobs"))
    return max((number for number in given if isinstance(number, int) and not isinstance(number, bool)), default=0)


def _marked(model: str, texts: list[str], count: int) -> Iterator[Token]:
    """Each text with its log-probability after those before it."""
    state = blake2b(model.encode(), digest_size=32)
    for text in texts:
        seen, chances = state.digest(), {}
        for rival in dict.fromkeys((text, text.swapcase(), *(_RIVALS if count > 1 else ()))):
            drawn = blake2b(rival.encode("utf-8", "surrogatepass"), key=seen, digest_size=2).digest()
            chances[rival] = math.log((1 + int.from_bytes(drawn, "big")) / 2**21)  # 32 of them together stay below 1
        top = sorted(chances.items(), key=lambda pair: -pair[1])[:count]
        yield Token(text, chances[text], top)
        state.update(text.encode("utf-8", "surrogatepass"))


def _chat(tokens: list[Token]) -> dict[str, Any]:
    def told(text: str, logprob: float) -> dict[str, Any]:
        return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "surrogatepass"))}

    told_all = [told(one.text, one.logprob) | {"top_logprobs": [told(*pair) for pair in one.top]} for one in tokens]
    return {"content": told_all, "refusal": None}


def _plain(tokens: list[Token], echoed: bool) -> dict[str, Any]:
    """As OpenAI's completions have it: a prompt's first token has no log-probability."""
    starts, at = [], 0
    for token in tokens:
        starts.append(at)
        at += len(token.text)
    first = 1 if echoed else 0
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [None] * first + [token.logprob for token in tokens[first:]],
        "top_logprobs": [None] * first + [dict(token.top) for token in tokens[first:]],
        "text_offset": starts,
    }


def _vllm(token: Token) -> dict[str, Any]:
    """As vLLM has it: by the token's number, the prompt's own token first."""
    told = dict.fromkeys([(token.text, token.logprob), *token.top])
    return {
        str(int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=2).digest(), "big")): {
            "logprob": logprob, "rank": 1 + sum(other > logprob for _, other in token.top), "decoded_token": text,
        }
        for text, logprob in told
    }  # fmt: skip

"""Log-likelihoods from an endpoint that tells those of its prompt: what is sent, and what is read from the reply.

OpenAI's completions with `echo` and `logprobs`, as vLLM has them too; vLLM's `prompt_logprobs` are read as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import orjson

from evolute.evaluate.choice.encoding import Pair, split
from evolute.evaluate.choice.scorer import Likelihood

SAMPLING: Mapping[str, Any] = {"max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
"""What is asked for: the prompt back with its log-probabilities. Some endpoints refuse to write no token at all."""
UNABLE = (
    "gives no log-probabilities of its prompt, which choices are scored by. vLLM's /v1/completions does (echo with "
    "logprobs); chat APIs and llama.cpp's server do not. Or score the model's files: --model FOLDER"
)


def gives_prompt(told: str) -> bool:
    """Whether a reply's log-probabilities (`Completion.logprobs`) have a prompt's among them.

    A prompt's first token alone has none, by which it is known; of a single generated token there is no such null.
    """
    given = _object(told)
    plain = given.get("logprobs")
    values = plain.get("token_logprobs") if isinstance(plain, dict) else None
    return bool(given.get("prompt_logprobs")) or (isinstance(values, list) and len(values) > 1)


def read_likelihood(pair: Pair, told: str) -> Likelihood:
    """The log-likelihood of the continuation, from the log-probabilities that came back; or why it cannot be had."""
    context, continuation = split(*pair)
    whole = context + continuation
    given = _object(told)
    for read in (_echoed, _prompted):
        tokens = read(given, whole)
        if tokens:
            return _likelihood(tokens, len(continuation))
    return Likelihood(None, why="the endpoint's tokens are not the text that was sent")


Token = tuple[str, float | None, bool]
"""Its text, its log-probability, and whether it was the likeliest."""


def _echoed(given: Mapping[str, Any], whole: str) -> list[Token]:
    """The prompt's tokens from completions' `logprobs`: those that spell it, perhaps behind one that begins texts."""
    said = given.get("logprobs")
    if not isinstance(said, dict) or not isinstance(said.get("tokens"), list):
        return []
    texts, values = said["tokens"], said.get("token_logprobs")
    if not isinstance(values, list) or len(values) != len(texts) or not all(isinstance(text, str) for text in texts):
        return []
    likeliest = said.get("top_logprobs")
    tops = likeliest if isinstance(likeliest, list) and len(likeliest) == len(texts) else [None] * len(texts)
    tokens = [
        (text, _number(value), isinstance(top, dict) and bool(top) and _is_top(value, top.values()))
        for text, value, top in zip(texts, values, tops, strict=True)
    ]
    for begin in (0, 1):
        ends = list(accumulate(len(text) for text in texts[begin:]))
        if len(whole) in ends:
            found = tokens[begin : begin + ends.index(len(whole)) + 1]
            if "".join(text for text, _, _ in found) == whole:
                return found
    return []


def _prompted(given: Mapping[str, Any], whole: str) -> list[Token]:
    """The tokens from vLLM's `prompt_logprobs`; nothing is told of the prompt's first, so the rest must end it."""
    said = given.get("prompt_logprobs")
    if not isinstance(said, list) or len(said) < 2:
        return []
    found: list[Token] = []
    for one in said[1:]:
        own = next(iter(one.values()), None) if isinstance(one, dict) else None  # the prompt's own token is the first
        if not isinstance(own, dict) or not isinstance(own.get("decoded_token"), str):
            return []
        found.append((own["decoded_token"], _number(own.get("logprob")), own.get("rank") == 1))
    return found if whole.endswith("".join(text for text, _, _ in found)) else []


def _likelihood(tokens: Sequence[Token], length: int) -> Likelihood:
    """The sum over the tokens that spell the last so many characters."""
    lengths = list(accumulate(len(text) for text, _, _ in reversed(tokens)))
    if length not in lengths:
        why = "the tokenizer joins the end of the prompt with the choice: no token begins where it begins"
        return Likelihood(None, why=why)
    scored = tokens[-(lengths.index(length) + 1) :]
    values = [value for _, value, _ in scored if value is not None]
    if len(values) < len(scored):
        return Likelihood(None, why="the endpoint told no log-probability of a token of the choice")
    return Likelihood(sum(values), all(greedy for _, _, greedy in scored))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _is_top(value: object, others: Any) -> bool:  # noqa: ANN401 - what an endpoint said
    numbers = [number for other in others if (number := _number(other)) is not None]
    own = _number(value)
    return own is not None and bool(numbers) and own >= max(numbers)


def _object(told: str) -> dict[str, Any]:
    try:
        given = orjson.loads(told)
    except orjson.JSONDecodeError:
        return {}
    return given if isinstance(given, dict) else {}

"""How one answer is drawn: what a request may ask of the transformers engine, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evolute.errors import RequestRejected

MOST_LOGPROBS = 20
"""Of the likeliest tokens at each place, as OpenAI has it."""
MOST_STOPS = 64
_SILENT: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0, None), "presence_penalty": (0, None), "logit_bias": ({}, None), "best_of": (1, None),
    "echo": (False, None), "suffix": ("", None), "tools": ([], None), "tool_choice": ("none", "auto", None),
    "functions": ([], None), "response_format": ({"type": "text"}, None),
}  # fmt: skip
"""Fields that are not served, with the values under which they ask for nothing."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn. Defaults of a model are those of its `generation_config.json`.

    Args:
        max_tokens: the most tokens of the answer; None: what the model's window leaves.
        temperature: 0: the likeliest token each time.
        top_p: draw only from the likeliest tokens that together have this probability.
        top_k: draw only from so many of the likeliest; 0: from all.
        min_p: draw only from tokens at least this share as likely as the likeliest.
        repetition_penalty: above 1, tokens that stand in the prompt or the answer become less likely
            (Keskar et al. 2019, CTRL, §4.1).
        stop: strings at which the answer ends; they are not part of it.
        seed: from which the draws follow; None: another each time.
        top_logprobs: of so many of the likeliest tokens the log-probability is told; None: of none.
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    top_logprobs: int | None = None


def read_sampling(fields: Mapping[str, Any], defaults: Sampling = Sampling()) -> Sampling:
    """The sampling that a request's fields ask for, over the model's defaults. Null: as if it were not there.

    Raises:
        RequestRejected: a value is impossible, or a field is unknown or asks for what this engine cannot do.
    """
    given = dict(fields)
    for name, silent in _SILENT.items():
        if (value := given.pop(name, None)) not in silent:
            raise RequestRejected(f"{name}={value!r} is not supported by the transformers engine", status=400)
    if (most := given.pop("max_completion_tokens", None)) is not None:
        given["max_tokens"] = most
    if "logprobs" in given or "top_logprobs" in given:
        given["top_logprobs"] = _logprobs(given.pop("logprobs", None), given.pop("top_logprobs", None))
    if unknown := sorted(set(given) - set(_CHECKS)):
        raise RequestRejected(f"unknown field {unknown[0]!r}: the transformers engine has no such option", status=400)
    known = {name: getattr(defaults, name) for name in _CHECKS}
    return Sampling(**known | {n: _CHECKS[n](n, value) for n, value in given.items() if value is not None})


def _number(least: float, most: float) -> Callable[[str, object], float]:
    def check(name: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise RequestRejected(f"{name} must be a number from {least:g} to {most:g}, got {value!r}", status=400)
        return float(value)

    return check


def _count(least: int, most: int) -> Callable[[str, object], int]:
    def check(name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise RequestRejected(f"{name} must be a whole number from {least} to {most}, got {value!r}", status=400)
        return value

    return check


def _stop(name: str, value: object) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list | tuple) or not all(isinstance(one, str) for one in stops):
        raise RequestRejected(f"{name} must be a string or a list of strings, got {value!r}", status=400)
    if len(stops) > MOST_STOPS:
        raise RequestRejected(f"{name} has {len(stops)} strings; at most {MOST_STOPS} are looked for", status=400)
    return tuple(one for one in stops if one)


def _logprobs(asked: object, top: object) -> int | None:
    """How many are told: chat's `logprobs` is a flag beside `top_logprobs`, plain completions' the number itself."""
    if asked is None or asked is False:
        if top:
            raise RequestRejected("top_logprobs needs logprobs to be true", status=400)
        return None
    count = top or 0 if asked is True else asked
    return _count(0, MOST_LOGPROBS)("top_logprobs" if asked is True else "logprobs", count)


_CHECKS: Mapping[str, Callable[[str, object], Any]] = {
    "max_tokens": _count(1, 2**31),
    "temperature": _number(0, 100),
    "top_p": _number(1e-6, 1),
    "top_k": _count(0, 2**31),
    "min_p": _number(0, 1),
    "repetition_penalty": _number(0.01, 100),
    "stop": _stop,
    "seed": _count(-(2**63), 2**63 - 1),
    "top_logprobs": _count(0, MOST_LOGPROBS),
}

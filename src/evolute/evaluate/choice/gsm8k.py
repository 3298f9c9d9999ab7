"""GSM8K (Cobbe et al. 2021, arXiv:2110.14168): the number at the end of a worked answer, matched exactly.

Patterns, stops and order of lm-evaluation-harness 0.4.13, tasks/gsm8k/gsm8k.yaml (EleutherAI, MIT licence).
"""

from __future__ import annotations

import re

STOPS = ("Question:", "</s>", "<|im_end|>")
"""Where an answer ends."""
ANSWER_TOKENS = 256
"""The most tokens of an answer."""
INVALID = "[invalid]"
"""What an answer without a number comes to; it is wrong."""
_STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")
_FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_IGNORED = (re.compile(","), re.compile(r"\$"), re.compile(r"(?s).*#### "), re.compile(r"\.$"))


def ended(text: str) -> str:
    """The answer up to the first stop, for endpoints that were not told of it."""
    return min((text.partition(stop)[0] for stop in STOPS), key=len)


def strict(text: str) -> str:
    """The number behind the first `#### `."""
    found = _STRICT.search(text)
    return found[1].strip() if found else INVALID


def flexible(text: str) -> str:
    """The last number, whatever stands before it."""
    found = _FLEXIBLE.findall(text)
    return next(group for group in found[-1] if group).strip() if found else INVALID


def matches(said: str, answer: str) -> bool:
    """Whether a number is that of the worked answer, but for commas, dollar signs and a full stop."""
    return _bare(said) == _bare(answer)


def _bare(text: str) -> str:
    for ignored in _IGNORED:
        text = ignored.sub("", text)
    return text.lower()

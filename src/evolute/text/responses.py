"""The eliminator's rules for a response: the paper's second and third (WizardLM, section 3.2)."""

from __future__ import annotations

import re
import unicodedata

from evolute.recipe import Rules
from evolute.records import Failure, Finding, Reason

_SORRY = re.compile(r"\bsorry\b", re.IGNORECASE)
_WORD = re.compile(r"\w+")
_LETTER = re.compile(r"[\s\W]*[A-Z][\s\W]*")
# What can stand between words of content but is none. Words that answer a question alone ("no", "not", "he", "all",
# "before") are left out on purpose.
STOP_WORDS = frozenset(
    """a an the this that these those of to in on at by for from with into onto upon about as than then so such and or
    nor but if because while although though whether is am are was were be been being do does did doing done has have
    had having will would shall should can could may might must i me my myself you your yours yourself we us our ours
    it its itself they them their theirs which who whom whose what there here very just also too only own same some any
    each more most other s t d ll m o re ve y""".split()  # noqa: SIM905 - a list of words reads as one
)


def check_response(text: str, *, instruction: str, rules: Rules) -> Finding | None:
    """What is wrong with a response, or None.

    `response-empty`: white space only. `response-refusal`: it says "sorry" in fewer than `rules.refusal_words` words
    (the paper's 80), unless the instruction says it too and so asks for it. `response-content-free`: nothing but
    punctuation and stop words; a lone capital letter is content, for it answers a multiple choice.
    """
    if not text.strip():
        return Finding(Reason.RESPONSE_EMPTY, {"characters": len(text)})
    if (sorry := _SORRY.search(text)) and not _SORRY.search(instruction):
        count = len(text.split())
        if count < rules.refusal_words:
            return Finding(Reason.RESPONSE_REFUSAL, {"words": [sorry[0]], "count": count, "limit": rules.refusal_words})
    if not _has_content(text):
        return Finding(Reason.RESPONSE_CONTENT_FREE, {"text": text.strip()[:200]})
    return None


def failure_reason(failure: Failure, *, response: bool) -> Reason:
    """The reason that stands for a completion without usable text, of a response or of anything else."""
    return Reason(f"response-{failure.value}" if response else failure.value)


def _has_content(text: str) -> bool:
    if any(match[0].lower() not in STOP_WORDS for match in _WORD.finditer(text)):
        return True
    if _LETTER.fullmatch(text):
        return True
    return any(ord(character) > 127 and unicodedata.category(character).startswith("S") for character in text)

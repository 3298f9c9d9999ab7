"""Whether a child keeps its seed's language: cheap signs first, a language model only where they cannot decide."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from evolute.text.words import vocabulary, words

SAME_WORDS = 0.3
"""A child that has this share of the other's vocabulary, or the other of its, is in its language."""
ENGLISH_WORDS = 0.08
"""A text in which words that only English has are this share of all words, and two different ones at least, is
English: this decides nearly all texts, and spares them the language model."""
FEWEST_LETTERS = 40
"""Shorter texts are not given to the language model: it guesses."""
MARGIN = 15.0
"""Natural log-likelihood by which py3langid must prefer each text's own language to the other's."""

_SCRIPTS = {
    "Cyrillic": "\u0400-\u052f", "Greek": "\u0370-\u03ff\u1f00-\u1fff", "Hebrew": "\u0590-\u05ff",
    "Arabic": "\u0600-\u06ff\u0750-\u077f", "Devanagari": "\u0900-\u097f", "Bengali": "\u0980-\u09ff",
    "Tamil": "\u0b80-\u0bff", "Telugu": "\u0c00-\u0c7f", "Thai": "\u0e00-\u0e7f", "Georgian": "\u10a0-\u10ff",
    "Hangul": "\u1100-\u11ff\uac00-\ud7af", "Han or Kana": "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff",
}  # fmt: skip
_PATTERNS = {name: re.compile(f"[{ranges}]") for name, ranges in _SCRIPTS.items()}
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
# Code, markup, addresses and quoted samples say little about the language around them.
_NOT_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|<[^<>\n]{1,200}>|https?://\S+|[\w.-]{1,64}+@\S+|[A-Za-z_]\w{0,80}\(|[^\s_=/\\]{0,200}+[_=/\\]\S*",
    re.DOTALL,
)
# Words that are common in English and are no words, or rare ones, of the other languages that are written in ASCII.
_ENGLISH = frozenset(
    """the of and to are that it with this be by from what how which your you would should could can does not when who
    why where about between its has their there than then into any each while without under using give list make
    explain describe write""".split()  # noqa: SIM905 - a list of words reads as one
)


# Function words of other languages in Latin letters, none of them common in English. They only decide whether the
# language model is asked; it has the last word.
_FOREIGN = frozenset(
    """el la los las que una por para con del es est les des une dans pour qui sur avec il lo che di della per non sono
    der das und ist nicht ein eine zu mit auf den dem het een van niet voor met zijn op och som att det og ikke til en
    na nie jest si je u za su um uma com os dos yang dan untuk dengan adalah ini itu ang mga sa kwa ya ni wa ve bir
    cum et de le du au y o e se""".split()  # noqa: SIM905
)


def changed_language(child: str, parent: str, root: str) -> Mapping[str, Any] | None:
    """Evidence that `child` is in another language than `root`, its seed; None where it is not, or is not clear.

    `parent`, between them, is taken to be in the root's language: what shares its words is, too.
    """
    if _shares(child, parent) or (is_english(child) and is_english(root)):
        return None
    if moved := _changed_script(child, root):
        return moved
    return _changed_tongue(child, root) if _foreign(child) or _foreign(root) else None


def _shares(child: str, other: str) -> bool:
    mine, others = vocabulary(child), vocabulary(other)
    return len(mine & others) >= SAME_WORDS * max(1, min(len(mine), len(others)))


def is_english(text: str) -> bool:
    """Whether a text is English prose without doubt, by its function words."""
    if not text.isascii() or len(vocabulary(text) & _ENGLISH) < 2:
        return False
    found = words(text)
    return sum(word in _ENGLISH for word in found) >= ENGLISH_WORDS * len(found)


def _foreign(text: str) -> bool:
    """Whether a text shows a sign of not being English: two function words of other languages, or their letters."""
    if len(vocabulary(text) & _FOREIGN) >= 2:
        return True
    return not text.isascii() and sum(letter.isalpha() and letter > "\x7f" for letter in text) >= 0.015 * len(text)


def _changed_script(child: str, root: str) -> Mapping[str, Any] | None:
    """The root is mostly in one script, and the child has next to nothing of it."""
    if child.isascii() and root.isascii():
        return None
    before, after = _scripts(root), _scripts(child)
    letters, all_letters = sum(before.values()), sum(after.values())
    if letters < 6 or all_letters < 12:
        return None
    main = max(before, key=lambda name: before[name])
    if before[main] < 0.6 * letters or after.get(main, 0) > 0.1 * all_letters:
        return None
    return {"from": main, "to": max(after, key=lambda name: after[name]), "by": "script"}


def _scripts(text: str) -> dict[str, int]:
    """Letters of each script."""
    counts = {"Latin": len(_LATIN.findall(text))}
    if not text.isascii():
        counts |= {name: count for name, pattern in _PATTERNS.items() if (count := len(pattern.findall(text)))}
    return counts


def _changed_tongue(child: str, root: str) -> Mapping[str, Any] | None:
    """py3langid clearly prefers one language for the child and another for the root."""
    before, after = _likelihoods(root), _likelihoods(child)
    if not before or not after:
        return None
    was, now = max(before, key=lambda name: before[name]), max(after, key=lambda name: after[name])
    margin = min(before[was] - before[now], after[now] - after[was])
    if was == now or margin < MARGIN:
        return None
    return {"from": was, "to": now, "margin": round(margin, 1), "by": "py3langid"}


@lru_cache(maxsize=64)
def _likelihoods(text: str) -> dict[str, float]:
    """The log-likelihood of each language for the prose in `text`; empty where there is too little of it."""
    prose = " ".join(_NOT_PROSE.sub(" ", text).split())[:2000]
    if sum(character.isalpha() for character in prose) < FEWEST_LETTERS:
        return {}
    import py3langid  # 0.9 s and 50 MB: only a run that meets a doubtful text pays for it

    return {str(name): float(score) for name, score in py3langid.rank(prose)}

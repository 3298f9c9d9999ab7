"""Loops: a text that says the same thing over and over, as a model does that cannot stop.

Tables, code, choruses and lists whose items begin alike repeat themselves too, and are none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from evolute.records import Finding, Reason

MOST_TIMES = 4
"""A sentence or a line of some length may stand this often in a text."""
LEAST_SHARE = 0.25
"""Repeats that are less than this share of all words are a figure of speech."""
_WANTED = re.compile(
    r"\b(?:repeat(?:ed|edly|ing|s|ition)?|\d+\s+times|over\s+and\s+over|again\s+and\s+again|refrain|chorus|chant|mantra"
    r"|loop|pattern|song|lyrics|rap|pantoum|villanelle|anaphora|palindrome|test\s+data|sample\s+data)\b"
)
_NUMBERED = re.compile(r"^[\s>#*•-]*(?:\(?\d+[.):\]]*)?[\s*_]*", re.MULTILINE)
_CODE = re.compile(r"[{}|=<>;\t\\]|\(\)|^\s{4}|^[-=_*#\s.+]*$")
_FENCED = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_STOP = re.compile(r"(?<=[.!?。！？])\s*|\n+")
_WORD = re.compile(r"\w+")
_MARKS = "0123456789.):-*•>#_ \t"
_PIECE, _PIECES = 24, 8
LONGEST_PERIOD = 40
"""Words in the longest phrase that is looked for as a loop without sentences."""


def repetition(text: str) -> Finding | None:
    """The unit that a text repeats as a loop does, how often, and the share of its words; or None."""
    if not _may_loop(text):
        return None
    prose = _FENCED.sub(" ", text) if "`" in text else text
    return _repeated_units(prose) or _repeated_phrase(prose)


def wants_repeats(asked: str) -> bool:
    """Whether what was asked for, in lower case, repeats itself by nature: a song, a pattern, a line ten times."""
    return _WANTED.search(asked) is not None


def _may_loop(text: str) -> bool:
    """Cheap signs, at least one of which every loop shows."""
    if len(text) < 60:
        return False
    # What loops is a good part of the text: of pieces taken at even distances, one stands there again and again.
    step = max(_PIECE, len(text) // _PIECES)
    for at in range(0, len(text) - _PIECE + 1, step):
        piece = text[at : at + _PIECE]
        if text.count(piece) >= MOST_TIMES and sum(map(str.isalnum, piece)) >= _PIECE // 2:
            return True
    return text.count("\n") >= 2 * MOST_TIMES and _repeats_lines(text)


def _repeats_lines(text: str) -> bool:
    lines = [line.lstrip(_MARKS) for line in text.split("\n") if len(line) > 4]
    return len(lines) - len(set(lines)) >= MOST_TIMES


def _repeated_units(text: str) -> Finding | None:
    """A line or a sentence that stands too often."""
    units = [unit for unit in _units(text) if unit]
    counts = Counter(unit.casefold() for unit in units)
    if not counts:
        return None
    size = {unit: len(_WORD.findall(unit)) or len(unit) // 4 for unit in counts}
    repeated = {u: n for u, n in counts.items() if (n > MOST_TIMES and size[u] >= 3) or (n >= 12 and len(u) >= 3)}
    total = sum(size[unit] * count for unit, count in counts.items())
    share = sum(size[unit] * (count - 1) for unit, count in repeated.items()) / max(1, total)
    if not repeated or share < LEAST_SHARE:
        return None
    worst = max(repeated, key=lambda unit: repeated[unit] * size[unit])
    return _finding(worst, repeated[worst], share)


def _units(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if not _CODE.search(line):
            for sentence in _STOP.split(_NUMBERED.sub("", line, count=1)):
                yield sentence.strip(" .!?,;:*_\"'")


def _repeated_phrase(text: str) -> Finding | None:
    """A run of words that follows itself at once, without full stops between: "and so on and so on and so on"."""
    if _CODE.search(text):
        return None
    found = _WORD.findall(text.casefold())
    start, period, length = _longest_period(found)
    times = 1 + length // period if period else 0
    if length < 16 or times <= MOST_TIMES or length < LEAST_SHARE * len(found):
        return None
    return _finding(" ".join(found[start : start + period]), times, length / len(found))


def _longest_period(found: Sequence[str]) -> tuple[int, int, int]:
    """(start, period, length) of the longest stretch in which each word is the one `period` before; zeros if none."""
    best = (0, 0, 0)
    for period in _likely_periods(found):
        run = 0
        for at, (word, before) in enumerate(zip(found[period:], found, strict=False)):
            run = run + 1 if word == before else 0
            if run > best[2]:
                best = (at - run + 1, period, run)
    return best


def _likely_periods(found: Sequence[str]) -> list[int]:
    """The commonest distances between two like triples of words: in a loop, its length."""
    last: dict[tuple[str, ...], int] = {}
    gaps: Counter[int] = Counter()
    for at, triple in enumerate(zip(found, found[1:], found[2:], strict=False)):
        if (before := last.get(triple)) is not None and at - before <= LONGEST_PERIOD:
            gaps[at - before] += 1
        last[triple] = at
    return [gap for gap, _ in gaps.most_common(3)]


def _finding(unit: str, times: int, share: float) -> Finding:
    return Finding(Reason.REPETITION, {"words": unit[:120], "times": times, "score": round(min(share, 1.0), 3)})

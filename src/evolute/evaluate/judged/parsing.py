"""What a judge's text says: a pair of scores, a rating, a verdict, a ranking, or why it cannot be read.

Two modes: `reference` reads what the reference implementation's own patterns read, no more and no less; `best` reads
every form that judges are known to answer in, and refuses what is ambiguous. Nothing here raises for any text.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from evolute.evaluate.judged.ranking import listed_ranks

Mode = Literal["best", "reference"]
Verdict = Literal["A", "B", "C"]
"""The first answer is better, the second is, or neither."""
LOWEST, HIGHEST = 0.0, 10.0
"""Bounds of a score. Judges are asked for 1 to 10, give 0 to an answer that is not there, and are counted with it."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A text that holds no verdict that can be relied on, and why."""

    why: str


_NUMBER = r"(\d{1,4}(?:[.,]\d{1,4})?)"
_WHOLE = re.compile(rf"{_NUMBER}(?:\s*(?:/|out of|von|sur|de)\s*(\d+))?(?:\s*(?:points?|分|点))?")
_OUT_OF = rf"{_NUMBER}(?:\s*/\s*(\d+)|\s+out\s+of\s+(\d+))?\s*(?:points?|分|点|점)?"
_PAIR = re.compile(rf"{_OUT_OF}(?:\s*[,;|、،&]\s*|\s+(?:and|vs\.?|und|et|y)\s+|\s+-\s+|\s+){_OUT_OF}", re.IGNORECASE)
_LEAD = re.compile(
    r"^(?:(?:final|overall|output|the)\s+)*(?:scores?|ratings?|output|tuple|评分|分数|得分)\s*:\s*", re.IGNORECASE
)
_TUPLE = re.compile(rf"[(\[]\s*{_OUT_OF}\s*,\s*{_OUT_OF}\s*[)\]]")
_MARKED = re.compile(r"scor|rating|tuple|评分|分数|得分", re.IGNORECASE)
_SUMMED_UP = re.compile(r"overall|total|final", re.IGNORECASE)
_SHOWN = (
    r"(?<![A-Za-z])(?i:(?:assistant|answer|response|reply|model|chatbot|bot|AI)s?|assistente|asistente|ассистент|助手|回答|"
    r"アシスタント|モデル)"
)
"""What judges call the two answers; a number or letter behind any other noun ("option B", "x1") speaks of the task."""
_SAYS = (
    r"(?i:[:=]|[-–]\s*(?=\d)|\((?=[\d.]+\s*/)|\ban?\b(?=\s+\d)|(?:score|rating|mark)\s+(?:of|is)|(?:得分|评分|分数)(?:是|为)?:?"
    r"|\b(?:gets?|deserves|earns|receives|scores)\b(?:\s+an?\b)?)"
)
_AFTER = r"(?=\s*(?:$|[.,;)\](*_|]|and\b|while\b|[^\W\d_]+\s*#?[12AB]\b))"
_LABELLED = {
    side: re.compile(
        rf"(?:{_SHOWN}\s*#?\s*(?:{number}|{letter})|^\W*{letter})(?![0-9A-Za-z_.])(?:'s|’s)?"
        rf"(?:(?!\b[12]\b)[^\d\n:=]){{0,40}}?{_SAYS}[\s*_`(\[]{{0,6}}(?i:{_OUT_OF}){_AFTER}",
        re.MULTILINE,
    )
    for side, number, letter in (("1", "1", "A"), ("2", "2", "B"))
}
_SCALE = re.compile(r"\(?\b(?:scale\s+(?:of|from)\s+)?[01]\s*(?:-|–|to)\s*10\b\)?", re.IGNORECASE)
_OF_TEN = re.compile(r"\]\]\s*(?:/|out\s+of)\s*\[*10\]*", re.IGNORECASE)
_RATED = re.compile(r"\[\[\s*(\d{1,4}(?:[.,]\d{1,4})?)\s*(?:/\s*(\d+)\s*)?\]\]")
_OR = re.compile(r"\W*(?:or|and|to)?\W*", re.IGNORECASE)
_RATED_WORD = re.compile(
    r"(?<![A-Za-z])(?:(?:rating|score|grade|评分|分数|得分|bewertung|puntuación)[^\w\-–]{0,8}(?:(?:is|of)\b)?[^\w\-–]{0,6}"
    rf"|note\s*:\s*){_OUT_OF}(?=\s*(?:$|[.,;:!)\]*_|]))",
    re.IGNORECASE | re.MULTILINE,
)
_RATED_OF = re.compile(rf"\b(?:rate|give)\b[^\n\d.]{{0,40}}{_NUMBER}\s*/\s*(\d+)", re.IGNORECASE)
_RATED_ALONE = re.compile(r"^\W*\[\s*(\d{1,4}(?:[.,]\d{1,4})?)\s*(?:/\s*(\d+)\s*)?\]\W*$", re.MULTILINE)
_RULES = re.compile(
    r"\[\[A\]\]\W{0,3}if\b[^\n\[]{0,60}\[\[B\]\]\W{0,3}if\b[^\n\[]{0,60}(?:\[\[C\]\]\W{0,3}(?:for|if)\b)?",
    re.IGNORECASE,
)
_VERDICT = re.compile(r"\[\[\s*([ABC])\s*\]\]")
_LAST_WORD = re.compile(r"verdict|final|conclu|overall|therefore|结论|最终", re.IGNORECASE)
_FASTCHAT = re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]")


def read_scores(text: str, mode: Mode = "best") -> tuple[float, float] | Unread:
    """Two scores of ten, for the first and the second answer as they were shown.

    `reference` is FastChat's of 2023 (`parse_score`, eval_gpt_review.py at a0ba8c97^): the first line, commas as
    spaces, must be two numbers with one space between. `best` looks for the pair on the first line, which the prompts
    ask for, and then for a Python tuple that is called one, for "Assistant 1: 8" and "Assistant 2: 9", and for a pair
    as the last line; if those say different things, none is believed.
    """
    if mode == "reference":
        return _first_line(text)
    lines = [line for line in (_plain(line) for line in _ascii(text).splitlines()) if line]
    if not lines:
        return Unread("the judge said nothing")
    if (pair := _pair(lines[0]) or _two_lines(lines)) is not None:
        others = [other for line in lines[1:] if (other := _pair(line)) is not None]
        return Unread("several pairs of scores") if any(other != pair for other in others) else _checked(pair)
    found = [pair for pair in (_tuple(lines), _labelled(lines), _pair(lines[-1])) if pair is not None]
    if any(pair != found[0] for pair in found):
        return Unread("it names different pairs of scores")
    return _checked(found[0]) if found else Unread("no pair of scores in it")


def read_rating(text: str, mode: Mode = "best") -> float | Unread:
    """One score of ten.

    `reference` is FastChat's (llm_judge/common.py): the first [[5]], else the first [5], whatever the number. `best`
    takes the last [[5]], which is where a judge that reasons ends, else the last "Rating: 5", else the last [5] that
    stands alone on its line: brackets are also what code and footnotes are written with.
    """
    if mode == "reference":
        match = next((match for pattern in _FASTCHAT if (match := pattern.search(text))), None)
        return float(match[1]) if match else Unread("no [[rating]] in it")
    said = _OF_TEN.sub("]]", _SCALE.sub(" ", _ascii(text)))
    for pattern in (_RATED, _RATED_WORD, _RATED_OF, _RATED_ALONE):
        if matches := list(pattern.finditer(said)):
            value, *of = matches[-1].groups()
            if len(matches) > 1 and _OR.fullmatch(said[matches[-2].end() : matches[-1].start()]):
                return Unread("several ratings, and none of them the last word")
            return _in_range(_number(value), next((whole for whole in of if whole), None))
    return Unread("no rating in it" if said.strip() else "the judge said nothing")


def read_verdict(text: str, mode: Mode = "best") -> Verdict | Unread:
    """Which answer is better, as [[A]], [[B]] or [[C]].

    `reference` is FastChat's (llm_judge/common.py): [[A]] if that occurs anywhere, else [[B]], else [[C]]. `best`
    leaves the instruction out where the judge repeats it ("[[A]]" if …); of several that differ the last counts where
    its line calls it the verdict and holds no other.
    """
    if mode == "reference":
        return next((name for name in _NAMES if f"[[{name}]]" in text), Unread("no [[A]], [[B]] or [[C]] in it"))
    said = _RULES.sub(" ", _ascii(text))
    found = {name for name in _NAMES if name in _VERDICT.findall(said)}
    if not found:
        return Unread("no [[A]], [[B]] or [[C]] in it" if said.strip() else "the judge said nothing")
    last = [line for line in said.splitlines() if _VERDICT.search(line)][-1]
    ends = set(_VERDICT.findall(last))
    if len(found) > 1 and not (len(ends) == 1 and _LAST_WORD.search(last)):
        return Unread(f"several verdicts: {', '.join(sorted(found))}")
    return next(name for name in _NAMES if name in ends)


def read_ranking(text: str, mode: Mode = "best") -> float | Unread:
    """AlpacaEval's preference, from a list of {'model': …, 'rank': …}: 1 the first shown is better, 2 the second.

    `reference` is its `ranking_parser`: the whole text is the list, and the rank of model_1 counts alone. `best` finds
    the list in prose or in a code fence too, and refuses one rank for both.
    """
    ranks = listed_ranks(text, whole=mode == "reference")
    if ranks is None:
        return Unread("no list of ranks in it" if text.strip() else "the judge said nothing")
    first, second = ranks.get("model_1"), ranks.get("model_2")
    if first not in (1, 2):
        return Unread(f"model_1 has rank {first!r}, not 1 or 2")
    if mode == "best" and second == first:
        return Unread(f"both answers have rank {first!r}")
    if mode == "best" and second not in (1, 2, None):
        return Unread(f"model_2 has rank {second!r}, not 1 or 2")
    return float(first)


def preference_of(logprobs: Mapping[str, float], first: str = "m", second: str = "M") -> float | Unread:
    """AlpacaEval 2's preference, from the log-probabilities of the tokens that stand for the two answers.

    2 - P(first) / (P(first) + P(second)), from 1 (the first shown is better) to 2; a token that is not among the
    likeliest counts as impossible (`logprob_parser` of alpaca_eval 0.6.6).
    """
    known = [logprobs.get(token, -math.inf) for token in (first, second)]
    if any(math.isnan(value) or value > 1e-6 for value in known):
        return Unread(f"log-probabilities of {first} and {second} that are none: {known[0]!r}, {known[1]!r}")
    if (top := max(known)) == -math.inf:
        return Unread(f"neither {first} nor {second} is among the likeliest tokens")
    weights = [math.exp(value - top) for value in known]
    return 2 - weights[0] / sum(weights)


_NAMES: tuple[Verdict, ...] = ("A", "B", "C")


def _first_line(text: str) -> tuple[float, float] | Unread:
    words = text.split("\n")[0].replace(",", " ").split(" ")
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    return (numbers[0], numbers[1]) if len(numbers) == 2 else Unread("the first line is no pair of scores")


def _ascii(text: str) -> str:
    """With the digits of every script, and full-width signs, as ASCII has them."""
    if text.isascii():
        return text
    said = unicodedata.normalize("NFKC", text)
    return "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in said)


def _plain(line: str) -> str:
    """Without what Markdown puts around it."""
    return re.sub(r"[*_`#>]+", "", line).strip(" \t|")


Pair = tuple[tuple[float, str | None], tuple[float, str | None]]
"""Two numbers, each with what it is out of, if that is said."""


def _pair(line: str) -> Pair | None:
    bare = _LEAD.sub("", line).strip().rstrip(".。").strip()
    if bare[:1] in ("(", "[") and bare[-1:] in (")", "]"):
        bare = bare[1:-1].strip()
    match = _PAIR.fullmatch(bare)
    return _of(match.groups()) if match else None


def _of(groups: tuple[str | None, ...]) -> Pair:
    one, one_of, one_out_of, two, two_of, two_out_of = groups
    return (_number(one or ""), one_of or one_out_of), (_number(two or ""), two_of or two_out_of)


def _two_lines(lines: list[str]) -> Pair | None:
    return _pair(" ".join(lines[:2])) if all(_WHOLE.fullmatch(line) for line in lines[:2]) else None


def _tuple(lines: list[str]) -> Pair | None:
    """The last tuple that stands alone, or on a line that speaks of scores before it."""
    for line in reversed(lines):
        for match in reversed(list(_TUPLE.finditer(line))):
            alone = line is lines[-1] and match[0] == line.rstrip(".")
            if alone or _MARKED.search(line[: match.start()]):
                return _of(match.groups())
    return None


def _labelled(lines: list[str]) -> Pair | None:
    """Both scores by the assistants' numbers or letters; of several that differ, those of a summing-up."""
    for chosen in ([line for line in lines if _SUMMED_UP.search(line)], lines):
        sides = [
            {(_number(match[1]), match[2] or match[3]) for line in chosen for match in _LABELLED[side].finditer(line)}
            for side in ("1", "2")
        ]
        if len(sides[0]) == len(sides[1]) == 1:
            return sides[0].pop(), sides[1].pop()
    return None


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def _checked(pair: Pair) -> tuple[float, float] | Unread:
    one, two = (_in_range(*side) for side in pair)
    if isinstance(one, Unread):
        return one
    return two if isinstance(two, Unread) else (one, two)


def _in_range(value: float, of: str | None) -> float | Unread:
    if of is not None and int(of) != HIGHEST:
        return Unread(f"{value:g} of {of}, and it was asked for a score of {HIGHEST:g}")
    if not LOWEST <= value <= HIGHEST:
        return Unread(f"a score of {value:g}, outside {LOWEST:g} to {HIGHEST:g}")
    return value

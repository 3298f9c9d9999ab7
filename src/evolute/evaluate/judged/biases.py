"""Two faults that judges are known for: a liking for the answer shown first, and for the longer one.

Both are described in Zheng et al. 2023 (arXiv:2306.05685, section 3.3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import fsum
from statistics import correlation

from evolute.evaluate.statistics import Interval, wilson


@dataclass(frozen=True, slots=True)
class Bias:
    """How many of so many decided questions go one way, and the bounds (Wilson) of that share; 1/2 is no bias."""

    toward: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Of the decided questions."""
        return self.toward / self.of

    @property
    def found(self) -> bool:
        """Whether the interval leaves one half out."""
        return not self.low <= 0.5 <= self.high


@dataclass(frozen=True, slots=True)
class Consistency:
    """Pairs judged in both orders: so many of all are judged alike, with bounds (Wilson).

    `first` is the share, among those that are not, in which the answer fared better where it was shown first.
    """

    alike: int
    pairs: int
    low: float
    high: float
    first: Bias | None

    @property
    def share(self) -> float:
        """Of all pairs."""
        return self.alike / self.pairs


def consistency(pairs: Iterable[tuple[float, float]]) -> Consistency | None:
    """Position consistency; None where there is no pair.

    Args:
        pairs: what an answer came to (1 won, 0.5 tied, 0 lost) shown first, and the same answer shown second.
    """
    said = list(pairs)
    if not said:
        return None
    alike = sum(one == two for one, two in said)
    return Consistency(
        alike, len(said), *wilson(alike, len(said)), _bias([one > two for one, two in said if one != two])
    )


def means(values: Iterable[tuple[Hashable, float]]) -> dict[Hashable, float]:
    """The mean value of each question: judgments of one question, in both orders say, are no independent draws."""
    found: dict[Hashable, list[float]] = {}
    for question, value in values:
        found.setdefault(question, []).append(value)
    return {question: fsum(said) / len(said) for question, said in found.items()}


def first_bias(outcomes: Iterable[float]) -> Bias | None:
    """How often the answer that was shown first wins, of decided questions; None where none is decided.

    This speaks of the judge only where the order was drawn, or where both orders were judged.

    Args:
        outcomes: what the first answer came to, one value a question: above 0.5 it won, below it lost.
    """
    return _bias([value > 0.5 for value in outcomes if value != 0.5])


def length_bias(pairs: Iterable[tuple[float, float]]) -> Bias | None:
    """How often the longer answer wins, of decided questions with answers of unequal length; None where there is none.

    Longer answers may also be better ones: this is a reason to look, not a proof.

    Args:
        pairs: one a question: the lead of an answer over the other in characters, and what it came to: above 0.5 it
            won, below it lost.
    """
    return _bias([(lead > 0) == (value > 0.5) for lead, value in pairs if lead != 0 and value != 0.5])


def length_correlation(leads: Sequence[float], values: Sequence[float]) -> float | None:
    """Spearman's rank correlation (1904) of the lead in length with the outcome; None where either never varies.

    Unlike the share of `length_bias` it is not moved by an answerer that is longer and better throughout.
    """
    if len(set(leads)) < 2 or len(set(values)) < 2:
        return None
    return correlation(_ranks(leads), _ranks(values))


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0, equal values sharing the mean of theirs."""
    ranks: dict[float, float] = {}
    before = 0
    for value, count in sorted(Counter(values).items()):
        ranks[value] = before + (count - 1) / 2
        before += count
    return [ranks[value] for value in values]


def _bias(toward: Sequence[bool]) -> Bias | None:
    if not toward:
        return None
    return Bias(sum(toward), len(toward), *wilson(sum(toward), len(toward)))


def told(orders: Consistency | None, first: Bias | None, length: Bias | None, ranked: float | None = None) -> list[str]:
    """Notes for readers, a sentence each; a bias that the interval of a share cannot tell from none is said to be."""
    notes = []
    if orders is not None:
        notes.append(
            f"position consistency: {_percent(orders.share, (orders.low, orders.high))} of {orders.pairs} pairs "
            "judged alike in both orders"
        )
        if orders.first is not None:
            notes.append(f"of those judged unlike, the answer shown first gains in {_verdict(orders.first, 'pairs')}")
    if first is not None:
        notes.append(f"the answer shown first wins {_verdict(first, 'decided questions')}")
    if length is not None:
        rank = "" if ranked is None else f"; rank correlation of length and verdict {ranked:+.2f}"
        notes.append(f"the longer answer wins {_verdict(length, 'decided questions')}{rank}")
    return notes


def _verdict(bias: Bias, what: str) -> str:
    found = "more than chance" if bias.low > 0.5 else "less than chance" if bias.high < 0.5 else "as chance would"
    return f"{_percent(bias.share, (bias.low, bias.high))} of {bias.of} {what} ({found})"


def _percent(share: float, interval: Interval) -> str:
    return f"{100 * share:.1f} % [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"

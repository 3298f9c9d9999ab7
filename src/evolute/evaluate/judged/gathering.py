"""What the summaries of all judged benchmarks share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from evolute.evaluate.statistics import FEW, mean
from evolute.scores import COVERAGE, Measure, Outcome


def covered(scored: int, of: int) -> bool:
    """Whether enough is scored for a headline."""
    return scored > 0 and scored >= COVERAGE * of


def won(ours: float, theirs: float) -> float:
    """1 for a win, 0.5 for a tie, 0 for a loss."""
    return 0.5 if ours == theirs else float(ours > theirs)


def averaged(values: Sequence[float], most: float, clusters: Sequence[Hashable] | None = None) -> Measure:
    """A mean on a scale from 0 to `most`, with its t interval.

    Of few values it would leave the scale, and of few that are all alike it would claim to know: then there is none.
    """
    if not values:
        return Measure()
    found = mean(values, clusters)
    if found.low is None or found.high is None or (found.low == found.high and len(values) < FEW):
        return Measure(found.value)
    how = "t" if clusters is None else "clustered by question, t"
    return Measure(found.value, max(0.0, found.low), min(most, found.high), how)


def outcome_of(values: Iterable[float]) -> Outcome:
    """Wins, ties and losses of values as `won` gives them."""
    counts = Counter(values)
    return Outcome(counts[1.0], counts[0.5], counts[0.0])


def unscored_note(unscored: int, of: int) -> list[str]:
    """What a reader must know of missing verdicts; nothing where there is none."""
    if not unscored:
        return []
    note = f"unscored: {unscored} of {of}, each with its text among the items; they count for neither side"
    if not covered(of - unscored, of):
        note += f". No headline, since less than {COVERAGE:.0%} is scored"
    return [note]

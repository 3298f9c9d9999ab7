"""What the summaries of all judged benchmarks share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from evolute.scores import COVERAGE, Outcome


def covered(scored: int, of: int) -> bool:
    """Whether enough is scored for a headline."""
    return scored > 0 and scored >= COVERAGE * of


def won(ours: float, theirs: float) -> float:
    """1 for a win, 0.5 for a tie, 0 for a loss."""
    return 0.5 if ours == theirs else float(ours > theirs)


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

"""What any evaluation comes to: one number with its doubt, its parts, and every item behind it.

All benchmarks write this as `results.json` (some with more beside it); tables, pages and comparisons read nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Scale = Literal["%", "points", "ratio", "nats"]
FORMAT = 1
"""Of the JSON; a later one is refused."""
COVERAGE = 0.9
"""The share of items that must be scored for a headline: below it there is no number, only what is missing."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A number and the bounds of its 95 % interval, in the scale of its score; `how` names the interval's method.

    `value` is None where nothing may be said: no item, or too much unscored.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    how: str = ""

    def __post_init__(self) -> None:
        for number in (self.value, self.low, self.high):
            if number is not None and not math.isfinite(number):
                raise ValueError(f"no measure: {number!r}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Wins, ties and losses of the model against its opponent."""

    wins: int = 0
    ties: int = 0
    losses: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was scored.

    Args:
        id: the question's own, the same for every model, so that two results can be paired; unique within a result.
        score: in the scale of the result; None where it is unscored, or a ratio to nothing (see `is_scored`).
        groups: what it belongs to, by the name of the grouping: {"skill": "Math", "difficulty": "3"}.
        why: why it is unscored, with the judge's own words; hostile text, escape it where it is shown.
        cluster: items that are no independent draws share one (both turns of a dialogue); empty: the id.
        weights: (points of the model, points of its opponent), where the score is a ratio of sums.
    """

    id: str
    score: float | None
    groups: Mapping[str, str] = field(default_factory=dict)
    why: str = ""
    cluster: str = ""
    weights: tuple[float, float] | None = None

    @property
    def is_scored(self) -> bool:
        """Whether it counts. One with points against an opponent's 0 does, though it has no ratio of its own."""
        return self.score is not None or self.weights is not None


@dataclass(frozen=True, slots=True)
class Part:
    """One group of items: `by` is the grouping ("skill"), `name` the group ("Math")."""

    by: str
    name: str
    measure: Measure
    n: int
    unscored: int = 0
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """What one model came to on one benchmark.

    Args:
        benchmark: its name on the command line, "mt-bench".
        model: who was scored.
        metric: what the number is, "pass@1", "win rate", "acc_norm", "ratio of summed scores".
        scale: "%" (a fraction times 100), "points" (of 10), "ratio" (a percentage of the opponent's score), or "nats"
            (a loss: less is better).
        measure: the headline. Its value is None where less than `COVERAGE` of the items is scored.
        n: items that are scored.
        unscored: items that are not: a missing or unreadable verdict, an answer that could not be had.
        against: the opponent, or who the reference answers are from.
        judge: who judged.
        outcome: wins, ties and losses, where there is an opponent.
        parts: by skill, category, turn, subject, difficulty …
        also: further numbers with their names: "macro average over skills", "acc".
        notes: what a reader must know, a sentence each: "approximate: …".
        items: every item.
        ran: exactly what was run: prompts with their hashes, versions, seeds, sampling, data with its hash.
        cost: US dollars, None where unknown; `calls` those of all sessions.
    """

    benchmark: str
    model: str
    metric: str
    scale: Scale
    measure: Measure
    n: int
    unscored: int = 0
    against: str = ""
    judge: str = ""
    outcome: Outcome | None = None
    parts: Sequence[Part] = ()
    also: Mapping[str, Measure] = field(default_factory=dict)
    notes: Sequence[str] = ()
    items: Sequence[Item] = ()
    ran: Mapping[str, Any] = field(default_factory=dict)
    cost: float | None = None
    calls: int = 0

    def to_json(self) -> dict[str, Any]:
        """As `results.json` has it, under the key "score" of the file."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Score:
        """What `to_json` wrote.

        Raises:
            ValueError, TypeError, LookupError: it did not.
        """
        fields = dict(said)
        if (version := fields.pop("format")) != FORMAT:
            raise ValueError(f"results of format {version!r}; this version of Evolute reads {FORMAT}")
        fields["measure"] = Measure(**fields["measure"])
        fields["outcome"] = _outcome(fields["outcome"])
        fields["parts"] = tuple(
            Part(**{**part, "measure": Measure(**part["measure"]), "outcome": _outcome(part["outcome"])})
            for part in fields["parts"]
        )
        fields["also"] = {name: Measure(**measure) for name, measure in fields["also"].items()}
        fields["items"] = tuple(
            Item(**{**item, "weights": tuple(item["weights"]) if item["weights"] else None}) for item in fields["items"]
        )
        return cls(**fields)


def _outcome(said: Mapping[str, int] | None) -> Outcome | None:
    return None if said is None else Outcome(**said)

"""Answers that were run on tests: how many passed, and of each, why it did or did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

import orjson

from evolute.ledger import Reader
from evolute.verify import in_words

SHOWN = 200
"""Answers told one by one; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: the task, whether its row is in the dataset, and how verifying it went, in words."""

    round: int
    operation: str
    task: str
    kept: bool
    verified: bool
    said: str


@dataclass(slots=True)
class Verifications:
    """`verified` of them, `unverified` by reason, by round (verified, all), and the first answers in seed order."""

    verified: int = 0
    unverified: Counter[str] = field(default_factory=Counter)
    rounds: dict[int, tuple[int, int]] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)

    @property
    def tried(self) -> int:
        """All answers that were to be verified."""
        return self.verified + self.unverified.total()


def verifications(reader: Reader, hidden: Collection[str] = ()) -> Verifications:
    """What became of the answers that were to be verified; those of the seeds in `hidden` (ids) are only counted."""
    found = Verifications()
    for id_, round_, operation, reason, task, note in reader.select(
        """SELECT s.id, d.round, d.operation, d.reason, coalesce(d.instruction, e.text, s.instruction), d.verification
        FROM candidates d JOIN seeds s ON s.position = d.seed LEFT JOIN calls e ON e.key = d.evolve_call
        WHERE d.verification IS NOT NULL ORDER BY d.seed, d.round, d.slot, d.attempt"""
    ):
        why = orjson.loads(note)["reason"]
        if why:
            found.unverified[why] += 1
        else:
            found.verified += 1
        good, all_ = found.rounds.get(round_, (0, 0))
        found.rounds[round_] = (good + (not why), all_ + 1)
        if len(found.answers) < SHOWN and f"s1-{id_.hex()}" not in hidden:
            found.answers.append(Answer(round_, operation, task.strip(), not reason, not why, in_words(note)))
    return found

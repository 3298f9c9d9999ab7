"""How far an evolution with a barrier between its rounds has come. Without one, a ledger says nothing of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from evolute.ledger.reader import ROUNDS, Reader
from evolute.ledger.store import Ledger


@dataclass(frozen=True, slots=True)
class Rounds:
    """`grown` is the round that all lineages have reached or are on their way to, and `scores` has the rounds' scores.

    `last` is the dataset's last round, once that is decided: later ones are rolled back, and stay in the ledger.
    `first` is the round that was scored first, and `command` what scored: another's have another scale.
    """

    grown: int
    scores: Mapping[int, float] = field(default_factory=dict)
    last: int | None = None
    first: int = 1
    command: str = field(default="", compare=False)

    @classmethod
    def read(cls, reader: Reader) -> Rounds | None:
        """What the ledger says; None where no barrier was declared when the run was last evolved."""
        if (text := reader.meta(ROUNDS)) is None:
            return None
        said = orjson.loads(text)
        scores = {int(round_): score for round_, score in said["scores"].items()}
        return cls(said["grown"], scores, said["last"], said["first"], said["command"])

    def note(self, ledger: Ledger) -> None:
        """Record it."""
        ledger.note(ROUNDS, self._text())

    def begin(self, ledger: Ledger, *, anew: bool = False) -> None:
        """Record it, and let all lineages grow on; `anew`: from the start, on the recorded calls."""

        def job(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM lineages")
            if anew:
                db.execute("DELETE FROM candidates")
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (ROUNDS, self._text()))

        ledger.transact(job)
        ledger.has_history = True  # what this very session recorded is asked for again

    def _text(self) -> str:
        scores = {str(round_): score for round_, score in sorted(self.scores.items())}
        said = {"grown": self.grown, "scores": scores, "last": self.last, "first": self.first, "command": self.command}
        return orjson.dumps(said).decode()


def forget(ledger: Ledger) -> None:
    """The barrier is gone from the recipe: all lineages grow on to the recipe's last round."""

    def job(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM lineages")
        db.execute("DELETE FROM meta WHERE name = ?", (ROUNDS,))

    ledger.transact(job)

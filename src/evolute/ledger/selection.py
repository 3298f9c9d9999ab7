"""The ledger's tables of a selection: what was measured, dropped, flagged and marked, by a row's number.

A row's number is its place in the dataset, from 0 in seed order. All of it is valid for one dataset: `stamp` names it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from evolute.batches import batched
from evolute.ledger.reader import Reader
from evolute.ledger.rows import FindingRow, GradeRow, SampleRow
from evolute.ledger.store import Ledger
from evolute.records import Row

_FINDING = "row, reason, score, other, coalesce(evidence, '')"
_NOTE = "selection"
_VECTORS_AT_ONCE = 500


class SelectionReader:
    """Reads a run's selection."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def stamp(self) -> str:
        """Names the dataset as it stands: the recipe that made it, and how far it has come."""
        (candidates,) = next(self.reader.select("SELECT count(*) FROM candidates"))
        last = self.reader.last_round()
        rolled_back = "" if last is None else f":{last}"
        return f"{self.reader.meta('fingerprint') or ''}:{candidates}:{self.reader.finished_count()}{rolled_back}"

    def note(self) -> dict[str, Any] | None:
        """What the last selection said of itself (`stamp`, `rows`, `kept`, …); None where there was none."""
        text = self.reader.meta(_NOTE)
        return None if text is None else dict(orjson.loads(text))

    def is_current(self) -> bool:
        """Whether the last selection was made of the dataset as it stands."""
        note = self.note()
        return note is not None and note["stamp"] == self.stamp()

    def step(self, name: str, key: str) -> dict[str, Any] | None:
        """The note of what a step measured; None where it has not measured under `key`."""
        for (note,) in self.reader.select("SELECT note FROM steps WHERE name = ? AND key = ?", name, key):
            return dict(orjson.loads(note))
        return None

    def findings(self, name: str) -> Iterator[FindingRow]:
        """What a step found, in row order."""
        rows = self.reader.select(
            f"SELECT {_FINDING} FROM findings WHERE step = (SELECT id FROM steps WHERE name = ?) ORDER BY row, other",
            name,
        )
        return (FindingRow(*row) for row in rows)

    def dropped(self) -> Iterator[FindingRow]:
        """The rows that the selection dropped, in order, each with what decided it."""
        return (FindingRow(*row) for row in self.reader.select(f"SELECT {_FINDING} FROM unselected ORDER BY row"))

    def flags(self) -> Iterator[FindingRow]:
        """What was flagged, in row order; a row may have several flags, and be dropped as well."""
        return (FindingRow(*row) for row in self.reader.select(f"SELECT {_FINDING} FROM flags ORDER BY row, rowid"))

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """How many rows were dropped and how many flags were set, by reason."""
        dropped, flagged = (
            Counter(dict(self.reader.select(f"SELECT reason, count(*) FROM {table} GROUP BY reason")))
            for table in ("unselected", "flags")
        )
        return dropped, flagged

    def grades(self, kind: str) -> Iterator[GradeRow]:
        """The marks of a kind (`difficulty`, `complexity`, `quality`, `prompt-tokens`, `response-tokens`)."""
        rows = self.reader.select(
            "SELECT row, value, coalesce(evidence, ''), call FROM grades WHERE kind = ? ORDER BY row", kind
        )
        return (GradeRow(*row) for row in rows)

    def samples(self) -> Iterator[SampleRow]:
        """Responses that were marked against each other, in row order."""
        rows = self.reader.select("SELECT row, sample, call, score FROM samples ORDER BY row, sample")
        return (SampleRow(*row) for row in rows)

    def rows(self) -> Iterator[tuple[int, Row]]:
        """The selected rows in seed order, with their numbers."""
        gone = self.reader.select("SELECT row FROM unselected ORDER BY row")
        (out,) = next(gone, (-1,))
        for number, row in enumerate(self.reader.dataset()):
            if number == out:
                (out,) = next(gone, (-1,))
            else:
                yield number, row


class SelectionWriter:
    """Writes a run's selection; each method is one transaction."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def keep_step(
        self,
        name: str,
        key: str,
        note: Mapping[str, Any],
        findings: Iterable[FindingRow],
        marks: Mapping[str, Iterable[GradeRow]],
    ) -> None:
        """Record what a step measured, with the marks that it gave by kind, in the place of what it measured before."""

        def job(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM findings WHERE step = (SELECT id FROM steps WHERE name = ?)", (name,))
            db.execute("DELETE FROM steps WHERE name = ?", (name,))
            step = db.execute(
                "INSERT INTO steps (name, key, note) VALUES (?, ?, ?)", (name, key, _json(note))
            ).lastrowid
            db.executemany("INSERT INTO findings VALUES (?, ?, ?, ?, ?, ?)", ((step, *_stored(f)) for f in findings))
            _keep_marks(db, marks)

        self._ledger.transact(job)

    def keep_selection(
        self,
        note: Mapping[str, Any],
        dropped: Iterable[tuple[str, FindingRow]],
        flags: Iterable[tuple[str, FindingRow]],
        marks: Mapping[str, Iterable[GradeRow]],
        samples: Iterable[SampleRow],
    ) -> None:
        """Record a selection, in the place of the one before.

        Args:
            note: what it says of itself.
            dropped: (step, finding) of each row that is dropped.
            flags: (step, finding) of each flag.
            marks: the grader's marks, by kind.
            samples: responses that were marked against each other.
        """

        def job(db: sqlite3.Connection) -> None:
            for table, entries in (("unselected", dropped), ("flags", flags)):
                db.execute(f"DELETE FROM {table}")
                db.executemany(
                    f"INSERT INTO {table} (row, step, reason, score, other, evidence) VALUES (?, ?, ?, ?, ?, ?)",
                    ((f.row, step, *_stored(f)[1:]) for step, f in entries),
                )
            _keep_marks(db, marks)
            db.execute("DELETE FROM samples")
            db.executemany("INSERT INTO samples VALUES (?, ?, ?, ?)", samples)
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_NOTE, _json(note)))

        self._ledger.transact(job)


class LedgerVectors:
    """An encoder's vectors in the ledger, so that none is paid for twice."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those that are there."""
        found: dict[bytes, bytes] = {}
        for some in batched(keys, _VECTORS_AT_ONCE):
            marks = ", ".join("?" * len(some))
            found.update(self._ledger.reader.select(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", *some))
        return found

    def put(self, vectors: Mapping[bytes, bytes]) -> None:
        """Make them durable."""
        self._ledger.transact(lambda db: db.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", vectors.items()))


def _keep_marks(db: sqlite3.Connection, marks: Mapping[str, Iterable[GradeRow]]) -> None:
    for kind, grades in marks.items():
        db.execute("DELETE FROM grades WHERE kind = ?", (kind,))
        db.executemany(
            "INSERT INTO grades VALUES (?, ?, ?, ?, ?)",
            ((kind, grade.row, grade.value, grade.evidence or None, grade.call) for grade in grades),
        )


def _stored(finding: FindingRow) -> tuple[Any, ...]:
    return (finding.row, finding.reason, finding.score, finding.other, finding.evidence or None)


def _json(note: Mapping[str, Any]) -> str:
    return orjson.dumps(note).decode()

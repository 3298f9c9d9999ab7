"""Batches in the ledger: what is about to be submitted, what waits at a provider, and what has come back."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from evolute.ledger.reader import Reader
from evolute.ledger.store import Ledger
from evolute.records import tagged_hash

OPEN = ("intended", "submitted")
"""The states of a batch that may still bring answers; every other state is one that it ended in."""

_BATCH = "id, name, place, state, provider_id, requests, answered, created, submitted, ended, coalesce(detail, '')"
_IS_OPEN = "state IN ('intended', 'submitted')"
_MOST_VALUES = 500  # SQLite takes 999 values in a statement, older ones too


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch as it is recorded. Times are Unix times; `provider_id` is None until the provider has confirmed it."""

    id: int
    name: str
    place: str
    state: str
    provider_id: str | None
    requests: int
    answered: int
    created: float
    submitted: float | None
    ended: float | None
    detail: str

    @property
    def is_open(self) -> bool:
        """Whether it may still bring answers."""
        return self.state in OPEN

    @property
    def since(self) -> float:
        """When it was submitted, as far as that is known."""
        return self.submitted or self.created


@dataclass(frozen=True, slots=True)
class Asked:
    """A request in a batch: its call's key, the role, and the identity under which its completion is recorded."""

    key: bytes
    role: str
    identity: bytes


def batched_identity(identity: bytes, share: float) -> bytes:
    """The identity under which calls that came in batches are recorded: by it, their totals stand apart."""
    return tagged_hash("batched-1", identity, repr(float(share)))


def batches(reader: Reader, *, only_open: bool = False) -> list[BatchRow]:
    """All batches of a run, or the open ones, in the order in which they were made."""
    where = f"WHERE {_IS_OPEN}" if only_open else ""
    return [BatchRow(*row) for row in reader.select(f"SELECT {_BATCH} FROM batches {where} ORDER BY id")]


def askers(reader: Reader) -> set[bytes]:
    """Whose batches are open."""
    return {asker for (asker,) in reader.select(f"SELECT DISTINCT asker FROM batches WHERE {_IS_OPEN}")}


def orphaned(reader: Reader, askers: Collection[bytes]) -> int:
    """Requests in open batches of none of these askers, which nobody fetches."""
    found = reader.select(f"SELECT asker, sum(requests) FROM batches WHERE {_IS_OPEN} GROUP BY asker")
    return sum(requests for asker, requests in found if asker not in askers)


class BatchBook:
    """The batches of one asker at one place.

    Args:
        ledger: where they are recorded.
        asker: hash of the model as the recipe has it.
        place: the provider.
    """

    def __init__(self, ledger: Ledger, asker: bytes, place: str) -> None:
        self._ledger = ledger
        self._asker, self._place = asker, place

    def open(self) -> list[BatchRow]:
        """Those that may still bring answers."""
        return self._mine("AND place = ?", self._place)

    def elsewhere(self) -> list[BatchRow]:
        """Open ones of this asker at other places, which cannot be fetched here."""
        return self._mine("AND place != ?", self._place)

    def known_ids(self) -> set[str]:
        """The provider's ids of all batches, ended ones too."""
        return {id for (id,) in self._ledger.reader.select("SELECT provider_id FROM batches") if id is not None}

    def is_pending(self, key: bytes) -> bool:
        """Whether an open batch holds this call."""
        found = self._ledger.reader.select(
            f"""SELECT 1 FROM batch_requests r JOIN batches b ON b.id = r.batch
            WHERE r.key = ? AND {_IS_OPEN} AND b.asker = ? AND b.place = ?""",
            key, self._asker, self._place,
        )  # fmt: skip
        return next(found, None) is not None

    def introduce(self) -> None:
        """Introduce the models of all open requests, under which their completions will be recorded."""
        found = self._ledger.reader.select(
            f"""SELECT DISTINCT r.role, m.identity, m.name, m.share FROM batches b JOIN batch_requests r
            ON r.batch = b.id JOIN models m ON m.id = r.model WHERE b.{_IS_OPEN}"""
        )
        for role, identity, name, share in list(found):
            self._ledger.add_model(role, identity, name, share)

    def intend(self, name: str, requests: Sequence[Asked]) -> BatchRow:
        """Record that a batch is about to be submitted; returns once that is on the disk."""

        def job(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO batches (name, asker, place, state, requests, created) VALUES (?, ?, ?, ?, ?, ?)",
                (name, self._asker, self._place, "intended", len(requests), time.time()),
            )
            (batch,) = db.execute("SELECT id FROM batches WHERE name = ?", (name,)).fetchone()
            models = dict(db.execute("SELECT identity, id FROM models"))
            db.executemany(
                "INSERT INTO batch_requests (key, batch, role, model) VALUES (?, ?, ?, ?)",
                ((asked.key, batch, asked.role, models[asked.identity]) for asked in requests),
            )

        self._ledger.transact(job)
        return self._named(name)

    def confirm(self, batch: BatchRow, provider_id: str) -> BatchRow:
        """Record the provider's id of a batch."""
        self._ledger.transact(
            lambda db: db.execute(
                "UPDATE batches SET state = 'submitted', provider_id = ?, submitted = ? WHERE id = ?",
                (provider_id, time.time(), batch.id),
            )
        )
        return self._named(batch.name)

    def disown(self, batch: BatchRow) -> BatchRow:
        """Record that the batch found at the provider was another's."""
        self._ledger.transact(
            lambda db: db.execute(
                "UPDATE batches SET state = 'intended', provider_id = NULL, submitted = NULL WHERE id = ?", (batch.id,)
            )
        )
        return self._named(batch.name)

    def progressed(self, batch: BatchRow, answered: int, detail: str) -> None:
        """Record how far the provider says that it is."""
        self._ledger.transact(
            lambda db: db.execute(
                "UPDATE batches SET answered = ?, detail = ? WHERE id = ?", (answered, detail[:300] or None, batch.id)
            )
        )

    def asked(self, batch: BatchRow, keys: Iterable[bytes]) -> dict[bytes, Asked]:
        """Those of the keys that the batch holds and that have not been answered."""
        wanted, found = list(keys), {}
        for start in range(0, len(wanted), _MOST_VALUES):
            part = wanted[start : start + _MOST_VALUES]
            for key, role, identity in self._ledger.reader.select(
                f"""SELECT r.key, r.role, m.identity FROM batch_requests r JOIN models m ON m.id = r.model
                LEFT JOIN calls c ON c.key = r.key
                WHERE r.batch = ? AND r.key IN ({", ".join("?" * len(part))}) AND c.key IS NULL""",
                batch.id, *part,
            ):  # fmt: skip
                found[key] = Asked(key, role, identity)
        return found

    def holds_any(self, batch: BatchRow, keys: Iterable[bytes]) -> bool:
        """Whether the batch holds one of the keys, answered or not."""
        sql = "SELECT 1 FROM batch_requests WHERE batch = ? AND key = ?"
        return any(next(self._ledger.reader.select(sql, batch.id, key), None) is not None for key in keys)

    def unanswered(self, batch: BatchRow) -> list[bytes]:
        """The keys of the batch's requests that no call in the ledger answers."""
        return [
            key
            for (key,) in self._ledger.reader.select(
                """SELECT r.key FROM batch_requests r LEFT JOIN calls c ON c.key = r.key
                WHERE r.batch = ? AND c.key IS NULL""",
                batch.id,
            )
        ]

    def end(self, batch: BatchRow, state: str, detail: str = "") -> list[bytes]:
        """Record that nothing more will come of a batch; the keys of what it has not answered."""
        left = self.unanswered(batch)

        def job(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM batch_requests WHERE batch = ?", (batch.id,))
            db.execute(
                "UPDATE batches SET state = ?, answered = ?, ended = ?, detail = ? WHERE id = ?",
                (state, batch.requests - len(left), time.time(), detail[:300] or None, batch.id),
            )

        self._ledger.transact(job)
        return left

    def _mine(self, where: str, *values: object) -> list[BatchRow]:
        rows = self._ledger.reader.select(
            f"SELECT {_BATCH} FROM batches WHERE {_IS_OPEN} AND asker = ? {where} ORDER BY id", self._asker, *values
        )
        return [BatchRow(*row) for row in rows]

    def _named(self, name: str) -> BatchRow:
        return BatchRow(*next(self._ledger.reader.select(f"SELECT {_BATCH} FROM batches WHERE name = ?", name)))

"""Instructions that other lineages have kept: an opt-in look for duplicates before an answer is paid for.

Which of two equal instructions comes first depends on timing. So a verdict that the ledger holds, for or against, is
taken from there and never reached again: a replay, a verify and a resumed run come to what was decided.
"""

from __future__ import annotations

from typing import Protocol

import orjson

from evolute.ledger import Reader
from evolute.ledger.rows import instruction_name, seed_name
from evolute.records import Finding, Reason, Seed, tagged_hash
from evolute.text.words import normalised

Place = tuple[int, int, int, int]
"""Seed, round, slot and attempt: where a candidate stands."""


class Seen(Protocol):
    """Knows what was kept elsewhere."""

    def find(self, place: Place, id_: bytes, text: str) -> Finding | None:
        """The verdict on an instruction that equals one kept elsewhere."""
        ...

    def keep(self, name: str, text: str) -> None:
        """Take note of an instruction that is kept."""
        ...


class Remembered:
    """Remembers by 16-byte hashes of the words; begins with what the ledger holds."""

    def __init__(self, reader: Reader) -> None:
        self._first: dict[bytes, str] = {}
        for _, seed in reader.seeds():
            self.keep_seed(seed)
        for id_, text in reader.select(
            """SELECT d.id, coalesce(d.instruction, e.text) FROM candidates d LEFT JOIN calls e ON e.key = d.evolve_call
            WHERE d.reason IS NULL AND d.round > 0 ORDER BY d.seed, d.round, d.slot, d.attempt"""
        ):
            self.keep(instruction_name(id_), text)
        # Only lineages that are not finished are grown again.
        self._kept: set[Place] = set(
            reader.select(
                """SELECT seed, round, slot, attempt FROM candidates WHERE reason IS NULL AND round > 0
                AND seed NOT IN (SELECT seed FROM lineages WHERE why IS NULL)"""
            )
        )
        self._dropped = Verdicts(reader)

    def find(self, place: Place, id_: bytes, text: str) -> Finding | None:
        """The verdict that the ledger holds, or a new one."""
        if (before := self._dropped.find(place, id_, text)) is not None:
            return before
        first = self._first.get(_key(text))
        if place in self._kept or first is None or first == instruction_name(id_):
            return None
        return Finding(Reason.DUPLICATE, {"of": first})

    def keep(self, name: str, text: str) -> None:
        """Take note; the first of equal ones stays."""
        self._first.setdefault(_key(text), name)

    def keep_seed(self, seed: Seed) -> None:
        """Take note of a seed."""
        self.keep(seed_name(seed.id), seed.text)


class Verdicts:
    """The verdicts that a ledger holds, and no others."""

    def __init__(self, reader: Reader) -> None:
        rows = reader.select(
            "SELECT seed, round, slot, attempt, evidence FROM candidates WHERE reason = ?", Reason.DUPLICATE.value
        )
        self._found: dict[Place, str] = {
            (seed, round_, slot, attempt): said for seed, round_, slot, attempt, said in rows
        }

    def find(self, place: Place, id_: bytes, text: str) -> Finding | None:
        """The verdict of the ledger."""
        evidence = self._found.get(place)
        return None if evidence is None else Finding(Reason.DUPLICATE, orjson.loads(evidence))

    def keep(self, name: str, text: str) -> None:
        """Nothing to note: the ledger knows."""


def _key(text: str) -> bytes:
    return tagged_hash("seen-1", normalised(text) or text.strip())

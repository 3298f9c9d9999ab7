"""Shards: ranges of seeds, cut once, named by their first and last position and a hash of the seeds' ids."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evolute.errors import InputError
from evolute.ledger import Reader
from evolute.records import tagged_hash
from evolute.scale.segments import SEEDS, encode, seed_rows
from evolute.scale.sink import Sink

MOST = 5_000
"""Seeds in a shard, at most, where nothing else is asked for."""
PER_WORKER = 4
"""Shards for each worker, at least, where there are so many seeds: then a slow one holds up little."""

_NAME = re.compile(r"(\d{12})-(\d{12})-([0-9a-f]{16})")


@dataclass(frozen=True, slots=True)
class Shard:
    """The seeds at the positions `first` to `last`."""

    first: int
    last: int
    digest: str

    @property
    def name(self) -> str:
        """The shard's id, in the order of positions."""
        return f"{self.first:012}-{self.last:012}-{self.digest}"

    @property
    def file(self) -> str:
        """Where the sink has the shard's seeds."""
        return f"{SEEDS}/{self.name}.parquet"

    @classmethod
    def parse(cls, name: str) -> Shard:
        """The shard of a name, or of a file in the sink.

        Raises:
            InputError: no shard is called so.
        """
        found = _NAME.search(name)
        if found is None:
            raise InputError(
                f"the sink holds {name!r}, which is no shard of seeds: give a --sink of its own to each run"
            )
        return cls(int(found[1]), int(found[2]), found[3])

    def unfinished(self, reader: Reader) -> list[int]:
        """The positions whose lineages are not finished."""
        rows = reader.select(
            """SELECT s.position FROM seeds s LEFT JOIN lineages l ON l.seed = s.position
            WHERE s.position BETWEEN ? AND ? AND (l.seed IS NULL OR l.why IS NOT NULL) ORDER BY s.position""",
            self.first,
            self.last,
        )
        return [position for (position,) in rows]


def size_for(seeds: int, workers: int) -> int:
    """Seeds in a shard: what gives each worker a few of them, and no more than `MOST`."""
    return max(1, min(MOST, -(-seeds // (workers * PER_WORKER))))


def shards_in(sink: Sink, reader: Reader) -> list[Shard]:
    """The shards that the sink has.

    Raises:
        InputError: they are of other seeds than the run's.
        LedgerError: the sink cannot be read.
    """
    shards = [Shard.parse(name) for name in sink.names(SEEDS)]
    for shard in shards:
        if digest(reader, shard.first, shard.last) != shard.digest:
            raise InputError(
                f"the sink {sink.url} holds the shards of other seeds (from the {shard.first:,}. on): give this run a "
                "--sink of its own, or read the same seeds again"
            )
    return shards


def cut(reader: Reader, sink: Sink, size: int, there: Sequence[Shard] | None = None) -> list[Shard]:
    """All shards of a run: those that the sink has, and the seeds behind these in new ones of `size`, written there.

    `there` are the first ones, as `shards_in` gave them; None: they are looked for.

    Raises:
        InputError: the sink holds shards of other seeds.
        LedgerError: the sink cannot be read or written.
    """
    shards = shards_in(sink, reader) if there is None else [*there]
    after = max((shard.last for shard in shards), default=0)
    for first, last in _ranges(after, reader.last_position(), size):
        shard = Shard(first, last, digest(reader, first, last))
        sink.put(shard.file, encode(SEEDS, list(seed_rows(reader, first, last))))
        shards.append(shard)
    return sorted(shards, key=lambda shard: shard.first)


def digest(reader: Reader, first: int, last: int) -> str:
    """A hash of the ids of the seeds from one position to another."""
    ids: Sequence[bytes] = [
        row[0]
        for row in reader.select("SELECT id FROM seeds WHERE position BETWEEN ? AND ? ORDER BY position", first, last)
    ]
    return tagged_hash("shard-1", *ids).hex()[:16]


def _ranges(after: int, last: int, size: int) -> Iterator[tuple[int, int]]:
    for first in range(after + 1, last + 1, size):
        yield first, min(last, first + size - 1)

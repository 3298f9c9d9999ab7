"""Samples that depend on the seed and the rows' ids alone, never on the order or the timing of a run."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from evolute.records import tagged_hash

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def draw(seed: int, id_: str | bytes) -> int:
    """A uniform 64-bit number for a row under a seed: those with the least are the sample."""
    return int.from_bytes(tagged_hash("report-1", seed, id_)[:8], "big")


def allocate(counts: Mapping[K, int], total: int) -> dict[K, int]:
    """How many to draw from each stratum: equal shares, and what a small one cannot fill goes to the others."""
    shares: dict[K, int] = {}
    left = total
    for place, (name, count) in enumerate(sorted(counts.items(), key=lambda pair: pair[1])):
        shares[name] = min(count, left // (len(counts) - place))
        left -= shares[name]
    return shares


@dataclass(slots=True)
class Lowest(Generic[T]):
    """Keeps the `size` values with the lowest keys, in little memory; of equal keys, those that came first."""

    size: int
    _heap: list[tuple[float, int, T]] = field(default_factory=list)
    _seen: int = 0

    def admits(self, key: float) -> bool:
        """Whether a value with this key would be kept: ask before making it."""
        return self.size > 0 and (len(self._heap) < self.size or -self._heap[0][0] > key)

    def add(self, key: float, value: T) -> None:
        """Offer a value."""
        if not self.admits(key):
            return
        self._seen += 1
        entry = (-key, -self._seen, value)
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heapreplace(self._heap, entry)

    def values(self) -> list[T]:
        """What was kept, lowest key first."""
        return [value for _, _, value in sorted(self._heap, key=lambda entry: (-entry[0], -entry[1]))]

    def keyed(self) -> list[tuple[float, T]]:
        """What was kept with its keys, lowest first."""
        return [(-key, value) for key, _, value in sorted(self._heap, key=lambda entry: (-entry[0], -entry[1]))]

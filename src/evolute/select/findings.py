"""What a step measured on a stream of rows, and which rows that drops at a threshold.

Rows are numbered from 0 in the order in which they came (seed order, for a run). Measuring is apart from deciding, so
that one can look again with another threshold without measuring again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from evolute.records import Reason

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hit:
    """Something found on one row. A higher `score` is a stronger case; rules that know no degrees give 1.

    `other` is the earlier row that it is like, where that is what was found.
    """

    row: int
    reason: Reason
    score: float = 1.0
    evidence: Mapping[str, Any] = field(default_factory=dict)
    other: int | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """What a step keeps and drops of `count` rows; `dropped` is in row order, with at most one hit a row."""

    count: int
    dropped: Sequence[Hit]

    @property
    def kept(self) -> list[int]:
        """The numbers of the rows that are kept, in order."""
        gone = {hit.row for hit in self.dropped}
        return [row for row in range(self.count) if row not in gone]

    def of(self, rows: Iterable[T]) -> Iterator[T]:
        """The kept ones of the rows that were measured, given again in the same order."""
        gone = {hit.row for hit in self.dropped}
        return (row for number, row in enumerate(rows) if number not in gone)


@dataclass(frozen=True, slots=True)
class Hits:
    """What a rule found on `count` rows, each by itself; `hits` are in row order and may be several a row."""

    count: int
    hits: Sequence[Hit]

    def select(
        self, threshold: float = 0.0, *, gone: Collection[int] = (), reasons: Collection[Reason] | None = None
    ) -> Selection:
        """Drop each row with a hit at `threshold` or above: the strongest one, the first among equals.

        Args:
            threshold: the least score that counts.
            gone: rows that an earlier step has dropped; they are not dropped again.
            reasons: only hits for these count.
        """
        worst: dict[int, Hit] = {}
        for hit in self.hits:
            if hit.score < threshold or hit.row in gone or (reasons is not None and hit.reason not in reasons):
                continue
            if hit.row not in worst or hit.score > worst[hit.row].score:
                worst[hit.row] = hit
        return Selection(self.count, [worst[row] for row in sorted(worst)])


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of like rows among `count`, as three columns sorted by (later, earlier); `earlier` < `later`.

    All pairs found that score at least `floor` are here, so any threshold from `floor` up can be looked at.
    """

    reason: Reason
    count: int
    floor: float
    earlier: NDArray[np.int64]
    later: NDArray[np.int64]
    score: NDArray[np.float32]

    def between(self, groups: Sequence[Any] | NDArray[Any]) -> Pairs:
        """Only the pairs of rows of different groups (lineages, say); `groups` has one value per row."""
        codes = np.unique(np.asarray(groups), return_inverse=True)[1]
        keep = codes[self.earlier] != codes[self.later]
        return Pairs(self.reason, self.count, self.floor, self.earlier[keep], self.later[keep], self.score[keep])

    def within(self, groups: Sequence[Any] | NDArray[Any]) -> Pairs:
        """Only the pairs of rows of the same group (the same conversation before them, say)."""
        codes = np.unique(np.asarray(groups), return_inverse=True)[1]
        keep = codes[self.earlier] == codes[self.later]
        return Pairs(self.reason, self.count, self.floor, self.earlier[keep], self.later[keep], self.score[keep])

    def select(self, threshold: float, *, gone: Collection[int] = ()) -> Selection:
        """Go through the rows in order, and drop each that is like an earlier one which is kept.

        Args:
            threshold: the least score at which two rows count as like; from `floor` up.
            gone: rows that an earlier step has dropped: not dropped again, and no reason to drop another.

        Raises:
            ValueError: the threshold is below the floor, where not all pairs are known.
        """
        if threshold < self.floor:
            raise ValueError(f"pairs are known from {self.floor} up, the threshold is {threshold}: measure again")
        out = np.zeros(self.count, dtype=bool)
        out[list(gone)] = True
        dropped = []
        close = self.score >= np.float32(threshold)
        columns = (self.later[close].tolist(), self.earlier[close].tolist(), self.score[close].tolist())
        for later, earlier, score in zip(*columns, strict=True):
            if not out[later] and not out[earlier]:
                out[later] = True
                dropped.append(Hit(later, self.reason, score, other=earlier))
        return Selection(self.count, dropped)

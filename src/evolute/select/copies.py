"""Pairs among rows of which many are equal, without a pair for each two equal rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evolute.records import Reason
from evolute.select.findings import Hit, Pairs, Selection


@dataclass(frozen=True, slots=True, eq=False)
class Copies(Pairs):
    """Pairs among rows that fall into classes of equal ones; a class is known by its first row.

    Ten thousand copies make fifty million pairs. Here the columns link each copy to the first of its class, and the
    first rows to each other. `select` decides as if every copy stood in all the pairs of its class, so that nothing
    is lost when the first row is gone, dropped for a third row, or of the same group.
    """

    first: NDArray[np.int64]
    """For each row, the first row that equals it: mostly the row itself."""
    links: Pairs
    """The pairs of first rows, whatever their groups."""
    groups: NDArray[np.int64] | None = None
    """Where given, only rows of different groups count as like."""

    @classmethod
    def of(cls, first: NDArray[np.int64], links: Pairs) -> Copies:
        """The copies that `first` tells of, and the pairs `links` between first rows."""
        copies = np.flatnonzero(first != np.arange(len(first)))
        later = np.concatenate([links.later, copies])
        earlier = np.concatenate([links.earlier, first[copies]])
        score = np.concatenate([links.score, np.ones(len(copies), dtype=np.float32)])
        order = np.lexsort((earlier, later))
        columns = earlier[order], later[order], score[order]
        return cls(links.reason, links.count, links.floor, *columns, first=first, links=links)

    def between(self, groups: Sequence[Any] | NDArray[Any]) -> Copies:
        """Only the pairs of rows of different groups (lineages, say); `groups` has one value per row."""
        codes = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
        keep = codes[self.earlier] != codes[self.later]
        columns = self.earlier[keep], self.later[keep], self.score[keep]
        return Copies(self.reason, self.count, self.floor, *columns, self.first, self.links, codes)

    def within(self, groups: Sequence[Any] | NDArray[Any]) -> Copies:
        """Only the pairs of rows of the same group: each class falls into one for each group that it has rows of."""
        codes = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
        first = first_of_each(np.stack([self.first, codes], axis=1).astype(np.uint64))
        heads: dict[int, dict[int, int]] = {}
        for head in np.unique(first).tolist():
            heads.setdefault(int(self.first[head]), {})[int(codes[head])] = head
        rows = zip(self.links.earlier.tolist(), self.links.later.tolist(), self.links.score.tolist(), strict=True)
        links = sorted(
            (max(head, heads[later][code]), min(head, heads[later][code]), score)
            for earlier, later, score in rows
            for code, head in heads[earlier].items()
            if code in heads[later]
        )
        later, earlier, score = zip(*links, strict=True) if links else ((), (), ())
        pairs = Pairs(
            self.reason, self.count, self.floor,
            np.array(earlier, dtype=np.int64), np.array(later, dtype=np.int64), np.array(score, dtype=np.float32),
        )  # fmt: skip
        return Copies.of(first, pairs)

    def select(self, threshold: float, *, gone: Collection[int] = ()) -> Selection:
        """Go through the rows in order, and drop each that is like an earlier one which is kept.

        Arguments and errors are those of `Pairs.select`, and so is the result, had all pairs been written out.
        """
        if threshold < self.floor:
            raise ValueError(f"pairs are known from {self.floor} up, the threshold is {threshold}: measure again")
        neighbours = _Neighbours(self.first, self.links, threshold)
        groups = self.groups.tolist() if self.groups is not None else range(self.count)
        out = set(gone)
        # One kept row stands for its class: a second one is kept only if it is of the same group.
        kept: dict[int, int] = {}
        dropped = []
        for row, head, start, end in neighbours.spans:
            if row in out:
                continue
            like = [
                (other, neighbours.score[at])
                for at in range(start, end)
                if (other := kept.get(neighbours.head[at])) is not None and groups[other] != groups[row]
            ]
            if like:
                other, score = min(like)
                dropped.append(Hit(row, self.reason, score, other=other))
            else:
                kept.setdefault(head, row)
        return Selection(self.count, dropped)


class _Neighbours:
    """For each row that any other is like, (row, first of its class, start, end): the span of the classes it is like.

    Those are its own and those linked to it.
    """

    def __init__(self, first: NDArray[np.int64], links: Pairs, threshold: float) -> None:
        close = links.score >= np.float32(threshold)
        heads = np.unique(first[first != np.arange(len(first))]) if threshold <= 1 else first[:0]
        source = np.concatenate([links.earlier[close], links.later[close], heads])
        head = np.concatenate([links.later[close], links.earlier[close], heads])
        score = np.concatenate([links.score[close], links.score[close], np.ones(len(heads), dtype=np.float32)])
        order = np.argsort(source, kind="stable")
        known = np.zeros(len(first), dtype=bool)
        known[source] = True
        rows = np.flatnonzero(known[first])
        start = np.searchsorted(source[order], first[rows], side="left")
        end = np.searchsorted(source[order], first[rows], side="right")
        self.head: list[int] = head[order].tolist()
        self.score: list[float] = score[order].tolist()
        columns = (rows, first[rows], start, end)
        self.spans: list[tuple[int, int, int, int]] = list(zip(*map(np.ndarray.tolist, columns), strict=True))


def first_of_each(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each row of `keys` (one row per text, some columns), the number of the first row that is the same."""
    order = np.lexsort(keys.T[::-1])
    ordered = keys[order]
    starts = np.ones(len(keys), dtype=bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    # Sorting by columns is stable, so the first of a run is the first in row order.
    head = order[starts][np.cumsum(starts) - 1]
    first = np.empty(len(keys), dtype=np.int64)
    first[order] = head
    return first


def no_pairs(reason: Reason, count: int, floor: float) -> Pairs:
    """Pairs of nothing, among `count` rows."""
    none = np.empty(0, dtype=np.int64)
    return Pairs(reason, count, floor, none, none, np.empty(0, dtype=np.float32))

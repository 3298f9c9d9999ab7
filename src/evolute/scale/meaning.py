"""Semantic duplicates among blocks of rows: the same pairs as `evolute.select.semantic` finds on one machine.

Workers encode their block and leave its vectors in the scratch folder. The pivots are chosen here, by the vectors'
hashes; workers find the cells of their block's rows; and each task compares the rows of a range of cells.

This process holds 8 bytes a row, some 30 while it chooses the pivots, and 20 for each pair. A task that compares holds
the vectors of its cells' rows: six times all of them, over as many tasks (`TASKS` at most, since each reads the cells
of all rows, and, where the folder is no local disk, all vectors). With 96 numbers a vector that is 4 GB a task at 10⁸
rows: there, memory for a task is what breaks first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evolute.encoders import Vectors
from evolute.scale.jobs import Each, each
from evolute.scale.near import by_block
from evolute.scale.scratch import Scratch
from evolute.select.cells import NEAREST, Pivots, Rows, candidates, hashes_of, members_of, pivot_rows, within
from evolute.select.findings import Pairs
from evolute.select.semantic import EXACT, Found, SemanticDuplicates, confirmed, gathered, pairs_among

MEMBERS = 2**20
"""Rows in the cells of one task, about."""
TASKS = 64
"""Tasks that compare, at most."""
_PIVOTS, _COMPARED = "meaning-pivots", "meaning-compared"

Hashes = tuple[NDArray[np.uint64], NDArray[np.bool_], int]
"""A block's hashes of vectors, which of them are not zero, and how many numbers a vector has."""


def keep_vectors(scratch: Scratch, block: int, found: SemanticDuplicates) -> Hashes:
    """Leave the vectors of a block's rows in the folder, and give what tells equal ones apart."""
    vectors = np.ascontiguousarray(found.vectors, dtype=np.float32)
    scratch.save(f"meaning-{block}", vectors)
    return hashes_of(vectors, np.arange(len(vectors))), np.asarray(vectors.any(axis=1)), vectors.shape[1]


def join_vectors(
    scratch: Scratch,
    parts: Sequence[Hashes],
    floor: float,
    *,
    each: Each = each,
    exact: int = EXACT,
    members: int = MEMBERS,
) -> Pairs:
    """The pairs among all rows, by what `keep_vectors` left and gave; `exact` is that of `semantic.pairs_of`."""
    hashes = np.concatenate([part[0] for part in parts])
    there = np.concatenate([part[1] for part in parts])
    some = np.flatnonzero(there)
    vectors = Kept(scratch, len(there), max(width for *_, width in parts))

    def find(rows: Rows) -> Iterator[Found]:
        if len(rows) <= exact:
            own = vectors[rows]
            for part in candidates(own, np.arange(len(rows)), floor, exact):
                one, other, score = confirmed(own, part, floor)
                yield rows[one], rows[other], score
            return
        chosen = vectors[pivot_rows(rows, hashes[rows])]
        compared = np.zeros(len(there), dtype=bool)
        compared[rows] = True
        scratch.save(_PIVOTS, chosen)
        scratch.save(_COMPARED, compared)
        for _ in each(Placing(scratch), len(parts)):
            pass
        tasks = min(TASKS, -(-NEAREST * len(rows) // members))
        work = Matching(scratch, len(there), vectors.width, floor, len(chosen), tasks)
        for _, pairs in each(work, tasks):
            yield pairs

    return pairs_among(vectors, some, hashes[some], floor, find)


@dataclass(frozen=True)
class Kept:
    """The vectors of all rows, read from the folder as they are asked for."""

    scratch: Scratch
    count: int
    width: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, rows: Rows) -> Vectors:
        found = np.zeros((len(rows), self.width), dtype=np.float32)
        order, at = np.argsort(rows, kind="stable"), 0
        for block, here in by_block(rows[order], self.scratch.size):
            own = self.scratch.load(f"meaning-{block}")
            found[order[at : at + len(here)], : own.shape[1]] = own[here]
            at += len(here)
        return found


@dataclass(frozen=True)
class Placing:
    """Finds the cells that the rows of a block are in, and leaves them in the folder."""

    scratch: Scratch

    def __call__(self, block: int) -> None:
        """Place the rows of a block."""
        vectors, start = self.scratch.load(f"meaning-{block}"), block * self.scratch.size
        rows = np.flatnonzero(self.scratch.load(_COMPARED)[start : start + len(vectors)])
        self.scratch.save(f"meaning-cells-{block}", Pivots(self.scratch.load(_PIVOTS)).cells(vectors, rows))


@dataclass(frozen=True)
class Matching:
    """Compares the rows of a range of cells."""

    scratch: Scratch
    count: int
    width: int
    floor: float
    cells: int
    tasks: int

    def __call__(self, number: int) -> Found:
        """The pairs that task `number` finds."""
        low, high = (self.cells * edge // self.tasks for edge in (number, number + 1))
        rows, cells = self._members(low, high)
        all_rows = np.unique(rows)
        vectors = Kept(self.scratch, self.count, self.width)[all_rows]
        members = members_of(np.searchsorted(all_rows, rows), cells[:, None]).values()
        near = (part for each_cell in members for part in within(vectors, each_cell, self.floor))
        one, other, score = gathered(confirmed(vectors, part, self.floor) for part in near)
        return all_rows[one], all_rows[other], score

    def _members(self, low: int, high: int) -> tuple[Rows, NDArray[np.int32]]:
        """The rows that are in these cells, ascending, some several times; and the cell of each."""
        compared = self.scratch.load(_COMPARED)
        rows, cells = [], []
        for block, start in enumerate(range(0, self.count, self.scratch.size)):
            own = self.scratch.load(f"meaning-cells-{block}")
            here, place = np.nonzero((own >= low) & (own < high))
            rows.append(np.flatnonzero(compared[start : start + self.scratch.size])[here] + start)
            cells.append(own[here, place])
        return np.concatenate(rows), np.concatenate(cells)

"""Near duplicates among blocks of rows: the same pairs as `evolute.select.duplicates` finds on one machine.

Workers make the sets and signatures of their block, which is where the time goes, and leave them in the scratch folder.
Then each band is a task, or several where it has many keys: it gathers the band's keys from all blocks, and pairs rows
as one machine does. What the bands propose is united here, and handed out again to be compared, by where rows stand.

This process holds 16 bytes a row for telling equal sets apart (and some 40 more while it sorts them), and 8 bytes for
each pair that is to be compared (16 times as many as rows at the very most; mostly fewer than rows), then 20 for each
that was found. A task of a band holds some 60 bytes for each of `KEYS` rows, and one that compares the sets of two
groups of rows: 4 bytes a shingle. So at 10⁹ rows the first thing to break is this process's memory (100 GB), the second
is reading: each band's task reads 12 bytes of every row, and there are 16 for each `KEYS` rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evolute.scale.jobs import Each, each
from evolute.scale.scratch import Scratch
from evolute.select.banding import bands_at, pairs_in_band, united
from evolute.select.duplicates import NearDuplicates, near_pairs
from evolute.select.findings import Pairs
from evolute.select.shingles import ShingleSets

KEYS = 2**24
"""Rows whose keys one task looks at, about."""
GROUP = 2**18
"""Rows in a group, at least: pairs are compared by the groups that they are of, so that few blocks are read for it."""
GROUPS = 64
"""Groups at most: half their square are the tasks that compare."""
_AT_ONCE = 2**21  # pairs that one task compares, at most
_HEADS = "near-heads"


def keep_sets(scratch: Scratch, block: int, found: NearDuplicates) -> NDArray[np.uint64]:
    """Leave the sets and keys of a block's rows in the folder, and give their sums."""
    scratch.save(f"near-sizes-{block}", found.sets.sizes.astype(np.int32))
    scratch.save(f"near-hashes-{block}", found.sets.hashes)
    scratch.save(f"near-keys-{block}", found.bands.keys.T)
    return found.sums


def join_sets(
    scratch: Scratch,
    sums: NDArray[np.uint64],
    floor: float,
    *,
    each: Each = each,
    keys: int = KEYS,
    group: int = GROUP,
) -> Pairs:
    """The pairs among all rows, by what `keep_sets` left; `sums` are those of all blocks."""

    def candidates(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        heads = np.zeros(len(sums), dtype=bool)
        heads[rows] = True
        scratch.save(_HEADS, heads)
        work = Banding(scratch, floor, -(-len(sums) // keys))
        return united(part for _, parts in each(work, work.count) for part in parts)

    def jaccard(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float32]:
        score = np.empty(len(one), dtype=np.float32)
        places = list(_slices(one, other, max(group, -(-len(sums) // GROUPS))))
        for number, some in enumerate(places):
            scratch.save(f"near-pairs-{number}", np.stack([one[some], other[some]]))
        for number, scores in each(Comparing(scratch), len(places)):
            score[places[number]] = scores
        return score

    return near_pairs(sums, floor, candidates, jaccard)


@dataclass(frozen=True)
class Banding:
    """Proposes the pairs of a band, or of a part of its keys."""

    scratch: Scratch
    floor: float
    parts: int

    @property
    def count(self) -> int:
        """How many tasks that makes."""
        return bands_at(self.floor) * self.parts

    def __call__(self, number: int) -> list[NDArray[np.uint64]]:
        """The pairs of task `number`."""
        band, part = divmod(number, self.parts)
        low, high = (2**32 * edge // self.parts for edge in (part, part + 1))
        heads = self.scratch.load(_HEADS)
        keys, rows, sizes = [], [], []
        for block, start in enumerate(range(0, len(heads), self.scratch.size)):
            own = self.scratch.load(f"near-keys-{block}", band)
            here = np.flatnonzero(heads[start : start + len(own)] & (own >= low) & (own < high))
            keys.append(own[here])
            rows.append(here + start)
            sizes.append(self.scratch.load(f"near-sizes-{block}")[here].astype(np.int64))
        pairs = pairs_in_band(np.concatenate(keys), np.concatenate(rows), np.concatenate(sizes), self.floor)
        return np.array_split(pairs, 1 + len(pairs) // _AT_ONCE)


@dataclass(frozen=True)
class Comparing:
    """Computes the Jaccard indices of the pairs that lie in the folder under a number."""

    scratch: Scratch

    def __call__(self, number: int) -> NDArray[np.float32]:
        """The indices, in the order of the pairs."""
        pairs = self.scratch.load(f"near-pairs-{number}")
        rows = np.unique(pairs)
        one, other = np.searchsorted(rows, pairs)
        return self._sets(rows).jaccard(one, other)

    def _sets(self, rows: NDArray[np.int64]) -> ShingleSets:
        hashes, sizes = [], []
        for block, here in by_block(rows, self.scratch.size):
            own = self.scratch.load(f"near-sizes-{block}")
            wanted = np.zeros(len(own), dtype=bool)
            wanted[here] = True
            hashes.append(self.scratch.load(f"near-hashes-{block}")[np.repeat(wanted, own)])
            sizes.append(own[here].astype(np.int64))
        return ShingleSets.of(np.concatenate(hashes), np.concatenate(sizes))


def by_block(rows: NDArray[np.int64], size: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Ascending rows by their block, each with their places in it."""
    blocks, starts = np.unique(rows // size, return_index=True)
    for block, here in zip(blocks.tolist(), np.split(rows, starts[1:]), strict=True):
        yield block, here - block * size


def _slices(one: NDArray[np.int64], other: NDArray[np.int64], group: int) -> Iterator[NDArray[np.int64]]:
    """The places of pairs whose rows are of the same two groups, not too many at once."""
    cells = one // group << 32 | other // group
    order = np.argsort(cells, kind="stable")
    for cell in np.split(order, np.flatnonzero(np.diff(cells[order])) + 1):
        if len(cell):
            yield from np.array_split(cell, -(-len(cell) // _AT_ONCE))

"""Which vectors may be near each other, without comparing all with all.

Each row is in the cells of its nearest pivots, and only rows that share a cell are compared. Pivots are rows
themselves, those whose vectors hash lowest: so dense places have many, and cells stay small. What is found depends on
the vectors alone, not on their order, the batches, or the number of threads: whatever BLAS multiplies here are whole
numbers whose sums float32 holds exactly, and cosines are computed from the vectors as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evolute.encoders import Vectors

NEAREST = 6
"""Cells that a row is in."""
BLOCK = 1024
"""Rows multiplied at once."""

_STEPS = 2048.0  # to each side: products of two unit vectors stay below 2**24 in all, which float32 holds exactly
_PIVOTS = 8  # for the square root of so many rows: then finding cells costs about as much as comparing in them
_MARGIN = 0.002  # ten standard deviations of what the rounding to whole numbers changes in a cosine

Rows = NDArray[np.int64]


def pivot_rows(rows: Rows, hashes: NDArray[np.uint64]) -> Rows:
    """Rows that others gather around: of those given, the ones whose vectors hash lowest."""
    count = int(_PIVOTS * np.sqrt(len(rows)))
    lowest = np.lexsort((rows, hashes))
    distinct = lowest[np.concatenate(([True], np.diff(hashes[lowest]) > 0))]
    return rows[distinct[:count]]


class Pivots:
    """Rows that others gather around, by their vectors."""

    def __init__(self, vectors: Vectors) -> None:
        self._whole = whole_numbers(vectors)

    def cells(self, vectors: Vectors, rows: Rows) -> NDArray[np.int32]:
        """The nearest pivots of each row, the nearest first; of equals, the one before."""
        count = min(NEAREST, len(self._whole))
        nearest = np.empty((len(rows), count), dtype=np.int32)
        for start in range(0, len(rows), BLOCK):
            dots = whole_numbers(vectors[rows[start : start + BLOCK]]) @ self._whole.T
            each = np.arange(len(dots))
            for place in range(count):
                best = dots.argmax(axis=1)
                nearest[start : start + BLOCK, place] = best
                dots[each, best] = -np.inf
        return nearest


def members_of(rows: Rows, cells: NDArray[np.int32]) -> dict[int, Rows]:
    """The rows in each cell, ascending."""
    flat = cells.ravel()
    order = np.argsort(flat, kind="stable")
    names, starts = np.unique(flat[order], return_index=True)
    return dict(zip(names.tolist(), np.split(rows[order // cells.shape[1]], starts[1:]), strict=True))


def candidates(vectors: Vectors, rows: Rows, floor: float, exact: int) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of rows that may be alike, the earlier first; some come more than once."""
    if len(rows) <= exact:
        yield from within(vectors, rows, floor)
        return
    pivots = Pivots(vectors[pivot_rows(rows, hashes_of(vectors, rows))])
    for members in members_of(rows, pivots.cells(vectors, rows)).values():
        yield from within(vectors, members, floor)


def within(vectors: Vectors, rows: Rows, floor: float) -> Iterator[tuple[Rows, Rows]]:
    """The pairs among `rows` whose rounded vectors are near enough."""
    whole, least = whole_numbers(vectors[rows]), least_dot(floor)
    for top in range(0, len(rows), BLOCK):
        for left in range(top, len(rows), 8 * BLOCK):
            dots = whole[top : top + BLOCK] @ whole[left : left + 8 * BLOCK].T
            first, second = np.divmod(np.flatnonzero(dots.ravel() >= least), dots.shape[1])
            later = second + left > first + top
            yield rows[first[later] + top], rows[second[later] + left]


def whole_numbers(vectors: Vectors) -> Vectors:
    """Vectors rounded to whole numbers. By Cauchy and Schwarz, no sum of products leaves what float32 can hold."""
    scaled: Vectors = vectors * np.float32(_STEPS)
    return np.rint(scaled, out=scaled)


def least_dot(floor: float) -> np.float32:
    """The product of two such vectors below which their cosine is surely below `floor`."""
    return np.float32(np.floor((floor - _MARGIN) * _STEPS**2))


def hashes_of(vectors: Vectors, rows: Rows) -> NDArray[np.uint64]:
    """64 bits of each row's vector, well mixed (Steele et al., "Fast Splittable Pseudorandom Number Generators")."""
    odd = _mixed(np.arange(1, vectors.shape[1] + 1, dtype=np.uint64)) | np.uint64(1)
    hashes = np.empty(len(rows), dtype=np.uint64)
    for start in range(0, len(rows), BLOCK):
        bits = vectors[rows[start : start + BLOCK]].view(np.uint32).astype(np.uint64)
        hashes[start : start + BLOCK] = _mixed((bits * odd).sum(axis=1))
    return hashes


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    numbers = numbers * np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def cosines(vectors: Vectors, rows: Rows, others: Vectors, other_rows: Rows) -> NDArray[np.float32]:
    """The cosine of each of `rows` with its fellow among `other_rows`; both are of length 1."""
    score = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), 8 * BLOCK):
        one, two = (v[r[start : start + 8 * BLOCK]] for v, r in ((vectors, rows), (others, other_rows)))
        exact = np.einsum("ij,ij->i", one, two, dtype=np.float64)  # wide, so that no order of adding shows
        score[start : start + 8 * BLOCK] = np.minimum(exact, 1)
    return score

"""Semantic duplicates: rows that mean the same in other words, as near as an encoder can tell.

Two rows are alike when the cosine of their vectors is high. All pairs are compared up to `EXACT` rows; beyond that,
those that share a cell (`cells`), and benchmarks/semantic.py measures how many pairs that misses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evolute.batches import batched
from evolute.encoders import Encoder, Vectors
from evolute.errors import EvoluteError
from evolute.records import Reason
from evolute.select.cells import (
    BLOCK,
    Pivots,
    Rows,
    candidates,
    cosines,
    hashes_of,
    least_dot,
    members_of,
    pivot_rows,
    whole_numbers,
)
from evolute.select.findings import Pairs

FLOOR = 0.8
"""The least cosine that is measured, where nothing else is said."""
EXACT = 20_000
"""Rows up to which all pairs are compared."""
EXACT_CORPUS = 5_000
"""Rows of a corpus up to which each is compared with each query."""
MOST = 32
"""Earlier rows that one row is paired with, at most: the nearest half of that many, and the first."""

_ENCODED = 4096  # texts encoded at once
_COMPACTED = 4_000_000  # new pairs that are gathered before the bound is put on them
_QUERIES = 65_536  # queries that are looked up at once

Found = tuple[Rows, Rows, NDArray[np.float32]]
"""Two columns of row numbers and their cosines."""

_NONE: Found = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


class SemanticDuplicates:
    """Collects the vectors of a stream of texts, and finds the pairs that are alike.

    Memory is four bytes a dimension and row: 384 MB for 1,000,000 rows and the shipped encoder.

    Args:
        encoder: makes the vectors.
        floor: the least cosine at which two rows are a pair.
    """

    def __init__(self, encoder: Encoder, floor: float = FLOOR) -> None:
        self._encoder, self._floor = encoder, floor
        self._blocks: list[Vectors] = []

    def add(self, texts: Iterable[str]) -> None:
        """Encode the next rows.

        Raises:
            EvoluteError: the encoder gave not one finite vector of the length of the others for each text, or failed.
        """
        for batch in batched(texts, _ENCODED):
            vectors = np.asarray(self._encoder.encode(batch), dtype=np.float32)
            _check(self._encoder.name, vectors, len(batch), self._blocks)
            self._blocks.append(vectors)

    @property
    def vectors(self) -> Vectors:
        """A row for each text so far."""
        if len(self._blocks) > 1:
            width = max(block.shape[1] for block in self._blocks)
            # An endpoint that was sent nothing but blank texts so far could not say how many numbers it gives.
            blocks = [block if block.shape[1] else np.zeros((len(block), width), np.float32) for block in self._blocks]
            self._blocks = [np.concatenate(blocks)]
        return self._blocks[0] if self._blocks else np.zeros((0, 1), np.float32)

    def pairs(self) -> Pairs:
        """The pairs among all rows so far."""
        return pairs_of(self.vectors, self._floor)


def semantic_duplicates(texts: Iterable[str], encoder: Encoder, floor: float = FLOOR) -> Pairs:
    """The pairs of texts whose vectors have a cosine of at least `floor`.

    Raises:
        EvoluteError: the encoder failed, or its vectors do not fit.
    """
    found = SemanticDuplicates(encoder, floor)
    found.add(texts)
    return found.pairs()


def pairs_of(vectors: Vectors, floor: float = FLOOR, *, exact: int = EXACT) -> Pairs:
    """The pairs of rows whose cosine is at least `floor`; a row that is all zero is like none.

    A row is paired with at most `MOST` earlier ones: many copies of one text cost no more than many rows.

    Args:
        vectors: a row each, of length 1 or all zero.
        floor: the least cosine that makes a pair; above 0.
        exact: up to so many rows, all pairs are compared.
    """
    if not 0 < floor <= 1:
        raise ValueError(f"the floor of a cosine is above 0 and at most 1, not {floor}")
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    some = np.flatnonzero(vectors.any(axis=1))

    def find(rows: Rows) -> Iterator[Found]:
        return (confirmed(vectors, part, floor) for part in candidates(vectors, rows, floor, exact))

    return pairs_among(vectors, some, hashes_of(vectors, some), floor, find)


class Stored(Protocol):
    """Vectors that may lie elsewhere: of some rows, they can be had."""

    def __getitem__(self, rows: Rows, /) -> Vectors: ...
    def __len__(self) -> int: ...


def pairs_among(
    vectors: Stored, some: Rows, hashes: NDArray[np.uint64], floor: float, find: Callable[[Rows], Iterable[Found]]
) -> Pairs:
    """The pairs that `pairs_of` speaks of, wherever the vectors lie and are compared.

    Args:
        vectors: those of all rows.
        some: the rows whose vectors are not zero, in order.
        hashes: `cells.hashes_of` these.
        floor: the least cosine that makes a pair.
        find: compares the rows that it is given, all but the late ones of many equal; gives pairs that are `confirmed`,
            in any order, some perhaps more than once, and perhaps `gathered` already.
    """
    copies = _copies(vectors, some, hashes)
    rows = np.setdiff1d(some, [row for group in copies for row in group[MOST:]], assume_unique=True)
    pairs = gathered(find(rows))
    if copies:
        pairs = _bounded([pairs, *_of_copies(vectors, copies, pairs)])
    return Pairs(Reason.SEMANTIC_DUPLICATE, len(vectors), floor, *pairs)


def neighbours(queries: Vectors, corpus: Vectors, floor: float, *, exact: int = EXACT_CORPUS) -> Found:
    """The nearest row of `corpus` to each query, where the cosine is at least `floor`.

    Args:
        queries: a row each, of length 1 or all zero (which is near nothing).
        corpus: likewise, of the same number of dimensions.
        floor: the least cosine that counts; above 0.
        exact: up to so many rows of the corpus, each is compared with each query; beyond, those that share a cell.

    Returns:
        The numbers of the queries that have one, ascending; for each its nearest row's number, the first of equals;
        and the cosines.
    """
    queries, corpus = (np.ascontiguousarray(each, dtype=np.float32) for each in (queries, corpus))
    rows = np.flatnonzero(corpus.any(axis=1))
    asked = np.flatnonzero(queries.any(axis=1))
    cells: dict[int, Rows] = {0: rows}
    pivots = Pivots(corpus[pivot_rows(rows, hashes_of(corpus, rows))]) if len(rows) > exact else None
    if pivots is not None:
        cells = members_of(rows, pivots.cells(corpus, rows))
    targets = {name: (members, whole_numbers(corpus[members])) for name, members in cells.items()}
    parts = [_NONE]
    for start in range(0, len(asked) if len(rows) else 0, _QUERIES):
        block = asked[start : start + _QUERIES]
        near = {0: block} if pivots is None else members_of(block, pivots.cells(queries, block))
        best = _Best(queries, block, least_dot(floor))
        for name, members in near.items():
            if name in targets:
                best.look(members, *targets[name])
        found = np.flatnonzero(best.row >= 0)
        pairs = block[found], best.row[found]
        score = cosines(queries, pairs[0], corpus, pairs[1])
        good = score >= np.float32(floor)
        parts.append((pairs[0][good], pairs[1][good], score[good]))
    query, row, cosine = (np.concatenate(column) for column in zip(*parts, strict=True))
    return query, row, cosine


class _Best:
    """The best row for each of a block of queries so far, by rounded vectors; -1 for none."""

    def __init__(self, queries: Vectors, block: Rows, least: np.float32) -> None:
        self._whole, self._block, self._least = whole_numbers(queries[block]), block, least
        self._dot = np.full(len(block), -np.inf, dtype=np.float32)
        self.row = np.full(len(block), -1, dtype=np.int64)

    def look(self, members: Rows, rows: Rows, whole: Vectors) -> None:
        """Compare some of the queries with some rows."""
        for start in range(0, len(members), BLOCK):
            at = np.searchsorted(self._block, members[start : start + BLOCK])
            dots = self._whole[at] @ whole.T
            best = dots.argmax(axis=1)
            top, row = dots[np.arange(len(at)), best], rows[best]
            better = (top > self._dot[at]) | ((top == self._dot[at]) & (row < self.row[at]))
            better &= top >= self._least
            self._dot[at[better]], self.row[at[better]] = top[better], row[better]


def _check(name: str, vectors: Vectors, count: int, before: Sequence[Vectors]) -> None:
    if vectors.ndim != 2 or len(vectors) != count:
        raise EvoluteError(f"the encoder {name!r} gave an array of {vectors.shape} for {count} texts: no row for each")
    was, now = max((block.shape[1] for block in before), default=0), vectors.shape[1]
    if was and now and was != now:
        raise EvoluteError(f"the encoder {name!r} gave vectors of {was} numbers and then of {now}: encode all anew")
    squares = np.einsum("ij,ij->i", vectors, vectors)
    if not (np.isclose(squares, 1, atol=0.01) | (squares == 0)).all():
        raise EvoluteError(f"the encoder {name!r} gave a vector that is neither of length 1 nor zero, or not finite")


def confirmed(vectors: Vectors, pairs: tuple[Rows, Rows], floor: float) -> Found:
    """Those whose cosine, from the vectors as they are, is at least the floor."""
    score = cosines(vectors, pairs[0], vectors, pairs[1])
    good = score >= np.float32(floor)
    return pairs[0][good], pairs[1][good], score[good]


def gathered(parts: Iterable[Found]) -> Found:
    """All pairs once, by (later, earlier), with at most `MOST` for each later row.

    Parts that were gathered from others give what these would have given: what is among the nearest or the first of
    all is so in its part.
    """
    found, size = [_NONE], 0
    for part in parts:
        found.append(part)
        size += len(part[0])
        if size > max(_COMPACTED, len(found[0][0])):
            found, size = [_bounded(found)], 0
    return _bounded(found)


def _bounded(parts: Sequence[Found]) -> Found:
    earlier, later, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    _, once = np.unique(later << 32 | earlier, return_index=True)
    earlier, later, score = earlier[once], later[once], score[once]
    nearest = np.empty(len(later), dtype=np.int64)
    order = np.lexsort((earlier, -score, later))
    nearest[order] = _places(later[order])
    keep = (_places(later) < MOST // 2) | (nearest < MOST // 2)
    return earlier[keep], later[keep], score[keep]


def _places(groups: Rows) -> Rows:
    """The place of each entry of a sorted column among its equals, from 0."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups)))


def _copies(vectors: Stored, rows: Rows, hashes: NDArray[np.uint64]) -> list[Rows]:
    """The groups of more than `MOST` rows with the very same vector."""
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.diff(hashes[order], prepend=~hashes[order[:1]]))
    groups = (rows[group] for group in np.split(order, starts[1:]) if len(group) > MOST)
    return [group[(vectors[group] == vectors[group[:1]]).all(axis=1)] for group in groups]


def _of_copies(vectors: Stored, groups: Sequence[Rows], pairs: Found) -> Iterator[Found]:
    """The pairs of each group's late copies: with its first rows, and with what its first row was paired with."""
    earlier, later, score = pairs
    own = np.zeros(1, dtype=np.int64)
    for group in groups:
        first, late = group[:1], group[MOST:]
        vector = vectors[first]
        before = slice(*np.searchsorted(later, [first[0], first[0] + 1]))
        others = np.concatenate((group[:MOST], earlier[before]))
        scores = np.concatenate((np.repeat(cosines(vector, own, vector, own), len(group[:MOST])), score[before]))
        yield np.tile(others, len(late)), np.repeat(late, len(others)), np.tile(scores, len(late))

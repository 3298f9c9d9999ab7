"""Candidates for near duplicates: MinHash signatures through rensa, cut into bands (locality-sensitive hashing).

The share of places where two MinHash signatures agree estimates the Jaccard index s of two sets (Broder 1997). Of b
bands with r places each, two rows agree in the whole of at least one with the probability 1 - (1 - s^r)^b (Leskovec,
Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4): those are candidates. Whether two rows are depends
on their sets alone, and on fixed seeds; not on batches, threads or machines, and on other rows and their order only
where a bucket holds more than `PIVOTS`.

rensa computes the signatures. The bands are ours: its index answers a query with one Python object a row, and a
matrix with no more than yes or no.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from evolute.errors import MissingExtra
from evolute.select.shingles import mixed

PLACES = 80
"""Places of a signature. Cut into 16 bands of 5, it finds 99.8% of the pairs at 0.8 and 94.7% of those at 0.7."""
FOUND = 0.94
"""The least share of the pairs right at the floor that are found; above it, more are."""
PIVOTS = 16
"""A row is compared with so many of the first rows of each bucket that it is in.

Without a bound, ten thousand fillings of one template make fifty million comparisons in each band. The bound is on
the first rows, since going through rows in order drops a row for an earlier one that is kept. What it costs: two rows
of such a bucket that are no like of its first rows are compared only if they meet in another one.
"""
_SEED = 1997
_HALF, _LOWER = np.uint64(32), np.uint64(2**32 - 1)
_PENDING = 2**24  # candidates gathered before those found in several bands are united: 128 MB


def rows_per_band(floor: float) -> int:
    """The most places that a band can have, at least one, for `FOUND` of the pairs at `floor` to be candidates."""
    fitting = (rows for rows in range(PLACES, 1, -1) if 1 - (1 - floor**rows) ** (PLACES // rows) >= FOUND)
    return next(fitting, 1)


class Bands:
    """The bands of many rows' signatures, as one 32-bit key for each row and band.

    Raises:
        MissingExtra: rensa is not installed.
    """

    def __init__(self, floor: float) -> None:
        try:
            from rensa import RMinHash  # type: ignore[import-untyped]
        except ImportError as error:
            raise MissingExtra("Looking for near duplicates", "select") from error
        self._digests = RMinHash.digest_matrix_from_flat_token_hashes
        self._rows = rows_per_band(floor)
        self._bands = bands_at(floor)
        self._pack = Struct(f"<{self._rows * self._bands}I").pack
        self._weights = mixed(np.arange(1, self._rows + 1, dtype=np.uint64)) | np.uint64(1)
        self._keys = [np.empty((0, self._bands), dtype=np.uint32)]

    def add(self, hashes: NDArray[np.uint64], sizes: NDArray[np.int64]) -> None:
        """Add rows: the hashes of their sets one after another, and how many each has (at least one)."""
        keys = (self.signatures(hashes, sizes) * self._weights).sum(axis=2) >> _HALF
        self._keys.append(keys.astype(np.uint32))

    def signatures(self, hashes: NDArray[np.uint64], sizes: NDArray[np.int64]) -> NDArray[np.uint32]:
        """The MinHash signatures of rows, as (row, band, place)."""
        offsets = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(sizes, dtype=np.uint64)])
        matrix = self._digests(hashes, offsets, self._rows * self._bands, _SEED)
        # Python integers are the only way out of a matrix, and take longer than the digests. Packing them is twice
        # as fast as handing them to numpy.
        packed = b"".join([self._pack(*row) for row in matrix.to_rows()])
        return np.frombuffer(packed, dtype="<u4").reshape(-1, self._bands, self._rows)

    def candidates(self, rows: NDArray[np.int64], sizes: NDArray[np.int64], floor: float) -> NDArray[np.int64]:
        """The pairs of `rows` that share a band, as two columns (earlier, later), sorted, each pair once.

        Args:
            rows: the rows to look at, in order.
            sizes: the size of every row's set; sets whose sizes already rule `floor` out are no candidates.
            floor: the least Jaccard index of interest.
        """
        return united(pairs_in_band(keys[rows], rows, sizes[rows], floor) for keys in self.keys.T)

    @property
    def keys(self) -> NDArray[np.uint32]:
        """The keys so far, as (row, band)."""
        self._keys = [np.concatenate(self._keys)]
        return self._keys[0]


def bands_at(floor: float) -> int:
    """How many bands signatures are cut into."""
    return PLACES // rows_per_band(floor)


def pairs_in_band(
    keys: NDArray[np.uint32], rows: NDArray[np.int64], sizes: NDArray[np.int64], floor: float
) -> NDArray[np.uint64]:
    """The pairs of rows with equal keys in a band, each as one number: the later row in its upper half.

    Args:
        keys: the band's keys: those of `rows`, or the ones in some range of keys, since a bucket has one key.
        rows: the rows that have them, in order.
        sizes: the sizes of these rows' sets; pairs whose sizes already rule `floor` out are left out.
        floor: the least Jaccard index of interest.
    """
    one, other = _bucket_pairs(keys)
    small, large = np.minimum(sizes[one], sizes[other]), np.maximum(sizes[one], sizes[other])
    close = (small / large).astype(np.float32) >= np.float32(floor)
    pairs: NDArray[np.uint64] = rows[other[close]].astype(np.uint64) << _HALF | rows[one[close]].astype(np.uint64)
    return pairs


def united(parts: Iterable[NDArray[np.uint64]]) -> NDArray[np.int64]:
    """What `pairs_in_band` found in each band: two columns (earlier, later), sorted, each pair once."""
    found = [np.empty(0, dtype=np.uint64)]
    for part in parts:
        found.append(part)
        if sum(map(len, found)) > max(_PENDING, 2 * len(found[0])):
            found = [np.unique(np.concatenate(found))]
    pairs = np.unique(np.concatenate(found))
    return np.stack([pairs & _LOWER, pairs >> _HALF], axis=1).astype(np.int64)


def _bucket_pairs(keys: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of places with equal keys: each place with the first `PIVOTS` of its bucket that stand before it."""
    # Key and place in one integer: sorting groups equal keys, each group in the order of places.
    order = np.sort(keys.astype(np.uint64) << _HALF | np.arange(len(keys), dtype=np.uint64))
    key = order >> _HALF
    turns = np.flatnonzero(key[1:] != key[:-1]) + 1
    start = np.append(0, turns)
    size = np.diff(start, append=len(order))
    # Most buckets hold one row, and are left out here.
    start, size = start[size > 1], size[size > 1]
    bucket = np.repeat(start, size)
    rank = _counts(size)
    partners = np.minimum(rank, PIVOTS)
    places = (order & _LOWER).astype(np.int64)
    return places[np.repeat(bucket, partners) + _counts(partners)], places[np.repeat(bucket + rank, partners)]


def _counts(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 up to each size, one after another: for 2 and 3, it is 0 1 0 1 2."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)

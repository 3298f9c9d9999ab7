"""Exact and near duplicates among any stream of texts.

Measuring takes one pass and keeps hashes, not texts; deciding is `Pairs.select`, at any threshold from the floor up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from evolute.records import Reason
from evolute.select.banding import Bands
from evolute.select.copies import Copies, first_of_each, no_pairs
from evolute.select.findings import Pairs
from evolute.select.shingles import MARKS, ShingleSets, plain

_TEXTS, _CHARACTERS = 1024, 2**19  # at once: more would leave the processor's cache, and long texts take memory
_NO_MARKS = bytes.maketrans(MARKS, b" " * len(MARKS))
_ONLY_MARKS = bytes(set(range(256)) - set(MARKS))


class ExactDuplicates:
    """Finds texts that are the same but for case, punctuation and layout, from 16 bytes a text.

    Two texts are the same if they have the same words and the same marks (`shingles.MARKS`), each in the same order;
    texts without any word if they are the same up to white space. Every pair scores 1.
    """

    def __init__(self) -> None:
        self._keys = bytearray()

    def add(self, texts: Sequence[str]) -> None:
        """Add the next texts; how they are cut into batches makes no difference."""
        for text in texts:
            said = plain(text)
            said = b" ".join(said.translate(_NO_MARKS).split()) + b"\0" + said.translate(None, _ONLY_MARKS)
            self._keys += hashlib.blake2b(said, digest_size=16).digest()

    def pairs(self) -> Pairs:
        """What was found so far: each copy with the first text that is the same."""
        return equal_pairs(self.keys)

    @property
    def keys(self) -> NDArray[np.uint64]:
        """What is kept of each text: two numbers, equal where the texts are the same."""
        return np.frombuffer(bytes(self._keys), dtype="<u8").reshape(-1, 2)


class NearDuplicates:
    """Finds texts whose sets of shingles have a Jaccard index of `floor` or more.

    Shingles are pairs of neighbouring words (`evolute.select.shingles` says why). MinHash bands propose pairs
    (`evolute.select.banding`), and the score is the true Jaccard index of the two sets, so no pair is wrong. Some are
    missed: with the default floor two in a thousand at 0.8, and one in twenty right at 0.7. Texts with equal sets
    are never missed and never compared, however many they are (`evolute.select.copies`). Where more than
    `banding.PIVOTS` texts share a band, each is compared with the first ones only.

    It keeps some 70 bytes a text, and 4 bytes for each different shingle of each.

    Args:
        floor: the least Jaccard index to look for, above 0 and up to 1. A lower one takes more time.

    Raises:
        ValueError: the floor is out of range.
        MissingExtra: rensa is not installed.
    """

    def __init__(self, floor: float = 0.7) -> None:
        if not 0 < floor <= 1:
            raise ValueError(f"the floor is a Jaccard index, above 0 and up to 1, not {floor!r}")
        self.floor = floor
        self.sets = ShingleSets()
        self.bands = Bands(floor)
        self._sums = [np.empty((0, 2), dtype=np.uint64)]

    def add(self, texts: Sequence[str]) -> None:
        """Add the next texts; how they are cut into batches makes no difference."""
        for batch in _batches(texts):
            hashes, sizes = self.sets.add(batch)
            self.bands.add(hashes, sizes)
            sums = np.add.reduceat(hashes, np.cumsum(sizes) - sizes)
            self._sums.append(np.stack([sums, sizes.astype(np.uint64)], axis=1))

    def pairs(self) -> Pairs:
        """What was found so far, with the true Jaccard indices."""
        sets, floor = self.sets, self.floor
        return near_pairs(self.sums, floor, lambda rows: self.bands.candidates(rows, sets.sizes, floor), sets.jaccard)

    @property
    def sums(self) -> NDArray[np.uint64]:
        """Two numbers of each text, equal where the sets are."""
        self._sums = [np.concatenate(self._sums)]
        return self._sums[0]


def equal_pairs(keys: NDArray[np.uint64]) -> Pairs:
    """The pairs of texts that are the same, by what `ExactDuplicates` keeps of each."""
    first = first_of_each(keys)
    return Copies.of(first, no_pairs(Reason.DUPLICATE, len(first), 1.0))


def near_pairs(
    sums: NDArray[np.uint64],
    floor: float,
    candidates: Callable[[NDArray[np.int64]], NDArray[np.int64]],
    jaccard: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]],
) -> Pairs:
    """The pairs of near duplicates, wherever the sets lie.

    Args:
        sums: two numbers of each text, equal where the sets are (`NearDuplicates.sums`).
        floor: the least Jaccard index.
        candidates: given the first rows with each set, gives the pairs of them to look at, as (earlier, later).
        jaccard: the true Jaccard index of each of many pairs.
    """
    first = first_of_each(sums)
    earlier, later = candidates(np.flatnonzero(first == np.arange(len(first)))).T
    score = jaccard(earlier, later)
    close = score >= np.float32(floor)
    return Copies.of(first, Pairs(Reason.NEAR_DUPLICATE, len(first), floor, earlier[close], later[close], score[close]))


def exact_duplicates(texts: Iterable[str]) -> Pairs:
    """Pairs of texts that are the same but for case, punctuation and layout; see `ExactDuplicates`."""
    found = ExactDuplicates()
    for batch in _batches(texts):
        found.add(batch)
    return found.pairs()


def near_duplicates(texts: Iterable[str], floor: float = 0.7) -> Pairs:
    """Pairs of texts with a Jaccard index of `floor` or more; arguments and errors are those of `NearDuplicates`."""
    found = NearDuplicates(floor)
    for batch in _batches(texts):
        found.add(batch)
    return found.pairs()


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    room = _CHARACTERS
    for text in texts:
        batch.append(text)
        room -= len(text)
        if room <= 0 or len(batch) == _TEXTS:
            yield batch
            batch, room = [], _CHARACTERS
    if batch:
        yield batch

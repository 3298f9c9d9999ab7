"""Texts as sets of shingles, and the Jaccard index of two such sets, for whole batches at once.

A **shingle** is a run of neighbouring words (Broder, "On the resemblance and containment of documents", 1997); here a
run of two. Lee et al. ("Deduplicating training data makes language models better", 2021) take runs of five words, for
web pages of hundreds of words. An instruction has twenty: with runs of five, one changed word out of twenty gives a
Jaccard index of 0.52, and hardly anything would be found at the usual 0.8. With single words it gives 0.90, but "from
Celsius to Fahrenheit" equals "from Fahrenheit to Celsius", and templates of ten words with another subject are taken
for one. With pairs it is 0.81: one changed word makes a near duplicate of a text from 19 words up, and in shorter
ones, where one word is the task, it does not. In Chinese and Japanese, whose characters count as words, a pair of
characters is about a word. In code, pairs are names in their context.

A text of one word has that word as its only shingle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from evolute.text.words import words

MARKS = b"#%&+-/<=>^|~"
"""What is neither letter nor digit, and yet makes another task of a text: C, C++ and C#; 7 + 5 and 7 - 5.

The asterisk is not among them, since most of those are markdown.
"""
_NO_MARKS = bytes(set(range(256)) - set(MARKS))
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying by it loses nothing
_REMEMBERED = 2**19  # words whose hash is remembered: some 80 MB at most
_AT_ONCE = 2**22  # shingles compared at once: some 200 MB


def tokens(text: str) -> list[str]:
    """The words of a text, and after them its marks; the characters of a text without any word.

    So neither all texts of emoji are alike, nor all sums of the same numbers. Empty texts have one empty token.
    """
    found = list(words(text))
    if not found:
        return list("".join(text.split())) or [""]
    found += text.encode("utf-8", "surrogatepass").translate(None, _NO_MARKS).decode()
    return found


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each value spread over 64 bits, so that sums tell sets apart (the finaliser of MurmurHash3)."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    values ^= values >> np.uint64(33)
    return values


class ShingleSets:
    """The shingle sets of many texts, as sorted 32-bit hashes one set after another: 4 bytes a different shingle.

    Hashes are the same on every machine and in every process. Two different shingles share one with a chance of one
    in four thousand million, so two texts of a hundred words are scored wrongly (by a hundredth) once in 400,000.
    """

    def __init__(self) -> None:
        self._hash = _WordHashes()
        self._hashes: list[NDArray[np.uint32]] = []
        self._sizes: list[NDArray[np.int64]] = []

    def add(self, texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Add texts; return the hashes of their sets one after another, spread over 64 bits, and the sets' sizes."""
        found = [tokens(text) for text in texts]
        lengths = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        hashes = np.fromiter(
            map(self._hash.__getitem__, chain.from_iterable(found)), dtype=np.uint64, count=int(lengths.sum())
        )
        last = np.cumsum(lengths) - 1
        following = np.append(hashes[1:], np.uint64(0))
        following[last] = 0
        keep = np.ones(len(hashes), dtype=bool)
        keep[last] = lengths == 1
        shingles = (hashes * _SPREAD + following) >> np.uint64(32)
        # Set number and hash in one integer, so that one sort orders every set by itself.
        keys = np.repeat(np.arange(len(texts), dtype=np.uint64) << np.uint64(32), lengths) | shingles
        keys = keys[keep]
        keys.sort()
        keys = keys[np.append(True, keys[1:] != keys[:-1])]
        sizes = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(texts))
        sets = keys.astype(np.uint32)
        self._hashes.append(sets)
        self._sizes.append(sizes)
        return mixed(sets.astype(np.uint64)), sizes

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many different shingles each text has."""
        self._sizes = [np.concatenate([np.empty(0, dtype=np.int64), *self._sizes])]
        return self._sizes[0]

    def jaccard(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float32]:
        """For each two rows, the share of their shingles that they have in common: |A ∩ B| / |A ∪ B|."""
        sizes = self.sizes
        self._hashes = [np.concatenate([np.empty(0, dtype=np.uint32), *self._hashes])]
        starts = np.cumsum(sizes) - sizes
        work = np.cumsum(sizes[one] + sizes[other])
        cuts = np.searchsorted(work, np.arange(_AT_ONCE, work[-1] if len(work) else 0, _AT_ONCE))
        scores = []
        for some, others in zip(np.split(one, cuts), np.split(other, cuts), strict=True):
            tagged = [_tagged(self._hashes[0], starts[rows], sizes[rows]) for rows in (some, others)]
            keys = np.concatenate(tagged)
            keys.sort(kind="stable")  # two sorted runs, which a merging sort merges
            shared = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(32)
            common = np.bincount(shared.astype(np.int64), minlength=len(some))
            scores.append((common / (sizes[some] + sizes[others] - common)).astype(np.float32))
        return np.concatenate(scores)


def _tagged(hashes: NDArray[np.uint32], starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The hashes of some sets one after another, each with the number of its set above it."""
    ends = np.cumsum(sizes)
    places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - sizes), sizes)
    tagged = np.repeat(np.arange(len(sizes), dtype=np.uint64) << np.uint64(32), sizes)
    tagged |= hashes[places]
    return tagged


class _WordHashes(dict[str, int]):
    """A 64-bit hash of each word, remembered: words come again."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _REMEMBERED:
            self.clear()
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self[word] = value = int.from_bytes(digest, "little")
        return value

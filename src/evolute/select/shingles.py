"""Texts as sets of shingles, and the Jaccard index of two such sets, for whole batches at once.

A **shingle** is a run of neighbouring words (Broder, "On the resemblance and containment of documents", 1997); here a
run of two, and the last word pairs with the end. Lee et al. ("Deduplicating training data makes language models
better", 2021) take runs of five words, for web pages of hundreds of words. An instruction has twenty: with runs of
five, one changed word out of twenty gives a Jaccard index of 0.52, and hardly anything would be found at the usual
0.8. With single words it gives 0.90, but "from Celsius to Fahrenheit" equals "from Fahrenheit to Celsius", and ten
words with another subject are taken for the same. With pairs it is 0.82: one changed word makes a near duplicate of
a text from 18 words up, and in shorter ones, where one word is the task, it does not. Without the end, the last word
would count for half, and it is where a template has its subject; the first one does count for half ("Write", "Create").
In Chinese and Japanese, whose characters count as words, a pair of characters is about a word. In code, pairs are
names in their context.

A mark (`MARKS`) makes a shingle with the word before it, so that C, C# and C++ are three, and 7 + 5 is not 7 - 5. The
characters of a text without words count as its words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evolute.text.words import words

MARKS = b"#%&+-/<=>^|~"
"""What is neither letter nor digit, and yet makes another task of a text.

The asterisk is not among them, since most of those are markdown.
"""
_MARKS = MARKS.decode()
_MARK = re.compile(f"([{re.escape(_MARKS)}])")
_SPACE, _NO_WORD = 32, b"\x01"
# Of ASCII, what is neither part of a word (as `words` sees it) nor a mark parts words.
_ASCII = bytes(
    code if code in MARKS else ord(chr(code).lower()) if chr(code).isalnum() or chr(code) == "_" else _SPACE
    for code in range(128)
) + bytes(128)
_WORD, _FIRST_MARK = 1, 2
_KINDS = bytes(MARKS.index(code) + _FIRST_MARK if code in MARKS else int(code != _SPACE) for code in range(256))
_HALF = np.uint64(32)
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse
_AT_ONCE = 2**22  # shingles compared at once: some 200 MB


def plain(text: str) -> bytes:
    """The words of a text, case-folded, and its marks, in order and parted by spaces, but for marks beside a word.

    A text without words gives its characters, each as a word that no other text can have; an empty one gives one.
    """
    if text.isascii():
        said = text.encode().translate(_ASCII)
    else:
        said = " ".join(part if part in _MARKS else " ".join(words(part)) for part in _MARK.split(text)).encode()
    if said.strip(MARKS + b" "):
        return said
    return b" ".join(_NO_WORD + b"%x" % ord(character) for character in "".join(text.split())) or _NO_WORD


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
        self._hashes = [np.empty(0, dtype=np.uint32)]
        self._sizes = [np.empty(0, dtype=np.int64)]

    def add(self, texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Add texts; return the hashes of their sets one after another, spread over 64 bits, and the sets' sizes."""
        keys = _shingles([plain(text) for text in texts])
        keys.sort()
        keys = keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]
        sizes = np.bincount((keys >> _HALF).astype(np.int64), minlength=len(texts))
        hashes = keys.astype(np.uint32)
        self._hashes.append(hashes)
        self._sizes.append(sizes)
        return mixed(hashes.astype(np.uint64)), sizes

    @classmethod
    def of(cls, hashes: NDArray[np.uint32], sizes: NDArray[np.int64]) -> ShingleSets:
        """Sets that were made before, from what `hashes` and `sizes` gave."""
        sets = cls()
        sets._hashes, sets._sizes = [hashes], [sizes]
        return sets

    @property
    def hashes(self) -> NDArray[np.uint32]:
        """The hashes of each text's set, one set after another."""
        self._hashes = [np.concatenate(self._hashes)]
        return self._hashes[0]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many different shingles each text has."""
        self._sizes = [np.concatenate(self._sizes)]
        return self._sizes[0]

    def jaccard(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float32]:
        """For each two rows, the share of their shingles that they have in common: |A ∩ B| / |A ∪ B|."""
        hashes, sizes = self.hashes, self.sizes
        starts = np.cumsum(sizes) - sizes
        work = np.cumsum(sizes[one] + sizes[other])
        cuts = np.searchsorted(work, np.arange(_AT_ONCE, work[-1] if len(work) else 0, _AT_ONCE))
        scores = []
        for some, others in zip(np.split(one, cuts), np.split(other, cuts), strict=True):
            tagged = [_tagged(hashes, starts[rows], sizes[rows]) for rows in (some, others)]
            keys = np.concatenate(tagged)
            keys.sort(kind="stable")  # two sorted runs, which a merging sort merges
            shared = keys[1:][keys[1:] == keys[:-1]] >> _HALF
            common = np.bincount(shared.astype(np.int64), minlength=len(some))
            scores.append((common / (sizes[some] + sizes[others] - common)).astype(np.float32))
        return np.concatenate(scores)


def _shingles(texts: list[bytes]) -> NDArray[np.uint64]:
    """The shingles of plain texts: the number of the text in the upper 32 bits, a hash in the lower."""
    joined = b" ".join([*texts, b""])
    kinds = np.frombuffer(joined.translate(_KINDS), dtype=np.uint8)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) + 1
    text_ends = np.cumsum(lengths)
    starts, ends = _spans(kinds == _WORD)
    hashes = _hashes(np.frombuffer(joined, dtype=np.uint8), starts, ends)
    text = np.searchsorted(text_ends, starts, side="right").astype(np.uint64) << _HALF

    following = np.append(hashes[1:], np.uint64(0))
    following[np.append(text[1:] != text[:-1], True)] = 0
    marks = np.flatnonzero(kinds >= _FIRST_MARK)
    before = np.searchsorted(starts, marks, side="right") - 1
    marks, before = marks[before >= 0], before[before >= 0]
    follows = np.searchsorted(text_ends, marks, side="right").astype(np.uint64) << _HALF == text[before]
    marks, before = marks[follows], before[follows]
    marked = _joined(hashes[before], mixed(kinds[marks].astype(np.uint64)))
    return np.concatenate([text | _joined(hashes, following), text[before] | marked])


def _spans(inside: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the runs of True start and end. There is a False at the end."""
    turns = np.flatnonzero(np.diff(inside, prepend=False))
    return turns[::2], turns[1::2]


def _hashes(data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A hash of the bytes of each span: a polynomial in `_BASE` modulo 2^64, from sums of all before, then mixed."""
    room = 1 << len(data).bit_length()
    sums = np.zeros(len(data) + 1, dtype=np.uint64)
    np.multiply(_powers(_BASE, room)[: len(data)], data, out=sums[1:])
    np.cumsum(sums, out=sums)
    # Dividing by the power at the start makes the hash the same wherever the word stands.
    return mixed((sums[ends] - sums[starts]) * _powers(pow(_BASE, -1, 2**64), room)[starts])


@lru_cache(maxsize=8)
def _powers(base: int, count: int) -> NDArray[np.uint64]:
    powers = np.full(count, base, dtype=np.uint64)
    np.multiply.accumulate(powers, out=powers)
    return powers


def _joined(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A 32-bit hash of two hashes in their order."""
    return (one * np.uint64(_BASE) + other) >> _HALF


def _tagged(hashes: NDArray[np.uint32], starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The hashes of some sets one after another, each with the number of its set above it."""
    ends = np.cumsum(sizes)
    places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - sizes), sizes)
    tagged = np.repeat(np.arange(len(sizes), dtype=np.uint64) << _HALF, sizes)
    tagged |= hashes[places]
    return tagged

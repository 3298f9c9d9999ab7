"""Word n-grams of many texts at once, as 48-bit hashes; nothing here is done word by word in Python.

A word's hash is a polynomial of its bytes, read off a running sum over the whole batch; a gram's is a polynomial of its
words' hashes. The hashes depend on the words alone, so they are the same on every machine and may be stored. They are
not cryptographic: who wants to make two texts collide can, and gains nothing by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from evolute.text.words import words

WORDS = 8
"""Words of a gram: the fewer of the two counts that the literature asks for (8 and 13)."""
SHORTEST = 5
"""A text of this many words or more, but of fewer than `WORDS`, is one gram as a whole; a shorter one has none."""
BITS = 48
"""Kept of a hash. Among a million grams known, a window of words that is none of them passes for one with a
probability of 1e6 / 2**48 = 4e-9: about once in 250 million words."""
BATCH = 1 << 16
"""Bytes of text worked on at a time, so that the arrays stay in the processor's cache."""

Keys = NDArray[np.uint64]

_TABLED = 4 * BATCH + 2  # a batch of ideographs, each of three bytes and a space
_LETTER, _WORD = 0x9E3779B97F4A7C15, 0xD1342543DE82EF95  # bases of the two polynomials: any odd numbers would do
_INVERSE = pow(_LETTER, -1, 1 << 64)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_POWERS = [np.uint64(pow(_WORD, power, 1 << 64)) for power in range(WORDS)]
_HALF, _DROPPED = np.uint64(32), np.uint64(64 - BITS)
# `words` for a single character, as a table of bytes; what belongs to no word becomes a space.
_TABLE = bytes(ord("".join(words(chr(code)) if code < 128 else ()) or " ") for code in range(256))
_SPACE = 32


@dataclass(frozen=True, slots=True)
class Grams:
    """The grams of a batch of texts: `keys[first[t] + k]` is the one that begins with word k of text t.

    `first` has an entry more than there are texts. The last seven words of a text begin grams that run into the next
    text: `whole` tells which are real. `short` are the texts that are a gram as a whole, with `short_keys`.
    """

    keys: Keys
    first: NDArray[np.int64]
    short: NDArray[np.int64]
    short_keys: Keys

    def whole(self, places: NDArray[np.int64], texts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the gram at each place lies within its text."""
        return places + WORDS <= self.first[texts + 1]


def batches(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where to cut `texts`, as (begin, end), so that a batch has about `BATCH` bytes and at least one text."""
    begin = size = 0
    for end, text in enumerate(texts):
        if size and size + len(text) > BATCH:
            yield begin, end
            begin, size = end, 0
        size += len(text) + 1
    if size:
        yield begin, len(texts)


def grams(texts: Sequence[str]) -> Grams:
    """The grams of one batch of texts (see `batches`)."""
    hashes, first = _words(texts)
    keys = hashes
    for step in (1, 2, 4):  # two words, four, eight
        keys = keys[:-step] + keys[step:] * _POWERS[step]
    counts = first[1:] - first[:-1]
    short = ((counts >= SHORTEST) & (counts < WORDS)).nonzero()[0]
    short_keys = np.zeros(len(short), dtype=np.uint64)
    for word in range(WORDS - 1 if len(short) else 0):
        longer = counts[short] > word
        short_keys[longer] += hashes[first[short[longer]] + word] * _POWERS[word]
    return Grams(keys >> _DROPPED, first, short, short_keys >> _DROPPED)


def _words(texts: Sequence[str]) -> tuple[Keys, NDArray[np.int64]]:
    """The hashes of all words of all texts, and the number of each text's first word.

    With B the base and S the running sum of byte * B**place, a word from `start` to `end` hashes to
    (S[end] - S[start]) * B**-start modulo 2**64, wherever it stands. (S counts the byte at its place: `start` is the
    one before the word.)
    """
    parts = [text.encode().translate(_TABLE) if text.isascii() else " ".join(words(text)).encode() for text in texts]
    data = np.frombuffer(b" ".join((b"", *parts, b"")), dtype=np.uint8)
    powers, inverses = _powers(len(data))
    sums = (data * powers[: len(data)]).cumsum()
    letters = data > _SPACE
    edges = (letters[1:] != letters[:-1]).nonzero()[0]  # the places before a word's first and of its last byte
    starts, ends = edges[0::2], edges[1::2]
    hashes = (sums[ends] - sums[starts]) * inverses[starts]
    hashes ^= hashes >> _HALF
    hashes *= _MIX
    hashes ^= hashes >> _HALF
    offsets = np.fromiter(accumulate((len(part) + 1 for part in parts), initial=0), np.int64, len(parts) + 1)
    return hashes, starts.searchsorted(offsets)


def _powers(size: int) -> tuple[Keys, Keys]:
    """The powers of the base, and of its inverse, from 0 up to `size` or more, modulo 2**64."""
    return _table() if size <= _TABLED else (_row(_LETTER, size), _row(_INVERSE, size))


@cache
def _table() -> tuple[Keys, Keys]:
    return _row(_LETTER, _TABLED), _row(_INVERSE, _TABLED)


def _row(base: int, size: int) -> Keys:
    row = np.full(size, base, dtype=np.uint64)
    row[0] = 1
    return np.cumprod(row, dtype=np.uint64)

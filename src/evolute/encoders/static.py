"""The encoder that ships with the package: a vector per word piece, summed. No model runs, and no network is asked.

The idea is model2vec's (github.com/MinishLab/model2vec): what a small sentence model says of each piece of its
vocabulary, made once, is most of what it says of a text. Order is not seen, nor are words in a script that the
vocabulary lacks: such texts get no vector. data/minilm/README.md says where the vectors come from;
scripts/distil_encoder.py makes them, and benchmarks/encoder.py says how well they agree with the model they come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evolute.encoders import Vectors
from evolute.encoders.wordpiece import WordPieces
from evolute.errors import InputError
from evolute.records import tagged_hash

SHIPPED = "evolute-minilm-1"
_RULES = "static-2"  # of making a vector from the table; another number where the same table gives other vectors
_AT_ONCE = 100_000  # pieces that are summed at once
_MOST_UNREAD = 0.4
"""The share of unread letters (`WordPieces.read`) above which a text has no vector.

What it would be made of are single letters, so that any two texts in that script were alike: with the shipped table
the median cosine of unrelated texts is 0.98 in Korean, 0.96 in Russian and Arabic, 0.94 in Hindi, 0.84 in Japanese and
0.61 in Chinese, which leave 0.55 to 1.0 of their letters unread. Eight texts of each language were measured; in
German, French, Polish, Turkish and Vietnamese no more than 0.26 was unread, and in 18,000 English texts and pieces of
code more than 0.4 in 0.07 %, all of them codes and file names.
"""
_LONGEST = 32_768  # pieces of a text that are read; what is said after so many changes no direction


class StaticEncoder:
    """Sums a table's rows over the pieces of a text, and normalises.

    The table holds whole numbers, so that a sum is exact: a text has the same vector to the last bit whatever it is
    batched with, on any machine and any number of threads.

    A text in a script that the vocabulary does not read gets the zero vector, which is like none: it takes no part in
    what is done by meaning, rather than be like every other text in that script. `unread` counts such texts.

    Args:
        name: what readers call it.
        vocabulary: the pieces, those that continue a word beginning with `##`.
        table: a row per piece, int8, a piece's weight being in its length.

    Raises:
        InputError: the table is no int8 table with a row per piece.
    """

    def __init__(self, name: str, vocabulary: Sequence[str], table: NDArray[np.int8]) -> None:
        if table.dtype != np.int8 or table.ndim != 2 or len(table) != len(vocabulary):
            raise InputError(
                f"the encoder {name!r} has {len(vocabulary)} pieces and a table of {table.dtype} {table.shape}: "
                f"it wants int8 with a row per piece"
            )
        self.name = name
        self.identity = f"{name} {tagged_hash(_RULES, chr(10).join(vocabulary), table.tobytes()).hex()}"
        self.dimensions: int = table.shape[1]
        self._pieces = WordPieces(vocabulary)
        self._table = table.astype(np.int32)
        self.unread = 0
        """Texts so far, each time that they came, that have letters and no vector."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """A row per text, in order: float32 of length 1, or all zero for a text that cannot be read or has no words."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        pieces: list[int] = []
        counts: list[int] = []
        for number, text in enumerate(texts, 1):
            found, lost = self._pieces.read(text)
            if lost > _MOST_UNREAD:
                self.unread += 1
                found = []
            found = found[:_LONGEST]
            pieces += found
            counts.append(len(found))
            if len(pieces) >= _AT_ONCE or number == len(texts):
                vectors[number - len(counts) : number] = self._summed(np.array(pieces), np.array(counts))
                pieces, counts = [], []
        return vectors

    def _summed(self, pieces: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Add up the first pieces of all texts, then the second, and so on: far faster than text by text."""
        order = np.argsort(-counts, kind="stable")
        starts, ascending = (np.cumsum(counts) - counts)[order], counts[order[::-1]]
        sums = np.zeros((len(counts), self.dimensions), dtype=np.int32)
        for place in range(ascending[-1]):
            some = len(counts) - int(np.searchsorted(ascending, place, side="right"))  # that have so many
            sums[:some] += self._table[pieces[starts[:some] + place]]
        squares = np.einsum("ij,ij->i", sums, sums, dtype=np.int64)
        unit = np.empty(sums.shape)
        unit[order] = sums / np.sqrt(np.maximum(squares, 1).astype(np.float64))[:, None]
        return unit


def shipped() -> StaticEncoder:
    """The encoder that ships with the package: 96 dimensions, English first, distilled from all-MiniLM-L6-v2."""
    return _load(files("evolute.encoders") / "data" / "minilm", SHIPPED)


def load_static(folder: str | Path) -> StaticEncoder:
    """An encoder that scripts/distil_encoder.py wrote into a folder: vocabulary.txt and vectors.npy.

    Raises:
        InputError: they are not there, or not of that shape.
    """
    return _load(Path(folder), str(folder))


def _load(folder: Traversable, name: str) -> StaticEncoder:
    try:
        vocabulary = (folder / "vocabulary.txt").read_text(encoding="utf-8").split("\n")[:-1]
        table = np.load(BytesIO((folder / "vectors.npy").read_bytes()), allow_pickle=False)
    except (OSError, ValueError) as problem:
        raise InputError(f"no static encoder can be read from {str(folder)!r} ({problem})") from None
    return StaticEncoder(name, vocabulary, table)

"""Overlap with benchmarks: the longest run of words that a text shares with an item.

The index holds the items' 8-word grams (`text.grams`), and serves every longer count as well: k grams at consecutive
places of a text that equal k grams at consecutive places of one item are k + 7 equal words in a row, and the other way
round. So an overlap of 13 words is six grams in a row, and one pass finds all overlaps of 8 words or more with their
exact length (but for a collision of hashes: see `grams.BITS`).

An overlap has one telling gram at least: one that no more than ten items of the corpus share ("which of the following
best describes the" is none) and that is no row of numbers or symbols (`corpora.PLAIN`). Other grams may stand before
and after it, so that they do not cut an item in two.

Counts used in the literature: 13 words in GPT-3 (arXiv:2005.14165, appendix C; 8 to 13 by the length of a benchmark's
items), 8 in PaLM (arXiv:2204.02311, §8) and, for code and mathematics, in Automatic Instruction Evolving
(arXiv:2406.00770, 13 / 8). Many items are shorter than that (half of TruthfulQA's have 9 words at most), hence:

- an item of 8 words or more that is found *whole* counts like one of 13, `Overlap.score`;
- an item of 5 to 7 words counts only where it is the whole text: within longer texts so few words meet by chance;
- an item of fewer words is not looked for, and `Corpus.checkable` does not count it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from evolute.records import Finding, Reason
from evolute.text.corpora import KNOWN, SHIPPED, Corpus, gram_counts
from evolute.text.corpora.reading import read_corpus
from evolute.text.grams import BITS, WORDS, Grams, Keys, batches, grams
from evolute.text.words import words as split_words

WHOLE = 13
"""The score of an item that is found whole, at least: the longest run that the literature asks for."""
SHOWN = 2000
"""Characters of a passage kept as evidence."""

_THREE, _SEVEN = np.uint64(3), np.uint64(7)
_MASKS = (1 << np.arange(8)).astype(np.uint8)
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Overlap:
    """A passage that a text shares with a benchmark's item.

    `words` is the length of the passage, `share` how much of the item that is (0 to 1). `text` is the passage as it
    stands in the text; `item_text` the item's own text where that is known (it was read from a file), else the words.
    """

    corpus: str
    item: str
    words: int
    share: float
    text: str
    item_text: str

    @property
    def score(self) -> int:
        """`words`, or 13 where the item is found whole and is shorter."""
        return max(self.words, WHOLE) if self.share == 1 else self.words


@dataclass(frozen=True, slots=True, eq=False)
class _Index:
    """The grams of all corpora.

    `ordered` as they follow each other in the items; `keys` the telling ones sorted, and at which `places` they stand.
    A bitmap of the keys' upper bits says quickly that a gram is not among them.
    """

    ordered: Keys
    keys: Keys
    places: NDArray[np.int32]
    bitmap: NDArray[np.uint8]
    shift: np.uint64
    ends: NDArray[np.int64]
    """Where each item's grams end, counted over all corpora."""
    counts: NDArray[np.int64]
    """How many words each item has."""
    ids: Sequence[str]
    texts: Sequence[str | None]
    corpora: Sequence[int]
    """Which corpus each item is of."""

    @classmethod
    def of(cls, corpora: Iterable[Corpus]) -> _Index:
        """Sort the grams of all corpora."""
        hashed = [corpus.hashed() for corpus in corpora]
        ordered = np.concatenate([np.zeros(0, dtype=np.uint64), *(one.keys for one in hashed)])
        telling = np.concatenate([np.zeros(0, dtype=bool), *(one.telling for one in hashed)]).nonzero()[0]
        places = telling[ordered[telling].argsort()].astype(np.int32)
        keys = ordered[places]
        # 64 bits a gram or more: of the grams that are not in the index, less than 2 % pass.
        wide = min(max(len(places) * 64, 1 << 12).bit_length(), BITS)
        shift = np.uint64(BITS - wide)
        bits = keys >> shift
        octets = (bits >> _THREE).astype(np.int64)
        begins = np.diff(octets, prepend=-1).nonzero()[0]
        bitmap = np.zeros(1 << (wide - 3), dtype=np.uint8)
        if len(begins):
            bitmap[octets[begins]] = np.bitwise_or.reduceat(_MASKS[bits & _SEVEN], begins)
        counts = np.concatenate([np.zeros(0, dtype=np.int64), *(one.counts for one in hashed)])
        ends = np.asarray(gram_counts(counts).cumsum())
        ids = [name for one in hashed for name in one.ids]
        texts = [text for one in hashed for text in (one.texts or repeat(None, len(one.ids)))]
        owners = [number for number, one in enumerate(hashed) for _ in one.ids]
        return cls(ordered, keys, places, bitmap, shift, ends, counts, ids, texts, owners)

    def find(self, keys: Keys) -> tuple[Places, Places]:
        """Each pair (which of `keys`, at which place of the corpora) of equal grams."""
        bits = keys >> self.shift
        near = (self.bitmap[bits >> _THREE] & _MASKS[bits & _SEVEN]).nonzero()[0]
        if not len(near):
            return near, near
        begin = self.keys.searchsorted(keys[near])
        times = self.keys.searchsorted(keys[near], side="right") - begin
        offsets = np.arange(times.sum()) - np.repeat(times.cumsum() - times, times)
        return near.repeat(times), self.places[begin.repeat(times) + offsets]


class Corpora:
    """The benchmarks to check against. Cheap to make: hashes are loaded and sorted at the first check."""

    def __init__(self, corpora: Iterable[Corpus]) -> None:
        self.checked: list[Corpus] = list(corpora)

    @property
    def not_checked(self) -> list[str]:
        """The titles of the benchmarks known to Evolute that are not among these."""
        names = {corpus.name for corpus in self.checked}
        return [benchmark.title for name, benchmark in KNOWN.items() if name not in names]

    def check(self, text: str, words: int = WHOLE) -> list[Overlap]:
        """The overlaps of one text; see `check_many`."""
        return [overlap for _, overlap in self._check([text], words)] if text else []

    def check_many(self, texts: Sequence[str], words: int = WHOLE) -> Iterator[tuple[int, Overlap]]:
        """All overlaps that score `words` or more, each with its text's number.

        They come in the order of the texts, the strongest first: the longest one for each text and item.

        Raises:
            ValueError: fewer than 8 words are asked for, which the index does not know.
        """
        for begin, end in batches(texts):
            for number, overlap in self._check(texts[begin:end], words):
                yield begin + number, overlap

    def _check(self, texts: Sequence[str], words: int) -> list[tuple[int, Overlap]]:
        if words < WORDS:
            raise ValueError(f"overlaps are known from {WORDS} words up, not from {words!r}")
        batch, index = grams(texts), self._index
        runs = [*_long_runs(batch, index), *_whole_texts(batch, index)]
        if not runs:
            return []
        best: dict[tuple[int, int], tuple[int, int]] = {}
        for text, item, first, length in runs:
            if length > best.get((text, item), (0, 0))[1]:
                best[text, item] = first, length
        found = [
            (text, self._overlap(texts[text], item, first, length))
            for (text, item), (first, length) in best.items()
            if length >= words or length == index.counts[item]
        ]
        found = [(text, overlap) for text, overlap in found if overlap.score >= words]
        return sorted(found, key=lambda one: (one[0], -one[1].score, -one[1].words))

    def _overlap(self, text: str, item: int, first: int, length: int) -> Overlap:
        index = self._index
        passage, own = _passage(text, first, length)[:SHOWN], index.texts[item]
        share = length / int(index.counts[item])
        corpus = self.checked[index.corpora[item]].name
        return Overlap(corpus, index.ids[item], length, share, passage, passage if own is None else own[:SHOWN])

    @cached_property
    def _index(self) -> _Index:
        return _Index.of(self.checked)


def _long_runs(batch: Grams, index: _Index) -> Iterator[tuple[int, int, int, int]]:
    """(text, item, first word, words) of each run of equal grams in texts of 8 words or more."""
    here, there = index.find(batch.keys)
    if not len(here):  # nearly always: without the detour
        return
    texts = batch.first.searchsorted(here, side="right") - 1
    items = index.ends.searchsorted(there, side="right")
    real = batch.whole(here, texts) & (index.counts[items] >= WORDS)
    order = np.lexsort((here[real], (there - here)[real]))
    columns = (column[real][order].tolist() for column in (here, there, texts, items))
    seen, until = (-1, -1, -1), -1
    for mine, its, text, item in zip(*columns, strict=True):
        if (text, item, its - mine) == seen and mine < until:
            continue  # within the run before
        low = min(mine - int(batch.first[text]), its - (int(index.ends[item - 1]) if item else 0))
        high = min(int(batch.first[text + 1]) - WORDS + 1 - mine, int(index.ends[item]) - its)
        before = _equal(batch.keys[mine - low : mine][::-1], index.ordered[its - low : its][::-1])
        after = _equal(batch.keys[mine : mine + high], index.ordered[its : its + high])
        seen, until = (text, item, its - mine), mine + after
        yield text, item, mine - before - int(batch.first[text]), before + after + WORDS - 1


def _equal(some: Keys, others: Keys) -> int:
    """How many of the first grams are equal, one by one."""
    unequal = (some != others).nonzero()[0]
    return int(unequal[0]) if len(unequal) else len(some)


def _whole_texts(batch: Grams, index: _Index) -> Iterator[tuple[int, int, int, int]]:
    """(text, item, 0, words) of each text of 5 to 7 words that is an item."""
    if not len(batch.short):
        return
    which, there = index.find(batch.short_keys)
    items = index.ends.searchsorted(there, side="right")
    for text, item in zip(batch.short[which].tolist(), items.tolist(), strict=True):
        if index.counts[item] < WORDS:
            yield text, item, 0, int(index.counts[item])


def _passage(text: str, first: int, length: int) -> str:
    """The words of `text` from number `first` on, as they stand in it."""
    spans = [match.span() for match in _WORD.finditer(text)]
    plain = split_words(text)
    if len(spans) != len(plain):  # folding the case has parted a word (İ becomes i and a mark): show the words instead
        return " ".join(plain[first : first + length])
    return text[spans[first][0] : spans[first + length - 1][1]]


def load_corpora(sources: Iterable[str | Corpus] = SHIPPED) -> Corpora:
    """Benchmarks by name, from files and from the hub.

    A source is the name of one that ships (`SHIPPED`), a file with one item a row (`PATH`, `PATH::column`), a dataset
    of the hub (`hf:OWNER/NAME`, `hf:OWNER/NAME:CONFIGURATION@SPLIT`), any of them as `NAME=SOURCE`, or a `Corpus`. The
    files of ARC, AlpacaEval and the WizardLM test set are recognised by their columns.

    Raises:
        InputError: no such name or file, a file in which no column is the text, or one of whose items none can be
            checked.
        MissingExtra: Parquet or the hub, without the packages for them.
    """
    return Corpora(source if isinstance(source, Corpus) else read_corpus(source) for source in sources)


@cache
def shipped_corpora() -> Corpora:
    """The benchmarks that ship, loaded once in a process: their index takes 40 MB and a third of a second."""
    return load_corpora()


def check_contamination(text: str, corpora: Corpora, words: int = WHOLE) -> Finding | None:
    """What is wrong with an instruction that shares `words` consecutive words with a benchmark's item, or None."""
    overlaps = corpora.check(text, words)
    if not overlaps:
        return None
    worst = overlaps[0]
    evidence = {
        "corpus": worst.corpus, "item": worst.item, "words": worst.words, "limit": words,
        "share": round(worst.share, 4), "text": worst.text, "item_text": worst.item_text,
    }  # fmt: skip
    return Finding(Reason.CONTAMINATED, evidence)

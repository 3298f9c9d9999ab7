"""Contamination: rows that share a passage with a benchmark's item (`evolute.text.contamination` says what counts).

All that a row would publish is looked at, as three sides: the instruction with its input, the response, and the
context, which is the system prompt and the earlier turns. Each text of the context is looked at by itself.

A passage put in other words has no run of equal ones. Its neighbours in meaning may have: `semantic_contamination`
compares the vectors of an encoder, those of the instructions alone, and gives what it finds for a look rather than for
a verdict.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evolute.batches import batched
from evolute.encoders import Encoder, Vectors
from evolute.errors import EvoluteError
from evolute.records import Reason, Row
from evolute.select.findings import Hit, Hits
from evolute.select.semantic import SemanticDuplicates, neighbours
from evolute.text.contamination import SHOWN, Corpora, Overlap
from evolute.text.corpora.vectors import PROBE, load_vectors, vectors_ship

_SIDES = ("instruction", "response", "context")
ROWS = 1024
"""Rows looked at together."""


class Contamination:
    """Looks for overlaps of at least `floor` words (8 or more) in the rows that it is given, in order."""

    def __init__(self, corpora: Corpora, floor: int = 8) -> None:
        self._corpora, self._floor = corpora, floor
        self._hits: list[Hit] = []
        self._count = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Look at the next rows.

        Raises:
            ValueError: the floor is below 8, the least that an index of 8-word grams knows.
        """
        texts = [(row, side, text) for row, one in enumerate(rows) for side, text in _texts(one)]
        found: defaultdict[tuple[int, int, str], list[Overlap]] = defaultdict(list)
        for number, overlap in self._corpora.check_many([text for _, _, text in texts], self._floor):
            row, side, _ = texts[number]
            found[row, side, overlap.corpus].append(overlap)
        for (row, side, _), overlaps in sorted(found.items(), key=lambda one: one[0]):
            overlap = max(overlaps, key=lambda one: (one.score, one.words))  # the first among equals
            evidence = _evidence(overlap, _SIDES[side], len({one.item for one in overlaps}))
            self._hits.append(Hit(self._count + row, Reason.CONTAMINATED, float(overlap.score), evidence))
        self._count += len(rows)

    def hits(self) -> Hits:
        """What was found so far: one hit for each row, side and corpus, the longest overlap.

        The score is its length in words, or 13 where a shorter item is found whole: look at it with a threshold of
        13 (the default of the literature) or 8 (strict, and full of turns of phrase). `evidence` holds the side
        (`instruction`, `response` or `context`), the corpus, the item's id, the number of words, the share of the
        item, both texts, and how many items of the corpus overlap with that side.
        """
        return Hits(self._count, list(self._hits))


def contamination(rows: Iterable[Row], corpora: Corpora, floor: int = 8) -> Hits:
    """Look for overlaps of at least `floor` words between rows and benchmarks; see `Contamination.hits`."""
    found = Contamination(corpora, floor)
    for some in batched(rows, ROWS):
        found.add(some)
    return found.hits()


NEAR = 0.85
"""The least cosine that `semantic_contamination` measures, where nothing else is said."""


@dataclass(frozen=True, slots=True, eq=False)
class Meanings:
    """The items of benchmarks as vectors of one encoder.

    `compared` are the titles of the benchmarks whose items are here, `not_compared` of those known to Evolute or asked
    for that are not. `items` are (corpus, item, text); a text is None where the benchmark ships as hashes.
    """

    encoder: Encoder
    vectors: Vectors
    items: Sequence[tuple[str, str, str | None]]
    compared: Sequence[str]
    not_compared: Sequence[str]

    @classmethod
    def of(cls, corpora: Corpora, encoder: Encoder) -> Meanings:
        """Encode the items whose texts are known, and take the vectors of the others, where this encoder made them.

        Raises:
            EvoluteError: the encoder failed, or has changed since it made the vectors that ship.
        """
        shipped = _shipped_vectors(corpora, encoder)
        blocks: list[Vectors] = []
        items: list[tuple[str, str, str | None]] = []
        compared, missing = [], []
        for corpus in corpora.checked:
            if corpus.held is not None and corpus.held.texts:
                blocks.append(_encoded(corpus.held.texts, encoder))
                items += zip([corpus.name] * corpus.items, corpus.held.ids, corpus.held.texts, strict=True)
            elif corpus.name in shipped:
                blocks.append(shipped[corpus.name])
                items += [(corpus.name, item, None) for item in corpus.hashed().ids]
            else:
                missing.append(corpus.title)
                continue
            compared.append(corpus.title)
        vectors = np.concatenate(blocks) if blocks else np.zeros((0, 1), dtype=np.float32)
        return cls(encoder, vectors, items, compared, [*missing, *corpora.not_checked])


def semantic_contamination(
    texts: Iterable[str], meanings: Meanings, floor: float = NEAR, vectors: Vectors | None = None
) -> Hits:
    """For each text, the benchmarks' item that is nearest in meaning, where the cosine is `floor` or more.

    The score is the cosine; `evidence` holds the corpus, the item's id, the encoder and both texts (`item_text` is
    None where the benchmark ships without its texts).

    Args:
        texts: the rows' instructions, in order.
        meanings: the items to compare with.
        floor: the least cosine that counts; above 0.
        vectors: the texts' vectors, where they are known from looking for semantic duplicates.

    Raises:
        EvoluteError: the encoder failed, or the vectors have other dimensions than the items'.
    """
    if vectors is None:
        texts = list(texts)
        vectors = _encoded(texts, meanings.encoder)
    if not len(meanings.vectors) or not len(vectors):
        return Hits(len(vectors), [])
    if vectors.shape[1] != meanings.vectors.shape[1]:
        have, want = vectors.shape[1], meanings.vectors.shape[1]
        raise EvoluteError(
            f"the rows' vectors have {have} numbers and the benchmarks' {want}: encode both with"
            f" {meanings.encoder.name!r}"
        )
    rows, items, cosines = neighbours(vectors, meanings.vectors, floor)
    found = dict(zip(rows.tolist(), zip(items.tolist(), cosines.tolist(), strict=True), strict=True))
    hits = []
    for row, text in enumerate(texts):
        if row in found:
            item, cosine = found[row]
            corpus, name, own = meanings.items[item]
            evidence = {
                "side": "instruction", "corpus": corpus, "item": name, "encoder": meanings.encoder.name,
                "text": text[:SHOWN], "item_text": own if own is None else own[:SHOWN],
            }  # fmt: skip
            hits.append(Hit(row, Reason.CONTAMINATED, cosine, evidence))
    return Hits(len(vectors), hits)


def _shipped_vectors(corpora: Corpora, encoder: Encoder) -> dict[str, Vectors]:
    digests = {corpus.name: corpus.digest for corpus in corpora.checked if corpus.held is None}
    if not digests or not vectors_ship(encoder.name):
        return {}
    try:
        return load_vectors(encoder.name, _encoded([PROBE], encoder)[0], digests)
    except ValueError as error:
        raise EvoluteError(str(error)) from None


def _encoded(texts: Sequence[str], encoder: Encoder) -> Vectors:
    collected = SemanticDuplicates(encoder)  # it looks whether the vectors are sound
    collected.add(texts)
    return collected.vectors


def _texts(row: Row) -> Iterator[tuple[int, str]]:
    """The texts of a row, each with the number of its side."""
    yield 0, f"{row.instruction}\n\n{row.input}" if row.input else row.instruction
    yield 1, row.response or ""
    if row.system:
        yield 2, row.system
    for turn in row.history:
        yield 2, turn.content


def _evidence(overlap: Overlap, side: str, items: int) -> dict[str, Any]:
    return {
        "side": side, "corpus": overlap.corpus, "item": overlap.item, "words": overlap.words,
        "share": round(overlap.share, 4), "text": overlap.text, "item_text": overlap.item_text, "items": items,
    }  # fmt: skip

"""Contamination: rows that share a passage with a benchmark's item (`evolute.text.contamination` says what counts).

Both sides of a row are looked at: the instruction with its input, and the response. What stood before them, the system
prompt and the earlier turns, belongs to the rows that these turns come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from evolute.records import Reason, Row
from evolute.select.findings import Hit, Hits
from evolute.text.contamination import Corpora, Overlap

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
        sides = [_instruction(row) for row in rows] + [row.response or "" for row in rows]
        worst: dict[tuple[int, int, str], tuple[Overlap, int]] = {}
        for number, overlap in self._corpora.check_many(sides, self._floor):
            side, row = divmod(number, len(rows))
            place = row, side, overlap.corpus
            first, items = worst.get(place, (overlap, 0))  # the longest comes first
            worst[place] = first, items + 1
        for (row, side, _), (overlap, items) in sorted(worst.items(), key=lambda one: one[0]):
            evidence = _evidence(overlap, ("instruction", "response")[side], items)
            self._hits.append(Hit(self._count + row, Reason.CONTAMINATED, float(overlap.score), evidence))
        self._count += len(rows)

    def hits(self) -> Hits:
        """What was found so far: one hit for each row, side and corpus, the longest overlap.

        The score is its length in words, or 13 where a shorter item is found whole: look at it with a threshold of
        13 (the default of the literature) or 8 (strict, and full of turns of phrase). `evidence` holds the side, the
        corpus, the item's id, the number of words, the share of the item, both texts, and how many items of the corpus
        overlap with that side.
        """
        return Hits(self._count, list(self._hits))


def contamination(rows: Iterable[Row], corpora: Corpora, floor: int = 8) -> Hits:
    """Look for overlaps of at least `floor` words between rows and benchmarks; see `Contamination.hits`."""
    found = Contamination(corpora, floor)
    for some in _in_batches(rows):
        found.add(some)
    return found.hits()


def _in_batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    some: list[Row] = []
    for row in rows:
        some.append(row)
        if len(some) == ROWS:
            yield some
            some = []
    if some:
        yield some


def _instruction(row: Row) -> str:
    return f"{row.instruction}\n\n{row.input}" if row.input else row.instruction


def _evidence(overlap: Overlap, side: str, items: int) -> dict[str, Any]:
    return {
        "side": side, "corpus": overlap.corpus, "item": overlap.item, "words": overlap.words,
        "share": round(overlap.share, 4), "text": overlap.text, "item_text": overlap.item_text, "items": items,
    }  # fmt: skip

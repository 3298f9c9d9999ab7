"""What a child changed in its parent, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

_WORD = re.compile(r"\s*\S+")
MOST_WORDS = 600
"""Longer texts are not compared: it takes the square of their length, and nobody would read it."""
SHORTEST_SHARED = 3
"""A shorter run of shared words between two changes is part of the change: single words in common are chance."""
ALIKE = 0.2
"""A child that shares less of its words with its parent is a new text, and is shown as one."""


class Piece(NamedTuple):
    """A run of words that both have (`same`), or that the child lost (`del`) or gained (`ins`)."""

    kind: Literal["same", "del", "ins"]
    text: str


def differences(parent: str, child: str) -> list[Piece] | None:
    """The child as words that its parent had, lost and gained, in reading order; None where little is common."""
    # A space before all of the parent's words is none between what it lost at the beginning and what follows.
    before, after = _WORD.findall(parent.lstrip()), _WORD.findall(child)
    if not before or not after or max(len(before), len(after)) > MOST_WORDS:
        return None
    matcher = SequenceMatcher(None, [w.strip() for w in before], [w.strip() for w in after], autojunk=False)
    blocks = [
        block
        for block in matcher.get_matching_blocks()
        if block.size >= SHORTEST_SHARED or _at_an_edge(block.a, block.b, block.size, len(before), len(after))
    ]
    if 2 * sum(block.size for block in blocks) < ALIKE * (len(before) + len(after)):
        return None
    pieces: list[Piece] = []
    a = b = 0
    for block in blocks:
        pieces += _marked("del", before[a : block.a]) + _marked("ins", after[b : block.b])
        a, b = block.a + block.size, block.b + block.size
        pieces.append(Piece("same", "".join(after[block.b : b])))
    return [piece for piece in pieces if piece.text]


def _marked(kind: Literal["del", "ins"], words: list[str]) -> list[Piece]:
    """A change, with the space before it left out of it; words lost at the very beginning get one after them."""
    text = "".join(words)
    change = Piece(kind, text.lstrip())
    space = text[: len(text) - len(change.text)]
    if kind == "ins":
        return [Piece("same", space), change]
    return [Piece("same", " "), change] if space else [change, Piece("same", " " if text else "")]


def _at_an_edge(a: int, b: int, size: int, before: int, after: int) -> bool:
    return (a == b == 0) or (a + size == before and b + size == after)

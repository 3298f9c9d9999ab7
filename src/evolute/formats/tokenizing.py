"""Text as tokens, each with its place in the text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evolute.errors import InputError
from evolute.formats.shielding import Shield, parted

_ANCHORS = ("\n", ".", "a", "0", " ")
"""Texts that another can go on from. What follows is then tokenized as within a text, unless the two share a token."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens, and the place in the text where each begins."""

    ids: list[int]
    starts: list[int]

    def before(self, place: int) -> int:
        """How many tokens begin before that place."""
        return bisect_left(self.starts, place)


def tokens_of(tokenizer: Any, text: str, shield: Shield, *, begins: bool) -> Tokens:  # noqa: ANN401
    """The tokens of a shielded text, as the tokenizer itself has them; no control token comes of what is shielded.

    Args:
        tokenizer: a fast one.
        text: with the shield's letters in it.
        shield: what it was written of.
        begins: whether the tokenizer puts its beginning (`bos`) before it; chat templates write their own.

    Raises:
        InputError: it is not a fast tokenizer.
    """
    if not shield:
        return _plain(tokenizer, text, begins=begins)
    ids, starts, place = [], [], 0
    if begins and (beginning := added_beginning(tokenizer)) is not None:
        ids, starts = [beginning], [0]
    for piece, control in parted(tokenizer, text):
        if control:
            ids.append(tokenizer.convert_tokens_to_ids(piece))
            starts.append(place)
        else:
            found = _as_text(tokenizer, shield.restored(piece), first=place == 0)
            ids += found.ids
            starts += [place + start for start in found.starts]
        place += len(piece)
    return Tokens(ids, starts)


def continued(tokenizer: Any, text: str, shield: Shield) -> Tokens:  # noqa: ANN401
    """The tokens of a piece of shielded text that goes on from a text before it."""
    return _behind_anchor(lambda piece: tokens_of(tokenizer, piece, shield, begins=False), text)


def added_beginning(tokenizer: Any) -> int | None:  # noqa: ANN401
    """The beginning (`bos`) that the tokenizer adds by itself; None if it adds none."""
    ids = tokenizer("a")["input_ids"]
    return ids[0] if tokenizer.bos_token_id is not None and ids[:1] == [tokenizer.bos_token_id] else None


def control_ids(tokenizer: Any) -> set[int]:  # noqa: ANN401
    """The ids of all control tokens."""
    added = (number for number, token in tokenizer.added_tokens_decoder.items() if token.special)
    return {*added, *tokenizer.all_special_ids}


def _plain(tokenizer: Any, text: str, *, begins: bool, split: bool = False) -> Tokens:  # noqa: ANN401
    if not tokenizer.is_fast:
        raise InputError(f"the tokenizer {type(tokenizer).__name__} is not a fast one: save it with a tokenizer.json")
    found = tokenizer(
        text, add_special_tokens=begins, return_offsets_mapping=True, split_special_tokens=split, verbose=False
    )
    ids, starts = list(found["input_ids"]), [start for start, _ in found["offset_mapping"]]
    if begins and ids and found["offset_mapping"][-1] == (0, 0) and len(ids) > 1 and ids[-1] in control_ids(tokenizer):
        del ids[-1], starts[-1]  # some tokenizers end every text; ours goes on
    return Tokens(ids, starts)


def _as_text(tokenizer: Any, text: str, *, first: bool) -> Tokens:  # noqa: ANN401
    """A text without control tokens, whatever it looks like."""
    alone = _plain(tokenizer, text, begins=False, split=True)
    if first or _opens_alike(tokenizer):
        return alone
    return _behind_anchor(lambda piece: _plain(tokenizer, piece, begins=False, split=True), text)


def _behind_anchor(encode: Callable[[str], Tokens], text: str) -> Tokens:
    """The text's tokens behind the first anchor that keeps its own; alone where none does."""
    for anchor in _ANCHORS:
        own, found = encode(anchor).ids, encode(anchor + text)
        cut = len(own)
        if found.ids[:cut] == own and found.starts[cut : cut + 1] == [len(anchor)]:
            return Tokens(found.ids[cut:], [start - len(anchor) for start in found.starts[cut:]])
    return encode(text)


def _opens_alike(tokenizer: Any) -> bool:  # noqa: ANN401
    """Whether a text behind a control token is tokenized as one at the beginning (some put a space before that)."""
    special = tokenizer.all_special_tokens[:1]
    if not special:
        return True
    alone = tokenizer("a", add_special_tokens=False)["input_ids"]
    return list(tokenizer(f"{special[0]}a", add_special_tokens=False)["input_ids"])[1:] == list(alone)

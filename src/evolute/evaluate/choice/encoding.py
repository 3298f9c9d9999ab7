"""Prompt and choice as tokens, with the harness's rules; what it would score wrongly has a reason instead of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Pair = tuple[str, str]
"""A context and what may continue it."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokens of a pair: all but the last are put in, and the last `count` are scored. `cut`: lost on the left.

    `why` says why it cannot be scored; then there are no tokens.
    """

    tokens: tuple[int, ...] = ()
    count: int = 0
    cut: int = 0
    why: str = ""


def split(context: str, continuation: str) -> Pair:
    """Trailing white space of the context belongs to the continuation, for tokens begin with their space.

    As lm-evaluation-harness's `TemplateLM._encode_pair`.
    """
    bare = context.rstrip()
    return bare, context[len(bare) :] + continuation


def encode_pairs(
    pairs: Sequence[Pair], encode: Callable[[list[str]], list[list[int]]], window: int, beginning: int
) -> list[Encoded]:
    """Tokenise pairs as lm-evaluation-harness does: context and continuation as one text, cut where the context ends.

    Args:
        pairs: what is to be scored.
        encode: the tokenizer, for many texts at once, with its special tokens.
        window: the most tokens that the model takes at once; what is longer loses its left end.
        beginning: the token that stands for an empty context.

    A continuation without tokens has no log-likelihood; one whose first token reaches back into the context would have
    that of another text. Both get a reason. (The harness stops at the first, and scores the second.)
    """
    cut = [split(*pair) for pair in pairs]
    texts = list(dict.fromkeys(text for context, continuation in cut for text in (context, context + continuation)))
    known = dict(zip(texts, encode(texts), strict=True))
    return [
        _encoded(known[context] if context else [beginning], known[context + continuation], bool(context), window)
        for context, continuation in cut
    ]


def _encoded(context: list[int], whole: list[int], has_context: bool, window: int) -> Encoded:
    if not has_context:
        whole = whole if whole[:1] == context else [*context, *whole]
    if whole[: len(context)] != context:
        return Encoded(why="the tokenizer joins the end of the prompt with the choice: no token begins where it begins")
    count = len(whole) - len(context)
    if count == 0:
        return Encoded(why="the choice has no tokens")
    if count > window:
        return Encoded(why=f"the choice has {count} tokens, and the model's window is {window}")
    kept = whole[-(window + 1) :]
    return Encoded(tuple(kept), count, len(whole) - len(kept))


def empty_choices(choices: Iterable[str]) -> str:
    """Why a question cannot be scored, if one of its choices has no length to divide by; else empty."""
    empty = [number for number, choice in enumerate(choices, 1) if not choice]
    return f"choice {empty[0]} is empty" if empty else ""

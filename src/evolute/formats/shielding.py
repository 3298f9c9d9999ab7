"""Text that looks like a control token stays text: it is hidden from the template and the tokenizer, and put back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from evolute.records import Message

_FIRST, _LAST = 0xE000, 0xF8FF
"""The private use area: no template writes these."""


def special_texts(tokenizer: Any) -> list[str]:  # noqa: ANN401 - transformers' own
    """The texts of the tokenizer's control tokens, longest first."""
    added = (token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    return sorted(
        {text for text in (*added, *tokenizer.all_special_tokens) if text}, key=lambda text: (-len(text), text)
    )


class Shield:
    """Messages in which the texts of control tokens are replaced by as many letters that mean nothing.

    Lengths stay as they are, so that places in the shielded text are places in the real one.

    Args:
        tokenizer: whose control tokens.
        messages: what was said.
        given: Alpaca's separate input.
    """

    def __init__(self, tokenizer: Any, messages: Sequence[Message], given: str) -> None:  # noqa: ANN401
        self.messages, self.given = list(messages), given
        self._letters: dict[str, str] = {}
        texts = [given, *(message.content for message in messages)]
        if found := [special for special in special_texts(tokenizer) if any(special in text for text in texts)]:
            used = set().union(*texts)
            free = (chr(code) for code in range(_FIRST, _LAST + 1) if chr(code) not in used)
            self._letters = dict(zip(found, free, strict=False))
            self.given = self._hidden(given)
            self.messages = [replace(message, content=self._hidden(message.content)) for message in messages]

    def __bool__(self) -> bool:
        """Whether anything had to be hidden."""
        return bool(self._letters)

    def restored(self, text: str) -> str:
        """The text as it was."""
        for special, letter in self._letters.items():
            text = text.replace(letter * len(special), special)
        return text

    def _hidden(self, text: str) -> str:
        for special, letter in self._letters.items():
            text = text.replace(special, letter * len(special))
        return text


def parted(tokenizer: Any, text: str) -> list[tuple[str, bool]]:  # noqa: ANN401
    """The text in pieces, each with whether it is a control token; together they are the text."""
    specials = special_texts(tokenizer)
    if not specials:
        return [(text, False)]
    pieces = re.split(f"({'|'.join(map(re.escape, specials))})", text)
    return [(piece, number % 2 == 1) for number, piece in enumerate(pieces) if piece]

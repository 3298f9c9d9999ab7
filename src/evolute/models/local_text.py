"""Tokens as text while they come: whole characters only, and never a stop string or the beginning of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_BROKEN = "\ufffd"
"""What a decoder writes for bytes that are no whole character yet."""


class Unfolding:
    """The text of an answer, token by token.

    A token's text can depend on the one before it (a space that opens a word, a character of several tokens): what is
    decoded is a window that begins at a token already told, and what is new in it is told once it ends in a whole
    character (as in text-generation-inference, server/models/model.py, `decode_token`). The tail that may be the
    beginning of a stop string is held back.

    Args:
        tokenizer: decodes; special tokens have no text.
        stops: strings at which the answer ends.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str]) -> None:  # noqa: ANN401 - transformers' own
        self._tokenizer, self._stops = tokenizer, stops
        self._ids: list[int] = []
        self._from = self._told = 0
        self._held = ""
        self.stopped = False
        """Whether a stop string came; then nothing more is told."""

    def add(self, token: int) -> str:
        """What can be told now that this token came."""
        self._ids.append(token)
        return self._release(self._new())

    def end(self) -> str:
        """What was held back, when the answer is over; of a character that was cut off, nothing."""
        if self.stopped:
            return ""
        told = self._release(self._new(whole=True).rstrip(_BROKEN))
        rest, self._held = self._held, ""
        return told + rest

    def _new(self, *, whole: bool = False) -> str:
        before = self._decode(self._ids[self._from : self._told])
        now = self._decode(self._ids[self._from :])
        if len(now) <= len(before) or (now.endswith(_BROKEN) and not whole):
            return ""
        self._from, self._told = self._told, len(self._ids)
        return now[len(before) :]

    def _decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _release(self, new: str) -> str:
        text = self._held + new
        if found := [place for stop in self._stops if (place := text.find(stop)) >= 0]:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of the text that a stop string begins with."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if stop.startswith(text[-size:])), 0)

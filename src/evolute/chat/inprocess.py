"""A model of this process as one that streams: no endpoint between."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from evolute.chat.talking import Answer, Piece, add_piece
from evolute.chat.thinking import Thinking
from evolute.models.local import Local
from evolute.records import Message, Usage


@dataclass(frozen=True, slots=True)
class LocalTalker:
    """The transformers engine, talking; `local` is open."""

    local: Local

    @property
    def name(self) -> str:
        """The model's folder's name."""
        return self.local.name

    async def stream(
        self, messages: Sequence[Message], answer: Answer, sampling: Mapping[str, Any] | None = None, draw: int = 0
    ) -> AsyncGenerator[Piece]:
        """As `Talker.stream`.

        Raises:
            InputError: the format has no room for these messages.
            RequestRejected: the conversation does not fit the model's window, or a field is impossible.
            Overloaded, EndpointError: as `Local.stream`.
        """
        fields = {name: value for name, value in (sampling or {}).items() if value is not None}
        prompt, asked = self.local.encode(messages), self.local.sampling({**fields, "seed": draw})
        answer.model, thinking = self.name, Thinking()
        async with aclosing(self.local.stream(prompt, asked)) as pieces:
            async for grown in pieces:
                answer.finish, answer.usage = grown.finish, Usage(len(prompt), grown.tokens)
                thought, text = thinking.feed(grown.text)
                if piece := add_piece(answer, text, thought):
                    yield piece
        thought, text = thinking.end()
        if piece := add_piece(answer, text, thought):
            yield piece

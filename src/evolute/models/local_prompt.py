"""The prompt's tokens in the tokenizer's own chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evolute.formats import Format
from evolute.records import Message


def encode_prompt(tokenizer: Any, format: Format, messages: Sequence[Message], given: str = "") -> list[int]:  # noqa: ANN401
    """The prompt's tokens."""
    rows = [{"role": message.role, "content": message.content} for message in format.shape(messages, given)]
    if format.write is not None:
        return list(tokenizer(rows[0]["content"])["input_ids"])
    return list(tokenizer.apply_chat_template(rows, add_generation_prompt=True, return_dict=False))


def ending_ids(tokenizer: Any, format: Format) -> list[int]:  # noqa: ANN401
    """The tokens at which generation stops."""
    return [tokenizer.eos_token_id]

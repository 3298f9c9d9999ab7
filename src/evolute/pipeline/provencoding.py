"""How the examples of a proof become tokens: in the training's format, by the base's tokenizer, for all arms alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evolute.formats import Format, find_format
from evolute.models.weights import find_model, open_tokenizer
from evolute.pipeline.provpools import Example
from evolute.recipe.proving import Proving
from evolute.recipe.trainingfiles import resolve_training


@dataclass(frozen=True, slots=True)
class Encoding:
    """How examples become tokens, the same for all arms and the base: its tokenizer and the training's format."""

    tokenizer: Any
    format: Format
    longest: int

    @classmethod
    def of(cls, proving: Proving) -> Encoding:
        """Of the base and the training recipe.

        Raises:
            InputError, MissingExtra: the base's tokenizer cannot be opened, or the recipe is wrong.
        """
        recipe = resolve_training(proving.training.recipe, proving.training.settings)
        return cls(open_tokenizer(find_model(proving.base)), find_format(recipe.format), recipe.max_length)

    def tokens(self, example: Example) -> int:
        """Tokens of prompt and answer."""
        return len(self.ids(example)[0])

    def ids(self, example: Example) -> tuple[list[int], list[bool]]:
        """The tokens, and which of them are the last answer's, with what ends it."""
        from evolute.formats.encoding import encode_conversation, encode_prompt

        encoded = encode_conversation(self.tokenizer, self.format, example.conversation)[-1]
        before = len(encode_prompt(self.tokenizer, self.format, example.messages))
        return encoded.ids, [place >= before and bears for place, bears in enumerate(encoded.learned)]

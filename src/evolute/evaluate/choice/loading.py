"""A local model, opened for scoring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evolute.models.weights import LocalModel, open_files

_UNSET = 10**29
"""A tokenizer that knows no greatest length says 10**30."""
_WINDOW = 2048
"""Where neither model nor tokenizer tells one, as lm-evaluation-harness has it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A model in memory, with what the scorer must know of it."""

    model: Any
    encode: Callable[[list[str]], list[list[int]]]
    window: int
    beginning: int
    dtype: str
    device: str


def open_model(found: LocalModel, *, dtype: str = "auto", device: str | None = None) -> Opened:
    """Open it for scoring; the arguments and what is raised are `evolute.models.weights.open_files`'s."""
    model, tokenizer = open_files(found, dtype=dtype, device=device)
    beginning = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return Opened(
        model, _encoder(tokenizer, beginning), _window(model.config, tokenizer), beginning or 0,
        str(model.dtype).removeprefix("torch."), str(model.device),
    )  # fmt: skip


def _encoder(tokenizer: Any, beginning: int | None) -> Callable[[list[str]], list[list[int]]]:  # noqa: ANN401
    """The tokenizer with its special tokens, but none before a text that begins with one (as the harness has it)."""
    mark = tokenizer.decode([beginning]) if beginning is not None else ""

    def encode(texts: list[str]) -> list[list[int]]:
        marked = [bool(mark) and text.startswith(mark) for text in texts]
        plain = iter(_ids(tokenizer, [text for text, has in zip(texts, marked, strict=True) if not has], True))
        bare = iter(_ids(tokenizer, [text for text, has in zip(texts, marked, strict=True) if has], False))
        return [next(bare) if has else next(plain) for has in marked]

    return encode


def _ids(tokenizer: Any, texts: list[str], special: bool) -> list[list[int]]:  # noqa: ANN401
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=special, verbose=False)["input_ids"]
    return ids


def _window(config: Any, tokenizer: Any) -> int:  # noqa: ANN401
    """As lm-evaluation-harness resolves it."""
    for one in (config.get_text_config(), config):
        for name in ("n_positions", "max_position_embeddings", "n_ctx"):
            if isinstance(length := getattr(one, name, None), int):
                return length
    length = getattr(tokenizer, "model_max_length", _UNSET)
    return int(length) if length and length < _UNSET else _WINDOW

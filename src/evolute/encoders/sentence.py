"""Encoders of the sentence-transformers library, where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from evolute.encoders import Vectors
from evolute.errors import EvoluteError, InputError


class SentenceEncoder:
    """A sentence-transformers model, on whatever device that library chooses.

    Its vectors may differ in their last digits between machines and devices.

    Args:
        name_or_path: a folder with a model, or the hub's name for one, which the library then loads.

    Raises:
        InputError: the library is not installed, or it cannot load the model.
    """

    def __init__(self, name_or_path: str) -> None:
        try:
            library: Any = import_module("sentence_transformers")
        except ImportError:
            raise InputError(
                f"the encoder {name_or_path!r} needs sentence-transformers. "
                f"Install it with: pip install sentence-transformers"
            ) from None
        self.name = self.identity = name_or_path
        try:
            self._model = library.SentenceTransformer(name_or_path)
        except (OSError, ValueError) as problem:
            raise InputError(f"sentence-transformers cannot load {name_or_path!r}: {problem}") from None

    def encode(self, texts: Sequence[str]) -> Vectors:
        """A row per text, in order, each of length 1 (all zero for a text that is blank).

        Raises:
            EvoluteError: the model gave a vector that is not finite.
        """
        vectors = np.asarray(
            self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False), dtype=np.float32
        ).reshape(len(texts), -1)
        if not np.isfinite(vectors).all():
            raise EvoluteError(f"the encoder {self.name!r} gave a vector with a number that is not finite")
        vectors = np.array(vectors)
        vectors[[not text.strip() for text in texts]] = 0
        return vectors

"""Encoders: texts into vectors, behind one method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Turns texts into vectors of one length each."""

    name: str
    """What decides the vectors (a model with its version), for reports and for what is remembered."""

    def encode(self, texts: Sequence[str]) -> NDArray[Any]:
        """A row per text, in order: (texts, dimensions), each of length 1 (all zero for a text without words)."""
        ...

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
    """What readers call it: a model's name."""
    identity: str
    """All that decides the vectors, as text: where it is the same, vectors and what was measured with them still hold.

    The name alone does not do: one model gives other vectors when it is asked for fewer dimensions.
    """

    def encode(self, texts: Sequence[str]) -> NDArray[Any]:
        """A row per text, in order: (texts, dimensions), each of length 1 (all zero for a text without words)."""
        ...

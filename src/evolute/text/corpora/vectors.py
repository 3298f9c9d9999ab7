"""The items of the benchmarks that ship as vectors of the encoder that ships: a byte a dimension, for one encoder only.

Another encoder's vectors mean something else, so a file is found by its encoder's name; and lest an encoder change
under its name, the vector of `PROBE` is stored beside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evolute.text.corpora import FOLDER

PROBE = "How many staves does a cooper in Riga plane, if each of nineteen barrels takes twenty?"
_SAME = 0.999
"""The least cosine at which two vectors of `PROBE` are the same but for rounding."""

Vectors = NDArray[np.float32]


def save_vectors(
    encoder: str, probe: Vectors, corpora: Mapping[str, tuple[str, Vectors]], folder: Path = FOLDER
) -> Path:
    """Write the items' vectors of each corpus (with its digest) and the probe's: the same give the same bytes."""
    path = _path(encoder, folder)
    about = {"encoder": encoder, "digests": {name: digest for name, (digest, _) in corpora.items()}}
    stored = {name: _rounded(vectors) for name, (_, vectors) in corpora.items()}
    header = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    arrays: dict[str, Any] = {"about": header, "probe": _rounded(probe[None]), **stored}
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


def vectors_ship(encoder: str) -> bool:
    """Whether there are vectors made by an encoder of this name."""
    return _path(encoder, FOLDER).is_file()


def load_vectors(encoder: str, probe: Vectors, digests: Mapping[str, str], folder: Path = FOLDER) -> dict[str, Vectors]:
    """The items' vectors of the corpora named in `digests`, those that ship and are of that digest.

    Raises:
        ValueError: `probe`, the encoder's own vector of `PROBE`, is not the one that is stored.
    """
    with np.load(_path(encoder, folder)) as file:
        stored = _unit(file["probe"])[0]
        if stored.shape != probe.shape or float(stored @ probe) < _SAME:
            raise ValueError(
                f"the encoder {encoder!r} is not the one of that name that made the benchmarks' vectors: build them"
                " again with scripts/build_corpora.py"
            )
        made = json.loads(file["about"].tobytes())["digests"]
        return {name: _unit(file[name]) for name, digest in digests.items() if made.get(name) == digest}


def _path(encoder: str, folder: Path) -> Path:
    return folder / f"{encoder.replace('/', '_')}.vectors.npz"


def _rounded(vectors: Vectors) -> NDArray[np.int8]:
    largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), np.float32(1e-9))
    return np.asarray(np.rint(vectors * (127 / largest)), dtype=np.int8)


def _unit(stored: NDArray[np.int8]) -> Vectors:
    vectors = stored.astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return np.asarray(vectors / np.maximum(lengths, 1), dtype=np.float32)

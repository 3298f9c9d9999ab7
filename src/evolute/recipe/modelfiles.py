"""The files that decide what a local model says, and their hash."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

_WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt")
_WORDS = (".json", ".model", ".txt", ".jinja", ".py", ".tiktoken")


def deciding_files(path: Path) -> list[Path]:
    """Weights, configuration and tokenizer of a model's folder; of one `.gguf`, itself."""
    if path.is_file():
        return [path]
    return sorted(one for one in path.iterdir() if one.is_file() and one.suffix in (*_WEIGHTS, *_WORDS))


def files_hash(path: Path) -> str:
    """A hash of these files' contents: another content is another model, wherever it lies.

    A file is read once in a process, unless its size or the time of its last change is another.

    Raises:
        OSError: one cannot be read.
    """
    whole = hashlib.blake2b(digest_size=16)
    for one in deciding_files(path):
        about = one.stat()
        whole.update(f"{one.name}\0{_digest(one.resolve(), about.st_mtime_ns, about.st_size)}\n".encode())
    return whole.hexdigest()


@lru_cache(maxsize=4096)
def _digest(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()

"""What a model is trained on: a dataset's conversations, in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evolute.ledger import LEDGER
from evolute.pipeline.conversing import read_conversations
from evolute.pipeline.reading import dataset
from evolute.train.conversations import Conversation, Unusable


@dataclass(frozen=True, slots=True)
class Corpus:
    """A dataset in memory. `digest` is a hash of what is in it; `left_out` counts rows that cannot be trained on.

    `models` are those that wrote it, by role.
    """

    path: Path
    name: str
    conversations: Sequence[Conversation]
    digest: str
    left_out: int = 0
    models: Sequence[tuple[str, str]] = ()


def read_corpus(path: Path, *, skip_bad: bool = False) -> Corpus:
    """Read a run's folder, an exported folder, or a file.

    Raises:
        InputError: it cannot be read, or (without `skip_bad`) a row of it cannot be trained on.
    """
    left_out: list[Unusable] = []
    found = list(read_conversations(path, skip_bad=skip_bad, on_bad=left_out.append))
    return Corpus(path, path.resolve().name, found, digest_of(found), len(left_out), models_of(path))


def models_of(path: Path) -> list[tuple[str, str]]:
    """Who wrote a run's rows; of files it is not known."""
    if not (path / LEDGER).is_file():
        return []
    roles = ("evolver", "judge", "responder")
    return sorted({(role, name) for row in dataset(path) for role in roles if (name := getattr(row, role))})


def digest_of(conversations: Sequence[Conversation]) -> str:
    """A hash of what is said, in its order; where it lies does not matter."""
    whole = hashlib.blake2b(digest_size=16)
    for one in conversations:
        for part in (*(f"{turn.role}\0{turn.content}" for turn in one.messages), one.given, one.root):
            data = part.encode("utf-8", "surrogatepass")
            whole.update(len(data).to_bytes(8, "big") + data)
        if one.unlearned:
            whole.update(f"unlearned {sorted(one.unlearned)}".encode())
        whole.update(b"\xff")
    return whole.hexdigest()

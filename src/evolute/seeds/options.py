"""What the user may ask of the reader, and what the reader tells about what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from evolute.errors import SeedError

KEPT_TEXT = 2_000  # characters of a bad row that are kept beside the reason

_FORMAT_NAMES = {"jsonl": "JSON Lines", "json": "JSON", "csv": "a table", "parquet": "Parquet", "text": "plain text"}
_SHAPE_NAMES = {
    "alpaca": "Alpaca",
    "self-instruct": "Self-Instruct",
    "sharegpt": "ShareGPT conversations",
    "messages": "chat messages",
    "turns": "questions of a conversation without its answers",
    "pairs": "prompts",
    "column": "the column that you named",
    "text": "one instruction each",
}


@dataclass(frozen=True, slots=True)
class SeedOptions:
    """Which seeds to take.

    Args:
        column: the column that holds the instruction; unset: found by its name.
        where: conditions on the row's fields, of which all must hold (grammar in docs/seeds.md).
        limit: read no further than this many seeds.
        sample: so many seeds, chosen among those by the smallest hash of (`sample_seed`, seed id): the choice depends
            neither on the order nor on what else is in the files. They are held in memory and come in reading order.
        sample_seed: another number chooses other seeds.
        every_turn: make each user turn of a conversation a seed with its own history, not only the last.
        whole: of a list of questions without their answers, too, take the last with all before it, not the first.
        skip_bad: hand bad rows to `on_bad` and go on; unset: the first one is an error.
        split: which part of a hub dataset to read.
        max_characters: an instruction, with its input, of this length or more is a bad row.
    """

    column: str | None = None
    where: tuple[str, ...] = ()
    limit: int | None = None
    sample: int | None = None
    sample_seed: int = 0
    every_turn: bool = False
    whole: bool = False
    skip_bad: bool = False
    split: str = "train"
    max_characters: int = 100_000


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be a seed. `line` counts from 1 (0: the file as a whole); `text` is its beginning."""

    source: str
    line: int
    why: str
    text: str


@dataclass(frozen=True, slots=True)
class Recognised:
    """What one file turned out to be. `columns` maps what was looked for to the column where it was found."""

    path: str
    format: str
    shape: str
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """One line for the user."""
        used = ", ".join(f"{role} from {column!r}" for role, column in self.columns.items())
        kind = _FORMAT_NAMES.get(self.format, "a hub dataset")
        return f"{quoted(self.path)}: {kind}, {_SHAPE_NAMES[self.shape]}" + (f" ({used})" if used else "")


@dataclass(frozen=True, slots=True)
class RecognisedCode(Recognised):
    """A folder of source code: how many tasks it has given so far, and what was left out, by why; both still count."""

    tasks: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def sentence(self) -> str:
        """One line for the user."""
        found = ", ".join(f"{count:,} {language}" for language, count in self.tasks.most_common()) or "none"
        left = ", ".join(f"{count:,} {why}" for why, count in sorted(self.skipped.items()))
        return f"{quoted(self.path)}: source code, tasks: {found}" + (f" (left out: {left})" if left else "")


@dataclass(frozen=True, slots=True)
class Broken:
    """What a format's reader gives in place of a row that it cannot decode."""

    why: str
    text: str


class RowProblem(Exception):
    """A decoded row that cannot be a seed."""


class FileProblem(SeedError):
    """A file that cannot be read, or not to its end; the message leaves the file's name to whoever knows it."""

    def __init__(self, why: str, line: int = 0) -> None:
        super().__init__(why)
        self.line = line


def quoted(name: str) -> str:
    """A file's or field's name as it may be shown: quoted and escaped where it could steer a terminal."""
    return name if name.isprintable() else repr(name)


def cut(text: str, length: int = 80) -> str:
    """The beginning of a text, escaped and quoted."""
    return repr(text if len(text) <= length else text[:length] + "…")

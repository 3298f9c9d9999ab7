"""Preferences to train on, from wherever they lie: a run that was graded, an exported folder, a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.export.shapes import asked
from evolute.ledger import LEDGER
from evolute.pipeline.conversing import is_held_out
from evolute.pipeline.publishing import preferences
from evolute.pipeline.trainingdata import Corpus, digest_of, models_of
from evolute.pipeline.trainingrun import Training, devices_here
from evolute.records import Message
from evolute.seeds.options import Broken, FileProblem
from evolute.seeds.rows import COUNTS_LINES, open_rows
from evolute.seeds.sources import places
from evolute.train.conversations import Conversation
from evolute.train.opening import Base
from evolute.train.preferences import Pairs, Preferred, as_preferred, encode_pairs


def read_preferences(path: Path, left_out: list[str] | None = None) -> list[Preferred]:
    """All preferences of a dataset, in its order.

    Args:
        path: a run whose responses were graded (its best against its worst); or a folder of `evolute export`, or any
            file, in the form `preference` or `preference-text`, which is TRL's. Of a folder with splits, `train`.
        left_out: gets what is wrong with each row that is no preference; None: the first one is an error.

    Raises:
        InputError: it cannot be read, holds none, or a row is no preference; the message names file and line.
    """
    if (path / LEDGER).is_file():
        found = [
            Preferred(tuple(asked(pair.row)), pair.chosen, pair.rejected, f"{path}, {pair.row.id}", pair.row.root)
            for pair in preferences(path)
        ]
    else:
        found = [pair for file in _files(path) for pair in _read(file, left_out)]
    if not found:
        raise InputError(f"{path}: holds no preferences{f': {left_out[0]}' if left_out else ''}")
    return found


def _files(path: Path) -> list[Path]:
    """The files of a folder, without those of splits that are held out."""
    files = [place.path for place in places(str(path)) if place.path is not None]
    return [file for file in files if not is_held_out(file.name)] or files


def _read(file: Path, left_out: list[str] | None) -> Iterator[Preferred]:
    try:
        kind, rows = open_rows(file)
        unit = "line" if kind in COUNTS_LINES else "row"
        for number, row in rows:
            try:
                found = _preferred(row, f"{file}, {unit} {number}")
            except InputError as problem:
                if left_out is None:
                    raise
                left_out.append(str(problem))
            else:
                yield found
    except FileProblem as problem:
        raise InputError(f"{file}: {problem}") from None


def _preferred(row: object, where: str) -> Preferred:
    if isinstance(row, Broken):
        raise InputError(f"{where}: {row.why}")
    if not isinstance(row, dict):
        raise InputError(f"{where}: not a row with prompt, chosen and rejected: {str(row)[:80]!r}")
    return as_preferred(row, where)


class PreferenceTraining(Training):
    """A training by DPO: the dataset is one of preferences, and all else goes as with answers."""

    task = "prefer"
    pairs = True

    def read(self, dataset: Path) -> Corpus:
        """The preferences, as conversations that end with the better answer."""
        left_out: list[str] = []
        self.preferences = read_preferences(dataset, left_out if self.recipe.skip_bad else None)
        better, worse = ([_said(one, answer) for one, answer in sides] for sides in _sides(self.preferences))
        digest = digest_of([*better, *worse])
        return Corpus(dataset, dataset.resolve().name, better, digest, len(left_out), models_of(dataset))

    def encode(self, base: Base) -> Pairs:
        """Both answers of each as tokens."""
        return encode_pairs(self.preferences, base.tokenizer, self.format, self.recipe)

    def trainer(self, base: Base, train: Sequence[Any], held_out: Sequence[Any], recorder: Any) -> Any:  # noqa: ANN401
        """TRL's DPOTrainer."""
        from evolute.train.preferences import make_preference_trainer

        return make_preference_trainer(
            base, self.recipe, train, held_out, self.out, [recorder], device=self.device, devices=devices_here()
        )


def _sides(pairs: Sequence[Preferred]) -> tuple[list[tuple[Preferred, str]], list[tuple[Preferred, str]]]:
    return [(one, one.chosen) for one in pairs], [(one, one.rejected) for one in pairs]


def _said(one: Preferred, answer: str) -> Conversation:
    return Conversation((*one.messages, Message("assistant", answer)), "", one.where, one.root)

"""Conversations to train on, from a run, an exported folder, or a file of any kind that seeds are read from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.ledger import LEDGER
from evolute.pipeline.reading import dataset
from evolute.seeds.options import Broken, FileProblem, RowProblem, SeedOptions, quoted
from evolute.seeds.rows import COUNTS_LINES, open_rows
from evolute.seeds.shapes import Layout, Shaper, as_mapping, kind_of, recognise, turn_of, turns_in
from evolute.seeds.sources import Place, places
from evolute.train.conversations import Conversation, Unusable, checked, of_seed

_HELD_OUT = re.compile(r"(val|valid|validation|tests?|testing|dev|evals?|evaluation)(?![a-z])", re.IGNORECASE)
_LIMITLESS = SeedOptions(max_characters=1 << 40)  # how long a row may be, training decides by tokens


def read_conversations(
    path: str | Path, *, skip_bad: bool = False, on_bad: Callable[[Unusable], None] | None = None
) -> Iterator[Conversation]:
    """The conversations of a dataset, streamed, whole: every turn of the assistant is there to be learned.

    A run gives the rows that `select` kept (all where it was not selected); a folder its files, without those named
    like a split that is held out (`is_held_out`) where it has others; a file may have any shape and
    container that docs/seeds.md names, and TRL's `prompt` with `completion`.

    Args:
        path: a run's folder, an exported folder, or a file.
        skip_bad: leave rows out that cannot be trained on; unset: they make one error, after the last row.
        on_bad: gets each such row.

    Raises:
        InputError: there is nothing to read, or (after the last row) rows that cannot be trained on, the first five
            of which are shown: no answer, an empty turn, two turns of one side in a row, a system prompt in the
            middle, an unknown role; or a row that is none.
        MissingExtra: the file needs a package that is not installed.
    """
    folder = Path(path)
    found = _of_run(folder) if (folder / LEDGER).is_file() else _of_files(str(path))
    return checked(found, quoted(str(path)), skip_bad=skip_bad, on_bad=on_bad)


def _of_run(run: Path) -> Iterator[Conversation]:
    for row in dataset(run):
        yield of_seed(row, f"{quoted(str(run))}, row {row.id}")


def _of_files(source: str) -> Iterator[Conversation | Unusable]:
    if not Path(source).exists():
        raise InputError(f"{quoted(source)}: no such file or folder: give a run's folder, an exported folder or a file")
    found = list(places(source))
    kept = [place for place in found if not is_held_out(place.shown)]
    for place in kept if kept and len(found) > 1 else found:
        yield from _of_place(place)


def is_held_out(file: str) -> bool:
    """Whether a file is named like a split that is not trained on: `validation-00000.parquet`, `test.jsonl`."""
    return _HELD_OUT.match(Path(file).name) is not None


def _of_place(place: Place) -> Iterator[Conversation | Unusable]:
    shown = quoted(place.shown)
    try:
        kind, rows = open_rows(place.path)
        unit = "line" if kind in COUNTS_LINES else "row"
        for line, row in rows:
            where = f"{shown}, {unit} {line}"
            try:
                yield _conversation(row, where)
            except RowProblem as problem:
                yield Unusable(where, str(problem))
    except FileProblem as problem:
        at = f", line {problem.line}" if problem.line else ""
        raise InputError(f"{shown}{at}: {problem}") from None


def _conversation(row: object, where: str) -> Conversation:
    if isinstance(row, Broken):
        raise RowProblem(row.why)
    fields = as_mapping(row)
    if fields is None:
        raise RowProblem(f"a row is an object or a list of turns, not {kind_of(row)}")
    layout = recognise(fields)
    if layout is None:
        raise RowProblem(f"no column looks like a question or a conversation; it has {', '.join(map(repr, fields))}")
    found = _shaped(fields, layout, where)
    if found.messages and found.messages[-1].role == "user" and {"chosen", "rejected"} <= fields.keys():
        raise RowProblem("a pair of answers, one of them preferred: --task prefer learns from such rows")
    return found


def _shaped(fields: Mapping[str, Any], layout: Layout, where: str) -> Conversation:
    turns = turns_in(fields[layout.instruction])
    if turns is None:
        (seed,) = Shaper(_LIMITLESS, layout).seeds(fields, where, 0)
        return replace(of_seed(seed, where), root=_root(fields))
    answer = turns_in(fields[layout.response]) if layout.response else _completion(fields)
    turns = [*turns, *(answer or ())]
    if (system := fields.get(layout.system)) and isinstance(system, str):
        turns.insert(0, {"role": "system", "content": system})
    said = tuple(turn_of(turn) for turn in turns)
    answers = {place for place, turn in enumerate(said) if turn.role == "assistant"}
    unlearned = frozenset(place for place in answers if not _bears_loss(turns[place]))
    if answers and answers == unlearned:
        raise RowProblem("no answer is to be learned: each has weight 0 (or train false)")
    return Conversation(said, "", where, _root(fields), unlearned)


def _bears_loss(turn: object) -> bool:
    """What an answer says of itself: `weight`, as in OpenAI's fine-tuning files, or `train`, as in Axolotl's."""
    for name in ("weight", "train"):
        said = turn.get(name) if isinstance(turn, dict) else None
        if said is not None and said not in (0, 1):
            raise RowProblem(f"a turn's {name!r} is {said!r}: 1 (learned) or 0 (not) is known")
        if said == 0:
            return False
    return True


def _root(fields: Mapping[str, Any]) -> str:
    """What `evolute export` calls the seed that a row descends from."""
    return str(fields.get("root") or "")


def _completion(fields: Mapping[str, Any]) -> list[Any] | None:
    """TRL's second column, where the first is `prompt`."""
    return turns_in(fields["completion"]) if "prompt" in fields and "completion" in fields else None

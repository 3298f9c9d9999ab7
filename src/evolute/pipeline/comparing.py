"""Two runs or more side by side: what differs in how they were made, and in what came out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from evolute.errors import InputError
from evolute.ledger import Reader, SelectionReader
from evolute.pipeline.summary import Summary, run_recipe, summarise
from evolute.recipe import EVOLVING_ROLES, RUNTIME_FIELDS, Recipe
from evolute.records import tagged_hash
from evolute.text.words import count_words, normalised

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Z95 = 1.959964
_NO_MARK = (-1, 0.0)
_UNDECIDING = ("name", "out", "seeds", "select", "export", "roles.grader", "evolve.operation_folders")
"""Parts of a recipe that have no say in the evolution (`Recipe.fingerprint`)."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, with Wilson's 95 % interval for the share (Wilson 1927, without continuity correction)."""

    part: int
    whole: int

    @property
    def share(self) -> float:
        """Between 0 and 1; 0 of none."""
        return self.part / self.whole if self.whole else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The lower and the upper end; of none, all is possible."""
        if not self.whole:
            return 0.0, 1.0
        n, p, z = self.whole, self.share, _Z95
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        # At both ends the formula gives p itself, which rounding can miss.
        return max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half))


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of `n` values and its standard error (None with fewer than two)."""

    n: int
    mean: float
    error: float | None

    @classmethod
    def of(cls, n: int, total: float, squares: float) -> Mean:
        """From the count, the sum and the sum of squares."""
        mean = total / n
        spread = max(0.0, squares - n * mean * mean)
        return cls(n, mean, math.sqrt(spread / (n - 1) / n) if n > 1 else None)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the runs. `kept_by_*` are shares of evolved candidates; lengths are in words; round 0 is the seeds.

    `selected` and `unselected` (by reason) are those of the last selection, None where there is none that holds for
    the run as it stands; `difficulty` is the grader's mean mark by round, empty without such a selection.
    """

    summary: Summary
    rows: int
    kept_by_operation: Mapping[str, Share]
    kept_by_round: Mapping[int, Share]
    instruction_words: Mapping[int, Mean]
    response_words: Mapping[int, Mean]
    difficulty: Mapping[int, Mean]
    selected: int | None
    unselected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two runs, by their places, have in common: seeds, and rows whose instruction has the same words."""

    one: int
    other: int
    seeds: int
    instructions: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs side by side; `recipe` has a value per run for each field that differs."""

    recipe: Mapping[str, Sequence[Any]]
    sides: Sequence[Side]
    overlaps: Sequence[Overlap]


def compare(runs: Sequence[str | Path]) -> Comparison:
    """Compare runs, each as it stands at one moment; they may be read-only, or still be written.

    Raises:
        InputError: fewer than two runs, or one is no run.
        LedgerError: a ledger cannot be read.
    """
    folders = [Path(run) for run in runs]
    if len(folders) < 2:
        raise InputError(f"a comparison needs two runs or more, got {len(folders)}: evolute compare RUN RUN")
    with ExitStack() as stack:
        readers = [stack.enter_context(_snapshot(run)) for run in folders]
        looked = [_look(run, reader) for run, reader in zip(folders, readers, strict=True)]
        made = [_made_by(run, reader) for run, reader in zip(folders, readers, strict=True)]
    pairs = combinations(range(len(folders)), 2)
    return Comparison(
        _differing(made), [side for side, *_ in looked], [_overlap(looked, one, other) for one, other in pairs]
    )


def decisive_differences(one: Path, other: Path) -> list[str]:
    """The fields, with both values, in which what decides the evolution of two runs differs."""
    with Reader(one) as first, Reader(other) as second:
        differing = _differing([_made_by(one, first), _made_by(other, second)])
    return [f"{name} ({a!r} and {b!r})" for name, (a, b) in differing.items() if _decides(name)]


def _decides(name: str) -> bool:
    parts = name.split(".")
    if parts[0] == "models" and len(parts) > 2 and parts[2] in RUNTIME_FIELDS:
        return False
    return not any(name == part or name.startswith(f"{part}.") for part in _UNDECIDING)


def _snapshot(run: Path) -> Reader:
    """A reader that sees the run as it is now, whatever is written meanwhile."""
    reader = Reader(run)
    if not (run / "recipe.yaml").is_file():
        reader.close()
        raise InputError(f"{run} has no recipe.yaml, so it has not begun: run `evolute evolve --out {run}` first")
    reader.hold()
    return reader


def _made_by(run: Path, reader: Reader) -> dict[str, Any]:
    """The recipe's fields and the operations' versions, by dotted name."""
    recipe = run_recipe(run)
    fields = dict(_flat(recipe.model_dump(mode="json") | {"models": _models_used(recipe)}))
    craft = orjson.loads(reader.meta("craft") or "{}")
    for name, (_, digest, weight) in craft.get("operations", {}).items():
        fields[f"operation {name}"] = f"text {digest[:8]}, weight {weight:g}"
    if craft:
        fields["judge's text"] = craft["equality"][:8]
        fields["version of the rules"] = craft["rules"]
    return fields


def _models_used(recipe: Recipe) -> dict[str, Any]:
    used = {recipe.spec(role)[0].model for role in (*EVOLVING_ROLES, "grader")}
    return {name: recipe.models[name].model_dump(mode="json") for name in sorted(used)}


def _flat(fields: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _differing(made: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for fields in made for name in fields)
    values = {name: [fields.get(name) for fields in made] for name in names}
    return {name: found for name, found in values.items() if any(value != found[0] for value in found)}


_Looked = tuple[Side, "NDArray[np.uint64]", "NDArray[np.uint64]"]


def _look(run: Path, reader: Reader) -> _Looked:
    """One run, and hashes of its seeds' ids and of its rows' instructions, sorted, each once."""
    import numpy as np

    summary = summarise(run, reader)
    marks = _marks(reader)
    marked, mark = next(marks, _NO_MARK)
    hashes, words = bytearray(), _Sums()
    answers, difficulty = _Sums(), _Sums()
    rows = 0
    for row in reader.dataset():
        text = row.asked
        hashes += tagged_hash("compared-1", normalised(text) or text.strip())[:8]
        words.add(row.round, count_words(text))
        if row.response is not None:
            answers.add(row.round, count_words(row.response))
        if rows == marked:
            difficulty.add(row.round, mark)
            marked, mark = next(marks, _NO_MARK)
        rows += 1
    selected, unselected = _selection(reader)
    evolved = [use for use in summary.operations if use.operation != "(seeds)"]
    side = Side(
        summary, rows,
        {use.operation: Share(use.kept, use.kept + use.dropped) for use in evolved},
        {round_: Share(kept, kept + gone) for round_, kept, gone in summary.by_round},
        words.means(), answers.means(), difficulty.means(), selected, unselected,
    )  # fmt: skip
    seeds = b"".join(id_[:8] for (id_,) in reader.select("SELECT id FROM seeds"))
    return side, np.unique(np.frombuffer(seeds, np.uint64)), np.unique(np.frombuffer(bytes(hashes), np.uint64))


class _Sums:
    """Count, sum and sum of squares, by round."""

    def __init__(self) -> None:
        self._sums: dict[int, list[float]] = {}

    def add(self, round_: int, value: float) -> None:
        sums = self._sums.setdefault(round_, [0, 0.0, 0.0])
        sums[0] += 1
        sums[1] += value
        sums[2] += value * value

    def means(self) -> dict[int, Mean]:
        return {round_: Mean.of(int(n), total, squares) for round_, (n, total, squares) in sorted(self._sums.items())}


def _marks(reader: Reader) -> Iterator[tuple[int, float]]:
    """Rows' numbers, in order, with their difficulty, if the selection is one of the rows as they stand."""
    selection = SelectionReader(reader)
    if selection.is_current():
        for grade in selection.grades("difficulty"):
            if grade.value is not None:
                yield grade.row, grade.value


def _selection(reader: Reader) -> tuple[int | None, Counter[str]]:
    selection = SelectionReader(reader)
    note = selection.note()
    if note is None or not selection.is_current():
        return None, Counter()
    return int(note["kept"]), selection.counts()[0]


def _overlap(looked: Sequence[_Looked], one: int, other: int) -> Overlap:
    import numpy as np

    (_, seeds, texts), (_, other_seeds, other_texts) = looked[one], looked[other]
    return Overlap(
        one,
        other,
        len(np.intersect1d(seeds, other_seeds, assume_unique=True)),
        len(np.intersect1d(texts, other_texts, assume_unique=True)),
    )

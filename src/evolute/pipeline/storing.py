"""What every kind of stored judgments comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeVar

from evolute.evaluate.judged.rows import read_bytes
from evolute.scores import Score

StoredBenchmark = Literal["alpaca-eval", "mt-bench", "vicuna", "wizardlm"]
NOT_JUDGED = "no judgment of it in the file"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored:
    """What stored judgments come to.

    Args:
        benchmark: which.
        rows: for scripts and tables, by model.
        scores: the whole results, by model.
        files: others' formats of the same judgments, by file name.
    """

    benchmark: StoredBenchmark
    rows: Mapping[str, Mapping[str, Any]]
    scores: Mapping[str, Score]
    files: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)


def gathered(found: Sequence[T], sides: Callable[[T], tuple[str, str, str]]) -> dict[str, list[T]]:
    """By model; where one has several opponents or judges, each has a name that tells them apart."""
    sides_of: dict[tuple[str, str, str], list[T]] = {}
    for one in found:
        sides_of.setdefault(sides(one), []).append(one)
    judges = {judge for _, _, judge in sides_of}
    return {_label(key, sides_of, several=len(judges) > 1): ones for key, ones in sides_of.items()}


def _label(key: tuple[str, str, str], keys: Iterable[tuple[str, str, str]], *, several: bool) -> str:
    model, opponent, judge = key
    opponents = {other for name, other, _ in keys if name == model}
    label = f"{model} v {opponent}" if len(opponents) > 1 else model
    return f"{label} ({judge})" if several else label


def with_agreement(scores: Mapping[str, Score]) -> dict[str, Score]:
    """Where several judges judged a model, its first result says how far they agree."""
    sides: dict[tuple[str, str], list[str]] = {}
    for label, score in scores.items():
        sides.setdefault((score.model, score.against), []).append(label)
    found = dict(scores)
    for labels in sides.values():
        if len({scores[label].judge for label in labels}) > 1:
            found[labels[0]] = _agreed([scores[label] for label in labels])
    return found


def _agreed(scores: Sequence[Score]) -> Score:
    from evolute.pipeline.verdicts import agreed

    ids = [item.id for item in scores[0].items]
    items = [{item.id: item for item in score.items} for score in scores]
    shared = [name for name in ids if all(name in known for known in items)]
    both = agreed(
        [replace(score, items=[known[name] for name in shared]) for score, known in zip(scores, items, strict=True)]
    )
    return replace(both, items=scores[0].items)


def told(score: Score) -> dict[str, Any]:
    """What a row tells of any score beside its number."""
    row: dict[str, Any] = {"low": score.measure.low, "high": score.measure.high}
    row |= {"n": score.n, "unscored": score.unscored, "judge": score.judge}
    if score.outcome is not None:
        row |= {"against": score.against, **asdict(score.outcome)}
    return row | {"notes": list(score.notes)}


def ran_of(judgments: Sequence[Path]) -> dict[str, Any]:
    """The files with their hashes."""
    return {"judgments": [{"file": path.name, "sha256": sha256(read_bytes(path)).hexdigest()} for path in judgments]}

"""The rule of a proof, declared beforehand: paired differences, their intervals, and the sentence that follows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evolute.evaluate.differences import paired
from evolute.evaluate.statistics import FEW, mean, student
from evolute.scores import Item, Measure, Score

Verdict = Literal["helped", "hurt", "cannot be told"]
LOWER_IS_BETTER = "nats"
"""The scale on which less is better: the loss."""
POWER_Z = 0.8416212335729143
"""The normal quantile of 80 % power."""
_Z = 1.959963984540054
RULE = (
    "It helped if, for the main measure, the 95 % interval of the paired difference between the evolved arm and the "
    "seeds' arm lies wholly on the better side of 0 both with equal examples and with equal tokens, and, where there "
    "are several trainings, the difference has that sign in each of them. It hurt if all of that holds on the worse "
    "side. Anything else: it cannot be told."
)


@dataclass(frozen=True, slots=True)
class Gain:
    """By how much one arm is better than another on one measure: above 0 is better, whatever the measure's direction.

    Args:
        measure: the gain with its 95 % interval, in the scale of the scores.
        n: items that all have scored.
        independent: of those, independent draws (lineages, questions).
        by_training: the gain for each training seed.
        needed: independent items that would show a gain as large as this one, with 80 % power; None where none can
            be told.
        least: the smallest gain that these items show with 80 % power.
        why: why there is none.
    """

    measure: Measure
    n: int = 0
    independent: int = 0
    by_training: Sequence[float] = ()
    needed: int | None = None
    least: float | None = None
    why: str = ""

    @property
    def verdict(self) -> Verdict:
        """What this difference alone says."""
        low, high = self.measure.low, self.measure.high
        if low is None or high is None:
            return "cannot be told"
        if low > 0 and all(one > 0 for one in self.by_training):
            return "helped"
        if high < 0 and all(one < 0 for one in self.by_training):
            return "hurt"
        return "cannot be told"


def verdict_of(gains: Sequence[Gain]) -> Verdict:
    """What the main comparisons together say, by `RULE`."""
    said = {gain.verdict for gain in gains}
    return said.pop() if len(said) == 1 else "cannot be told"


def gain(ours: Sequence[Score], theirs: Sequence[Score], seed: int = 0) -> Gain:
    """How much better one arm is than another, each trained several times; scores in the order of the training seeds.

    Items are averaged over the trainings (points are summed), and then paired. The interval is the paired bootstrap
    over questions or lineages; with fewer than 20 of them that of Student's t on the linearised difference, for there
    the bootstrap is too narrow. It tells what other items might have given, not what other trainings might.
    """
    one, other = joined(ours), joined(theirs)
    found = paired(one, other, seed)
    if found.measure.value is None:
        return Gain(Measure(), why=found.why)
    sign = -1 if one.scale == LOWER_IS_BETTER else 1
    measure, value, parts = found.measure, found.measure.value, _influences(one, other)
    spread = mean(list(parts.values()))
    error = spread.error
    if error and (measure.low is None or len(parts) < FEW):
        half = student(len(parts) - 1) * error
        measure = replace(measure, low=value - half, high=value + half, how="paired t")
    elif not error:
        measure = Measure(value)
    alone = [_mean_of(_influences(mine, its)) for mine, its in zip(ours, theirs, strict=True)]
    each = [sign * value_ for value_ in alone if value_ is not None]
    return Gain(
        _signed(measure, sign), found.n, len(parts), each, *_power(value, error, len(parts)),
    )  # fmt: skip


def gains_by_group(ours: Sequence[Score], theirs: Sequence[Score], by: str, seed: int = 0) -> dict[str, Gain]:
    """The gain within each group of a grouping ("skill")."""
    names = dict.fromkeys(item.groups[by] for score in ours for item in score.items if by in item.groups)
    return {
        name: gain([_only(one, by, name) for one in ours], [_only(one, by, name) for one in theirs], seed)
        for name in names
    }


def joined(scores: Sequence[Score]) -> Score:
    """Several trainings of one arm as one: each item's score is the mean over those, its points their sum.

    An item that one of them lacks is unscored.
    """
    if len(scores) == 1:
        return scores[0]
    by_id = [{item.id: item for item in score.items} for score in scores]
    return replace(scores[0], items=tuple(_joined([found.get(item.id) for found in by_id]) for item in scores[0].items))


def _joined(items: Sequence[Item | None]) -> Item:
    held = [item for item in items if item is not None and item.is_scored]
    first = next(item for item in items if item is not None)
    if len(held) < len(items):
        return replace(first, score=None, weights=None, why="unscored in one of the trainings")
    weights = [item.weights for item in held if item.weights is not None]
    scores = [item.score for item in held if item.score is not None]
    return replace(
        first,
        score=math.fsum(scores) / len(scores) if len(scores) == len(held) else None,
        weights=(math.fsum(a for a, _ in weights), math.fsum(b for _, b in weights))
        if len(weights) == len(held)
        else None,
    )


def _only(score: Score, by: str, name: str) -> Score:
    return replace(score, items=tuple(item for item in score.items if item.groups.get(by) == name))


def _influences(one: Score, other: Score) -> dict[str, float]:
    """What each independent item adds to the difference: their mean is the difference, their spread its error.

    Ratios of sums are linearised (Cochran 1977, Sampling Techniques, section 6.3).
    """
    theirs = {item.id: item for item in other.items if item.is_scored}
    pairs = [(item, theirs[item.id]) for item in one.items if item.is_scored and item.id in theirs]
    found: dict[str, list[float]] = {}
    if all(a.weights is not None and b.weights is not None for a, b in pairs):
        above = [[_points(item) for item in side] for side in zip(*pairs, strict=True)]
        sums = [(math.fsum(a for a, _ in side), math.fsum(b for _, b in side)) for side in above]
        ratios = [a / b for a, b in sums]
        for (mine, _), ours, its in zip(pairs, *above, strict=True):
            effects = [
                ratio + (a - ratio * b) * len(pairs) / total
                for (a, b), ratio, (_, total) in zip((ours, its), ratios, sums, strict=True)
            ]
            found.setdefault(mine.cluster or mine.id, []).append(100 * (effects[0] - effects[1]))
    else:
        for mine, its_ in pairs:
            found.setdefault(mine.cluster or mine.id, []).append((mine.score or 0.0) - (its_.score or 0.0))
    # A cluster counts with all of its items, so that the mean over clusters is the mean over items.
    size = len(pairs) / len(found) if found else 1.0
    return {cluster: math.fsum(values) / size for cluster, values in found.items()}


def _mean_of(influences: Mapping[str, float]) -> float | None:
    return math.fsum(influences.values()) / len(influences) if influences else None


def _points(item: Item) -> tuple[float, float]:
    return item.weights or (0.0, 0.0)


def _signed(measure: Measure, sign: int) -> Measure:
    if sign > 0 or measure.value is None:
        return measure
    low = None if measure.high is None else -measure.high
    high = None if measure.low is None else -measure.low
    return replace(measure, value=-measure.value, low=low, high=high)


def _power(value: float, error: float | None, n: int) -> tuple[int | None, float | None]:
    """How many items would show a difference as large as this, and the least that these show: both with 80 % power.

    n ((z_0.975 + z_0.8) s / d)², from the error s of the mean of n (Miller 2024, arXiv:2411.00640, section 5).
    """
    if not error:
        return None, None
    least = (_Z + POWER_Z) * error
    return (math.ceil(n * (least / value) ** 2) if value else None), least


def groupings(score: Score) -> list[str]:
    """What a score's items are grouped by."""
    return list(dict.fromkeys(by for item in score.items for by in item.groups))


def by_arm(scores: Mapping[str, Mapping[str, Score]], models: Sequence[str], benchmark: str) -> list[Score] | None:
    """The scores of one arm's trainings on a benchmark; None unless all of them have one."""
    found = [scores[model][benchmark] for model in models if benchmark in scores.get(model, {})]
    return found if len(found) == len(models) else None

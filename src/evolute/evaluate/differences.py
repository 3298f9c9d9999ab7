"""Two results side by side: the difference, paired question by question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evolute.evaluate.statistics import FEW, RESAMPLES, bootstrap_difference
from evolute.scores import Item, Measure, Score


@dataclass(frozen=True, slots=True)
class Paired:
    """`measure` is the first less the second, over the `n` items that both have scored; `left` more have only one.

    `why` says why there is no difference to tell; then the measure has no value.
    """

    measure: Measure
    n: int
    left: int = 0
    why: str = ""
    otherwise: tuple[str, ...] = ()
    """What was set otherwise when the answers were drawn: the difference is of that, too."""

    @property
    def told(self) -> str:
        """Which is better, in words, or that it cannot be told."""
        measure = self.measure
        if measure.value is None:
            return self.why
        if measure.low is None or measure.high is None or measure.low <= 0 <= measure.high:
            return "cannot be told apart"
        return "the first is better" if measure.value > 0 else "the second is better"


def paired(one: Score, other: Score, seed: int = 0) -> Paired:
    """The difference of two results of a benchmark.

    The interval is the percentile bootstrap over questions, both results drawn together: pairing takes away what a hard
    question costs both (Miller 2024, arXiv:2411.00640, section 4.2). Where the scores are ratios of summed points, it
    is the ratios that are subtracted, not their means. Draws depend on `seed` alone.
    """
    if (why := _unlike(one, other)) or not (pairs := _pairs(one, other)):
        return Paired(Measure(), 0, why=why or "no question that both have scored")
    if any(not sum(weights[1] for weights in side) for side in _weights(pairs)):
        return Paired(Measure(), len(pairs), why="an opponent has no points at all: there is no ratio")
    left, otherwise = one.n + other.n - 2 * len(pairs), _drawn_otherwise(one, other)
    if _weights(pairs):
        value, low, high = _ratios(pairs, seed)
    else:
        ours, theirs_ = [_score(mine) for mine, _ in pairs], [_score(theirs) for _, theirs in pairs]
        value = math.fsum(ours) / len(ours) - math.fsum(theirs_) / len(theirs_)
        low, high = bootstrap_difference(ours, theirs_, seed, _clusters(pairs))
    if len(set(_clusters(pairs))) == 1 or (low == high and len(pairs) < FEW):  # nothing that could vary
        return Paired(Measure(value), len(pairs), left, otherwise=otherwise)
    return Paired(Measure(value, low, high, "paired bootstrap"), len(pairs), left, otherwise=otherwise)


def _unlike(one: Score, other: Score) -> str:
    for what in ("benchmark", "metric", "scale", "against", "judge"):
        mine, theirs = getattr(one, what), getattr(other, what)
        if mine != theirs:
            return f"not comparable: {what} is {mine or 'none'!r} here and {theirs or 'none'!r} there"
    for what in ("questions", "judge_prompts", "order", "reading", "shots"):
        if what in one.ran and what in other.ran and not _alike(one.ran[what], other.ran[what]):
            return f"not comparable: they differ in {what.replace('_', ' ')}"
    return ""


def _alike(mine: object, theirs: object) -> bool:
    """Whether what was run is the same; of what has a hash, the hash alone, and of several what both have used."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for name in ("sha256", "hash"):
            if name in mine and name in theirs:
                return bool(mine[name] == theirs[name])
        return all(_alike(mine[name], theirs[name]) for name in mine.keys() & theirs.keys())
    return mine == theirs


_DRAWN = ("prompt", "system", "format", "n", "temperature", "top_p", "answer_tokens", "extract")
"""How answers were asked for; of judged benchmarks it stands under `answers`, and the opponent's under `opponent`."""


def _drawn_otherwise(one: Score, other: Score) -> tuple[str, ...]:
    """The names of the settings under which the two were drawn, where they differ; the models apart."""
    found = [name for name in _DRAWN if one.ran.get(name) != other.ran.get(name)]
    for side in ("answers", "opponent"):
        mine, theirs = ((score.ran.get(side) or {}).get("sampling", {}) for score in (one, other))
        found += [f"{side}' {name}" for name in sorted({*mine, *theirs}) if mine.get(name) != theirs.get(name)]
    return tuple(found)


def _pairs(one: Score, other: Score) -> list[tuple[Item, Item]]:
    theirs = {item.id: item for item in other.items if item.is_scored}
    return [(item, theirs[item.id]) for item in one.items if item.is_scored and item.id in theirs]


def _score(item: Item) -> float:
    return item.score if item.score is not None else math.nan


def _weights(pairs: Sequence[tuple[Item, Item]]) -> list[list[tuple[float, float]]]:
    """The points of both results, where all items have them; else nothing."""
    sides = [[item.weights for item in side if item.weights is not None] for side in zip(*pairs, strict=True)]
    return sides if all(len(side) == len(pairs) for side in sides) else []


def _clusters(pairs: Sequence[tuple[Item, Item]]) -> list[str]:
    return [mine.cluster or mine.id for mine, _ in pairs]


def _ratios(pairs: Sequence[tuple[Item, Item]], seed: int) -> tuple[float, float, float]:
    """The difference of two ratios of sums, in per cent, and its bootstrap."""
    import numpy as np

    places = {cluster: place for place, cluster in enumerate(dict.fromkeys(_clusters(pairs)))}
    sums = np.zeros((len(places), 4))
    for (mine, theirs), cluster in zip(pairs, _clusters(pairs), strict=True):
        sums[places[cluster]] += (*(mine.weights or (0, 0)), *(theirs.weights or (0, 0)))
    drawn = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), RESAMPLES) @ sums

    drawn = np.vstack([sums.sum(axis=0), drawn])
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample may hold nothing but an opponent's zeros
        found = 100 * (drawn[:, 0] / drawn[:, 1] - drawn[:, 2] / drawn[:, 3])
    low, high = np.quantile(found[1:][np.isfinite(found[1:])], (0.025, 0.975))
    return float(found[0]), float(low), float(high)

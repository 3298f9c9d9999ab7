"""Means with their standard errors, quantiles, and what the paper published to stand beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

PUBLISHED = {
    "GPT-3.5": (3.00, 5.48, 6.35, 6.84, 7.08),
    "GPT-4": (2.69, 4.68, 4.90, 5.37, 5.54),
    "human": (3.15, 5.51, 5.86, 6.49, 6.82),
}
"""Mean difficulty (1 to 10) of the WizardLM paper's data as rated by each: Alpaca's instructions, which were its seeds,
and its rounds 1 to 4; 600 instructions each."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its standard error (None for a single value) of `count` values."""

    value: float
    error: float | None
    count: int


def mean(values: Sequence[float]) -> Mean:
    """The mean, and the sample standard deviation over the root of the count."""
    count = len(values)
    average = math.fsum(values) / count
    if count < 2:
        return Mean(average, None, count)
    variance = math.fsum((value - average) ** 2 for value in values) / (count - 1)
    return Mean(average, math.sqrt(variance / count), count)


def means_by_round(marks: Iterable[tuple[int, float]]) -> dict[int, Mean]:
    """Means of (round, mark), round by round."""
    by_round: dict[int, list[float]] = {}
    for round_, value in marks:
        by_round.setdefault(round_, []).append(value)
    return {round_: mean(values) for round_, values in sorted(by_round.items())}


@dataclass(frozen=True, slots=True)
class Band:
    """The 5, 25, 50, 75 and 95 % quantiles of `count` values."""

    quantiles: tuple[float, ...]
    count: int


def band(values: Sequence[float]) -> Band:
    """The quantiles of some values, with linear interpolation."""
    return Band(tuple(float(value) for value in np.quantile(np.asarray(values), QUANTILES)), len(values))

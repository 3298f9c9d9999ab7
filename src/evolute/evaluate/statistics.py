"""Intervals, errors and agreement: the statistics that every benchmark shares.

Every interval is of 95 %, and every draw follows from its seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

Interval = tuple[float, float]
"""Lower and upper bound."""
RESAMPLES = 2_000
"""How often the items are drawn anew for a bootstrap interval."""
FEW = 20
"""Below so many items the percentile bootstrap is too narrow, and t intervals stand in for it."""
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean, its standard error, and its t interval; error and bounds are None where there is but one cluster."""

    value: float
    error: float | None
    low: float | None
    high: float | None
    n: int


def wilson(right: float, total: int, z: float = _Z) -> Interval:
    """Wilson's score interval (1927) of a proportion; `z` is the normal quantile, by default that of 95 %.

    `right` may count ties as halves: the interval is then too wide rather than too narrow.
    """
    share, spread = right / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    # Bounded, since at 0 and at 1 the last bit of the difference may be on the wrong side.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def bootstrap_mean(values: Sequence[float], seed: int = 0) -> Interval:
    """The percentile bootstrap (Efron 1979) of a mean over independent items."""
    import numpy as np

    means = np.random.default_rng(seed).choice(np.asarray(values), (RESAMPLES, len(values))).mean(axis=1)
    return _bounds(means)


def bootstrap_difference(
    ours: Sequence[float], theirs: Sequence[float], seed: int = 0, clusters: Sequence[Hashable] | None = None
) -> Interval:
    """The paired bootstrap of mean(ours) - mean(theirs) on the same items: pairs are drawn, never a side alone.

    With `clusters` whole clusters are drawn. Pairing takes away the variance that both share (Miller 2024,
    arXiv:2411.00640, section 4.2).

    Raises:
        ValueError: the two are of different lengths, or empty.
    """
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"paired differences need the same items, and some: got {len(ours)} and {len(theirs)}")
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    return bootstrap_ratio(differences, [1.0] * len(differences), seed, clusters)


def bootstrap_ratio(
    above: Sequence[float], below: Sequence[float], seed: int = 0, clusters: Sequence[Hashable] | None = None
) -> Interval:
    """The percentile bootstrap of sum(above) / sum(below); items, or whole clusters of them, are drawn together.

    A bound is infinite or nan where too many resamples have nothing below.
    """
    sums = _summed([above, below], clusters)
    return _bounds(_quotients(_redrawn(sums.shape[1], seed) @ sums.T))


def bootstrap_macro(groups: Sequence[tuple[Sequence[float], Sequence[float]]], seed: int = 0) -> Interval:
    """The bootstrap of the mean, over groups, of sum(above) / sum(below); items are drawn within their group.

    A group of one item adds no spread: with many such groups the interval is too narrow.
    """
    import numpy as np

    total = np.zeros(RESAMPLES)
    for number, (above, below) in enumerate(groups):
        total += _quotients(_redrawn(len(above), seed + number) @ np.asarray([above, below], float).T)
    return _bounds(total / len(groups))


def ratio_interval(above: Sequence[float], below: Sequence[float], seed: int = 0) -> tuple[Interval | None, str]:
    """The interval of sum(above) / sum(below), and what it is called; none of a single item.

    From `FEW` items on the bootstrap; below it the linearised ratio with t (Cochran 1977, Sampling Techniques,
    section 6.3): residuals a - r b over the mean of b. The ratio is of points, and so never below 0.
    """
    n = len(above)
    if n < 2:
        return None, ""
    if n >= FEW:
        return bootstrap_ratio(above, below, seed), "bootstrap over questions"
    ratio, scale = math.fsum(above) / math.fsum(below), math.fsum(below) / n
    squares = math.fsum((a - ratio * b) ** 2 for a, b in zip(above, below, strict=True))
    half = student(n - 1) * math.sqrt(squares / (n - 1) / n) / scale
    return (max(0.0, ratio - half), ratio + half), "linearised ratio, t"


def mean(values: Sequence[float], clusters: Sequence[Hashable] | None = None) -> Mean:
    """A mean with its standard error and its t interval.

    Without clusters the error is the sample's standard deviation (ddof 1) over sqrt(n). With clusters it is that of
    Miller 2024 (arXiv:2411.00640, section 2.2): the root of the sum over clusters of squared summed deviations, over
    n, here with G / (G - 1) for few clusters G, which makes it the former where each item is a cluster of its own.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("no mean of nothing")
    n, middle = len(values), math.fsum(values) / len(values)
    sums: dict[Hashable, float] = {}
    for value, cluster in zip(values, range(n) if clusters is None else clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + value - middle
    count = len(sums)
    if count < 2:
        return Mean(middle, None, None, None, n)
    error = math.sqrt(math.fsum(x * x for x in sums.values()) * count / (count - 1)) / n
    half = student(count - 1) * error
    return Mean(middle, error, middle - half, middle + half, n)


@lru_cache
def student(freedom: int, chance: float = 0.975) -> float:
    """The quantile of Student's t with so many degrees of freedom.

    Up to 100 of them by bisection of the distribution's finite series, which is exact (Abramowitz and Stegun 1964,
    26.7.3 and 26.7.4); beyond, by the expansion 26.7.5, which is then right to nine digits.

    Raises:
        ValueError: unless freedom >= 1 and 0.5 <= chance < 1.
    """
    if freedom < 1 or not 0.5 <= chance < 1:
        raise ValueError(f"no quantile of t for {freedom!r} degrees of freedom at {chance!r}")
    if freedom > 100:
        return _expanded(freedom, chance)
    low, high = 0.0, math.pi / 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < 2 * chance - 1 else (low, middle)
    return math.tan(low) * math.sqrt(freedom)


def _within(angle: float, freedom: int) -> float:
    """The chance that |t| < tan(angle) sqrt(freedom)."""
    odd, square = freedom % 2, math.cos(angle) ** 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for step in range(freedom // 2):
        if step:
            term *= square * (2 * step - 1 + odd) / (2 * step + odd)
        total += term
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total


def _expanded(freedom: int, chance: float) -> float:
    from statistics import NormalDist

    x = NormalDist().inv_cdf(chance)
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))


def cohen_kappa(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> float | None:
    """Agreement of two judges beyond chance (Cohen 1960); None where both always say one and the same.

    Raises:
        ValueError: the two are of different lengths, or empty.
    """
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"agreement needs the same items, and some: got {len(ours)} and {len(theirs)}")
    n = len(ours)
    seen = sum(a == b for a, b in zip(ours, theirs, strict=True)) / n
    chance = sum(list(ours).count(label) * list(theirs).count(label) for label in set(ours)) / n**2
    return None if chance == 1 else (seen - chance) / (1 - chance)


def krippendorff_alpha(
    judges: Sequence[Sequence[Any | None]], level: Literal["nominal", "interval"] = "nominal"
) -> float | None:
    """Agreement of any number of judges, with gaps (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability).

    Args:
        judges: for each judge a row of values, one an item; None where it said nothing.
        level: `nominal` for verdicts, `interval` for numbers, where a near miss counts less.

    Returns:
        1 for perfect agreement, 0 for chance; None where no item has two values, or where all values are the same.
    """
    distance = _DISTANCES[level]
    units = [said for item in zip(*judges, strict=True) if len(said := [x for x in item if x is not None]) > 1]
    values: dict[Any, int] = {}
    for unit in units:
        for value in unit:
            values[value] = values.get(value, 0) + 1
    n = sum(values.values())
    expected = sum(distance(a, b) * values[a] * values[b] for a in values for b in values)
    if not expected:
        return None
    seen = sum(sum(distance(a, b) for a in unit for b in unit) / (len(unit) - 1) for unit in units)
    return float(1 - (n - 1) * seen / expected)


_DISTANCES: Mapping[str, Callable[[Any, Any], float]] = {
    "nominal": lambda a, b: float(a != b),
    "interval": lambda a, b: float((a - b) ** 2),
}


def _summed(columns: Sequence[Sequence[float]], clusters: Sequence[Hashable] | None) -> Floats:
    import numpy as np

    rows = np.asarray(columns, float)
    if clusters is None:
        return rows
    places = {cluster: place for place, cluster in enumerate(dict.fromkeys(clusters))}
    where = np.asarray([places[cluster] for cluster in clusters])
    return np.stack([np.bincount(where, row, len(places)) for row in rows])


def _redrawn(n: int, seed: int) -> Floats:
    """How often each of n items is in each resample."""
    import numpy as np

    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(float)


def _quotients(drawn: Floats) -> Floats:
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        quotients: Floats = drawn[:, 0] / drawn[:, 1]
    return quotients


def _bounds(values: Floats) -> Interval:
    import numpy as np

    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)

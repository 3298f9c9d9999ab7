"""pass@k, unbiased, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

RESAMPLES = 2_000
"""How often the problems are drawn anew for a bootstrap interval."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """pass@k over the problems, as a fraction, and the bounds of its 95 % interval.

    `method` is `wilson` or `bootstrap`; both speak of other problems of the same kind, not of other samples alone.
    """

    k: int
    value: float
    low: float
    high: float
    method: str


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that of k samples drawn from n, of which c are right, at least one is right.

    The unbiased estimator of Chen et al. 2021 (arXiv 2107.03374, section 2.1), 1 - C(n-c, k) / C(n, k), as a product.

    Raises:
        ValueError: unless 0 <= c <= n and 1 <= k <= n.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass@{k} of {n} samples with {c} right: it must be that 0 <= c <= n and 1 <= k <= n")
    if n - c < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / left for left in range(n - c + 1, n + 1))


def estimate(counts: Sequence[tuple[int, int]], k: int, *, seed: int = 0) -> Estimate | None:
    """pass@k of a benchmark: the mean over its problems, given (n, c) of each; n may differ.

    With one sample per problem the interval is Wilson's (1927) for a proportion, which holds for few problems and near
    0 and 1; else the percentile bootstrap over problems (Efron 1979), whose draws depend on `seed` alone. None where a
    problem has fewer than k samples, since then nothing unbiased can be said, or where there is no problem.
    """
    if not counts or min(n for n, _ in counts) < k:
        return None
    values = [pass_at_k(n, c, k) for n, c in counts]
    mean = math.fsum(values) / len(values)
    if max(n for n, _ in counts) == 1:
        return Estimate(k, mean, *wilson(sum(c for _, c in counts), len(counts)), "wilson")
    return Estimate(k, mean, *_bootstrap(values, seed), "bootstrap")


def wilson(right: int, total: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's score interval of a proportion; `z` is the normal quantile, by default that of 95 %."""
    share, spread = right / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    # Bounded, since at 0 and at 1 the last bit of the difference may be on the wrong side.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def _bootstrap(values: Sequence[float], seed: int) -> tuple[float, float]:
    import numpy as np

    means = np.random.default_rng(seed).choice(np.asarray(values), (RESAMPLES, len(values))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)

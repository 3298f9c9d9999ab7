"""pass@k, unbiased, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evolute.evaluate.statistics import bootstrap_mean, wilson


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
    return Estimate(k, mean, *bootstrap_mean(values, seed), "bootstrap")

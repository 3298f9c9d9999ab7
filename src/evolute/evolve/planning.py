"""What a run will cost, estimated from lineages that have been grown already."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from evolute.ledger import Reader
from evolute.ledger.reader import CALLS_OF_CANDIDATES
from evolute.models.prices import cost
from evolute.recipe import Price
from evolute.records import Usage

_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Range:
    """An estimate: its middle, and the bounds that nine of ten such estimates fall between."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True)
class LineageUse:
    """What one finished lineage took. `seconds` adds up its calls' latencies; `cost` is None for unknown prices."""

    calls: int
    tokens: int
    kept: int
    seconds: float
    cost: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What all lineages will take, those of the pilot included.

    `minutes` assumes `in_flight` calls at a time at the latency of the pilot, `pilot_minutes` only as many as it made.
    """

    seeds: int
    pilot: int
    in_flight: int
    pilot_in_flight: int
    calls: Range
    tokens: Range
    rows: Range
    minutes: Range
    pilot_minutes: Range
    cost: Range | None


def lineage_uses(reader: Reader, prices: Mapping[str, Price | None]) -> list[LineageUse]:
    """The finished lineages' use, by seed; `prices` by model name."""
    uses: dict[int, list[tuple[int, int, float, float | None]]] = {}
    kept = dict(
        reader.select(
            """SELECT d.seed, sum(d.reason IS NULL AND d.round > 0) FROM candidates d
            JOIN lineages l ON l.seed = d.seed AND l.why IS NULL GROUP BY d.seed"""
        )
    )
    for seed, model, share, calls, prompt, completion, cached, seconds in chain.from_iterable(
        reader.select(
            f"""SELECT d.seed, m.name, m.share, count(*), sum(c.prompt_tokens), sum(c.completion_tokens),
            sum(c.cached_tokens), sum(c.latency)
            FROM candidates d JOIN lineages l ON l.seed = d.seed AND l.why IS NULL {joined}
            LEFT JOIN models m ON m.id = c.model GROUP BY 1, 2, 3"""
        )
        for joined in CALLS_OF_CANDIDATES
    ):
        dollars = cost(Usage(prompt, completion, cached=cached), prices.get(model), 1.0 if share is None else share)
        uses.setdefault(seed, []).append((calls, prompt + completion, seconds, dollars))
    return [
        LineageUse(
            calls=sum(part[0] for part in parts),
            tokens=sum(part[1] for part in parts),
            kept=kept.get(seed, 0),
            seconds=sum(part[2] for part in parts),
            cost=None if any(part[3] is None for part in parts) else sum(part[3] or 0.0 for part in parts),
        )
        for seed, parts in uses.items()
    ]


def estimate(uses: Sequence[LineageUse], seeds: int, in_flight: int) -> Estimate:
    """Extrapolate from finished lineages to `seeds` of them, by bootstrap over lineages (Efron 1979, percentiles)."""
    costs = [use.cost for use in uses if use.cost is not None]
    pilot_in_flight = min(in_flight, len(uses))
    return Estimate(
        seeds=seeds,
        pilot=len(uses),
        in_flight=in_flight,
        pilot_in_flight=pilot_in_flight,
        calls=_range([use.calls for use in uses], seeds),
        tokens=_range([use.tokens for use in uses], seeds),
        rows=_range([use.kept for use in uses], seeds),
        minutes=_range([use.seconds / in_flight / 60 for use in uses], seeds),
        pilot_minutes=_range([use.seconds / pilot_in_flight / 60 for use in uses], seeds),
        cost=_range(costs, seeds) if len(costs) == len(uses) else None,
    )


def _range(values: Sequence[float], seeds: int) -> Range:
    chance = random.Random(0)
    known = sum(values)
    left = max(0, seeds - len(values))
    # The pilot is known; the rest varies through the mean of a sample of its size, and through its own lineages.
    totals = sorted(known + left * sum(chance.choices(values, k=len(values))) / len(values) for _ in range(_RESAMPLES))
    return Range(totals[int(0.05 * _RESAMPLES)], known / len(values) * seeds, totals[int(0.95 * _RESAMPLES) - 1])

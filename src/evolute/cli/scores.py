"""Scores on the screen: models side by side, and what tells them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evolute.report.scorecard import Difference, Scorecard, interval, told
from evolute.scores import Score
from evolute.text import printable

_PUBLISHED = 3
"""Published columns that fit a terminal; the page has all."""


def scores_as_json(sides: Mapping[str, Mapping[str, Score]], differences: Sequence[Difference]) -> dict[str, Any]:
    """For scripts: every score without its items, and every difference."""
    return {
        "scores": {
            label: {name: {**score.to_json(), "items": len(score.items)} for name, score in scores.items()}
            for label, scores in sides.items()
        },
        "differences": [
            {
                "benchmark": one.benchmark, "one": one.one, "other": one.other, "difference": one.measure.value,
                "low": one.measure.low, "high": one.measure.high, "how": one.measure.how, "n": one.n, "told": one.told,
            }
            for one in differences
        ],
    }  # fmt: skip


def show_scores(console: Console, card: Scorecard) -> None:
    """The table of scores with their intervals, the differences, and what was left out."""
    models = card.reference_models[:_PUBLISHED]
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in (*(side.label for side in card.sides), *models):
        table.add_column(Text(printable(name)), justify="right", overflow="fold")
    if models:
        table.add_row("", *("" for _ in card.sides), *(Text("published", style="dim") for _ in models))
    for benchmark in card.benchmarks:
        first = card.scores(benchmark)[0][2]
        cells = [_cell(side.scores.get(benchmark)) for side in card.sides]
        others = [card.reference(benchmark, model) for model in models]
        digits = {"points": 2, "nats": 3}.get(first.scale, 1)
        published = [Text(f"{one.value:.{digits}f}" if one else "–", style="dim") for one in others]
        table.add_row(Text(printable(f"{benchmark} ({first.metric})")), *map(Text, cells), *published)
    console.print(table)
    _show_differences(console, card.differences)
    for benchmark in card.benchmarks:
        for _, side, score in card.scores(benchmark):
            for note in score.notes:
                console.print(Text(printable(f"{benchmark}, {side.label}: {note}")), soft_wrap=True)
    for benchmark, why in card.left_out.items():
        console.print(Text(printable(f"left out: {benchmark}: {why}")), soft_wrap=True)


def _cell(score: Score | None) -> str:
    if score is None:
        return "–"
    between = interval(score.measure, score.scale)
    unscored = f"{score.unscored:,} of {score.n + score.unscored:,} unscored" if score.unscored else ""
    return "\n".join(filter(None, (told(score.measure, score.scale), between, f"{score.n:,} items", unscored)))


def _show_differences(console: Console, differences: Sequence[Difference]) -> None:
    if not differences:
        return
    table = Table(box=None, pad_edge=False)
    for title in ("", "difference", "95 % interval", "items", ""):
        table.add_column(title, overflow="fold")
    for one in differences:
        measure = one.measure
        table.add_row(
            Text(printable(f"{one.benchmark}: {one.one} − {one.other}")),
            "–" if measure.value is None else f"{measure.value:+.2f}",
            "" if measure.low is None or measure.high is None else f"{measure.low:+.2f} to {measure.high:+.2f}",
            f"{one.n:,}",
            Text(printable(one.told)),
        )
    console.print()
    console.print(Text("paired differences", style="bold"))
    console.print(table)

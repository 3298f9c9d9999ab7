"""The figure of a proof: each difference as a mark with its interval, about a line at 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evolute.report.drawing import Drawing
from evolute.report.plots import SMALL, WIDTH, short
from evolute.scores import Measure

_ROW, _TOP, _SIDE = 40.0, 30.0, 12.0
_MARKS = {"helped": "circle", "hurt": "square"}
_LONGEST = 44


@dataclass(frozen=True, slots=True)
class Row:
    """One difference: what it is of, its number, what stands beside it, and what it says."""

    name: str
    measure: Measure
    beside: str
    verdict: str


def intervals(name: str, title: str, rows: Sequence[Row], scale: str) -> Drawing:
    """A line for each difference, from the lower to the upper end of its interval, with 0 as a line through all.

    A circle is a gain, a square a loss, a ring what cannot be told: nothing hangs on the colour alone.
    """
    told = "; ".join(f"{row.name} {_said(row.measure)}, {row.verdict}" for row in rows)
    drawing = Drawing(name, title, f"{title}: {told}", WIDTH, _TOP + _ROW * len(rows) + 26)
    ends = [end for row in rows for end in (row.measure.low, row.measure.high, row.measure.value) if end is not None]
    most = max([abs(end) for end in ends] + [1e-9]) * 1.08
    middle, half = WIDTH / 2, WIDTH / 2 - _SIDE

    def x(value: float) -> float:
        return middle + half * value / most

    bottom = _TOP + _ROW * len(rows)
    for tick in _ticks(most):
        drawing.line([(x(tick), _TOP - 8), (x(tick), bottom)], "grid")
        unit = {"nats": " nats", "%": " %", "ratio": " %"}.get(scale, "") if not tick else ""
        drawing.text(x(tick), bottom + 15, f"{short(tick)}{unit}", "muted", size=SMALL, anchor="middle")
    drawing.line([(middle, _TOP - 8), (middle, bottom)], "ink", dash=(4.0, 3.0))
    drawing.text(_SIDE, 12, "← the seeds are better", "muted", size=SMALL)
    drawing.text(WIDTH - _SIDE, 12, "the evolved set is better →", "muted", size=SMALL, anchor="end")
    for place, row in enumerate(rows):
        y = _TOP + _ROW * place + 12
        label = row.name if len(row.name) <= _LONGEST else row.name[: _LONGEST - 1] + "…"
        drawing.text(0, y - 2, label, size=SMALL, bold=True, halo=True)
        drawing.text(WIDTH, y - 2, row.beside, "muted", size=SMALL, anchor="end", halo=True)
        role = {"helped": "accent", "hurt": "gone"}.get(row.verdict, "ink")
        if row.measure.low is not None and row.measure.high is not None:
            drawing.line([(x(row.measure.low), y + 12), (x(row.measure.high), y + 12)], role, width=2.0)
        drawing.marker((x(row.measure.value or 0.0), y + 12), _MARKS.get(row.verdict, "ring"), role, size=4.5,
                       tip=_said(row.measure))  # fmt: skip
    return drawing


def _said(measure: Measure) -> str:
    if measure.low is None or measure.high is None:
        return f"{measure.value or 0.0:+.3g}"
    return f"{measure.value or 0.0:+.3g} ({measure.low:+.3g} to {measure.high:+.3g})"


def _ticks(most: float) -> list[float]:
    """Round numbers on both sides of 0, no further than `most`."""
    power = 10.0 ** math.floor(math.log10(most / 2))
    step = max(power * times for times in (1, 2, 5) if power * times <= most / 1.5)
    count = math.floor(most / step)
    every = 1 if count <= 2 else 2 if count <= 4 else 3
    return [step * place for place in range(-count, count + 1) if place % every == 0]

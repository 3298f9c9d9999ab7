"""What figures with axes share: a frame that turns values into places, with its grid and ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evolute.report.drawing import Drawing, Point

WIDTH = 360.0
"""The width of every figure: a phone shows it at nearly its own size."""
SMALL = 11.0
MARKERS = ("ring", "circle", "triangle", "square", "diamond", "down", "cross")
"""The symbols of the seeds and of rounds 1 to 6."""


def marker_of(round_: int) -> str:
    """The symbol of a round; 0 is the seeds, and rounds after 6 share the last."""
    return MARKERS[min(round_, len(MARKERS) - 1)]


def round_name(round_: int) -> str:
    """How a round is called under an axis."""
    return str(round_) if round_ else "seeds"


def ticks(most: float, about: int = 5) -> list[float]:
    """Round numbers from 0 to at least `most`."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 2.5, 5, 10) if power * times >= rough)
    return [step * place for place in range(math.ceil(most / step - 1e-9) + 1)]


def short(value: float) -> str:
    """A number for a tick: 1,200 or 12k or 3.5M; no more decimals than it has."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if sign == 'k' else size):.3g}{sign}"
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class Frame:
    """The part of a drawing between its axes, with rounds along x."""

    drawing: Drawing
    rounds: Sequence[int]
    low: float
    high: float
    left: float = 40.0
    right: float = 14.0
    top: float = 14.0
    bottom: float = 38.0

    def at(self, round_: float, value: float) -> Point:
        """Where a value of a round is drawn."""
        return self.x(round_), self.y(value)

    def x(self, round_: float) -> float:
        """Where a round stands; a single one in the middle."""
        first, last = self.rounds[0], self.rounds[-1]
        inner = self.drawing.width - self.left - self.right
        if first == last:
            return self.left + inner / 2
        pad = 18.0
        return self.left + pad + (inner - 2 * pad) * (round_ - first) / (last - first)

    def y(self, value: float) -> float:
        """How high a value stands."""
        inner = self.drawing.height - self.top - self.bottom
        return self.top + inner * (1 - (value - self.low) / (self.high - self.low))

    def axes(self, values: Sequence[float], unit: str, below: str = "round") -> None:
        """Draw the grid, its numbers, and the rounds along the bottom (a part of them where they are many)."""
        for value in values:
            y = self.y(value)
            self.drawing.line([(self.left, y), (self.drawing.width - self.right, y)], "grid")
            self.drawing.text(self.left - 6, y + 4, short(value), "muted", size=SMALL, anchor="end")
        base = self.drawing.height - self.bottom
        every = math.ceil(len(self.rounds) / 10)
        for round_ in self.rounds[::every]:
            self.drawing.text(self.x(round_), base + 16, round_name(round_), "ink", size=SMALL, anchor="middle")
        middle = (self.left + self.drawing.width - self.right) / 2
        self.drawing.text(middle, base + 32, below, "muted", size=SMALL, anchor="middle")
        self.drawing.text(2, 9, unit, "muted", size=SMALL)

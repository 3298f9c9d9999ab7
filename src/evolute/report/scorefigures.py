"""The figures of a scorecard: a radar of the skills, and sorted bars with their intervals and the overall line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from evolute.report.drawing import Drawing, Point
from evolute.report.plots import SMALL, WIDTH, short, ticks
from evolute.scores import Measure, Part

SIDES = ("accent", "seed", "v4", "v3")
"""The colours of the models side by side; a fifth shares the last."""
SYMBOLS = ("circle", "triangle", "square", "diamond")
_RADIUS, _CENTRE = 96.0, (180.0, 186.0)
_ROW = 30.0
_LONGEST = 24


def side_role(place: int) -> str:
    """The colour of the model in that place."""
    return SIDES[min(place, len(SIDES) - 1)]


def side_symbol(place: int) -> str:
    """Its symbol, so that nothing hangs on the colour alone."""
    return SYMBOLS[min(place, len(SYMBOLS) - 1)]


def radar(
    name: str, title: str, axes: Sequence[str], sides: Mapping[str, Mapping[str, float]], parity: float | None = None
) -> Drawing:
    """One spoke for each of `axes`, one outline for each of `sides`, without the spokes that have no value.

    Args:
        name: of the figure's files.
        title: of the figure.
        axes: the groups, clockwise from above; three or more.
        sides: by model, the values by group; from 0 outwards.
        parity: drawn as a circle of its own (100 where the values are per cent of an opponent's score).
    """
    told = "; ".join(f"{side}: " + ", ".join(f"{axis} {values[axis]:.1f}" for axis in axes if axis in values)
                     for side, values in sides.items())  # fmt: skip
    drawing = Drawing(name, title, f"{title}. {told}", WIDTH, 376 + 18 * len(sides))
    grid = ticks(max([value for values in sides.values() for value in values.values()] + [parity or 0.0]), 4)
    most = grid[-1]
    for value in grid[1:]:
        ring = [_spoke(place, len(axes), value / most) for place in range(len(axes))]
        drawing.line([*ring, ring[0]], "grid")
        drawing.text(_CENTRE[0] + 3, _CENTRE[1] - _RADIUS * value / most + 10, short(value), "muted", size=9)
    if parity:
        circle = [_spoke(step, 120, parity / most) for step in range(121)]
        drawing.line(circle, "muted", width=1.2, dash=(4.0, 3.0))
    size = 9.5 if len(axes) > 16 else SMALL
    for place, axis in enumerate(axes):
        drawing.line([_CENTRE, _spoke(place, len(axes), 1.0)], "grid")
        _name(drawing, place, len(axes), axis, size)
    for at, values in enumerate(sides.values()):
        places = {axis: _spoke(place, len(axes), values[axis] / most)
                  for place, axis in enumerate(axes) if axis in values}  # fmt: skip
        if places:
            corners = list(places.values())
            drawing.area(corners, side_role(at), opacity="band-wide")
            drawing.line([*corners, corners[0]], side_role(at), width=1.6)
        for axis, place_ in places.items():
            drawing.marker(place_, side_symbol(at), side_role(at), size=2.8, tip=f"{axis}: {values[axis]:.1f}")
    for at, side in enumerate(sides):
        drawing.marker((6, 382 + 18 * at), side_symbol(at), side_role(at), size=4)
        drawing.text(16, 386 + 18 * at, side if len(side) <= 48 else side[:47] + "…", size=SMALL)
    return drawing


def _spoke(place: int, of: int, part: float) -> Point:
    angle = 2 * math.pi * place / of
    return _CENTRE[0] + _RADIUS * part * math.sin(angle), _CENTRE[1] - _RADIUS * part * math.cos(angle)


def _name(drawing: Drawing, place: int, of: int, axis: str, size: float) -> None:
    """A group's name beyond the end of its spoke, turned along it where they are many."""
    angle = 2 * math.pi * place / of
    x, y = _spoke(place, of, 1.06)
    text = axis if len(axis) <= _LONGEST else axis[: _LONGEST - 1] + "…"
    if of <= 10:
        anchor = "middle" if abs(math.sin(angle)) < 0.2 else "start" if math.sin(angle) > 0 else "end"
        drawing.text(x, y + (4 if abs(math.cos(angle)) < 0.9 else 0 if math.cos(angle) > 0 else 9), text, size=size,
                     anchor=anchor)  # fmt: skip
        return
    left = angle > math.pi
    turn = math.degrees(angle) - 90 + (180 if left else 0)
    shift = size * 0.35 * (-1 if left else 1)
    drawing.text(x + shift * math.cos(angle), y + shift * math.sin(angle), text, size=size,
                 anchor="end" if left else "start", turn=turn)  # fmt: skip


def sorted_bars(
    name: str, title: str, parts: Sequence[Part], overall: Measure, published: Mapping[str, float] | None = None
) -> Drawing:
    """A bar for each group, the best first, with its interval; a dashed line where the whole lies.

    `published` are others' numbers by group, set as rings beside ours and never joined with them.
    """
    published = published or {}
    rows = sorted((part for part in parts if part.measure.value is not None), key=lambda part: -_value(part.measure))
    told = ", ".join(f"{part.name} {_value(part.measure):.1f}" for part in rows)
    drawing = Drawing(name, title, f"{title}: {told}", WIDTH, _ROW * len(rows) + 22)
    values = [_value(part.measure) for part in rows] + [overall.value or 0.0, *published.values(), 1e-9]
    widest = max([part.measure.high or 0.0 for part in rows] + [0.0])
    most = max(*values, min(widest, 1.5 * max(values)))  # an interval of two items would press the bars together
    left, room = 4.0, WIDTH - 12.0
    for place, part in enumerate(rows):
        y, measure = 20 + _ROW * place, part.measure
        label = part.name if len(part.name) <= 34 else part.name[:33] + "…"
        drawing.text(0, y + 10, f"{label} ({part.n})", size=SMALL)
        drawing.text(WIDTH, y + 10, f"{_value(measure):.1f}", size=SMALL, anchor="end", bold=True)
        drawing.bar(left, y + 14, room * _value(measure) / most, 8, "accent", opacity="soft")
        if measure.low is not None and measure.high is not None:
            ends = [left + room * min(max(0.0, end), most) / most for end in (measure.low, measure.high)]
            drawing.line([(end, y + 18) for end in ends], "ink")
        if part.name in published:
            at = (left + room * published[part.name] / most, y + 18)
            drawing.marker(at, "ring", "seed", size=3.5, tip=f"published: {published[part.name]:g}")
    if overall.value is not None:
        x = left + room * overall.value / most
        drawing.line([(x, 14), (x, drawing.height)], "ink", dash=(4.0, 3.0))
        anchor = "end" if x > WIDTH / 2 else "start"
        drawing.text(x, 10, f"all {overall.value:.1f}", size=SMALL, anchor=anchor, bold=True)
    return drawing


def _value(measure: Measure) -> float:
    return measure.value if measure.value is not None else 0.0

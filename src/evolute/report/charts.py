"""The report's figures, each described once; `drawing` and `raster` show them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evolute.report.drawing import Drawing, Point
from evolute.report.marks import PUBLISHED, Band, Mean
from evolute.report.palette import ROUND_ROLES, round_role
from evolute.report.plots import SMALL, WIDTH, Frame, marker_of, round_name, short, ticks
from evolute.report.roots import RootCount
from evolute.report.topics import TopicMap

_DASHES = {"GPT-3.5": (6.0, 3.0), "GPT-4": (2.0, 3.0), "human": (9.0, 3.0, 2.0, 3.0)}
_STEP = 50.0
_MIDDLE = 215.0  # of the sunburst
_FEW = 600  # rows up to which the map ties each to its cluster by a line
_TIP = 180  # characters of an instruction in a tooltip


@dataclass(frozen=True, slots=True)
class Step:
    """A bar of the funnel: so many evolved instructions, and seeds beside them; `of` is what the share is of."""

    label: str
    evolved: int
    seeds: int = 0
    of: int = 0


def funnel(steps: Sequence[Step]) -> Drawing:
    """Bars that narrow: how many were left after each step. Seeds are set apart by their colour and in words."""
    told = "; ".join(f"{step.label}: {_counted(step)}" for step in steps)
    drawing = Drawing("funnel", "From seeds to the dataset", told, WIDTH, _STEP * len(steps) - 8)
    most = max([step.evolved + step.seeds for step in steps] + [1])
    for place, step in enumerate(steps):
        y = _STEP * place
        drawing.text(0, y + 15, step.label, size=13)
        drawing.text(WIDTH, y + 15, _counted(step), size=13, anchor="end", bold=True)
        drawing.bar(0, y + 22, WIDTH, 15, "grid")
        split = WIDTH * step.evolved / most
        if step.evolved:
            drawing.bar(0, y + 22, split, 15, "accent")
        if step.seeds:
            drawing.bar(split, y + 22, WIDTH * step.seeds / most, 15, "seed", tip=f"{step.seeds:,} seeds")
    return drawing


def _counted(step: Step) -> str:
    if not step.seeds:
        share = f" · {step.evolved / step.of:.0%}" if step.of else ""
        return f"{step.evolved:,}{share}"
    both = f"{step.evolved + step.seeds:,}"
    return f"{both} = {step.evolved:,} + {step.seeds:,} seeds" if step.evolved else both


def difficulty(ours: Mapping[int, Mean]) -> Drawing:
    """Mean difficulty by round with its standard error, over the paper's three published curves."""
    rounds = range(max([4, *ours]) + 1)
    said = "; ".join(f"{round_name(r)} {m.value:.2f} (n={m.count})" for r, m in ours.items()) or "not graded yet"
    published = "Published: Alpaca's instructions about 3, rising to 7.1 (GPT-3.5), 5.5 (GPT-4), 6.8 (human)"
    told = f"Mean difficulty by round. This run: {said}. {published}"
    drawing = Drawing("difficulty", "Difficulty by round: this run (solid), the paper", told, WIDTH, 260)
    frame = Frame(drawing, rounds, 1, 10, left=28, top=20)
    frame.axes([1, 2, 4, 6, 8, 10], "difficulty, 1 to 10")
    for name, means in PUBLISHED.items():
        drawing.line([frame.at(r, v) for r, v in enumerate(means)], "muted", width=1.5, dash=_DASHES[name])
        # GPT-3.5 and the human raters end close to each other.
        x, y = frame.at(4, means[-1])
        drawing.text(x - 2, y + {"GPT-3.5": -8, "human": 16, "GPT-4": 16}[name], name, "muted", size=SMALL,
                     anchor="end", halo=True)  # fmt: skip
    drawing.line([frame.at(r, m.value) for r, m in ours.items()], "accent", width=2.5)
    for r, m in ours.items():
        x, y = frame.at(r, m.value)
        error = m.error or 0.0
        drawing.line([frame.at(r, m.value - error), frame.at(r, m.value + error)], "accent", width=1.5)
        tip = f"{round_name(r)}: {m.value:.2f} ± {error:.2f}, n={m.count}"
        drawing.marker((x, y), "circle", "accent", size=4.5, tip=tip)
        drawing.text(x, y - 11, f"{m.value:.1f}", "accent", size=SMALL, anchor="middle", bold=True, halo=True)
    return drawing


def lengths(name: str, what: str, bands: Mapping[int, Band], unit: str = "words") -> Drawing:
    """The median length by round, between bands of the quarters and of nine tenths."""
    medians = ", ".join(f"{round_name(r)} {b.quantiles[2]:,.0f}" for r, b in bands.items())
    drawing = Drawing(
        name,
        f"{what} by round, in {unit}: median, 50 %, 90 %",
        f"{what} in {unit}, by round. Medians: {medians}",
        WIDTH,
        260,
    )
    frame_ticks = ticks(max(b.quantiles[4] for b in bands.values()))
    frame = Frame(drawing, list(bands), 0, frame_ticks[-1], left=44, top=20)
    frame.axes(frame_ticks, unit)
    _between(frame, bands, 0, 4, "band-wide")
    _between(frame, bands, 1, 3, "band")
    drawing.line([frame.at(r, b.quantiles[2]) for r, b in bands.items()], "accent", width=2.5)
    for r, b in bands.items():
        low, quarter, median, three, high = b.quantiles
        x, y = frame.at(r, median)
        half, most = f"{quarter:,.0f} to {three:,.0f}", f"{low:,.0f} to {high:,.0f}"
        tip = f"{round_name(r)}: median {median:,.0f}, half {half}, 90 % {most}"
        drawing.marker((x, y), "circle", "accent", size=4, tip=tip)
        if len(bands) <= 8:
            drawing.text(x, y - 9, short(round(median)), "accent", size=SMALL, anchor="middle", bold=True, halo=True)
    return drawing


def _between(frame: Frame, bands: Mapping[int, Band], low: int, high: int, opacity: str) -> None:
    if len(bands) == 1:
        ((r, b),) = bands.items()
        x, top, base = frame.x(r), frame.y(b.quantiles[high]), frame.y(b.quantiles[low])
        frame.drawing.bar(x - 30, top, 60, base - top, "accent", opacity=opacity)
        return
    over = [frame.at(r, b.quantiles[high]) for r, b in bands.items()]
    under = [frame.at(r, b.quantiles[low]) for r, b in bands.items()]
    frame.drawing.area([*over, *reversed(under)], "accent", opacity=opacity)


def topics(found: TopicMap, instructions: Sequence[str]) -> Drawing:
    """The map: a symbol a row, later rounds over earlier ones, and each cluster's number in its middle."""
    size, edge = 720.0, 14.0
    told = (
        f"Topic map of {len(instructions):,} instructions in {len(found.clusters)} clusters, which are listed below it"
    )
    drawing = Drawing("topics", _key(found.rounds), told, size, size)
    radius = 4.2 if len(instructions) < 400 else 3.4 if len(instructions) < 1500 else 2.6

    def place(point: Sequence[float]) -> Point:
        return edge + point[0] * (size - 2 * edge), edge + point[1] * (size - 2 * edge)

    if len(instructions) <= _FEW:
        for n, number in enumerate(found.cluster_of):
            drawing.line([place(found.points[n]), place(found.clusters[number].middle)], "grid", width=1.2)
    # Rounds are mixed, so that none lies over all others: in the order of the map's rows a golden ratio apart.
    order = sorted(range(len(instructions)), key=lambda n: (n * 0.6180339887) % 1)
    for n in order:
        round_ = found.rounds[n]
        whose = f"round {round_}" if round_ else "seed"
        tip = f"{whose} · cluster {found.cluster_of[n] + 1} · {_cut(instructions[n])}"
        drawing.marker(place(found.points[n]), marker_of(round_), round_role(round_), size=radius, tip=tip)
    for cluster in found.clusters:
        x, y = place(cluster.middle)
        drawing.text(x, y + 7, str(cluster.number), size=22, anchor="middle", bold=True, halo=True)
    return drawing


_SIGNS = {"ring": "○", "circle": "●", "triangle": "▲", "square": "■", "diamond": "◆", "down": "▼", "cross": "✚"}


def _key(rounds: Sequence[int]) -> str:
    """The map's title, which says on the files what the symbols are; on the page, the legend does."""
    shown = sorted({min(round_, ROUND_ROLES) for round_ in rounds})
    more = "+" if max(rounds) > ROUND_ROLES else ""
    signs = [f"{_SIGNS[marker_of(r)]} {f'round {r}' if r else 'seeds'}{more * (r == ROUND_ROLES)}" for r in shown]
    return f"Topics of {len(rounds):,} instructions: {'  '.join(signs)}"


def _cut(text: str) -> str:
    flat = " ".join(text[: 4 * _TIP].split())
    return flat if len(flat) <= _TIP else flat[: _TIP - 1] + "…"


def sunburst(roots: Sequence[RootCount]) -> Drawing:
    """Verbs in the inner ring, their objects in the outer one; angles are proportional to counts."""
    total = sum(root.count for root in roots)
    told = "Root verbs with their objects: " + ", ".join(f"{root.verb} {root.count:,}" for root in roots[:8])
    drawing = Drawing("verbs", "Root verbs and their objects", told, 2 * _MIDDLE, 2 * _MIDDLE)
    angle = 0.0
    for n, root in enumerate(roots):
        role, sweep = f"v{n % 5 if n < len(roots) - 1 or n % 5 else 1}", 2 * math.pi * root.count / total
        tip = f"{root.verb}: {root.count:,} ({root.count / total:.1%})"
        _wedge(drawing, angle, sweep, 52, 126, role, tip=tip)
        _along(drawing, angle + sweep / 2, 56, root.verb, sweep * 68, bold=True)
        inner = angle
        for noun, count in root.objects:
            part = 2 * math.pi * count / total
            _wedge(drawing, inner, part, 128, 214, role, opacity="soft", tip=f"{root.verb} … {noun}: {count:,}")
            _along(drawing, inner + part / 2, 132, noun, part * 150, ink="ink")
            inner += part
        angle += sweep
    drawing.text(_MIDDLE, _MIDDLE + 1, short(total), size=20, anchor="middle", bold=True)
    drawing.text(_MIDDLE, _MIDDLE + 17, "instructions", "muted", size=10, anchor="middle")
    return drawing


def _wedge(
    drawing: Drawing, start: float, sweep: float, inner: float, outer: float, role: str, *, tip: str, opacity: str = ""
) -> None:
    steps = max(1, math.ceil(sweep / 0.07))
    angles = [start + sweep * step / steps for step in range(steps + 1)]
    edge = [_turned(outer, angle) for angle in angles] + [_turned(inner, angle) for angle in reversed(angles)]
    drawing.area(edge, role, opacity=opacity, outline="paper", tip=tip)


def _along(
    drawing: Drawing, angle: float, start: float, text: str, room: float, *, bold: bool = False, ink: str = "on-fill"
) -> None:
    """A word along a radius, turned so that it is never upside down, where its wedge has room for a line."""
    size = min(12.0, room * 0.95, (70 / 0.72 if bold else 80 / 0.6) / len(text))
    if size < 7:
        return
    flipped = angle % (2 * math.pi) > math.pi
    x, y = _turned(start, angle)
    # The baseline is moved by a third of the size across the radius, so that the word's middle lies on it.
    shift = size * 0.35 * (-1 if flipped else 1)
    x, y = x + shift * math.cos(angle), y + shift * math.sin(angle)
    turn = math.degrees(angle) - 90 + (180 if flipped else 0)
    drawing.text(x, y, text, ink, size=size, anchor="end" if flipped else "start", bold=bold, turn=turn)


def _turned(radius: float, angle: float) -> Point:
    return _MIDDLE + radius * math.sin(angle), _MIDDLE - radius * math.cos(angle)


def bars(name: str, told: str, rows: Sequence[tuple[str, float, str]]) -> Drawing:
    """A bar for each (label, value, value as it is written)."""
    drawing = Drawing(
        name, told, f"{told}: " + ", ".join(f"{label} {shown}" for label, _, shown in rows), WIDTH, 38.0 * len(rows)
    )
    most = max([value for _, value, _ in rows] + [1e-12])
    for place, (label, value, shown) in enumerate(rows):
        y = 38.0 * place
        drawing.text(0, y + 14, label if len(label) < 38 else label[:37] + "…", size=12.5)
        drawing.text(WIDTH, y + 14, shown, size=12.5, anchor="end", bold=True)
        drawing.bar(0, y + 20, WIDTH, 9, "grid")
        drawing.bar(0, y + 20, WIDTH * value / most, 9, "accent")
    return drawing

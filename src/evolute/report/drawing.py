"""A figure as a list of marks, which the page shows as SVG and `raster` draws as PNG: one description of each figure.

Sizes are in pixels of the figure's own width, which is small enough that its text is legible on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from evolute.report.palette import classes, variables
from evolute.text import printable

Point = tuple[float, float]
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MARGIN, TITLE = 16.0, 24.0
_ANCHORS = {"start": "", "middle": ' text-anchor="middle"', "end": ' text-anchor="end"'}


@dataclass(frozen=True, slots=True)
class Shape:
    """A line (open) or an area (closed) through points. `tip` is told when one points at it."""

    points: Sequence[Point]
    role: str
    closed: bool = True
    width: float = 1.0
    dash: tuple[float, ...] = ()
    opacity: str = ""
    outline: str = ""
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Marker:
    """A symbol: `circle`, `square`, `triangle`, `diamond`, `cross`, `down` or `ring`; `size` is half its width."""

    at: Point
    kind: str
    role: str
    size: float = 3.0
    opacity: str = ""
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """A line of text; `turn` is in degrees, clockwise. `halo` lays the ground's colour around it."""

    at: Point
    text: str
    role: str = "ink"
    size: float = 12.0
    anchor: str = "start"
    bold: bool = False
    turn: float = 0.0
    halo: bool = False


@dataclass(slots=True)
class Drawing:
    """A figure: its file's name, its title, what it shows in words (its alternative text), and its marks in order.

    The title stands on the files; on the page the caption says more.
    """

    name: str
    title: str
    told: str
    width: float
    height: float
    marks: list[Shape | Marker | Label] = field(default_factory=list)

    def line(self, points: Sequence[Point], role: str, *, width: float = 1.0, dash: tuple[float, ...] = ()) -> None:
        """Draw an open line; nothing where there are no points."""
        if points:
            self.marks.append(Shape(points, role, closed=False, width=width, dash=dash))

    def area(self, points: Sequence[Point], role: str, *, opacity: str = "", outline: str = "", tip: str = "") -> None:
        """Fill an area."""
        self.marks.append(Shape(points, role, opacity=opacity, outline=outline, tip=tip))

    def bar(self, x: float, y: float, width: float, height: float, role: str, **more: str) -> None:
        """Fill a rectangle."""
        self.area([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], role, **more)

    def marker(self, at: Point, kind: str, role: str, *, size: float = 3.0, opacity: str = "", tip: str = "") -> None:
        """Set a symbol."""
        self.marks.append(Marker(at, kind, role, size, opacity, tip))

    def text(
        self, x: float, y: float, text: str, role: str = "ink", *, size: float = 12.0, anchor: str = "start",
        bold: bool = False, turn: float = 0.0, halo: bool = False,
    ) -> None:  # fmt: skip
        """Write a line of text, its baseline at `y`; what would reorder or hide text is shown as an escape."""
        self.marks.append(Label((x, y), printable(text), role, size, anchor, bold, turn, halo))

    def svg(self, *, alone: bool = False) -> str:
        """The figure as an SVG element; `alone`, for a file, brings its title, its colours and a margin along."""
        body = "".join(map(_svg, self.marks))
        said = f'role="img" aria-label={quoteattr(printable(self.told))}'
        if not alone:
            return f'<svg viewBox="0 0 {_n(self.width)} {_n(self.height)}" {said}>{body}</svg>'
        left, top, width, height = self.frame
        box = f'viewBox="{_n(left)} {_n(top)} {_n(width)} {_n(height)}" width="{_n(width)}" height="{_n(height)}"'
        ground = f'<rect class="f-paper" x="{_n(left)}" y="{_n(top)}" width="{_n(width)}" height="{_n(height)}"/>'
        style = f"<style>{variables()}{classes()}text{{font-family:{FONT}}}</style>"
        title = _label(self.heading)
        return f'<svg xmlns="http://www.w3.org/2000/svg" {box} {said}>{style}{ground}{title}{body}</svg>'

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """Where a file's picture begins, and its size: the marks with a margin, and the title above them."""
        return -MARGIN, -MARGIN - TITLE, self.width + 2 * MARGIN, self.height + 2 * MARGIN + TITLE

    @property
    def heading(self) -> Label:
        """The title as a mark."""
        size = min(15.0, 1.65 * self.width / max(1, len(self.title)))
        return Label((0, -MARGIN), printable(self.title), size=size, bold=True)


def _svg(mark: Shape | Marker | Label) -> str:
    if isinstance(mark, Shape):
        return _shape(mark)
    return _marker(mark) if isinstance(mark, Marker) else _label(mark)


def _shape(mark: Shape) -> str:
    path = "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in mark.points) + ("z" if mark.closed else "")
    kind = f"f-{mark.role}" if mark.closed else f"s-{mark.role}"
    outline = f" e-{mark.outline}" if mark.outline else ""
    opacity = f" o-{mark.opacity}" if mark.opacity else ""
    width = f' stroke-width="{_n(mark.width)}"' if not mark.closed else ""
    dash = f' stroke-dasharray="{" ".join(map(_n, mark.dash))}"' if mark.dash else ""
    return _tipped("path", f'class="{kind}{outline}{opacity}" d="{path}"{width}{dash}', mark.tip)


def _marker(mark: Marker) -> str:
    (x, y), r = mark.at, mark.size
    opacity = f" o-{mark.opacity}" if mark.opacity else ""
    if mark.kind == "circle":
        return _tipped("circle", f'class="f-{mark.role}{opacity}" cx="{_n(x)}" cy="{_n(y)}" r="{_n(r)}"', mark.tip)
    if mark.kind == "ring":
        return _tipped(
            "circle",
            f'class="s-{mark.role}{opacity}" cx="{_n(x)}" cy="{_n(y)}" r="{_n(r)}" stroke-width="1.5"',
            mark.tip,
        )
    start, steps = _OUTLINES[mark.kind]
    first = f"M{_n(x + start[0] * r)} {_n(y + start[1] * r)}"
    rest = "".join(f"l{_n(dx * r)} {_n(dy * r)}" for dx, dy in steps)
    return _tipped("path", f'class="f-{mark.role}{opacity}" d="{first}{rest}z"', mark.tip)


# Symbols of about the same area: the first corner, and the steps from corner to corner, in half widths.
_OUTLINES: dict[str, tuple[Point, tuple[Point, ...]]] = {
    "square": ((-0.9, -0.9), ((1.8, 0), (0, 1.8), (-1.8, 0))),
    "triangle": ((0, -1.25), ((1.15, 2.1), (-2.3, 0))),
    "down": ((0, 1.25), ((1.15, -2.1), (-2.3, 0))),
    "diamond": ((0, -1.3), ((1.3, 1.3), (-1.3, 1.3), (-1.3, -1.3))),
    "cross": (
        (-0.4, -1.3),
        (
            (0.8, 0),
            (0, 0.9),
            (0.9, 0),
            (0, 0.8),
            (-0.9, 0),
            (0, 0.9),
            (-0.8, 0),
            (0, -0.9),
            (-0.9, 0),
            (0, -0.8),
            (0.9, 0),
        ),
    ),
}


def outline(kind: str) -> list[Point]:
    """The corners of a symbol of half width 1 around the origin, for the raster."""
    corners, steps = [_OUTLINES[kind][0]], _OUTLINES[kind][1]
    for dx, dy in steps:
        corners.append((corners[-1][0] + dx, corners[-1][1] + dy))
    return corners


def _label(mark: Label) -> str:
    x, y = mark.at
    turn = f' transform="rotate({_n(mark.turn)} {_n(x)} {_n(y)})"' if mark.turn else ""
    weight = ' font-weight="650"' if mark.bold else ""
    halo = " halo" if mark.halo else ""
    place = f'x="{_n(x)}" y="{_n(y)}" font-size="{_n(mark.size)}"{_ANCHORS[mark.anchor]}{weight}{turn}'
    return f'<text class="f-{mark.role}{halo}" {place}>{escape(mark.text)}</text>'


def _tipped(element: str, attributes: str, tip: str) -> str:
    if not tip:
        return f"<{element} {attributes}/>"
    return f"<{element} {attributes}><title>{escape(printable(tip))}</title></{element}>"


def _n(value: float) -> str:
    """A number with at most one decimal: a tenth of a pixel is finer than any screen."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text

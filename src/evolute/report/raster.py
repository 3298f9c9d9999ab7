"""A drawing as PNG, through matplotlib: the light palette, twice the page's resolution, the same bytes each time."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, BinaryIO

from evolute.report.drawing import Drawing, Label, Marker, Shape, outline
from evolute.report.palette import COLOURS, OPACITY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCALE = 2.0
_DPI = 100
_POINTS = 72 / _DPI  # a pixel of the drawing, in the points in which matplotlib measures text and lines
_ALIGN = {"start": "left", "middle": "center", "end": "right"}


def write_png(drawing: Drawing, file: BinaryIO) -> None:
    """Draw as PNG at `SCALE` pixels per pixel of the drawing."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # DejaVu comes with matplotlib, so that the bytes do not hang on the machine's fonts. A `$` begins no formula.
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "text.parse_math": False, "path.simplify": False}):
        left, top, width, height = drawing.frame
        figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI * SCALE)
        figure.patch.set_facecolor(_colour("paper"))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set(xlim=(left, left + width), ylim=(top + height, top))
        for order, (kind, marks) in enumerate(groupby([drawing.heading, *drawing.marks], type)):
            # Symbols in a row are one collection: thousands of patches of their own take seconds.
            if kind is Marker:
                _set(axes, [mark for mark in marks if isinstance(mark, Marker)], order)
            else:
                for mark in marks:
                    _draw(axes, mark, order)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # it draws a box there, as a reader expects
            FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})  # type: ignore[no-untyped-call]


def _draw(axes: Axes, mark: Shape | Marker | Label, order: int) -> None:
    style: dict[str, Any] = {"zorder": order}
    if isinstance(mark, Label):
        _write(axes, mark, style)
    elif isinstance(mark, Shape) and mark.closed:
        edge = _colour(mark.outline) if mark.outline else "none"
        axes.fill(*zip(*mark.points, strict=True), color=_colour(mark.role), edgecolor=edge, linewidth=_POINTS,
                  alpha=OPACITY.get(mark.opacity), **style)  # fmt: skip
    elif isinstance(mark, Shape):
        dashes = (0, tuple(length / mark.width for length in mark.dash)) if mark.dash else "-"
        axes.plot(*zip(*mark.points, strict=True), color=_colour(mark.role), linewidth=mark.width * _POINTS,
                  linestyle=dashes, **style)  # fmt: skip


def _set(axes: Axes, marks: Sequence[Marker], order: int) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Circle, Patch, Polygon

    patches: list[Patch] = []
    for mark in marks:
        (x, y), size = mark.at, mark.size
        if mark.kind in ("circle", "ring"):
            patches.append(Circle(mark.at, size))
        else:
            patches.append(Polygon([(x + dx * size, y + dy * size) for dx, dy in outline(mark.kind)]))
    inks = [to_rgba(_colour(mark.role), OPACITY.get(mark.opacity, 1.0)) for mark in marks]
    rings = [mark.kind == "ring" for mark in marks]
    clear = (0.0, 0.0, 0.0, 0.0)
    axes.add_collection(
        PatchCollection(
            patches,
            facecolors=[clear if ring else ink for ink, ring in zip(inks, rings, strict=True)],
            edgecolors=[ink if ring else clear for ink, ring in zip(inks, rings, strict=True)],
            linewidths=1.5 * _POINTS,
            zorder=order,
        )
    )


def _write(axes: Axes, mark: Label, style: dict[str, Any]) -> None:
    from matplotlib.patheffects import withStroke

    effects = [withStroke(linewidth=3 * _POINTS, foreground=_colour("paper"))] if mark.halo else []
    axes.text(
        *mark.at, mark.text, color=_colour(mark.role), fontsize=mark.size * _POINTS, ha=_ALIGN[mark.anchor],
        va="baseline", rotation=-mark.turn % 360, rotation_mode="anchor", path_effects=effects,
        fontweight="bold" if mark.bold else "normal", **style,
    )  # fmt: skip


def _colour(role: str) -> str:
    return COLOURS[role][0]

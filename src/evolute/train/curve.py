"""The learning curve as a picture: the loss of training and validation by step, with the tokens seen above."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolute.errors import InputError, MissingExtra
from evolute.files import replacing

# The report's colours on a light ground (`evolute.report.palette`: accent, seed, muted, grid).
_TRAINED, _HELD_OUT, _MUTED, _GRID = "#1f6f78", "#c65d12", "#66645f", "#e4e1da"
_SMOOTHED = 50
"""With more points than these, the training loss is drawn as its running mean too."""


@dataclass(frozen=True, slots=True)
class Point:
    """A loss (mean per learned token, in nats) at a step; `tokens` seen until then, where they were counted."""

    step: int
    loss: float
    tokens: int | None = None


def draw_curve(trained: Sequence[Point], held_out: Sequence[Point], path: Path, *, title: str = "") -> None:
    """Draw the curve into a PNG file, which is replaced as a whole.

    Losses that are no finite numbers are left out.

    Args:
        trained: the training loss, in the order of steps.
        held_out: the validation loss; may be empty.
        path: the file.
        title: what stands above.

    Raises:
        InputError: there is no point to draw, or the file cannot be written.
        MissingExtra: matplotlib is not installed.
    """
    trained, held_out = _finite(trained), _finite(held_out)
    if not trained and not held_out:
        raise InputError(f"{path}: there is no loss, or none that is a finite number, to draw a curve of")
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import EngFormatter, MaxNLocator
    except ImportError:
        raise MissingExtra("the picture of the learning curve", "train") from None
    figure = Figure(figsize=(7.2, 4.0), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    many = len(trained) > _SMOOTHED
    steps, losses = _columns(trained)
    if many:
        axes.plot(steps, losses, color=_TRAINED, alpha=0.3, label="training, each step")
        axes.plot(steps, _running_mean(losses), color=_TRAINED, label=f"training, mean of {len(losses) // 20} points")
    elif trained:
        axes.plot(steps, losses, color=_TRAINED, marker="o", markersize=3, label="training")
    if held_out:
        axes.plot(*_columns(held_out), color=_HELD_OUT, marker="o", markersize=4, linestyle="--", label="validation")
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per token)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=_GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    if counted := [(point.step, point.tokens) for point in trained if point.tokens is not None]:
        _tokens_above(axes, counted, EngFormatter(sep=""))
    if title:
        axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    with replacing(path) as file:
        figure.savefig(file, format="png")


def _columns(points: Sequence[Point]) -> tuple[list[int], list[float]]:
    return [point.step for point in points], [point.loss for point in points]


def _running_mean(values: Sequence[float]) -> list[float]:
    """The mean of each value and those before it, as many as a twentieth of all."""
    window = len(values) // 20
    return [sum(part) / len(part) for n in range(1, len(values) + 1) if (part := values[max(0, n - window) : n])]


def _finite(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if math.isfinite(point.loss)]


def _tokens_above(axes: Any, counted: Sequence[tuple[int, int]], formatter: Any) -> None:  # noqa: ANN401 - matplotlib's
    """A second axis that tells the tokens; each step is taken to see as many."""
    last_step, last_tokens = counted[-1]
    rate = last_tokens / last_step if last_step else 0.0
    if rate:
        above = axes.secondary_xaxis("top", functions=(lambda step: step * rate, lambda tokens: tokens / rate))
        above.xaxis.set_major_formatter(formatter)
        above.set_xlabel("tokens", color=_MUTED)
        above.tick_params(colors=_MUTED)
        above.spines["top"].set_visible(False)

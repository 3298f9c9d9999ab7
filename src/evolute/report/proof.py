"""The page of a proof: the sentence, the differences that it rests on, what each arm took, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolute.files import replacing
from evolute.report.drawing import Drawing
from evolute.report.figures import FIGURES, write_figures
from evolute.report.html import markup, render
from evolute.report.prooffigures import Row, intervals
from evolute.report.scorecard import Side, interval, told
from evolute.scores import Measure


@dataclass(frozen=True, slots=True)
class Line:
    """One difference between an arm with evolved examples and one with seeds; above 0 the evolved is better.

    Args:
        benchmark: what was measured; `group` of it ("skill Math"), empty for all.
        scale: of the numbers.
        measure: the gain and its 95 % interval.
        n: items that both have scored; `independent` of them are independent draws.
        verdict: helped, hurt, or cannot be told.
        needed: independent items that would show such a gain with 80 % power; None where that cannot be told.
        least: the smallest gain that these items show.
        by_training: the gain for each training seed.
        why: why there is none.
    """

    benchmark: str
    scale: str
    measure: Measure
    n: int
    independent: int
    verdict: str
    group: str = ""
    needed: int | None = None
    least: float | None = None
    by_training: Sequence[float] = ()
    why: str = ""

    @property
    def name(self) -> str:
        """The benchmark, with the group."""
        return f"{self.benchmark}: {self.group}" if self.group else self.benchmark


@dataclass(frozen=True, slots=True)
class Compared:
    """Two arms, and by how much `one` is better than `other`: over all, and by group.

    `equal` says what is equal, `main` whether the sentence rests on it.
    """

    name: str
    one: str
    other: str
    equal: str
    main: bool
    lines: Sequence[Line]
    groups: Sequence[Line] = ()


@dataclass(frozen=True, slots=True)
class ArmCost:
    """What an arm is and took.

    `answer_calls`, `answer_tokens` and `answer_cost` are of its examples' answers; those of `evolving` are its part of
    what evolving took, dropped candidates included. Costs are in US dollars, None where unknown. `trained_tokens`
    counts each example once for each epoch; `seconds` and it are means over the trainings; `loss` is the last step's.
    """

    name: str
    examples: int
    tokens: int
    answer_calls: int
    answer_tokens: int
    answer_cost: float | None
    evolving_calls: int
    evolving_tokens: int
    evolving_cost: float | None
    trainings: int
    steps: int
    trained_tokens: int
    seconds: float
    loss: float | None


@dataclass(frozen=True, slots=True)
class Proof:
    """All that the page shows. `facts` are short sentences on the data, `ran` is the recipe as it was resolved."""

    title: str
    version: str
    demonstration: bool
    verdict: str
    sentence: str
    rule: str
    main: str
    compared: Sequence[Compared]
    arms: Sequence[ArmCost]
    sides: Sequence[Side]
    facts: Sequence[str] = ()
    warnings: Sequence[str] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    evaluations: str = ""
    ran: Mapping[str, Any] = field(default_factory=dict)

    @property
    def benchmarks(self) -> list[str]:
        """What was measured, in the order of the sides."""
        return list(dict.fromkeys(name for side in self.sides for name in side.scores))

    @property
    def trainings(self) -> int:
        """How often each arm was trained."""
        return max((arm.trainings for arm in self.arms), default=1)


def figures_of(proof: Proof) -> dict[str, Drawing]:
    """A figure of the intervals for each measure, and one of the main comparisons by group, where there are groups."""
    found: list[Drawing] = []
    for benchmark in proof.benchmarks:
        rows = [
            Row(compared.name, line.measure, f"{line.n} items", line.verdict)
            for compared in proof.compared
            for line in compared.lines
            if line.benchmark == benchmark and line.measure.value is not None
        ]
        if rows:
            found.append(intervals(f"gain-{benchmark}", f"Gain on {benchmark}", rows, _scale(proof, benchmark)))
    return {drawing.name: drawing for drawing in found}


def _scale(proof: Proof, benchmark: str) -> str:
    return next(side.scores[benchmark].scale for side in proof.sides if benchmark in side.scores)


def gain(value: float | None, scale: str) -> str:
    """A gain with its sign, in its scale; a dash for none."""
    if value is None:
        return "–"
    return f"{value:+.{ {'nats': 3, 'points': 2}.get(scale, 1) }f}"


def gain_interval(line: Line) -> str:
    """The interval of a gain; empty where there is none."""
    if line.measure.low is None or line.measure.high is None:
        return ""
    return f"{gain(line.measure.low, line.scale)} to {gain(line.measure.high, line.scale)}"


def proof_page(proof: Proof, figures: Mapping[str, Drawing]) -> str:
    """The page as HTML, complete without its script.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    return render(
        "proof.html",
        p=proof,
        figures={name: markup(drawing.svg()) for name, drawing in figures.items()},
        gain=gain,
        gain_interval=gain_interval,
        told=told,
        interval=interval,
    )


def write_proof(proof: Proof, page: Path) -> Path:
    """Write the page, and its figures as SVG and PNG into `figures/` beside it; returns the page's path.

    Raises:
        InputError: the place cannot be written.
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    figures = figures_of(proof)
    html = proof_page(proof, figures)
    folder = page.parent / FIGURES
    write_figures(folder, figures, {path.stem for path in folder.glob("gain-*.*")})
    with replacing(page) as file:
        file.write(html.encode())
    return page

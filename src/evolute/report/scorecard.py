"""The page of scores: models side by side, with the doubt shown, what to read, and exactly what was run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evolute.files import replacing
from evolute.report.drawing import Drawing
from evolute.report.figures import FIGURES, write_figures
from evolute.report.html import markup, render
from evolute.report.scorefigures import radar, side_role, side_symbol, sorted_bars
from evolute.scores import COVERAGE, Measure, Part, Score

_RADAR_LEAST = 3
_RADAR_BY = ("skill", "category")


@dataclass(frozen=True, slots=True)
class Reference:
    """A number that somebody published."""

    model: str
    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Side:
    """One model's scores, by benchmark; `label` names it in the columns."""

    label: str
    scores: Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference, `one` less `other`, over the `n` items that both have scored."""

    benchmark: str
    one: str
    other: str
    measure: Measure
    n: int
    told: str
    """In a sentence: which is better, or that it cannot be told."""


@dataclass(frozen=True, slots=True)
class Reading:
    """An item to look at: what was asked, what both said, and what the judge said of it."""

    benchmark: str
    id: str
    score: float
    question: str
    answer: str
    other: str = ""
    judged: Sequence[str] = ()
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scorecard:
    """All that the page shows.

    `references` and `published_groups` are others' numbers, by benchmark; `left_out` says why a benchmark of the suite
    has no number.
    """

    title: str
    version: str
    sides: Sequence[Side]
    references: Mapping[str, Sequence[Reference]] = field(default_factory=dict)
    published_groups: Mapping[str, tuple[str, Mapping[str, float]]] = field(default_factory=dict)
    differences: Sequence[Difference] = ()
    wins: Sequence[Reading] = ()
    losses: Sequence[Reading] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def benchmarks(self) -> list[str]:
        """In the order in which the sides have them."""
        return list(dict.fromkeys(name for side in self.sides for name in side.scores))

    def scores(self, benchmark: str) -> list[tuple[int, Side, Score]]:
        """Who has a score there: its place, the side, the score."""
        return [
            (place, side, side.scores[benchmark])
            for place, side in enumerate(self.sides)
            if benchmark in side.scores
        ]  # fmt: skip

    def groupings(self, benchmark: str) -> list[str]:
        """What a benchmark's items are grouped by: skill, difficulty and so on."""
        return list(dict.fromkeys(part.by for _, _, score in self.scores(benchmark) for part in score.parts))

    def part(self, score: Score, by: str, name: str) -> Part | None:
        """One group of a score."""
        return next((part for part in score.parts if part.by == by and part.name == name), None)

    def groups(self, benchmark: str, by: str) -> list[str]:
        """The groups of a grouping, in the order of the scores' own parts; numbers in theirs."""
        parts = [part.name for _, _, score in self.scores(benchmark) for part in score.parts if part.by == by]
        names = list(dict.fromkeys(parts))
        return sorted(names, key=int) if all(name.isdecimal() for name in names) else names

    @property
    def reference_models(self) -> list[str]:
        """Models with a published number for a benchmark that is shown, those with the most first."""
        counts: dict[str, int] = {}
        for benchmark in self.benchmarks:
            for reference in self.references.get(benchmark, ()):
                counts[reference.model] = counts.get(reference.model, 0) + 1
        return sorted(counts, key=lambda model: (-counts[model], not model.startswith("Wizard"), model))

    def reference(self, benchmark: str, model: str) -> Reference | None:
        """A model's published number."""
        return next((one for one in self.references.get(benchmark, ()) if one.model == model), None)


def figures_of(card: Scorecard) -> dict[str, Drawing]:
    """A radar and sorted bars for each benchmark that has groups of its own, by name."""
    drawings: list[Drawing] = []
    for benchmark in card.benchmarks:
        for by in card.groupings(benchmark):
            drawings += _figures(card, benchmark, by)
    return {drawing.name: drawing for drawing in drawings}


def _figures(card: Scorecard, benchmark: str, by: str) -> list[Drawing]:
    held, groups = card.scores(benchmark), card.groups(benchmark, by)
    if by not in _RADAR_BY and by != "subject":
        return []
    of, published = card.published_groups.get(benchmark, ("", {}))
    found: list[Drawing] = []
    if by in _RADAR_BY and len(groups) >= _RADAR_LEAST:
        sides = {side.label: _values(score, by) for _, side, score in held}
        parity = 100.0 if held[0][2].scale == "ratio" else None
        found.append(radar(f"radar-{benchmark}-{by}", f"{benchmark} by {by}", groups, sides, parity))
    for place, side, score in held:
        parts = [part for part in score.parts if part.by == by]
        shown = published if of == by else {}
        if any(part.measure.value is not None for part in parts):
            title = f"{benchmark} by {by}: {side.label}"
            found.append(sorted_bars(f"bars-{benchmark}-{by}-{place + 1}", title, parts, score.measure, shown))
    return found


def _values(score: Score, by: str) -> dict[str, float]:
    return {part.name: part.measure.value for part in score.parts if part.by == by and part.measure.value is not None}


def scorecard_page(card: Scorecard, figures: Mapping[str, Drawing]) -> str:
    """The page as HTML, complete without its script.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    return render(
        "scorecard.html",
        c=card,
        figures={name: markup(drawing.svg()) for name, drawing in figures.items()},
        role=side_role,
        symbol=side_symbol,
        told=told,
        interval=interval,
        coverage=COVERAGE,
    )


def told(measure: Measure, scale: str) -> str:
    """A number in its scale; "no number" where nothing may be said."""
    if measure.value is None:
        return "no number"
    if scale == "nats":
        return f"{measure.value:.3f}"
    return f"{measure.value:.2f}" if scale == "points" else f"{measure.value:.1f} %"


def interval(measure: Measure, scale: str) -> str:
    """Its interval: `52.1 to 67.0`; empty where there is none."""
    if measure.low is None or measure.high is None:
        return ""
    digits = {"points": 2, "nats": 3}.get(scale, 1)
    return f"{measure.low:.{digits}f} to {measure.high:.{digits}f}"


def write_scorecard(card: Scorecard, page: Path) -> Path:
    """Write the page, and its figures as SVG and PNG into `figures/` beside it; returns the page's path.

    Raises:
        InputError: the place cannot be written.
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    figures = figures_of(card)
    html = scorecard_page(card, figures)
    folder = page.parent / FIGURES
    earlier = {path.stem for kind in ("radar", "bars") for path in folder.glob(f"{kind}-*.*")}
    if figures or earlier:
        write_figures(folder, figures, earlier)
    with replacing(page) as file:
        file.write(html.encode())
    return page

"""A run's report, written: the page whole or not at all, and each of its figures as SVG and PNG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evolute.encoders import Encoder
from evolute.errors import InputError
from evolute.files import replacing
from evolute.ledger import Reader
from evolute.report import charts
from evolute.report.contents import Contents, gather
from evolute.report.drawing import Drawing
from evolute.report.facts import Facts
from evolute.report.figures import FIGURES, write_figures
from evolute.report.html import duration, money
from evolute.report.page import page

PAGE = "report.html"
FIGURE_NAMES = frozenset({
    "funnel", "difficulty", "instruction-words", "response-words", "prompt-tokens", "response-tokens", "topics",
    "verbs", "languages", "cost-by-role", "time-by-role", "time-by-operation",
})  # fmt: skip
"""The figures there can be: `figures/NAME.svg` and `figures/NAME.png`."""


def write_report(
    reader: Reader,
    facts: Facts,
    out: Path,
    encoder: Encoder | None,
    *,
    no_encoder: str = "",
    sample: int = 3000,
    seed: int = 0,
    told: Callable[[str], None] = lambda phase: None,
) -> Path:
    """Write `report.html` and `figures/` into the folder `out`; returns the page's path.

    The same run, encoder, `sample` and `seed` give the same bytes (on one machine, with the same versions of numpy,
    scikit-learn and matplotlib).

    Args:
        reader: the run's ledger.
        facts: what the recipe and the bill say of the run.
        out: an existing folder; the run's own, by custom.
        encoder: makes the vectors of the topic map; None leaves the map out.
        no_encoder: why there is no encoder, shown in the map's place.
        sample: rows of the topic map and of the language mix, drawn in equal parts from each round.
        seed: of the sample, of t-SNE and k-means, and of the lineages shown.
        told: is called with the name of each phase as it begins: for progress and benchmarks.

    Raises:
        InputError: `sample` is out of range, or `out` cannot be written.
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    if not 1 <= sample <= 20_000:
        raise InputError(f"sample must be from 1 to 20,000 rows, got {sample!r}: t-SNE takes minutes beyond")
    contents = gather(reader, facts, encoder, no_encoder=no_encoder, sample=sample, seed=seed, told=told)
    figures = draw(contents)
    html = page(contents, figures)
    told("figures")
    write_figures(out / FIGURES, figures, FIGURE_NAMES)
    told("done")
    with replacing(out / PAGE) as file:
        file.write(html.encode())
    return out / PAGE


def draw(contents: Contents) -> dict[str, Drawing]:
    """The figures that the contents allow, by name."""
    facts = contents.facts
    drawings = [charts.funnel(contents.steps), charts.difficulty(contents.difficulty)]
    for what, unit in (("words", contents.words), ("tokens", contents.tokens)):
        for kind, bands in unit.items():
            if bands:
                drawings.append(charts.lengths(f"{kind}-{what}", f"Length of {kind}s", bands, what))
    if contents.topics:
        drawings.append(charts.topics(contents.topics, contents.texts))
    if contents.roots:
        drawings.append(charts.sunburst(contents.roots))
    if contents.languages:
        total = sum(count for _, count in contents.languages)
        mix = [(name, count, f"{count / total:.1%}") for name, count in contents.languages[:12]]
        drawings.append(charts.bars("languages", "Languages of the sampled instructions", mix))
    if facts.roles:
        roles = [(f"{use.role} · {use.model}", use) for use in facts.roles]
        if facts.cost:
            costs = [(name, use.cost or 0.0, money(use.cost)) for name, use in roles]
            drawings.append(charts.bars("cost-by-role", "Cost by role", costs))
        times = [(name, use.seconds, duration(use.seconds)) for name, use in roles]
        drawings.append(charts.bars("time-by-role", "Time in calls by role", times))
    if facts.operations:
        spent = [(use.operation, use.seconds, duration(use.seconds)) for use in facts.operations]
        drawings.append(charts.bars("time-by-operation", "Time in calls by operation", spent))
    return {drawing.name: drawing for drawing in drawings}

"""The command `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from evolute.cli.screen import say


def report(
    run: Path,
    /,
    *,
    sample: Annotated[
        int, Parameter(help="Rows of the topic map and the language mix, from every round alike.")
    ] = 3000,
    seed: Annotated[int, Parameter(help="Of the sample, the map, and the lineages shown.")] = 0,
) -> None:
    """Write RUN/report.html, one page that needs no network, and its figures as PNG and SVG under RUN/figures.

    Args:
        run: The run's folder.
    """
    from evolute.pipeline.reporting import report as write

    say(f"written: {write(run, sample=sample, seed=seed)}")

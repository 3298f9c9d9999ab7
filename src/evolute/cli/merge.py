"""`evolute merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from evolute.cli.screen import Json, say, show_summary, write_json
from evolute.pipeline.merging import merge as merge_runs


def merge(
    *runs: str,
    out: Annotated[Path, Parameter(help="The new run's folder.")],
    json: Json = False,
) -> None:
    """Make one run of several that the same recipe made, of parts of the seeds say.

    Seeds come in the order of the runs; one of several runs counts once, and a call that several made is kept once.
    The runs are left as they are. A selection is not taken over: run `evolute select` on the new run.

    Of a run on a cluster (`--on ray`), its sink alone is enough: a folder or URL in the place of the runs.

    Args:
        runs: The runs' folders, two or more; or one sink.
    """
    if len(runs) == 1:
        from evolute.scale.merging import merge_sink

        merged = merge_sink(runs[0], out=out, say=say)
    else:
        merged = merge_runs(runs, out=out, say=say)
    if json:
        write_json(merged)
        return
    show_summary(merged.summary)
    if merged.shared:
        say(f"{merged.shared:,} seeds were in several runs, and are there once")
    if merged.paid_twice:
        say(f"{merged.paid_twice:,} calls were in several runs, and are there once")
    if merged.taken_back:
        say(
            f"{merged.taken_back:,} lineages rest on answers which an earlier run has otherwise: "
            f"`evolute evolve --out {out}` grows them again"
        )

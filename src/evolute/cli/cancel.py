"""`evolute cancel`."""

from __future__ import annotations

from pathlib import Path

from evolute.cli.evolve import Set
from evolute.cli.screen import Json, say, write_json
from evolute.pipeline.cancelling import cancel_batches
from evolute.recipe import parse_assignment


def cancel(run: Path, /, *, set_: Set = None, json: Json = False) -> None:
    """Cancel the batches that a run waits for, and keep what they have answered.

    Asks nothing, and submits nothing. A provider takes some minutes to cancel; after Ctrl-C the same command goes on.
    `evolute evolve --out RUN` asks what was not answered again, in batches or at once
    (--set models.default.batch=null).

    Args:
        run: The run's folder.
    """
    done = cancel_batches(run, settings=dict(map(parse_assignment, set_ or ())), say=say)
    if json:
        write_json(done)
        return
    if not done.batches and not done.left:
        say(f"{run} waits for no batches")
        return
    say(f"batches ended: {done.batches:,}; {done.answered:,} of their {done.requests:,} requests answered, and kept")
    if done.left:
        say(
            f"{done.left:,} requests still wait in batches of a model, or at an address, that the recipe has not: name "
            "it with --set models.default.model=NAME (or .base_url=URL)"
        )

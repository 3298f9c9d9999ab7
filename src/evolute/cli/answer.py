"""`evolute answer`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from evolute.cli.screen import say
from evolute.recipe import parse_assignment


def answer(
    run: Path,
    /,
    *,
    model: Annotated[str, Parameter(help="The model's folder, at the same path on every node.")],
    on: Annotated[
        str, Parameter(help="ray://HOST:PORT joins a cluster, from one of its nodes; ray starts one.")
    ] = "ray",
    engines: Annotated[int, Parameter(help="Engines side by side.")] = 1,
    engine: Annotated[
        list[str] | None,
        Parameter(negative="", help="vLLM's engine arguments: tensor_parallel_size=2. May be repeated."),
    ] = None,
    accelerator: Annotated[str | None, Parameter(help="Only nodes with such a GPU, as Ray names it: H100.")] = None,
    follow: Annotated[bool, Parameter(negative="", help="Go on with what comes later, until stopped.")] = False,
) -> None:
    """Answer the batches that a run waits for with vLLM on a Ray cluster (it needs GPUs there).

    The run is one with --batch whose provider is files: `evolute evolve SEEDS --out RUN --api chat --model M --batch`
    without an address. Start that in one terminal and this in another; each may be stopped and started again.

    Args:
        run: The run's folder.
    """
    from evolute.scale.vllm import Engine, answer_waiting

    options = dict(parse_assignment(text) for text in engine or ())
    count = answer_waiting(run, Engine(model, engines, options, accelerator), on=on, follow=follow, say=say)
    if not count:
        say(f"{run} waits for no file of requests; `evolute status {run}` lists its batches")

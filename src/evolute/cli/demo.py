"""`make demo`: a real model evolves our own seeds, offline, in a minute or three. `python -m evolute.cli.demo RUN`."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

from rich.rule import Rule
from rich.text import Text

from evolute.cli.run import show_ran
from evolute.cli.runs import show
from evolute.cli.screen import money, out, say, watch_on
from evolute.errors import EvoluteError
from evolute.models.prices import cost, unit_price
from evolute.pipeline.judging import judge_agreement
from evolute.pipeline.publishing import DATASET_FOLDER
from evolute.pipeline.running import run as go_the_whole_way
from evolute.pipeline.summary import run_recipe
from evolute.recipe import ModelSpec
from evolute.records import Usage

API_MODEL = ModelSpec(model="gpt-4.1-mini", base_url="https://api.openai.com/v1")
"""What the demo's tokens are priced at: a common small model of a common API."""


def demo(run: Path, seeds: int = 6) -> None:
    """Take the first of our seeds the whole way with the embedded model, and show what came of it."""
    console = out()
    evolute = ".venv/bin/evolute" if Path(sys.prefix).name == ".venv" else "evolute"
    console.print(
        "A real language model, SmolLM2-135M, evolves six of our seeds inside this process: no key, no network, one to "
        "three minutes on an idle machine.\nA model of this size shows the machinery, not the quality: read what comes "
        "as the work of a willing beginner."
    )
    with resources.as_file(resources.files("evolute") / "recipes" / "data" / "demo.jsonl") as path:
        command = f"{evolute} run tiny --seeds {_here(path)} --out {run} --set seeds.limit={seeds}"
        console.print(Rule(Text(command), align="left"))
        ran = go_the_whole_way(
            "tiny", out=run, sources=[str(path)], settings={"seeds.limit": seeds}, watch=watch_on(sys.stderr), say=say
        )
    show_ran(ran)
    console.print(Rule(Text(f"{evolute} show {run}"), align="left"))
    show(run, count=3)
    console.print(Rule(Text("how good is this model as a judge?"), align="left"))
    console.print("Thirty pairs of instructions of which we know whether the second asks for more than the first:")
    console.print(judge_agreement(run_recipe(run)).sentence)
    console.print(
        "A judge near guessing drops next to nothing, or anything: use a larger one for a dataset that matters."
    )
    console.print(Rule(Text("and now"), align="left"))
    summary = ran.summary
    priced = cost(Usage(summary.prompt_tokens, summary.completion_tokens), unit_price(API_MODEL))
    for line in (
        f"These {summary.calls:,} calls cost nothing here; on {API_MODEL.model} they would have cost {money(priced)}.",
        f"  {evolute} show {run} ID     one lineage with every prompt (an id as drawn above)",
        f"  {evolute} verify {run}; {evolute} replay {run}",
        f"  {evolute} select {run} --set select.duplicates.near=0.7     another threshold, without measuring again",
        f"  {evolute} plan YOUR.jsonl --out run --base-url URL --model NAME     what yours would cost",
        f"  {evolute} init YOUR.jsonl; {evolute} run recipe.yaml     the whole way with yours",
        f"The dataset is in {run / DATASET_FOLDER}, and this is how it came to be; open it in a browser:",
        f"  {ran.report or 'no report: it needs the extra evolute[report]'}",
    ):
        console.print(Text(line))


def _here(path: Path) -> Path:
    """The path as one would type it from here, where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    try:
        demo(Path(sys.argv[1]))
    except EvoluteError as error:
        from evolute.cli import fail

        fail(str(error), error.exit_code)

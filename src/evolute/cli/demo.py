"""`make demo`: a real model evolves our own seeds, offline, in a minute or three. `python -m evolute.cli.demo RUN`."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

from rich.rule import Rule
from rich.text import Text

from evolute import pipeline
from evolute.cli.runs import show
from evolute.cli.screen import money, out, say, show_summary, watch_on
from evolute.errors import EvoluteError
from evolute.models.prices import cost, unit_price
from evolute.pipeline.judging import judge_agreement
from evolute.recipe import ModelSpec
from evolute.records import Usage
from evolute.seeds import SeedOptions

API_MODEL = ModelSpec(model="gpt-4.1-mini", base_url="https://api.openai.com/v1")
"""What the demo's tokens are priced at: a common small model of a common API."""


def demo(run: Path, seeds: int = 6) -> None:
    """Evolve the first of our seeds with the embedded model, and show what came of it."""
    console = out()
    with resources.as_file(resources.files("evolute") / "recipes" / "data" / "demo.jsonl") as path:
        command = f"evolute evolve {path.name} --out {run} --limit {seeds}"
        console.print(Rule(Text(command), align="left"))
        summary = pipeline.evolve(
            str(path), out=run, recipe="tiny", seeds=SeedOptions(limit=seeds), watch=watch_on(sys.stderr), say=say
        )
    show_summary(summary, ended=True)
    console.print(Rule(Text(f"evolute show {run}"), align="left"))
    show(run, count=3)
    console.print(Rule(Text("how good is this model as a judge?"), align="left"))
    console.print(judge_agreement(pipeline.run_recipe(run)).sentence)
    console.print(Rule(Text("and now"), align="left"))
    priced = cost(Usage(summary.prompt_tokens, summary.completion_tokens), unit_price(API_MODEL))
    for line in (
        f"These {summary.calls:,} calls cost nothing here; on {API_MODEL.model} they would have cost {money(priced)}.",
        f"The dataset is {run / pipeline.DATASET}. A model of 135M parameters shows the machinery, not quality. Next:",
        f"  evolute show {run} ID                  one lineage, with every prompt (ids: the dataset's id column)",
        f"  evolute verify {run}; evolute replay {run}",
        f"  evolute export {run} --format messages --out train.jsonl",
        "  evolute plan YOUR.jsonl --out run --base-url URL --model NAME     what yours would cost",
        "  evolute evolve YOUR.jsonl --out run --base-url URL --model NAME",
    ):
        console.print(Text(line))


if __name__ == "__main__":
    try:
        demo(Path(sys.argv[1]))
    except EvoluteError as error:
        from evolute.cli import fail

        fail(str(error), error.exit_code)

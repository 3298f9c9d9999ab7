"""`evolute train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter
from rich.text import Text

from evolute.cli.screen import Json, say, write_json
from evolute.cli.screen import out as screen
from evolute.pipeline.training import Trained
from evolute.pipeline.training import plan as plan_training
from evolute.pipeline.training import train as train_on
from evolute.recipe import parse_assignment
from evolute.text import printable

_MODEL = Group("Model and recipe", sort_key=1)

Base = Annotated[
    str | None,
    Parameter(
        group=_MODEL,
        help="The base model: a folder as transformers writes it, a .gguf file, or smollm2 (the embedded).",
    ),
]
Recipe = Annotated[
    str | None,
    Parameter(
        group=_MODEL,
        help="tiny (needs no --base), modern-8b, wizardlm-7b, wizardlm-13b, wizardlm-30b, wizardlm-65b, "
        "wizardcoder-15b, or a YAML file. Default: the fields' defaults (docs/train.md).",
    ),
]
Set = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        group=_MODEL,
        negative="",
        help="Any field of the recipe: learning_rate=1e-5, method=lora, lora.rank=64 (docs/train.md lists them).",
    ),
]


def train(
    dataset: Path,
    /,
    *,
    out: Path,
    base: Base = None,
    recipe: Recipe = None,
    set_: Set = None,
    max_steps: Annotated[int | None, Parameter(group=_MODEL, help="Stop after so many optimizer steps.")] = None,
    task: Annotated[
        Literal["respond", "prefer", "evolver"],
        Parameter(
            group=_MODEL,
            help="respond: answer as the dataset does. prefer: DPO on its preference pairs. evolver: rewrite "
            "instructions, from a run's record.",
        ),
    ] = "respond",
    dry_run: Annotated[
        bool,
        Parameter(negative="", help="Read, count and check all, estimate the memory, and train nothing."),
    ] = False,
    json: Json = False,
) -> None:
    """Train a model on a dataset: full, LoRA or QLoRA, with the loss on the answers alone.

        evolute train runs/demo --out models/demo --recipe tiny
        evolute train train.jsonl --out models/8b --recipe modern-8b --base Llama-3.1-8B --set method=lora

    Stopped at any moment, the same command goes on from the last checkpoint.

    Args:
        dataset: A run's folder, an exported folder, or a file of conversations or answered instructions.
        out: The trained model's folder: weights as safetensors, tokenizer with its chat template, card, curve, metrics.
    """
    settings: dict[str, Any] = dict(parse_assignment(text) for text in set_ or ())
    if dry_run:
        plan_training(dataset, base=base, recipe=recipe, settings=settings, max_steps=max_steps, task=task, say=say)
        return
    trained = train_on(
        dataset, out=out, base=base, recipe=recipe, settings=settings, max_steps=max_steps, task=task, say=say
    )
    if json:
        write_json(trained)
    else:
        show_trained(trained, task)


def show_trained(trained: Trained, task: str) -> None:
    """What a training came to, in one screen."""
    console = screen()
    line = f"{trained.folder}: {trained.steps:,} steps on {trained.examples:,} examples"
    if trained.loss is not None:
        line += f", loss {trained.loss:.4f}"
    if trained.validation_loss is not None:
        line += f", validation loss {trained.validation_loss:.4f} ({trained.held_out:,} held out)"
    console.print(Text(printable(line), style="bold"))
    if trained.samples:
        console.print(f"{trained.stopped} of {len(trained.samples)} answers stopped by themselves")
        sample = trained.samples[0]
        console.print(Text(f"  asked     {_short(sample.prompt)}"))
        console.print(Text(f"  answered  {_short(sample.answer)}"))
    for warning in trained.warnings:
        console.print(Text(f"warning: {printable(warning)}"))
    if not (trained.folder / "config.json").is_file():
        from evolute.train.saving import ADAPTER

        console.print(Text(f"the adapter alone is in {trained.folder / ADAPTER}; peft opens it on its base"))
    elif task == "evolver":
        model = f"--set models.mine.api=local --set models.mine.model={trained.folder}"
        console.print(Text(f"next: evolute evolve SEEDS --out RUN {model} --set roles.evolver.model=mine"))
    else:
        console.print(Text(f"next: evolute chat {trained.folder}; evolute serve {trained.folder}"))


def _short(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= 100 else line[:99] + "…"

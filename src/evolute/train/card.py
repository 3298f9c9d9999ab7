"""The model card: a README.md as the hub wants it: what a model was trained from, on what, and how it went."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from evolute.text.markdown import code_block, inline, table

_HUB_NAME = re.compile(r"[\w][\w.-]{0,95}/[\w][\w.-]{0,95}", re.ASCII)
_LICENSE = """\
# license: yours to fill in. What binds you: the base model's license, the dataset's and its seeds', and the terms of
# the models that wrote the data."""
_USES = {
    "respond": "To answer instructions, in the format below.",
    "prefer": "To answer instructions, in the format below, as the preferences that it was shown would have it.",
    "evolver": "To rewrite instructions, asked by `evolute evolve`; it was not taught to answer them.",
}
_EVOLVE = """\
evolute evolve SEEDS --out RUN --set models.mine.api=local --set models.mine.model=path/to/this/folder \\
    --set roles.evolver.model=mine"""
_METHODS = {
    "full": "all weights",
    "lora": "a LoRA adapter",
    "qlora": "a LoRA adapter on weights in four bits (QLoRA)",
}


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model's card tells. Whoever trains fills in what they know; of what is left empty the card says so."""

    name: str
    base: str = ""
    """The base model, as it was named: a folder's or file's name, or `OWNER/NAME` on the hub."""
    base_hash: str = ""
    """Hash of the base's files."""
    task: Literal["respond", "prefer", "evolver"] = "respond"
    method: Literal["full", "lora", "qlora"] = "full"
    merged: bool = True
    """Whether the weights here stand by themselves; an adapter that was not merged needs its base."""
    version: str = ""
    """Of Evolute."""
    recipe_name: str = ""
    recipe: str = ""
    """The resolved recipe, as YAML."""
    format: str = ""
    """The prompt format's name."""
    prompt: str = ""
    """An example of a prompt in that format, as the model is shown it."""
    dataset: str = ""
    """The dataset's name: a run's, a folder's or a file's."""
    dataset_hash: str = ""
    rows: int = 0
    """Rows of the dataset, before any was held out or dropped."""
    held_out: int = 0
    """Rows held out for validation."""
    left_out: Sequence[tuple[str, int]] = ()
    """(why, rows): what was dropped or truncated."""
    models: Sequence[tuple[str, str]] = ()
    """(role, model): who evolved, judged and answered the dataset."""
    figures: Sequence[tuple[str, str]] = ()
    """(what, value) of the training: steps, tokens, time, device, losses."""
    curve: str = ""
    """The learning curve's file name, beside the card."""
    limits: Sequence[str] = ()
    """What is known to be wrong with it: warnings of the checks, answers that did not stop."""


def model_card(facts: ModelFacts) -> str:
    """The card as README.md, with the hub's metadata in front.

    The license is left to the user, in a comment of the metadata. All texts of users and models are escaped for
    Markdown and YAML.
    """
    parts = [_front_matter(facts), f"# {inline(facts.name)}", _made(facts), f"## Use\n\n{_USES[facts.task]}"]
    parts += [_format(facts), _running(facts), _dataset(facts), _figures(facts), _limits(facts), _recipe(facts)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(facts: ModelFacts) -> str:
    meta: dict[str, Any] = {"library_name": "transformers" if facts.merged else "peft"}
    meta["pipeline_tag"] = "text-generation"
    if _HUB_NAME.fullmatch(facts.base):
        meta["base_model"] = facts.base
        meta["base_model_relation"] = "finetune" if facts.merged else "adapter"
    if _HUB_NAME.fullmatch(facts.dataset):
        meta["datasets"] = [facts.dataset]
    meta["tags"] = ["evolute", "evol-instruct", {"prefer": "dpo"}.get(facts.task, "sft"), facts.method]
    return f"---\n{yaml.safe_dump(meta, sort_keys=False, width=1000)}{_LICENSE}\n---"


def _made(facts: ModelFacts) -> str:
    base = inline(facts.base) or "a base model that is not stated"
    base += f" (files {inline(facts.base_hash[:16])})" if facts.base_hash else ""
    version = f" {inline(facts.version)}" if facts.version else ""
    recipe = f", after the recipe {inline(facts.recipe_name)}" if facts.recipe_name else ""
    alone = "" if facts.merged else " This folder holds the adapter alone: it needs its base."
    return f"Trained with Evolute{version} from {base}: {_METHODS[facts.method]}{recipe}.{alone}"


def _format(facts: ModelFacts) -> str:
    if not facts.format:
        return "## Format\n\nThe prompt format is not stated."
    said = (
        f"The format is {inline(facts.format)}, which the tokenizer's chat template writes; another will do worse, or "
        "never stop."
    )
    shown = f"\n\nA prompt:\n\n{code_block(facts.prompt, 'text')}" if facts.prompt else ""
    return f"## Format\n\n{said}{shown}"


def _running(facts: ModelFacts) -> str:
    if not facts.merged:
        return ""
    if facts.task == "evolver":
        return f"## Run\n\n{code_block(_EVOLVE, 'sh')}"
    code = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

path = "path/to/this/folder"
tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForCausalLM.from_pretrained(path)
turns = [{"role": "user", "content": "Why is the sky blue?"}]
prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
answer = model.generate(**prompt, max_new_tokens=512)[0, prompt["input_ids"].shape[1] :]
print(tokenizer.decode(answer, skip_special_tokens=True))"""
    commands = "evolute chat path/to/this/folder\nevolute serve path/to/this/folder"
    return f"## Run\n\n{code_block(commands, 'sh')}\n\n{code_block(code, 'python')}"


def _dataset(facts: ModelFacts) -> str:
    named = inline(facts.dataset) or "not stated"
    whole = f", hash {inline(facts.dataset_hash)}" if facts.dataset_hash else ""
    rows = [("rows", facts.rows), ("held out for validation", facts.held_out), *facts.left_out]
    counted = table(("", "rows"), ((what, f"{count:,}") for what, count in rows)) if facts.rows else ""
    who = "Who wrote it is not stated."
    if facts.models:
        who = "Written by language models, whose terms may restrict what is trained on it:\n\n"
        who += table(("role", "model"), facts.models)
    return "\n\n".join(part for part in (f"## Data\n\n{named}{whole}.", counted, who) if part)


def _figures(facts: ModelFacts) -> str:
    if not facts.figures:
        return ""
    curve = f"\n\n![Loss by step](<{inline(facts.curve)}>)" if facts.curve else ""
    return f"## Figures\n\n{table(('', ''), facts.figures)}{curve}"


def _limits(facts: ModelFacts) -> str:
    known = [
        "It repeats what its base and its data have wrong, and was not made safe.",
        "A loss says how well it fits the data, not how well it answers: `evolute evaluate` does.",
        *facts.limits,
    ]
    return "## Limits\n\n" + "\n".join(f"- {inline(limit) if n > 1 else limit}" for n, limit in enumerate(known))


def _recipe(facts: ModelFacts) -> str:
    return f"## Recipe\n\n{code_block(facts.recipe.strip(), 'yaml')}" if facts.recipe.strip() else ""

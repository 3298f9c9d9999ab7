"""The trainings of a proof: each arm written as a dataset, and the base trained on it, once for each training seed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolute.files import replacing
from evolute.pipeline.provpools import Arm
from evolute.pipeline.provscores import Model
from evolute.pipeline.training import train
from evolute.recipe.proving import Proving

_OWN = {"validation": 0.0, "samples": 0}
"""Settings of every training of a proof: all of an arm is trained on, and nothing is asked of it meanwhile."""


@dataclass(frozen=True, slots=True)
class TrainedArm:
    """An arm after one training: what it took, and the model to evaluate."""

    arm: str
    seed: int
    model: Model
    steps: int
    tokens: int
    examples: int
    loss: float | None
    seconds: float


def train_arms(proving: Proving, arms: Mapping[str, Arm], folder: Path, say: Callable[[str], None]) -> list[TrainedArm]:
    """Train the base on every arm with every training seed, or go on with that; what is trained is left as it is.

    Raises:
        InputError, MissingExtra: a training cannot begin.
    """
    found = []
    for arm in arms.values():
        data = write_arm(arm, folder / "data")
        for seed in proving.training.seeds:
            say(f"train on {arm.name}, training seed {seed}: {len(arm.examples):,} examples, {arm.tokens:,} tokens")
            found.append(_train(proving, arm, data, seed, folder / "models", say))
    return found


def write_arm(arm: Arm, folder: Path) -> Path:
    """An arm's examples as a dataset of conversations, with their lineage; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_plain(arm.name)}.jsonl"
    lines = []
    for one in arm.examples:
        row = one.row
        turns = [{"role": turn.role, "content": turn.content} for turn in one.conversation]
        lineage = {"id": row.id, "root": row.root, "round": row.round, "operation": row.operation}
        lines.append(json.dumps({"messages": turns, **lineage}, ensure_ascii=False))
    text = ("\n".join(lines) + "\n").encode()
    if not path.is_file() or path.read_bytes() != text:
        with replacing(path) as file:
            file.write(text)
    return path


def _train(proving: Proving, arm: Arm, data: Path, seed: int, folder: Path, say: Callable[[str], None]) -> TrainedArm:
    training, several = proving.training, len(proving.training.seeds) > 1
    place = f"{_plain(arm.name)}-seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {**training.settings, **_OWN, "seed": seed}
    trained = train(
        data, out=folder / place, base=proving.base, recipe=training.recipe, settings=settings, say=say
    )  # fmt: skip
    note = _noted(folder / f"{place}.json", {
        "steps": trained.steps, "tokens": trained.tokens, "examples": trained.examples, "loss": trained.loss,
        "seconds": trained.seconds,
    }, trained.again)  # fmt: skip
    label = f"{arm.name}, training seed {seed}" if several else arm.name
    return TrainedArm(arm.name, seed, Model(label, place, trained.folder), **note)


def _noted(path: Path, now: dict[str, Any], again: bool) -> dict[str, Any]:
    """What the training took when it was done, which is not what finding it done takes."""
    if again and path.is_file():
        noted: dict[str, Any] = json.loads(path.read_bytes())
        return noted
    with replacing(path) as file:
        file.write(json.dumps(now).encode() + b"\n")
    return now


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")

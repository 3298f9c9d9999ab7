"""The loss on held-out answers: what a model makes of answers that it was not trained on; no judge is needed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evolute.evaluate.statistics import mean
from evolute.files import replacing
from evolute.models.weights import find_model, open_files
from evolute.pipeline.provencoding import Encoding
from evolute.pipeline.provpools import EVOLVED, SEEDS, Example
from evolute.pipeline.scorecards import read_scores
from evolute.pipeline.summary import RESULTS
from evolute.recipe.modelfiles import files_hash
from evolute.recipe.proving import LOSS
from evolute.records import tagged_hash
from evolute.scores import Item, Measure, Score

LOSSES = (LOSS, f"{LOSS}-{SEEDS}", f"{LOSS}-{EVOLVED}")
"""Of lineages (both kinds count half), of held-out seeds, and of instructions evolved from them."""


def held_out_losses(
    model: Path, label: str, examples: Sequence[Example], encoding: Encoding, folder: Path,
    say: Callable[[str], None],
) -> dict[str, Score]:  # fmt: skip
    """The loss of a model on held-out examples as scores, by `LOSSES`; those in the folder are used again.

    The loss of an example is the mean negative log-likelihood, in nats, of the tokens of its answer and of what ends
    it, given the prompt.

    Args:
        model: its files.
        label: what results call it.
        examples: what was held out, with the responder's answers.
        encoding: the format and the tokenizer.
        folder: gets a folder for each score.
        say: told what is being done.

    Raises:
        InputError, MissingExtra: the model cannot be opened.
    """
    data = tagged_hash(
        "held-out-data-1", *(part for one in examples for part in (one.row.id, one.answer)), encoding.format.name
    ).hex()
    ran = {"model's hash": files_hash(model), "questions": {"hash": data}, "format": encoding.format.name}
    if (found := _recorded(folder, label, ran)) is not None:
        return found
    say(f"{label}: the loss on {len(examples):,} held-out answers")
    losses = _losses(model, [encoding.ids(one) for one in examples])
    scores = {score.benchmark: score for score in _scores(label, list(zip(examples, losses, strict=True)), ran)}
    for name, score in scores.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        with replacing(folder / name / RESULTS) as file:
            file.write(json.dumps({"score": score.to_json()}).encode() + b"\n")
    return scores


def _recorded(folder: Path, label: str, ran: dict[str, Any]) -> dict[str, Score] | None:
    found = {}
    for name in LOSSES:
        if (folder / name / RESULTS).is_file():
            score = read_scores(folder / name)[name]
            if score.ran == ran and score.model == label:
                found[name] = score
    return found if LOSS in found else None


def _losses(path: Path, encoded: Sequence[tuple[list[int], list[bool]]]) -> list[float]:
    """One by one: so many examples at once as fit into memory would be faster, and round otherwise."""
    import torch

    model, _ = open_files(find_model(str(path)), extra="train")
    found = []
    with torch.inference_mode():
        for ids, learned in encoded:
            tokens = torch.tensor([ids], device=model.device)
            logits = model(input_ids=tokens).logits[0, :-1].float()
            each = torch.nn.functional.cross_entropy(logits, tokens[0, 1:], reduction="none")
            found.append(float(each[torch.tensor(learned[1:], device=each.device)].mean()))
    return found


def _scores(label: str, losses: Sequence[tuple[Example, float]], ran: dict[str, Any]) -> list[Score]:
    """The loss by lineage, with seeds and evolved ones at equal weight; and of both apart."""
    by_root: dict[str, dict[str, list[float]]] = {}
    kinds: dict[str, list[Item]] = {SEEDS: [], EVOLVED: []}
    for example, loss in losses:
        row, kind = example.row, EVOLVED if example.row.round else SEEDS
        by_root.setdefault(row.root, {}).setdefault(kind, []).append(loss)
        groups = {"round": str(row.round), "operation": row.operation} if row.round else {}
        kinds[kind].append(Item(row.id, loss, groups, cluster=row.root))
    lineages = [
        Item(root, math.fsum(math.fsum(values) / len(values) for values in held.values()) / len(held))
        for root, held in by_root.items()
        if len(held) == len([kind for kind in kinds.values() if kind])
    ]
    named = [(LOSS, lineages), *((f"{LOSS}-{kind}", items) for kind, items in kinds.items())]
    return [_score(name, label, items, ran) for name, items in named if items]


def _score(name: str, label: str, items: Sequence[Item], ran: dict[str, Any]) -> Score:
    found = mean([item.score or 0.0 for item in items], [item.cluster or item.id for item in items])
    measure = Measure(found.value, found.low, found.high, "t by lineage" if found.low is not None else "")
    return Score(
        name, label, "negative log-likelihood per token (less is better)", "nats", measure, len(items),
        notes=_notes(name), items=tuple(items), ran=ran, cost=0.0,
    )  # fmt: skip


def _notes(name: str) -> Sequence[str]:
    if name != LOSS:
        return ()
    return ("of each held-out lineage: the mean of its seed's loss and of the mean of those evolved from it",)

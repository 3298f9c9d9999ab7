"""What a proof will do and roughly take, told before anything is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolute.evaluate.judged.questions import load_questions
from evolute.ledger import LEDGER, Reader
from evolute.models.prices import cost, unit_price
from evolute.pipeline.proving import Material, check, read_material
from evolute.pipeline.provpools import EVOLVED, SEEDS, prompt_of
from evolute.pipeline.provscores import check_evaluation
from evolute.pipeline.suites import JUDGED, PAIRED, data_of
from evolute.recipe.proving import Proving, resolve_proof
from evolute.recipe.trainingfiles import resolve_training
from evolute.records import Row, Usage
from evolute.text.words import count_words

_TOKENS_A_WORD = 1.4
"""Of English prose with some code, for common tokenizers; good enough for a forecast."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What each stage would do, as (what, told) in their order; `trainings` counts models that would be trained.

    `calls` and `cost` (US dollars, None where unknown) are of the responder.
    """

    stages: Sequence[tuple[str, str]]
    trainings: int = 0
    calls: int = 0
    cost: float | None = None


def foresee(
    recipe: str | Path, *, out: str | Path | None = None, settings: Mapping[str, Any] | None = None
) -> Foreseen:
    """What `prove` would do with this recipe; nothing is asked, trained or written.

    Raises:
        InputError: the recipe, the run or the base is wrong.
    """
    proving = resolve_proof(recipe, settings)
    folder = Path(out) if out else proving.folder
    check(proving)
    run = Path(proving.run) if proving.run else folder / "run"
    stages = [("proof", f"{proving.name}, in {folder}")]
    if proving.evolution is not None and not (run / LEDGER).is_file():
        seeds = ", ".join(proving.evolution.seeds)
        told = f"{seeds} with the recipe {proving.evolution.recipe}, into {run}: `evolute plan` estimates what it takes"
        stages += [("evolve first", told), *_trainings(proving, None), *_evaluations(proving, None)]
        return Foreseen([*stages, ("rule", f"main measure {proving.evaluation.main}")])
    material = read_material(proving, run)
    calls, tokens, dollars = _answers(proving, material)
    recorded = _recorded(folder / "answers")
    price = "unknown" if dollars is None else f"${dollars:,.2f}"
    stages += [
        ("run", f"{run}: {material.split.roots:,} lineages, {material.split.held_roots:,} of them held out"),
        (
            "answer",
            f"about {calls:,} calls of {proving.responder.model.model} ({recorded:,} are recorded already), some "
            f"{tokens:,} tokens, cost {price}",
        ),
        *_trainings(proving, material),
        *_evaluations(proving, material),
        ("rule", f"main measure {proving.evaluation.main}"),
    ]
    return Foreseen(stages, _count(proving, material), calls, dollars)


def _answers(proving: Proving, material: Material) -> tuple[int, int, float | None]:
    """Calls, tokens and dollars of the responder, from the lengths of the run's own answers where it has some."""
    rows = list(material.split.held) + [
        row for pool in material.pools.values() for row in pool.rows[: _size(proving, material)]
    ]
    rows = list({row.id: row for row in rows}.values())
    prompts = round(sum(map(_prompt_words, rows)) * _TOKENS_A_WORD)
    known = [count_words(row.response) for row in rows if row.response]
    each = min(_TOKENS_A_WORD * sum(known) / len(known), proving.responder.max_tokens) if known else None
    completions = round(len(rows) * (proving.responder.max_tokens / 2 if each is None else each))
    return len(rows), prompts + completions, cost(Usage(prompts, completions), unit_price(proving.responder.model))


def _prompt_words(row: Row) -> int:
    return sum(count_words(turn.content) for turn in prompt_of(row))


def _size(proving: Proving, material: Material) -> int:
    most = min(len(material.pools[name].rows) for name in (SEEDS, EVOLVED))
    return min(most, proving.arms.examples or most)


def _count(proving: Proving, material: Material) -> int:
    """Arms at most: those of equal examples, one fewer of equal tokens, the parts and their control."""
    parts = len(material.pools) - 2
    return (3 + parts + (parts > 0)) * len(proving.training.seeds)


def _trainings(proving: Proving, material: Material | None) -> Iterator[tuple[str, str]]:
    recipe = resolve_training(proving.training.recipe, proving.training.settings)
    seeds = len(proving.training.seeds)
    how = f"{proving.base}, recipe {proving.training.recipe}, {recipe.epochs:g} epochs, {seeds} training seed(s)"
    if material is None:
        yield "train", f"{how}; seeds and evolved set with equal examples and with equal tokens: up to 3 arms"
        return
    parts = [name for name in material.pools if name not in (SEEDS, EVOLVED)]
    also = f"; also {', '.join(parts)}, against as many seeds" if parts else ""
    yield (
        "train",
        f"{how}; up to {_count(proving, material):,} models: seeds and evolved set with "
        f"{_size(proving, material):,} examples each, the one with longer texts once more with as many tokens{also}",
    )


def _evaluations(proving: Proving, material: Material | None) -> Iterator[tuple[str, str]]:
    models = 1 + (_count(proving, material) if material is not None else 3 * len(proving.training.seeds))
    yield "held-out loss", f"of {models:,} models (the base among them); no judge"
    for name in check_evaluation(proving):
        count = models - (name in PAIRED and proving.evaluation.against is None)
        told = f"of {count:,} models"
        if name in JUDGED and proving.evaluation.judge is not None:
            data = data_of(name, Path(proving.evaluation.data)) if proving.evaluation.data else None
            questions = load_questions(name, data, proving.evaluation.limit).questions  # type: ignore[arg-type]
            turns = sum(len(one.turns) for one in questions)
            orders = 2 if name in PAIRED else 1
            told += (
                f": {turns:,} answers each, and about {orders * turns * count:,} judgments by "
                f"{proving.evaluation.judge.model} in all"
            )
        yield name, told


def _recorded(folder: Path) -> int:
    if not (folder / LEDGER).is_file():
        return 0
    with Reader(folder) as reader:
        return sum(part.calls for part in reader.totals())

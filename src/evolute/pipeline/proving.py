"""Prove that evolution helped: one base, trained on the seeds and on what was evolved from them, and compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.evolve.budget import Limits
from evolute.files import replacing
from evolute.ledger import Reader
from evolute.models.weights import find_model
from evolute.pipeline.evolving import Watch, evolve
from evolute.pipeline.provanswers import Answered, Answering, Spent, evolution_spent
from evolute.pipeline.provarms import TrainedArm, train_arms
from evolute.pipeline.provpage import proof_of
from evolute.pipeline.provpools import (
    EVOLVED,
    SEEDS,
    Arm,
    Pool,
    Split,
    Versus,
    arms_of,
    missing,
    pools_of,
    split_rows,
    usable,
)
from evolute.pipeline.provscores import BASE, Model, check_evaluation, parts_of
from evolute.pipeline.reading import dataset
from evolute.pipeline.settings import check_address, check_same, read_settings, write_settings
from evolute.pipeline.suites import Spending, run_suite
from evolute.pipeline.summary import prices_of, run_recipe, summarise
from evolute.recipe.proving import Proving, resolve_proof
from evolute.recipe.trainingfiles import resolve_training
from evolute.records import Row
from evolute.report.proof import Proof, write_proof
from evolute.report.scorecard import Scorecard

SETTINGS, RESULTS, PAGE = "prove.yaml", "proof.json", "proof.html"
_HEADING = "This proof as it was resolved. The same command goes on where it was stopped."
_DEMO_SEEDS = "demo"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Proved:
    """What a proof came to. `proof` is None where it was stopped before its end; `stopped` says why."""

    folder: Path
    proof: Proof | None = None
    page: Path | None = None
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class Material:
    """What a proof is made from: a run's rows, split, in pools; and what evolving them took."""

    run: Path
    split: Split
    pools: Mapping[str, Pool]
    evolving: Spent
    kept: int
    """Evolved rows that the run kept: they share what evolving took."""


def prove(
    recipe: str | Path,
    *,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    watch: Watch | None = None,
    say: Say = lambda remark: None,
) -> Proved:
    """Train one base on the seeds and on the evolved set, with equal examples and with equal tokens, and compare.

    Each stage has a folder: called again, it goes on where it was stopped; nothing is paid for, trained or judged
    twice. All instructions are answered anew by one responder; held-out lineages are trained on by no arm.

    Args:
        recipe: a proof's recipe: a shipped one's name, or a file (docs/prove.md).
        out: the proof's folder; default: the recipe's.
        settings: recipe fields by dotted path, on top of it.
        limits: bounds on what the stages may spend together: evolving (not what `run` names), answering, evaluating.
            Training stops for none, and its minutes count.
        watch: shows the progress.
        say: told what is being done.

    Raises:
        InputError: the recipe, the run, the base or a bound is wrong, or the folder holds another proof.
        MissingExtra: it needs `evolute[train,report]`.
        LedgerError: a ledger is in use, damaged, or cannot be written.
        EndpointError: an endpoint cannot serve; the proof is left ready to go on.
    """
    proving = resolve_proof(recipe, settings)
    folder, limits = Path(out) if out else proving.folder, limits or Limits()
    check(proving)
    _begin(proving, folder)
    spent = Spending()
    say("1 of 5, evolve")
    material, stopped = _material(proving, folder, limits, spent, watch, say)
    left = spent.left_of(limits)
    if material is None or isinstance(left, str):
        return Proved(folder, stopped=stopped or str(left))
    say("2 of 5, answer: one responder for all")
    answering = Answering(proving, folder / "answers", left, watch)
    answered = answer(material, proving, answering)
    spent.add(folder / "answers", answering.cost)
    if answered.stopped:
        return Proved(folder, stopped=Spending.told(answered.stopped, limits))
    arms, versus = arms_of(material.pools, answered.examples, proving.arms.examples)
    _check_arms(arms, answered)
    say(f"3 of 5, train: {len(arms)} arms, {len(proving.training.seeds)} time(s) each")
    trained = train_arms(proving, arms, folder, say)
    say("4 of 5, evaluate")
    held = [answered.examples[row.id] for row in material.split.held if row.id in answered.examples]
    models = [Model(BASE, BASE, find_model(proving.base).path), *(one.model for one in trained)]
    parts = list(parts_of(proving, models, held, answering.encoding, folder / "evaluations", watch, say))
    (folder / "evaluations").mkdir(exist_ok=True)
    suite = run_suite(f"{proving.name}: all models", parts, folder / "evaluations", limits, say, spent=spent)
    if suite.stopped:
        return Proved(folder, stopped=suite.stopped)
    say("5 of 5, compare")
    return _proved(proving, folder, material, answered, arms, versus, trained, suite.card)


def check(proving: Proving) -> None:
    """Look at all that can be wrong before anything is paid for or trained.

    Raises:
        InputError: something is.
    """
    try:
        find_model(proving.base)
    except InputError as error:
        why = str(error).partition(";")[0]
        raise InputError(f"base: {why}: give a folder as transformers writes it, a .gguf file, or smollm2") from None
    resolve_training(proving.training.recipe, proving.training.settings)
    check_address(proving.responder.model, "responder.model.base_url", "")
    check_evaluation(proving)
    for spec in (proving.evaluation.judge, proving.evaluation.against):
        if spec is not None:
            check_address(spec, "evaluation.….base_url", "")


def _begin(proving: Proving, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: {error.strerror}: give a folder, or a place for one") from None
    before = read_settings(Proving, folder / SETTINGS)
    if before is not None:
        check_same(before.decisive(), proving.decisive(), folder, "another proof")
    write_settings(proving, folder / SETTINGS, _HEADING)


def _material(
    proving: Proving, folder: Path, limits: Limits, spent: Spending, watch: Watch | None, say: Say
) -> tuple[Material | None, str]:
    run = Path(proving.run) if proving.run else folder / "run"
    if proving.evolution is not None:
        evolution = proving.evolution
        summary = evolve(
            _seed_files(evolution.seeds), out=run, recipe=evolution.recipe, settings=evolution.settings,
            limits=limits, watch=watch, say=say,
        )  # fmt: skip
        spent.add(run, summary.cost)
        if summary.stopped or summary.pending:
            return None, summary.stopped or f"{summary.pending:,} seeds could not be finished"
    return read_material(proving, run), ""


def read_material(proving: Proving, run: Path) -> Material:
    """The rows of a run, split and pooled.

    Raises:
        InputError: there is no run, or too little in it.
    """
    rows = list(dataset(run))
    found = split_rows(rows, proving.held_out, proving.seed, contaminated(rows) if proving.contamination else ())
    pools = pools_of(found.train, proving.arms, proving.seed)
    for name in (SEEDS, EVOLVED):
        if name not in pools or len(pools[name].rows) < 2:
            raise InputError(
                f"{run}: {len(pools[name].rows) if name in pools else 0} {name} rows are left to train on, of "
                f"{len(rows):,} in all: a proof needs two at least, and hundreds to tell anything"
            )
    if not found.held:
        raise InputError(f"{run}: nothing is held out: give a larger held_out.share (now {proving.held_out.share})")
    with Reader(run) as reader:
        totals, kept = reader.totals(), summarise(run, reader).kept
    return Material(
        run, found, pools, evolution_spent(totals, prices_of(run_recipe(run), {part.model for part in totals})), kept
    )


def contaminated(rows: list[Row]) -> frozenset[str]:
    """The ids of rows that share 13 words in a row, or a whole short item, with a benchmark that ships."""
    from evolute.select.contamination import contamination
    from evolute.text.contamination import WHOLE, shipped_corpora

    return frozenset(rows[hit.row].id for hit in contamination(rows, shipped_corpora(), WHOLE).hits)


def answer(material: Material, proving: Proving, answering: Answering) -> Answered:
    """Have answered what the arms need, and no more: the seeds, as many of each other pool, and what is held out.

    An answer that cannot be used (cut off, refused, too long) is made up for by the next row of its pool.
    """
    answered = Answered()
    pools, most = material.pools, proving.arms.examples
    answering.more(material.split.held, answered)
    while not answered.stopped:
        wanted = most or len(pools[SEEDS].rows)
        ask = {row.id: row for row in missing(pools[SEEDS], answered.examples, answered.asked, wanted)}
        if not ask:
            have = len(usable(pools[SEEDS], answered.examples, most))
            for pool in pools.values():
                ask |= {row.id: row for row in missing(pool, answered.examples, answered.asked, have)}
        if not ask:
            break
        answering.more(list(ask.values()), answered)
    return answered


def _check_arms(arms: Mapping[str, Arm], answered: Answered) -> None:
    if small := next((arm for arm in arms.values() if len(arm.examples) < 2), None):
        why = ", ".join(f"{reason} {count}" for reason, count in answered.why.items()) or "none failed"
        raise InputError(
            f"the arm {small.name} has fewer than two examples (answers that cannot be used: {why}): give more seeds, "
            "a higher responder.max_tokens, or a training recipe with a larger max_length"
        )


def _seed_files(names: tuple[str, ...]) -> list[str]:
    shipped = resources.files("evolute") / "recipes" / "data" / "demo.jsonl"
    return [str(shipped) if name == _DEMO_SEEDS else name for name in names]


def _proved(
    proving: Proving, folder: Path, material: Material, answered: Answered, arms: Mapping[str, Arm],
    versus: list[Versus], trained: list[TrainedArm], card: Scorecard,
) -> Proved:  # fmt: skip
    proof = proof_of(proving, material.split, material.evolving, material.kept, answered, arms, versus, trained, card)
    proof = replace(proof, evaluations="evaluations/evaluation.html")
    with replacing(folder / RESULTS) as file:
        said = {name: value for name, value in asdict(proof).items() if name != "sides"}
        file.write(json.dumps(said, indent=1).encode() + b"\n")
    return Proved(folder, proof, write_proof(proof, folder / PAGE))

"""Evaluate choices: MMLU, ARC, TruthfulQA, HellaSwag by log-likelihoods, and GSM8K by what is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from evolute import __version__
from evolute.errors import InputError
from evolute.evaluate.choice.documents import Benchmark
from evolute.evaluate.choice.encoding import Pair, empty_choices
from evolute.evaluate.choice.metrics import Marked, mark, score_of
from evolute.evaluate.choice.samples import sample_rows
from evolute.evaluate.choice.scorer import BATCH_TOKENS, Likelihood
from evolute.evaluate.choice.tasks import SEED, SHOTS, Question, Task, make_task
from evolute.evolve.budget import Limits
from evolute.files import replacing
from evolute.ledger import Ledger
from evolute.models.weights import find_model
from evolute.pipeline.evolving import Watch
from evolute.pipeline.likelihoods import Found, ask_endpoint, score_locally
from evolute.pipeline.settings import check_address, check_same, read_settings, write_settings
from evolute.pipeline.summary import EVALUATION
from evolute.pipeline.worked import answer_gsm8k
from evolute.recipe import ModelSpec
from evolute.recipe.models import Part
from evolute.scores import Score

RESULTS, CHOICES = "results.json", "choices.jsonl"
PROMPTS = "those of lm-evaluation-harness 0.4.13"


class Choosing(Part):
    """What an evaluation of choices was told, as its folder keeps it."""

    benchmark: Benchmark
    """Which."""
    model: ModelSpec | None = None
    """The model behind an endpoint that answers; none: the one whose files are `files`."""
    files: str = ""
    """The model's folder or `.gguf` file, or smollm2."""
    data: str
    """Where the questions are read from."""
    shots: int
    """Solved examples before each question."""
    limit: int | None = None
    """Only the first so many questions; of MMLU, of each subject."""
    subjects: tuple[str, ...] = ()
    """Of MMLU: only these."""
    dtype: str = "auto"
    """Of the numbers that a local model computes with."""

    def decisive(self) -> dict[str, Any]:
        """What stays the same while it goes on."""
        said = self.model.decisive() if self.model else {"files": self.files, "dtype": self.dtype}
        return {"benchmark": self.benchmark, "shots": self.shots, **said}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What an evaluation came to. `score` is None where it stopped before all was asked; `stopped` says why.

    `scored` counts the continuations (GSM8K: answers) that are there, of `wanted`.
    """

    task: Task
    score: Score | None
    folder: Path | None = None
    scored: int = 0
    wanted: int = 0
    stopped: str = ""


def evaluate_choices(
    benchmark: Benchmark,
    model: str | Path | ModelSpec,
    *,
    data: str | Path,
    out: str | Path | None = None,
    shots: int | None = None,
    limit: int | None = None,
    subjects: Sequence[str] = (),
    batch_tokens: int = BATCH_TOKENS,
    dtype: str = "auto",
    device: str | None = None,
    limits: Limits | None = None,
    watch: Watch | None = None,
    say: Callable[[str], None] = lambda remark: None,
) -> Chosen:
    """Score a model on MMLU, ARC-Challenge, TruthfulQA, HellaSwag or GSM8K, with lm-evaluation-harness's prompts.

    With a folder every log-likelihood is recorded: called again, it goes on where it was stopped, and nothing is
    computed or paid for twice while the model's files and the prompts are unchanged.

    Args:
        benchmark: which.
        model: a folder as transformers writes it, a `.gguf` file, or "smollm2"; or a `ModelSpec` for a model behind an
            endpoint, which for choices must tell the log-probabilities of its prompt. GSM8K needs a `ModelSpec`.
        data: the folder with the benchmark's files, or the one above it, or the file of the questions.
        out: the evaluation's folder; an endpoint's answers need one.
        shots: solved examples before each question; None: 5 (MMLU, GSM8K), 25 (ARC), 10 (HellaSwag), 0 (TruthfulQA).
        limit: the first so many questions; of MMLU, of each subject.
        subjects: of MMLU, only these.
        batch_tokens: tokens that a local model has in memory at once.
        dtype: a local model's: auto, float32, bfloat16 or float16.
        device: a local model's: cpu, cuda, …; None: an accelerator if there is one.
        limits: bounds on cost, calls, tokens and minutes.
        watch: shows the progress.
        say: told what is being done.

    Raises:
        InputError: model, data or an option is wrong, or the folder holds another evaluation.
        MissingExtra: a local model needs the packages of `evolute[evaluate]`.
        LedgerError: the folder is in use, damaged, or cannot be written.
        EndpointError: the endpoint cannot serve; the evaluation is left ready to go on.
    """
    if batch_tokens < 1:
        raise InputError(f"--batch-tokens must be at least 1, got {batch_tokens!r}")
    task = make_task(benchmark, data, shots=shots, limit=limit, subjects=subjects)
    spec = model if isinstance(model, ModelSpec) else None
    said = Choosing(
        benchmark=benchmark, model=spec, files="" if spec else str(model), data=str(data),
        shots=SHOTS[benchmark] if shots is None else shots, limit=limit, subjects=tuple(subjects), dtype=dtype,
    )  # fmt: skip
    _check(said)
    say(f"{len(task.questions):,} questions from {task.source}, {task.shots} examples before each")
    folder = Path(out) if out is not None else None
    with ExitStack() as stack:
        ledger = stack.enter_context(_recorded(folder, said)) if folder is not None else None
        bounds = limits or Limits()
        if spec is None:
            local = find_model(str(model))
            found = score_locally(local, _pairs(task), ledger, bounds, batch_tokens, dtype, device, watch, say)
        elif ledger is None:
            raise InputError("where to? a model's answers are paid for once: give --out FOLDER, where they are kept")
        elif benchmark == "gsm8k":
            return told(task, *answer_gsm8k(task, spec, ledger, bounds, watch), said, folder)
        else:
            found = ask_endpoint(spec, _pairs(task), ledger, bounds, watch)
        return told(task, [marked_with(question, found) for question in task.questions], found, said, folder)


def _check(said: Choosing) -> None:
    if said.model is None:
        if said.benchmark == "gsm8k":
            raise InputError(
                f"gsm8k: answers are written, and the files {said.files!r} are only scored here: serve the model, and "
                "give --base-url URL and --out FOLDER (the embedded SmolLM2: --api embedded)"
            )
        return
    check_address(said.model)
    if said.benchmark != "gsm8k" and said.model.api != "completions":
        raise InputError(
            f"{said.benchmark}: choices are scored by the log-probabilities of the prompt, and the API "
            f"{said.model.api!r} has none: give --api completions, or score the model's files: --model FOLDER"
        )


@contextmanager
def _recorded(folder: Path, said: Choosing) -> Iterator[Ledger]:
    """The ledger of the evaluation in a folder, if it may go on there."""
    if not (folder / EVALUATION).is_file():
        before = None
    elif (before := read_settings(Choosing, folder / EVALUATION)) is not None:
        check_same(before.decisive(), said.decisive(), folder, "another evaluation")
    with Ledger(folder) as ledger:
        if before is None and (ledger.has_history or ledger.reader.seed_count()):
            raise InputError(f"{folder} holds a run that is no such evaluation: give another --out")
        write_settings(said, folder / EVALUATION, "This evaluation as it was resolved. The same command goes on.")
        yield ledger


def _pairs(task: Task) -> list[Pair]:
    """Every continuation, each once; those of one question together."""
    return list(
        dict.fromkeys(
            pair
            for question in task.questions
            for name, choices in question.document.choices.items()
            if not empty_choices(choices)
            for pair in question.pairs(name)
        )
    )


def marked_with(question: Question, found: Found) -> Marked:
    """The question's metrics; with every reason why one of its choices is unscored."""
    likelihoods = {
        name: [found.likelihoods.get(pair, Likelihood(None)) for pair in question.pairs(name)]
        for name in question.document.choices
    }
    reasons = [one.why for ones in likelihoods.values() for one in ones]
    return mark(question, {name: [one.value for one in ones] for name, ones in likelihoods.items()}, reasons)


def told(task: Task, marked: Sequence[Marked], found: Found, said: Choosing, folder: Path | None) -> Chosen:
    """What it came to, written into the folder, if all was asked."""
    if found.stopped:
        return Chosen(task, None, folder, found.count, found.wanted, found.stopped)
    ran = {
        "evolute": __version__, "prompts": PROMPTS, "examples drawn from": SEED, "questions": Path(task.source).name,
        "questions' hash": blake2b(Path(task.source).read_bytes(), digest_size=16).hexdigest(),
        **said.model_dump(mode="json", exclude_none=True), **found.ran,
    }  # fmt: skip
    score = score_of(task, marked, found.model, notes=found.notes, ran=ran, cost=found.cost, calls=found.calls)
    if folder is not None:
        with replacing(folder / RESULTS) as file:
            file.write(json.dumps({"score": score.to_json()}, indent=2).encode() + b"\n")
        for name in dict.fromkeys(name for one in marked for name in one.question.document.choices):
            with replacing(folder / CHOICES.replace(".", f"_{name}." if name else ".")) as file:
                for row in sample_rows(marked, found.likelihoods, name):
                    file.write(json.dumps(row).encode() + b"\n")
    return Chosen(task, score, folder, found.count, found.wanted)

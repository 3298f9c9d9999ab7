"""`evolute evaluate MODEL`: a suite of benchmarks, a table and a page."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from evolute.cli.answering import EMBEDDED, model_settings
from evolute.cli.evolve import Api, BaseUrl, Concurrency, KeyVariable, MaxCalls, MaxCost, MaxMinutes, MaxTokens
from evolute.cli.judging import Live, settings_of
from evolute.cli.scores import scores_as_json, show_scores
from evolute.cli.screen import Json, out, say, status_of, write_json
from evolute.cli.ticker import tick_on
from evolute.errors import InputError
from evolute.evolve.budget import Limits
from evolute.pipeline.choices import evaluate_choices
from evolute.pipeline.evaluating import evaluate_code
from evolute.pipeline.judged import evaluate_judged
from evolute.pipeline.judgement import BASELINE
from evolute.pipeline.scorecards import PAGE, read_scores
from evolute.pipeline.suites import (
    AGAINST,
    BENCHMARKS,
    CHOICES,
    JUDGED,
    PAIRED,
    Ended,
    Part,
    benchmarks_of,
    data_of,
    run_suite,
)
from evolute.recipe import ModelSpec

_SUITE = Group("What is evaluated", sort_key=0)
_MODEL = Group("Model", sort_key=1)
_AGAINST = Group("What it is set against, and who judges", sort_key=2)
_BOUNDS = Group("Bounds and results", sort_key=3)
_NAMED = 3
"""Other things in --out that are told by name."""
_SHORTEST = 3
"""Letters of the embedded model's name that will do."""


@Parameter(name="*")
@dataclass(frozen=True)
class Asked:
    """What a suite is run on."""

    suite: Annotated[
        list[str] | None,
        Parameter(
            group=_SUITE, negative="", consume_multiple=True,
            help="quick (default), wizardlm, code, or any benchmarks by name: --suite mmlu gsm8k.",
        ),
    ] = None  # fmt: skip
    data: Annotated[
        Path | None,
        Parameter(group=_SUITE, help="A folder with the benchmarks' data, or a folder for each. quick needs none."),
    ] = None
    limit: Annotated[
        int | None, Parameter(group=_SUITE, help="The first N questions of each benchmark; of MMLU, of each subject.")
    ] = None
    base_url: BaseUrl = None
    api: Api = None
    api_key_env: KeyVariable = None
    concurrency: Concurrency = None
    answer_tokens: Annotated[
        int | None, Parameter(group=_MODEL, help="The most tokens of one answer (default 1024).")
    ] = None
    temperature: Annotated[
        float | None, Parameter(group=_MODEL, help="Of answers to judge. Default: 0; by category in MT-Bench.")
    ] = None
    run_seed: Annotated[
        int | None, Parameter(group=_MODEL, help="The seed from which every draw follows (default 0).")
    ] = None
    against: Annotated[
        str | None,
        Parameter(group=_AGAINST, help="A model; a file of answers to one benchmark; or the folder of a suite."),
    ] = None
    against_base_url: Annotated[
        str | None, Parameter(group=_AGAINST, help="Where that model is. Default: where the model is.")
    ] = None
    against_temperature: Annotated[
        float | None, Parameter(group=_AGAINST, help="Of its answers to judge. Default: as the model's.")
    ] = None
    judge_model: Annotated[list[str] | None, Parameter(group=_AGAINST, negative="", help="The judge's name.")] = None
    judge_base_url: Annotated[
        str | None, Parameter(group=_AGAINST, help="Where the judge is. Default: where the model is.")
    ] = None
    judge_api: Annotated[
        Literal["chat", "completions", "anthropic", "embedded", "local", "scripted"] | None,
        Parameter(group=_AGAINST, help="How to talk to it."),
    ] = None
    judge_key_env: Annotated[
        str | None, Parameter(group=_AGAINST, help="The environment variable with the judge's key.")
    ] = None
    max_cost: MaxCost = None
    max_calls: MaxCalls = None
    max_tokens: MaxTokens = None
    max_minutes: MaxMinutes = None
    workers: Annotated[
        int | None, Parameter(group=_BOUNDS, help="Programs that run at once. Default: one for each core.")
    ] = None
    unsafe_sandbox: Annotated[
        bool,
        Parameter(
            group=_BOUNDS, negative="",
            help="Run the model's code WITHOUT isolation where there is no bubblewrap: it can then do all you can.",
        ),
    ] = False  # fmt: skip


def evaluate_model(
    model: Annotated[
        str,
        Parameter(group=_SUITE, help="A model's name at --base-url, smollm2 (runs here), or a folder or .gguf file."),
    ],
    *,
    out_: Annotated[
        Path,
        Parameter(name="--out", group=_BOUNDS, help="The folder for it all. The same command goes on in it."),
    ],
    asked: Asked = Asked(),
    json: Json = False,
) -> None:
    """Run a suite of benchmarks on a model: answers, judgments, scores, a table and one page.

    Each benchmark gets a folder below --out, and `evaluation.html` shows them all. What was answered, judged or run is
    recorded and used again.
    """
    wanted = benchmarks_of(asked.suite or ["quick"])
    _check(wanted, asked)
    sides = [_Side(model, asked.base_url, asked.api, asked, 0)]
    if not out_.exists() and asked.base_url is None and asked.api is None and not sides[0].is_local:
        raise InputError(
            f"{model}: there is no such folder or .gguf file; for a model behind an endpoint give --base-url URL, too"
        )
    _tell_of_others(out_)
    if asked.against is not None and _is_model(asked.against):
        sides.append(_Side(asked.against, asked.against_base_url or asked.base_url, asked.api, asked, 1))
    parts = [part for name in wanted for part in _parts(name, sides, asked, out_)]
    bounds = Limits(asked.max_cost, asked.max_calls, asked.max_tokens, asked.max_minutes)
    try:
        out_.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out_}: {error.strerror}: give a folder, or a place for one") from None
    suite = run_suite(f"{model}: {', '.join(asked.suite or ['quick'])}", parts, out_, bounds, say)
    if suite.page is None:
        with suppress(OSError):  # nothing was scored: an empty folder is not left behind
            out_.rmdir()
    if json:
        sides_ = {side.label: side.scores for side in suite.card.sides}
        write_json(scores_as_json(sides_, suite.card.differences) | {"left_out": suite.card.left_out})
    else:
        show_scores(out(), suite.card)
        if suite.page is not None:
            out().print(f"the page: {suite.page}", soft_wrap=True)
    if suite.stopped:
        say(f"stopped: {suite.stopped}. Run the same command again to go on: nothing is paid for twice")
        sys.exit(status_of(suite.stopped))
    if suite.card.left_out:
        sys.exit(1)


def _tell_of_others(folder: Path) -> None:
    """Say that a folder which no suite has been in holds other things."""
    if not folder.is_dir() or (folder / PAGE).exists():
        return
    others = sorted(path.name for path in folder.iterdir() if path.name not in (*BENCHMARKS, AGAINST))
    if others:
        more = ", …" if len(others) > _NAMED else ""
        say(f"{folder} holds other things ({', '.join(others[:_NAMED])}{more}): the benchmarks' folders go beside them")


def _check(wanted: Sequence[str], asked: Asked) -> None:
    """What is missing is said before anything is paid for."""
    judged = [name for name in wanted if name in JUDGED]
    if judged and not asked.judge_model:
        raise InputError(f"who judges {', '.join(judged)}? Give --judge-model NAME (and --judge-base-url URL)")
    paired = [name for name in wanted if name in PAIRED]
    if asked.against is None and paired:
        raise InputError(f"{', '.join(paired)}: answers are set against others': give --against MODEL or FILE")
    if asked.against is None or _is_model(asked.against):
        return
    if Path(asked.against).is_file() and len(paired) != 1:
        raise InputError(
            f"--against {asked.against}: a file answers the questions of one benchmark, and "
            f"{', '.join(paired) or 'none of these'} would be set against it: give a model, or the folder of a suite"
        )
    for name in paired:
        _opponent(name, asked)


@dataclass(frozen=True)
class _Side:
    """A model of the suite, and the flags that say where it is; the opponent's place is 1."""

    model: str
    base_url: str | None
    api: Any
    asked: Asked
    place: int

    @property
    def api_key_env(self) -> str | None:
        return self.asked.api_key_env

    @property
    def concurrency(self) -> int | None:
        return self.asked.concurrency

    @property
    def temperature(self) -> float | None:
        given = self.asked.against_temperature if self.place else None
        return self.asked.temperature if given is None else given

    @property
    def is_local(self) -> bool:
        """Whether its files are here: a folder, a `.gguf` file, or the embedded model's."""
        embedded = len(self.model) >= _SHORTEST and EMBEDDED.startswith(self.model)
        return self.base_url is None and self.api is None and (Path(self.model).exists() or embedded)

    @property
    def settings(self) -> dict[str, Any]:
        """The fields `model.…` of its evaluations."""
        return {path: value for path, value in model_settings(self).items() if value is not None}


def _parts(benchmark: str, sides: Sequence[_Side], asked: Asked, folder: Path) -> list[Part]:
    """The benchmark for the model; where its protocol sets it against no opponent, for the opponent as well."""
    if benchmark in PAIRED:
        sides = sides[:1]
    make = _judged if benchmark in JUDGED else _chosen if benchmark in CHOICES else _coded
    found = []
    for side in sides if len({side.model for side in sides}) == len(sides) else sides[:1]:
        place = folder / AGAINST / benchmark if side.place else folder / benchmark
        found.append(Part(benchmark, side.model, place, make(benchmark, side, asked, place)))
    return found


def _judged(benchmark: Any, side: _Side, asked: Asked, folder: Path) -> Callable[[Limits], Ended]:  # noqa: ANN401
    judge_base_url = asked.judge_base_url
    if side.place and asked.against_base_url:  # the judge is where the model is, and not where its opponent is
        judge_base_url = judge_base_url or asked.base_url

    def run(limits: Limits) -> Ended:
        opponent = _opponent(benchmark, asked)
        flags = Live(
            base_url=side.base_url, model=side.model, api=side.api, api_key_env=asked.api_key_env,
            concurrency=asked.concurrency, limit=asked.limit, against=opponent,
            against_base_url=asked.against_base_url if opponent == asked.against else None,
            against_temperature=asked.against_temperature, judge_model=asked.judge_model,
            judge_base_url=judge_base_url, judge_api=asked.judge_api, judge_key_env=asked.judge_key_env,
            answer_tokens=asked.answer_tokens, temperature=side.temperature, run_seed=asked.run_seed,
        )  # fmt: skip
        judged = evaluate_judged(
            benchmark, data=data_of(benchmark, asked.data), out=folder,
            settings=side.settings | settings_of(flags), limits=limits, watch=tick_on(sys.stderr), say=say,
        )  # fmt: skip
        return Ended(judged.score, judged.stopped, judged.cost)

    return run


def _is_model(against: str) -> bool:
    """Whether the opponent is a model, rather than answers that are there.

    Raises:
        InputError: it is named like a file that is not there.
    """
    if Path(against).exists():
        return False
    if against.endswith((".json", ".jsonl", ".gz")):
        raise InputError(f"--against {against}: there is no such file")
    return True


def _opponent(benchmark: str, asked: Asked) -> str | None:
    """Whose answers a judged benchmark sets the model's against: a model, a file, or its own references."""
    if benchmark not in PAIRED:
        return BASELINE if benchmark == "alpaca-eval" else None
    if asked.against is None or not Path(asked.against).is_dir():
        return asked.against
    answers = Path(asked.against) / benchmark / "answers.jsonl"
    if not answers.is_file():
        raise InputError(
            f"--against {asked.against}: no {benchmark}/answers.jsonl in it; the folder of a suite has one"
        )
    return str(answers)


def _chosen(benchmark: Any, side: _Side, asked: Asked, folder: Path) -> Callable[[Limits], Ended]:  # noqa: ANN401
    def run(limits: Limits) -> Ended:
        if (data := data_of(benchmark, asked.data)) is None:
            raise InputError("where are the questions? Give --data FOLDER")
        local = side.is_local and benchmark != "gsm8k"
        fields = {} if local else {path.removeprefix("model."): value for path, value in side.settings.items()}
        found = evaluate_choices(
            benchmark, side.model if local else ModelSpec(**fields), data=data, out=folder, limit=asked.limit,
            limits=limits, watch=tick_on(sys.stderr), say=say,
        )  # fmt: skip
        return Ended(found.score, found.stopped, found.score.cost if found.score is not None else None)

    return run


def _coded(benchmark: Any, side: _Side, asked: Asked, folder: Path) -> Callable[[Limits], Ended]:  # noqa: ANN401
    def run(limits: Limits) -> Ended:
        settings = side.settings | {"limit": asked.limit, "answer_tokens": asked.answer_tokens, "seed": asked.run_seed}
        found = evaluate_code(
            benchmark, data=data_of(benchmark, asked.data), out=folder,
            settings={path: value for path, value in settings.items() if value is not None}, limits=limits,
            workers=asked.workers, unsafe_sandbox=asked.unsafe_sandbox, watch=tick_on(sys.stderr), say=say,
        )  # fmt: skip
        return Ended(read_scores(folder)[benchmark] if found.results else None, found.stopped, found.cost)

    return run

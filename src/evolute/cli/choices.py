"""`evolute evaluate mmlu`, `arc-challenge`, `truthfulqa`, `hellaswag`, `gsm8k`: choices and short answers."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter
from rich.text import Text

from evolute.cli.answering import model_settings
from evolute.cli.evolve import (
    Api,
    BaseUrl,
    Concurrency,
    KeyVariable,
    MaxCalls,
    MaxCost,
    MaxMinutes,
    MaxTokens,
)
from evolute.cli.screen import Json, money, out, say, status_of
from evolute.cli.ticker import tick_on
from evolute.errors import InputError
from evolute.evaluate.choice.documents import Benchmark
from evolute.evolve.budget import Limits
from evolute.pipeline.choices import RESULTS, Chosen, evaluate_choices
from evolute.pipeline.harness import evaluate_with_harness
from evolute.pipeline.settings import validated
from evolute.recipe import ModelSpec, assign
from evolute.scores import Measure
from evolute.text import printable

_QUESTIONS = Group("Questions, and where results go", sort_key=1)
_LOCAL = Group("A model's files", sort_key=3)

Subjects = Annotated[
    list[str] | None,
    Parameter(name="--subjects", group=_QUESTIONS, negative="", help="Only this subject; may be repeated."),
]


@Parameter(name="*")
@dataclass(frozen=True)
class Asked:
    """Which questions, and which model."""

    model: Annotated[
        str | None,
        Parameter(
            help="A folder as transformers writes it, a .gguf file, or smollm2 (the embedded model's weights); with "
            "--base-url the model's name at the endpoint."
        ),
    ] = None
    data: Annotated[
        Path | None,
        Parameter(
            group=_QUESTIONS, help="The folder with the benchmark's files, or the one above it; or the questions' file."
        ),
    ] = None
    out: Annotated[
        Path | None,
        Parameter(
            group=_QUESTIONS,
            help="The evaluation's folder, needed for an endpoint: every log-likelihood or call, choices.jsonl, "
            "results.json. Made if need be, resumed if it exists.",
        ),
    ] = None
    shots: Annotated[
        int | None,
        Parameter(
            group=_QUESTIONS,
            help="Solved examples before each question. Default: 5 (mmlu, gsm8k), 25 (arc-challenge), 10 (hellaswag).",
        ),
    ] = None
    limit: Annotated[
        int | None, Parameter(group=_QUESTIONS, help="The first N questions; of mmlu, of each subject.")
    ] = None
    batch_tokens: Annotated[
        int | None,
        Parameter(group=_LOCAL, help="Tokens in memory at once, with caches and padding (default 8192; not gsm8k)."),
    ] = None
    dtype: Annotated[
        str | None,
        Parameter(group=_LOCAL, help="auto (as the files say, the default), float32, bfloat16 or float16; not gsm8k."),
    ] = None
    device: Annotated[
        str | None, Parameter(group=_LOCAL, help="cpu, cuda, … Default: an accelerator if there is one. Not gsm8k.")
    ] = None
    backend: Annotated[
        Literal["evolute", "harness"],
        Parameter(
            group=_LOCAL,
            help="harness: run lm-evaluation-harness itself on the files, to check our numbers (not gsm8k).",
        ),
    ] = "evolute"
    harness_python: Annotated[
        str | None,
        Parameter(
            group=_LOCAL, help="The python of an environment with lm-eval. Default: the one that runs this command."
        ),
    ] = None
    harness_batch: Annotated[
        int | None, Parameter(group=_LOCAL, help="Texts in one pass of the harness (default 1).")
    ] = None
    base_url: BaseUrl = None
    api: Api = None
    api_key_env: KeyVariable = None
    concurrency: Concurrency = None
    max_cost: MaxCost = None
    max_calls: MaxCalls = None
    max_tokens: MaxTokens = None
    max_minutes: MaxMinutes = None


def mmlu(*, asked: Asked = Asked(), subjects: Subjects = None, json: Json = False) -> None:
    """57 subjects from school to profession, four choices each, 5-shot (Hendrycks et al. 2021).

    Scored by the log-likelihood of each choice, with lm-evaluation-harness's prompts.
    """
    _evaluate("mmlu", asked, json, subjects or ())


def arc_challenge(*, asked: Asked = Asked(), json: Json = False) -> None:
    """Science questions of school that retrieval gets wrong, 25-shot (Clark et al. 2018).

    Options as for mmlu.
    """
    _evaluate("arc-challenge", asked, json)


def truthfulqa(*, asked: Asked = Asked(), json: Json = False) -> None:
    """817 questions that many people answer wrongly, 0-shot, mc1 and mc2 (Lin et al. 2021).

    Options as for mmlu.
    """
    _evaluate("truthfulqa", asked, json)


def hellaswag(*, asked: Asked = Asked(), json: Json = False) -> None:
    """How a scene goes on, of four endings, 10-shot (Zellers et al. 2019).

    Options as for mmlu.
    """
    _evaluate("hellaswag", asked, json)


def gsm8k(*, asked: Asked = Asked(), json: Json = False) -> None:
    """Word problems of school, answered step by step, 5-shot: the number must match (Cobbe et al. 2021).

    The model writes, so it is one behind an endpoint, or the embedded one.
    """
    _evaluate("gsm8k", asked, json)


def _evaluate(benchmark: Benchmark, asked: Asked, as_json: bool, subjects: tuple[str, ...] | list[str] = ()) -> None:
    if benchmark == "gsm8k" and (asked.batch_tokens, asked.dtype, asked.device) != (None, None, None):
        raise InputError(
            "--batch-tokens, --dtype and --device are for log-likelihoods of a model's files, not for gsm8k"
        )
    if asked.data is None:
        raise InputError(f"where are {benchmark}'s questions? Give --data FOLDER")
    chosen = (
        _by_harness(benchmark, asked, subjects) if asked.backend == "harness" else _by_us(benchmark, asked, subjects)
    )
    if as_json:
        sys.stdout.write(jsonlib.dumps(_as_json(chosen), indent=2) + "\n")
    else:
        _show(chosen)
    if chosen.stopped:
        sys.exit(status_of(chosen.stopped))


def _by_harness(benchmark: Benchmark, asked: Asked, subjects: Sequence[str]) -> Chosen:
    if asked.base_url is not None or asked.api is not None or asked.model is None:
        raise InputError("--backend harness scores a model's files: give --model FOLDER, FILE.gguf or smollm2 alone")
    ours = {
        "--max-cost": asked.max_cost, "--max-calls": asked.max_calls, "--max-tokens": asked.max_tokens,
        "--max-minutes": asked.max_minutes, "--batch-tokens": asked.batch_tokens, "--concurrency": asked.concurrency,
    }  # fmt: skip
    if given := [name for name, value in ours.items() if value is not None]:
        raise InputError(
            f"--backend harness knows nothing of {', '.join(given)}: leave it out (--harness-batch N is its)"
        )
    return evaluate_with_harness(
        benchmark,
        asked.model,
        data=asked.data or Path(),
        out=asked.out,
        python=asked.harness_python,
        shots=asked.shots,
        limit=asked.limit,
        subjects=subjects,
        dtype=asked.dtype or "auto",
        device=asked.device,
        batch_size=1 if asked.harness_batch is None else asked.harness_batch,
        say=say,
    )


def _by_us(benchmark: Benchmark, asked: Asked, subjects: Sequence[str]) -> Chosen:
    if asked.harness_python is not None or asked.harness_batch is not None:
        raise InputError("--harness-python and --harness-batch are for --backend harness")
    given = {"batch_tokens": asked.batch_tokens, "dtype": asked.dtype, "device": asked.device}
    return evaluate_choices(
        benchmark,
        _model(benchmark, asked),
        data=asked.data or Path(),
        out=asked.out,
        shots=asked.shots,
        limit=asked.limit,
        subjects=subjects,
        **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
        limits=Limits(asked.max_cost, asked.max_calls, asked.max_tokens, asked.max_minutes),
        watch=tick_on(sys.stderr),
        say=say,
    )


def _model(benchmark: Benchmark, asked: Asked) -> str | ModelSpec:
    """The files to score, or the model to ask: whoever writes is asked, and so is what has an address or an API."""
    if asked.model is None and asked.api is None:
        raise InputError("which model? Give --model FOLDER, --model FILE.gguf or --model smollm2; or --base-url URL")
    if asked.base_url is None and asked.api is None and (benchmark != "gsm8k" or Path(str(asked.model)).exists()):
        return str(asked.model)
    fields: dict[str, Any] = {}
    for path, value in model_settings(asked).items():
        if value is not None:
            assign(fields, path.split("."), value)
    if benchmark != "gsm8k" and asked.api is None:
        fields["model"]["api"] = "completions"
    if asked.base_url is not None and asked.model is None:
        raise InputError("an endpoint needs a model: give --model NAME (`evolute models check URL` lists them)")
    return validated(ModelSpec, fields.get("model", {}), "evaluate")


def _as_json(chosen: Chosen) -> dict[str, Any]:
    said: dict[str, Any] = {"stopped": chosen.stopped, "scored": chosen.scored, "wanted": chosen.wanted}
    return said if chosen.score is None else {"score": chosen.score.to_json()} | said


def _show(chosen: Chosen) -> None:
    """The numbers with their intervals, by category where there are such, and what must be known beside them."""
    lines: list[str] = []
    if (score := chosen.score) is not None:
        lines.append(f"{score.benchmark}, {chosen.task.shots}-shot, {score.model}")
        lines.append(f"  {score.metric:<16} {_told(score.measure)}  ({score.n:,} questions)")
        lines += [f"  {name:<16} {_told(measure)}" for name, measure in score.also.items()]
        for part in score.parts:
            if part.by == "category":
                lines.append(f"  {part.name:<16} {_told(part.measure)}  ({part.n:,})")
        if score.unscored:
            whys = dict.fromkeys(item.why for item in score.items if item.why)
            lines.append(f"  unscored: {score.unscored:,} ({'; '.join(whys)})")
        lines += score.notes
        if score.calls:
            lines.append(f"calls {score.calls:,}; cost {money(score.cost)}")
        where = f"every item: {chosen.folder / RESULTS}" if chosen.folder else "nothing was written: --out FOLDER does"
        lines.append(where)
    else:
        lines.append(f"{chosen.scored:,} of {chosen.wanted:,} are there; not scored: {chosen.stopped}")
        lines.append("Run the same command again: nothing is computed or paid for twice")
    for line in lines:
        out().print(Text(printable(line)), soft_wrap=True)


def _told(measure: Measure) -> str:
    if measure.value is None:
        return "–"
    bounds = "" if measure.low is None or measure.high is None else f"  [{measure.low:.1f}, {measure.high:.1f}]"
    return f"{measure.value:.2f}{bounds}"

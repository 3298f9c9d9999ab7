"""A model before a judge: the flags of the benchmarks that a judge scores, and what they come to, for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evolute.cli.answering import Flags, model_settings
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
from evolute.cli.screen import money, out, say, status_of
from evolute.cli.ticker import tick_on
from evolute.errors import InputError
from evolute.evaluate.judged.contests import Order
from evolute.evaluate.judged.questions import Benchmark
from evolute.evolve.budget import Limits
from evolute.pipeline.judged import Judged, evaluate_judged
from evolute.pipeline.judgement import BASELINE
from evolute.pipeline.summary import RESULTS
from evolute.recipe import parse_assignment
from evolute.report.scorecard import interval, told
from evolute.scores import Measure, Part, Score
from evolute.text import printable

_SUBJECT = Group("What is scored: a model's answers, or a file of answers", sort_key=0)
_AGAINST = Group("What it is set against", sort_key=2)
_JUDGE = Group("Who judges, and how", sort_key=3)
_ASKED = Group("How model and opponent are asked", sort_key=4)
_SHOWN = 400
"""Characters of a judge's words that fit a screen."""


@Parameter(name="*")
@dataclass(frozen=True)
class Live:
    """Whose answers are judged, by whom, and how."""

    base_url: BaseUrl = None
    model: ModelName = None
    api: Api = None
    api_key_env: KeyVariable = None
    concurrency: Concurrency = None
    answers: Annotated[
        Path | None,
        Parameter(group=_SUBJECT, help="Instead of a model: answers as FastChat, AlpacaEval or we write them."),
    ] = None
    name: Annotated[str | None, Parameter(group=_SUBJECT, help="What the model is called in the results.")] = None
    limit: Annotated[int | None, Parameter(group=_SUBJECT, help="The first N questions.")] = None
    against: Annotated[
        str | None,
        Parameter(group=_AGAINST, help="A model, a file of answers, or baseline: the benchmark's own, from --data."),
    ] = None
    against_base_url: Annotated[
        str | None, Parameter(group=_AGAINST, help="Where that model is. Default: where the model is.")
    ] = None
    against_temperature: Annotated[
        float | None, Parameter(group=_AGAINST, help="Of its answers. Default: as the model's.")
    ] = None
    judge_model: Annotated[
        list[str] | None,
        Parameter(group=_JUDGE, negative="", help="The judge's name; repeated: several, the first being the headline."),
    ] = None
    judge_base_url: Annotated[
        str | None, Parameter(group=_JUDGE, help="Where the judge is. Default: where the model is.")
    ] = None
    judge_api: Annotated[
        Literal["chat", "completions", "anthropic", "embedded", "local", "scripted"] | None,
        Parameter(group=_JUDGE, help="How to talk to it."),
    ] = None
    judge_key_env: Annotated[
        str | None, Parameter(group=_JUDGE, help="The environment variable with the judge's key.")
    ] = None
    judge_concurrency: Annotated[int | None, Parameter(group=_JUDGE, help="Calls of the judge in flight.")] = None
    order: Annotated[
        Order | None,
        Parameter(
            group=_JUDGE,
            help="Whose answer is shown first. both: each pair is judged twice; alternate: the model's in questions of "
            "odd id; seeded: as AlpacaEval draws it. Default: seeded for alpaca-eval, else both.",
        ),
    ] = None
    judge_prompt: Annotated[
        str | None,
        Parameter(group=_JUDGE, help="By name, or a file with {question}, {answer_1} … Default: the benchmark's own."),
    ] = None
    annotator: Annotated[
        Literal["1", "2"] | None,
        Parameter(group=_JUDGE, help="alpaca-eval: 1 asks for a ranking (default), 2 for one token's probabilities."),
    ] = None
    judge_temperature: Annotated[float | None, Parameter(group=_JUDGE, help="Default: the protocol's.")] = None
    judge_tokens: Annotated[
        int | None, Parameter(group=_JUDGE, help="The most tokens of a reply. Default: the protocol's.")
    ] = None
    reading: Annotated[
        Literal["best", "reference"] | None,
        Parameter(group=_JUDGE, help="Read replies in every form (best), or as the reference implementation did."),
    ] = None
    temperature: Annotated[
        float | None, Parameter(group=_ASKED, help="Default: 0; by category in MT-Bench, as FastChat.")
    ] = None
    top_p: Annotated[float | None, Parameter(group=_ASKED, help="Default: not sent.")] = None
    answer_tokens: Annotated[
        int | None, Parameter(group=_ASKED, help="The most tokens of one answer (default 1024).")
    ] = None
    system: Annotated[str | None, Parameter(group=_ASKED, help="A system prompt.")] = None
    format: Annotated[
        str | None, Parameter(group=_ASKED, help="A prompt format (wizardlm, vicuna-v1.1 …), with --api completions.")
    ] = None
    run_seed: Annotated[
        int | None, Parameter(group=_ASKED, help="The seed from which every draw follows (default 0).")
    ] = None
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", group=_ASKED, negative="", help="Any other field of evaluation.yaml: model.retries=2."),
    ] = None
    max_cost: MaxCost = None
    max_calls: MaxCalls = None
    max_tokens: MaxTokens = None
    max_minutes: MaxMinutes = None
    unscored: Annotated[
        int, Parameter(group=_JUDGE, help="Unscored items to show, with the judge's words (default 3).")
    ] = 3


@dataclass(frozen=True)
class _Named:
    """A further model, as its flags name it."""

    model: str | None
    base_url: str | None
    api: Any
    api_key_env: str | None
    concurrency: int | None


def judge(benchmark: Benchmark, live: Live, data: Path | None, folder: Path | None, *, as_json: bool) -> None:
    """Have the model answer and the judge judge, and show the score."""
    if live.unscored < 0:
        raise InputError(f"--unscored must be at least 0, got {live.unscored!r}")
    judged = evaluate_judged(
        benchmark,
        data=data,
        out=folder,
        settings=settings_of(live),
        limits=Limits(live.max_cost, live.max_calls, live.max_tokens, live.max_minutes),
        watch=tick_on(sys.stderr),
        say=say,
    )
    if as_json:
        sys.stdout.write(json.dumps(_as_json(judged), indent=2) + "\n")  # as ASCII: it holds models' own words
    else:
        show_judged(judged, live.unscored)
    if judged.stopped:
        sys.exit(status_of(judged.stopped))


def settings_of(live: Live) -> dict[str, Any]:
    """The fields of the evaluation that the flags stand for; what was not given is not among them."""
    flags: dict[str, Any] = {
        "answers": live.answers and str(live.answers),
        "name": live.name,
        "limit": live.limit,
        **model_settings(live),
        **_opponent(live),
        "judges": _judges(live),
        "order": live.order,
        "judge_prompt": live.judge_prompt,
        "annotator": live.annotator and int(live.annotator),
        "judge_temperature": live.judge_temperature,
        "judge_tokens": live.judge_tokens,
        "reading": live.reading,
        "temperature": live.temperature,
        "opponent_temperature": live.against_temperature,
        "top_p": live.top_p,
        "answer_tokens": live.answer_tokens,
        "system": live.system,
        "format": live.format,
        "seed": live.run_seed,
    }
    given = {path: value for path, value in flags.items() if value is not None}
    return dict(map(parse_assignment, live.set_ or ())) | given


def _opponent(live: Live) -> dict[str, Any]:
    if live.against is None:
        if live.against_base_url is not None:
            raise InputError("--against-base-url says where the opponent is: give --against NAME, too")
        return {}
    if live.against == BASELINE or Path(live.against).is_file():
        return {"against": live.against}
    if live.against.endswith((".json", ".jsonl", ".gz")):
        raise InputError(f"--against {live.against}: there is no such file")
    spec = _spec(_Named(live.against, live.against_base_url, None, None, live.concurrency), live)
    return {f"opponent.{name}": value for name, value in spec.items()}


def _judges(live: Live) -> list[dict[str, Any]] | None:
    if not live.judge_model:
        if live.judge_base_url or live.judge_api:
            raise InputError("--judge-base-url and --judge-api say where the judge is: give --judge-model NAME, too")
        return None
    return [
        _spec(_Named(name, live.judge_base_url, live.judge_api, live.judge_key_env, live.judge_concurrency), live)
        for name in live.judge_model
    ]


def _spec(named: _Named, live: Live) -> dict[str, Any]:
    """The fields of a further model, which is where the model is unless its own flags say otherwise."""
    fields = _given(named)
    if "base_url" not in fields and fields.get("api") not in ("embedded", "local", "scripted"):
        beside = _given(live)
        if beside.get("api") in ("embedded", "local"):
            raise InputError(
                f"where is {named.model!r}? The model runs here: give --judge-base-url or --against-base-url"
            )
        fields = beside | _given(replace(named, api=named.api or live.api, base_url=live.base_url))
    return fields


def _given(flags: Flags) -> dict[str, Any]:
    return {name.removeprefix("model."): value for name, value in model_settings(flags).items() if value is not None}


def _as_json(judged: Judged) -> dict[str, Any]:
    said: dict[str, Any] = {"stopped": judged.stopped, "calls": judged.calls, "cost": judged.cost}
    if judged.score is not None:
        said |= {"score": judged.score.to_json(), "other_judges": [other.to_json() for other in judged.others]}
    return said


def show_judged(judged: Judged, unscored: int = 3) -> None:
    """The score with its interval, its parts, what is known of the judge, and so many unscored items."""
    console = out()
    if (score := judged.score) is not None:
        for line in _headline(score):
            console.print(Text(printable(line)), soft_wrap=True)
        for by in dict.fromkeys(part.by for part in score.parts):
            _show_parts(console, score, [part for part in score.parts if part.by == by])
        console.print()
        for line in (*score.notes, *_unscored(score, unscored)):
            console.print(Text(printable(line)), soft_wrap=True)
        console.print(Text(printable(f"answers, verdicts and {RESULTS}: {judged.folder}")), soft_wrap=True)
    console.print(Text(f"calls {judged.calls:,}; cost {money(judged.cost)}"), soft_wrap=True)
    if judged.stopped:
        bound = judged.stopped.partition(" ")[0]
        how = f"with a higher {bound}" if bound.startswith("--max-") else "again"
        line = f"not scored: {judged.stopped}. Run the same command {how}: nothing is paid for twice"
        console.print(Text(printable(line)), soft_wrap=True)


def _headline(score: Score) -> Iterator[str]:
    against = f" against {score.against}" if score.against else ""
    yield f"{score.benchmark}: {score.model}{against}, judged by {score.judge}"
    yield f"{score.metric}: {_number(score.measure, score.scale)}, {score.n:,} items, {score.unscored:,} unscored"
    if (outcome := score.outcome) is not None:
        yield f"wins {outcome.wins:,}, ties {outcome.ties:,}, losses {outcome.losses:,}"
    for name, measure in score.also.items():
        scale = "points" if name.startswith("mean score") else score.scale
        yield f"{name}: {_number(measure, scale)}"


def _number(measure: Measure, scale: str) -> str:
    between = interval(measure, scale)
    return told(measure, scale) + (f" (95 %: {between}, {measure.how})" if between else "")


def _show_parts(console: Console, score: Score, parts: Sequence[Part]) -> None:
    table = Table(box=None, pad_edge=False)
    duelled = any(part.outcome is not None for part in parts)
    for title in (
        parts[0].by,
        "",
        "95 % interval",
        "items",
        "unscored",
        *(("wins", "ties", "losses") if duelled else ()),
    ):
        table.add_column(Text(title), justify="left" if title == parts[0].by else "right")
    for part in _sorted(parts):
        found = part.outcome
        counts = (found.wins, found.ties, found.losses) if found is not None else ()
        cells = (told(part.measure, score.scale), interval(part.measure, score.scale), part.n, part.unscored, *counts)
        table.add_row(Text(printable(part.name)), *(Text(str(cell)) for cell in cells))
    console.print()
    console.print(table)


def _sorted(parts: Sequence[Part]) -> list[Part]:
    """Numbers in their order, and all else by the score, the best first."""
    if all(part.name.isdecimal() for part in parts):
        return sorted(parts, key=lambda part: int(part.name))
    return sorted(parts, key=lambda part: -(part.measure.value if part.measure.value is not None else -1))


def _unscored(score: Score, count: int) -> Iterator[str]:
    lacking = [item for item in score.items if item.why and item.score is None and item.weights is None]
    for item in lacking[:count]:
        why = " ".join(item.why.split())
        yield f"unscored {item.id}: {why[:_SHOWN]}{' …' if len(why) > _SHOWN else ''}"

"""`evolute evaluate quick`, `vicuna`, `wizardlm`, `mt-bench`, `alpaca-eval`: benchmarks that a judge scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from evolute.cli.judging import Live, judge
from evolute.cli.screen import Json
from evolute.cli.stored import show_stored
from evolute.errors import InputError
from evolute.pipeline.stored import StoredBenchmark

_LIVE = Live()
_FILES = Group("Data, and where results go", sort_key=1)

Judgments = Annotated[
    list[Path] | None,
    Parameter(
        name="--judgments",
        consume_multiple=True,
        group=_FILES,
        negative="",
        help="Judgments that are there already, to sum up instead: FastChat's JSON lines, AlpacaEval's "
        "annotations.json or the compact CSV; also .gz. Of the other options only --data, --out and --json go with it.",
    ),
]
Data = Annotated[
    Path | None,
    Parameter(
        group=_FILES,
        help="A folder or file of the questions, as their authors publish them; for AlpacaEval's judgments also of "
        "what the length-controlled win rate needs.",
    ),
]
Out = Annotated[
    Path | None,
    Parameter(
        group=_FILES,
        help="The folder of the calls, answers, verdicts and results.json; a model needs one. Made if need be, resumed "
        "if it exists.",
    ),
]


def alpaca_eval(
    *, judgments: Judgments = None, data: Data = None, out: Out = None, json: Json = False, live: Live = _LIVE
) -> None:
    """AlpacaEval 1 and 2 (Dubois et al. 2023, 2024): how often a model's answer is preferred to a reference's.

    Has a model answer and a judge compare; or sums up stored annotations: win rate, standard error, and the
    length-controlled win rate where --data allows.
    """
    _evaluate("alpaca-eval", judgments, data, out, json, live)


def mt_bench(
    *, judgments: Judgments = None, data: Data = None, out: Out = None, json: Json = False, live: Live = _LIVE
) -> None:
    """MT-Bench (Zheng et al. 2023): 80 questions of two turns, graded of ten, or judged in pairs with --against.

    Has a model answer and a judge grade; or sums up FastChat's judgments, single or pairwise.
    """
    _evaluate("mt-bench", judgments, data, out, json, live)


def vicuna(
    *, judgments: Judgments = None, data: Data = None, out: Out = None, json: Json = False, live: Live = _LIVE
) -> None:
    """Two answers scored of ten side by side, as Vicuna's authors did (2023): the ratio of the summed scores.

    Has a model answer and a judge score; or sums up FastChat's reviews of 2023.
    """
    _evaluate("vicuna", judgments, data, out, json, live)


def wizardlm(
    *, judgments: Judgments = None, data: Data = None, out: Out = None, json: Json = False, live: Live = _LIVE
) -> None:
    """The WizardLM test set (Xu et al. 2023): 218 instructions by skill and difficulty, judged as Vicuna's are.

    Has a model answer and a judge score; or sums up reviews in FastChat's format of 2023, as --out keeps them.
    """
    _evaluate("wizardlm", judgments, data, out, json, live)


def quick(*, data: Data = None, out: Out = None, json: Json = False, live: Live = _LIVE) -> None:
    """Twenty instructions of our own by skill and difficulty, judged as Vicuna's are; needs no data."""
    judge("quick", live, data, out, as_json=json)


def _evaluate(
    benchmark: StoredBenchmark,
    judgments: list[Path] | None,
    data: Path | None,
    out: Path | None,
    json: bool,
    live: Live,
) -> None:
    if judgments is None:
        judge(benchmark, live, data, out, as_json=json)
    elif live != _LIVE:
        raise InputError("--judgments sums up what is judged already: leave out the model, the judge and their options")
    else:
        show_stored(benchmark, judgments, data, out, as_json=json)

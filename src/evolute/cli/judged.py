"""`evolute evaluate alpaca-eval`, `mt-bench`, `vicuna`: benchmarks that a judge scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from evolute.cli.screen import Json
from evolute.cli.stored import show_stored

_STORED = Group("Judgments that are there already", sort_key=1)

Judgments = Annotated[
    list[Path],
    Parameter(
        name="--judgments",
        group=_STORED,
        negative="",
        help="Files of judgments to sum up: FastChat's JSON lines, AlpacaEval's annotations.json or the compact CSV; "
        "also .gz.",
    ),
]
Data = Annotated[
    Path | None,
    Parameter(
        group=_STORED,
        help="A folder or file of the questions; for AlpacaEval also of what the length-controlled win rate needs.",
    ),
]
Out = Annotated[
    Path | None,
    Parameter(group=_STORED, help="A folder for results.json and for the judgments in others' formats."),
]


def alpaca_eval(*, judgments: Judgments, data: Data = None, out: Out = None, json: Json = False) -> None:
    """AlpacaEval 1 and 2 (Dubois et al. 2023, 2024): how often a model's answer is preferred to a reference's.

    Sums up stored annotations: win rate, standard error, and the length-controlled win rate where --data allows.
    """
    show_stored("alpaca-eval", judgments, data, out, as_json=json)


def mt_bench(*, judgments: Judgments, data: Data = None, out: Out = None, json: Json = False) -> None:
    """MT-Bench (Zheng et al. 2023): 80 questions of two turns, graded of ten or judged in pairs.

    Sums up FastChat's judgments, single or pairwise.
    """
    show_stored("mt-bench", judgments, data, out, as_json=json)


def vicuna(*, judgments: Judgments, data: Data = None, out: Out = None, json: Json = False) -> None:
    """Two answers scored of ten side by side, as Vicuna's authors did (2023): the ratio of the summed scores.

    Sums up FastChat's reviews of 2023.
    """
    show_stored("vicuna", judgments, data, out, as_json=json)

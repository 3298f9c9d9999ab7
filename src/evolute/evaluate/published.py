"""What others published, to stand beside our own numbers and never among them.

From the WizardLM README of July 2023 (its tables and its skill chart of WizardLM-30B) and, where it has no number, from
the source that the row gives. Who published a number also chose the judge, the prompts and the harness of the day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

README = "WizardLM README, July 2023"
_BLOG = "LMSYS, June 2023"
_BOARD = "AlpacaEval leaderboard"


@dataclass(frozen=True, slots=True)
class Published:
    """A model's published number, in the scale that our score of the benchmark has."""

    model: str
    value: float
    source: str = README


def published(benchmark: str, metric: str, against: str = "") -> Sequence[Published]:
    """The published rows of a benchmark, in no order; empty where there are none that measure the same.

    Args:
        benchmark: its name on the command line.
        metric: of the score beside which they are to stand.
        against: its opponent: the ratios on the test set are of ChatGPT's score, and AlpacaEval's first win rates
            against text_davinci_003.
    """
    if metric != _METRICS.get(benchmark):
        return ()
    opponents = _OPPONENTS.get(benchmark, ("",))
    return _ROWS[benchmark] if any(name in against.lower() for name in opponents) else ()


def _rows(rows: Mapping[str, float], source: str = README) -> tuple[Published, ...]:
    return tuple(Published(model, value, source) for model, value in rows.items())


_FOUNDATION = {
    "text-davinci-003": (56.9, 85.2, 59.3, 82.2),
    "Vicuna-13B-V1.1": (51.3, 53.0, 51.8, 80.1),
    "Guanaco-30B": (57.6, 63.7, 50.7, 85.1),
    "WizardLM-7B-V1.0": (42.7, 51.6, 44.7, 77.7),
    "WizardLM-13B-V1.0": (52.3, 57.2, 50.5, 81.0),
    "WizardLM-30B-V1.0": (58.8, 62.5, 52.4, 83.3),
}
"""MMLU 5-shot, ARC 25-shot, TruthfulQA 0-shot, HellaSwag 10-shot."""

_HUMANEVAL = {
    "WizardCoder-15B-V1.0": 57.3, "WizardLM-30B-V1.0": 37.8, "StarCoder": 33.6, "code-cushman-001": 33.5,
    "CodeGen-16B-Mono": 29.3, "PaLM-540B": 26.2, "WizardLM-13B-V1.0": 24.0, "LLaMA-65B": 23.7, "CodeGeeX": 22.9,
    "LLaMA-33B": 21.7, "WizardLM-7B-V1.0": 19.1, "CodeGen-16B-Multi": 18.3, "LLaMA-13B": 15.8, "LLaMA-7B": 10.5,
}  # fmt: skip

_MT_BENCH = {
    "GPT-4": 8.99, "GPT-3.5": 7.94, "Vicuna-33B": 7.12, "WizardLM-30B-V1.0": 7.01, "Vicuna-13B": 6.39,
    "WizardLM-13B-V1.0": 6.35, "Vicuna-7B": 6.00,
}  # fmt: skip

_TEST_SET = {
    "WizardLM-13B-V1.1": 99.3, "WizardLM-30B-V1.0": 97.8, "Guanaco-65B": 96.6, "WizardLM-13B-V1.0": 89.1,
    "Vicuna-13B": 86.9, "WizardLM-7B-V1.0": 78.0, "Vicuna-7B": 72.2,
}  # fmt: skip

_ROWS: Mapping[str, Sequence[Published]] = {
    "mt-bench": (*_rows({"WizardLM-13B-V1.1": 6.74}), *_rows(_MT_BENCH, _BLOG)),
    "alpaca-eval": (
        *_rows({"WizardLM-13B-V1.1": 86.32}),
        *_rows({"GPT-4": 95.28, "WizardLM-13B-V1.0": 75.31, "Vicuna-13B": 70.43}, _BOARD),
    ),
    "wizardlm": _rows(_TEST_SET),
    "humaneval": _rows(_HUMANEVAL),
} | {
    benchmark: _rows({model: values[place] for model, values in _FOUNDATION.items()})
    for place, benchmark in enumerate(("mmlu", "arc-challenge", "truthfulqa", "hellaswag"))
}

_METRICS = {
    "mt-bench": "mean score", "alpaca-eval": "win rate", "wizardlm": "ratio of summed scores", "humaneval": "pass@1",
    "mmlu": "acc", "arc-challenge": "acc_norm", "truthfulqa": "mc2", "hellaswag": "acc_norm",
}  # fmt: skip
"""What the rows are numbers of."""
_OPPONENTS = {"wizardlm": ("chatgpt", "gpt-3.5", "gpt35"), "alpaca-eval": ("davinci",)}
"""Parts of the names that the opponent of the rows goes by."""

WIZARDLM_30B_BY_SKILL: Mapping[str, int] = {
    "Toxicity": 136, "Academic Writing": 113, "Chemistry": 108, "Ethics": 108, "Music": 107, "Sport": 107,
    "Physics": 107, "Common-Sense": 106, "Literature": 105, "Economy": 104, "Roleplay": 102, "Counterfactual": 101,
    "History": 101, "Reasoning": 101, "Biology": 101, "Technology": 101, "Entertainment": 100, "Philosophy": 100,
    "Law": 98, "Writting": 98, "Medicine": 97, "TruthfulQA": 96, "Computer Science": 93, "Art": 92, "Math": 89,
    "Code Generation": 89, "Multilingual": 87, "Complex Format": 87, "Code Debug": 83,
}  # fmt: skip
"""WizardLM-30B-V1.0 on its test set, in per cent of ChatGPT's score, as read off the README's chart ("Writting" is the
test set's own spelling)."""

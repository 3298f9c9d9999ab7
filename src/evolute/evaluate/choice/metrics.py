"""From log-likelihoods to scores, with lm-evaluation-harness's metrics (MIT): `process_results` of its tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evolute.evaluate.choice.documents import Benchmark
from evolute.evaluate.choice.encoding import empty_choices
from evolute.evaluate.choice.tasks import Question, Task
from evolute.evaluate.statistics import mean, wilson
from evolute.scores import COVERAGE, Item, Measure, Part, Score

HEADLINE: Mapping[Benchmark, str] = {
    "mmlu": "acc", "arc-challenge": "acc_norm", "hellaswag": "acc_norm", "truthfulqa": "mc2", "gsm8k": "exact match",
}  # fmt: skip
"""The number that is reported for each (as on the Open LLM Leaderboard, and in the WizardLM README's table)."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A question with its metrics, each from 0 to 1; or none, and why."""

    question: Question
    metrics: Mapping[str, float] = field(default_factory=dict)
    why: str = ""


def mark(question: Question, likelihoods: Mapping[str, Sequence[float | None]], reasons: Sequence[str] = ()) -> Marked:
    """Score a question.

    Args:
        question: what was asked.
        likelihoods: the log-likelihood of each choice, by the name of the list of choices; None where there is none.
        reasons: why there is none.
    """
    document = question.document
    why = next((why for choices in document.choices.values() if (why := empty_choices(choices))), "")
    if why or any(value is None for values in likelihoods.values() for value in values):
        return Marked(question, why=why or "; ".join(dict.fromkeys(filter(None, reasons))) or "no log-likelihood")
    found: dict[str, float] = {}
    for name, values in likelihoods.items():
        numbers = [value for value in values if value is not None]
        if not name:
            found |= accuracies(numbers, document.choices[name], document.right[name])
        elif name == "mc1":
            found["mc1"] = float(document.right[name][_best(numbers)])
        else:
            found["mc2"] = true_mass(numbers, document.right[name])
    return Marked(question, found)


def accuracies(values: Sequence[float], choices: Sequence[str], right: Sequence[bool]) -> dict[str, float]:
    """Whether the likeliest choice is right: as it is, by its characters, and by its bytes (in UTF-8).

    No choice may be empty. Of equals the first counts.
    """
    by_character = [value / len(choice) for value, choice in zip(values, choices, strict=True)]
    by_byte = [
        value / len(choice.encode("utf-8", "surrogatepass")) for value, choice in zip(values, choices, strict=True)
    ]
    kinds = {"acc": values, "acc_norm": by_character, "acc_bytes": by_byte}
    return {name: float(right[_best(numbers)]) for name, numbers in kinds.items()}


def true_mass(values: Sequence[float], right: Sequence[bool]) -> float:
    """mc2: the share of the answers' probability that falls to true ones (Lin et al. 2021, arXiv:2109.07958)."""
    most = max(values)  # a common factor, which keeps the likeliest from being rounded to nothing
    mass = [math.exp(value - most) for value in values]
    return sum(one for one, true in zip(mass, right, strict=True) if true) / sum(mass)


def stderr(values: Sequence[float]) -> float | None:
    """The harness's standard error: the sample's deviation by the root of its size; None below two."""
    return mean(values).error if len(values) > 1 else None


def score_of(task: Task, marked: Sequence[Marked], model: str, **more: object) -> Score:
    """What a model came to.

    Args:
        task: what was asked.
        marked: every question of it.
        model: its name.
        more: further fields of the score: ran, cost, calls, notes.
    """
    headline = HEADLINE[task.benchmark]
    scored = [one for one in marked if one.metrics]
    names = list(scored[0].metrics) if scored else [headline]
    also = {name: measure([one.metrics[name] for one in scored], len(marked)) for name in names if name != headline}
    for name in names:
        if (error := stderr([one.metrics[name] for one in scored])) is not None:
            also[f"{name} stderr"] = Measure(100 * error)
    notes = [*task.notes, *more.pop("notes", ())]  # type: ignore[misc]
    return Score(
        task.benchmark, model, headline, "%", measure([one.metrics[headline] for one in scored], len(marked)),
        len(scored), len(marked) - len(scored), parts=tuple(_parts(marked, headline)), also=also, notes=tuple(notes),
        items=tuple(_item(one, headline) for one in marked), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def measure(values: Sequence[float], wanted: int) -> Measure:
    """The mean in percent with its interval; none where too few of those wanted are there."""
    if not values or len(values) < COVERAGE * wanted:
        return Measure()
    found = mean(values)
    if set(values) <= {0.0, 1.0}:
        low, high = wilson(sum(values), len(values))
        return Measure(100 * found.value, 100 * low, 100 * high, "Wilson")
    if found.low is None or found.high is None:
        return Measure(100 * found.value)
    return Measure(100 * found.value, 100 * max(found.low, 0.0), 100 * min(found.high, 1.0), "t")


def _item(marked: Marked, headline: str) -> Item:
    score = 100 * marked.metrics[headline] if marked.metrics else None
    return Item(marked.question.id, score, dict(marked.question.groups), marked.why)


def _parts(marked: Sequence[Marked], headline: str) -> list[Part]:
    groups: dict[tuple[str, str], list[Marked]] = {}
    for one in marked:
        for by, name in one.question.groups.items():
            groups.setdefault((by, name), []).append(one)
    parts = []
    for (by, name), members in groups.items():
        values = [one.metrics[headline] for one in members if one.metrics]
        parts.append(Part(by, name, measure(values, len(members)), len(values), len(members) - len(values)))
    return parts


def _best(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)

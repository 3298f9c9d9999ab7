"""AlpacaEval 1 and 2: how often a model's answer is preferred to a reference's (Dubois et al. 2023, 2024)."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evolute.errors import InputError
from evolute.evaluate.judged.biases import first_bias, length_bias, length_correlation, told
from evolute.evaluate.judged.gathering import covered, unscored_note
from evolute.evaluate.statistics import FEW, student, wilson
from evolute.scores import Item, Measure, Outcome, Part, Score

WEIGHTED = "weighted win rate"
"""AlpacaEval 2's metric: a preference counts with the probability that the judge gives it."""
_RANKED = frozenset({1.0, 1.25, 1.5, 1.75, 2.0})


@dataclass(frozen=True, slots=True)
class Annotation:
    """One preference.

    Args:
        instruction: its id, the same for every model.
        model: whose result this is, and the `reference` that it is set against.
        preference: from 1 (the reference's answer is better) to 2 (the model's); None where there is none.
        lengths: characters of (the model's answer, the reference's), if known.
        switched: whether the model's answer was shown first; None where that is unknown.
        groups: what the instruction belongs to: {"dataset": "koala"}.
        judge: who judged.
        text: what the judge said.
        why: why it is unscored.
    """

    instruction: str
    model: str
    reference: str
    preference: float | None
    lengths: tuple[int, int] | None = None
    switched: bool | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    judge: str = ""
    text: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Rates:
    """What AlpacaEval's leaderboard tells of a model, in per cent and in counts; `n_total` are those scored."""

    win_rate: float | None
    standard_error: float | None
    n_wins: int
    n_wins_base: int
    n_draws: int
    n_total: int
    discrete_win_rate: float | None


def is_switched(instruction: str, seed: int = 0) -> bool:
    """Whether AlpacaEval shows the model's answer first: drawn once for each instruction, from its text and the seed.

    As `alpaca_eval.utils.random_seeded_choice` of 0.6.6 draws it; a preference of a switched pair is 3 minus the one
    that the judge's words mean.
    """
    return random.Random(f"is_switched_outputs{instruction}{seed}").choices([False, True], k=1)[0]


def normal_preference(value: float | None) -> float | None:
    """A stored preference from 1 to 2: AlpacaEval's old 0 for a draw becomes 1.5, nan and null become None.

    Raises:
        ValueError: it is none of these.
    """
    if value is None or math.isnan(value):
        return None
    if value == 0:
        return 1.5
    if not 1 <= value <= 2:
        raise ValueError(f"a preference is from 1 to 2 (or 0, a draw), got {value!r}")
    return value


def rates(preferences: Iterable[float | None]) -> Rates:
    """A model's row of the leaderboard (alpaca_eval 0.6.6, `metrics/winrate.py`).

    The win rate is the mean of preference - 1, its error the sample's standard deviation (ddof 1) over sqrt(n); what
    is unscored is left out of both, as the original does, which is why `n_total` belongs beside them.
    """
    values = [value - 1 for value in preferences if value is not None]
    n = len(values)
    wins, losses = sum(value > 0.5 for value in values), sum(value < 0.5 for value in values)
    draws = n - wins - losses
    if not n:
        return Rates(None, None, 0, 0, 0, 0, None)
    middle = math.fsum(values) / n
    spread = math.fsum((value - middle) ** 2 for value in values)
    error = 100 * math.sqrt(spread / (n - 1) / n) if n > 1 else None
    return Rates(100 * middle, error, wins, losses, draws, n, 100 * (wins + draws / 2) / n)


def are_weighted(annotations: Iterable[Annotation]) -> bool:
    """Whether preferences are AlpacaEval 2's, which follow from log-probabilities, and not AlpacaEval 1's rankings.

    They are where the judge is named so (weighted_alpaca_eval_gpt4_turbo), or where any preference is none that
    rankings come to: a win, a draw, a loss, or the mean of two of these.
    """
    return any(
        "weighted" in one.judge or (one.preference is not None and one.preference not in _RANKED) for one in annotations
    )


def summarise(
    annotations: Sequence[Annotation],
    *,
    benchmark: str = "alpaca-eval",
    weighted: bool | None = None,
    ran: Mapping[str, Any] | None = None,
    cost: float | None = None,
    calls: int = 0,
    notes: Sequence[str] = (),
    length_controlled: Measure | None = None,
) -> Score:
    """One model's win rate against one reference.

    Args:
        annotations: all of one model, reference and judge, at most one for each instruction.
        benchmark: its name on the command line.
        weighted: whether the preferences are AlpacaEval 2's, whose number has another name since it is no number of
            the same; None: as `are_weighted` says of the annotations.
        ran: what was run, for the record.
        cost: US dollars.
        calls: of the judge.
        notes: sentences to keep with it.
        length_controlled: that win rate (see `evolute.evaluate.judged.controlled`), told beside.

    Raises:
        InputError: there is no annotation, or they are of several models, references or judges, or one comes twice.
    """
    model, reference, judge = _sides(annotations)
    items = [_item(one) for one in annotations]
    n = sum(item.score is not None for item in items)
    found = rates(one.preference for one in annotations)
    enough = covered(n, len(items))
    also = {"discrete win rate": _wilson(found)} if enough else {}
    if enough and length_controlled is not None:
        also["length-controlled win rate"] = length_controlled
    return Score(
        benchmark=benchmark,
        model=model,
        metric=WEIGHTED if (are_weighted(annotations) if weighted is None else weighted) else "win rate",
        scale="%",
        measure=_measure(found) if enough else Measure(),
        n=n,
        unscored=len(items) - n,
        against=reference,
        judge=judge,
        outcome=Outcome(found.n_wins, found.n_draws, found.n_wins_base),
        parts=_parts(annotations),
        also=also,
        notes=[*notes, *unscored_note(len(items) - n, len(items)), *_judge_notes(annotations)],
        items=items,
        ran=dict(ran or {}),
        cost=cost,
        calls=calls,
    )


def _sides(annotations: Sequence[Annotation]) -> tuple[str, str, str]:
    if not annotations:
        raise InputError("no annotation to sum up")
    sides = {(one.model, one.reference, one.judge) for one in annotations}
    if len(sides) > 1:
        raise InputError(f"annotations of different models, references or judges are not one result: {sorted(sides)}")
    seen: set[str] = set()
    for one in annotations:
        if one.instruction in seen:
            raise InputError(f"instruction {one.instruction!r} is judged twice: leave one out")
        seen.add(one.instruction)
    return sides.pop()


def _item(one: Annotation) -> Item:
    if one.preference is None:
        return Item(one.instruction, None, one.groups, f"{one.why}: {one.text}")
    return Item(one.instruction, 100 * (one.preference - 1), one.groups)


def _measure(found: Rates) -> Measure:
    """The win rate with a t interval, or Wilson's where items are few."""
    if found.win_rate is None:
        return Measure()
    if found.n_total < FEW or not found.standard_error:
        low, high = wilson(found.win_rate / 100 * found.n_total, found.n_total)
        return Measure(found.win_rate, 100 * low, 100 * high, "Wilson")
    half = student(found.n_total - 1) * found.standard_error
    return Measure(
        found.win_rate, max(0.0, found.win_rate - half), min(100.0, found.win_rate + half), "standard error, t"
    )


def _wilson(found: Rates) -> Measure:
    low, high = wilson(found.n_wins + found.n_draws / 2, found.n_total)
    return Measure(found.discrete_win_rate, 100 * low, 100 * high, "Wilson")


def _parts(annotations: Iterable[Annotation]) -> list[Part]:
    groups: dict[tuple[str, str], list[float | None]] = {}
    for one in annotations:
        for group in one.groups.items():
            groups.setdefault(group, []).append(one.preference)
    parts = []
    for (by, name), preferences in groups.items():
        found = rates(preferences)
        outcome = Outcome(found.n_wins, found.n_draws, found.n_wins_base)
        parts.append(Part(by, name, _measure(found), found.n_total, len(preferences) - found.n_total, outcome))
    return parts


def _judge_notes(annotations: Sequence[Annotation]) -> list[str]:
    scored = [(one, _discrete(one.preference)) for one in annotations if one.preference is not None]
    firsts = [value if one.switched else 1 - value for one, value in scored if one.switched is not None]
    leads = [(float(one.lengths[0] - one.lengths[1]), value) for one, value in scored if one.lengths]
    correlation = length_correlation([lead for lead, _ in leads], [value for _, value in leads])
    return told(None, first_bias(firsts), length_bias(leads), correlation)


def _discrete(preference: float) -> float:
    return 0.5 if preference == 1.5 else float(preference > 1.5)

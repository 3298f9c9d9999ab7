"""Two answers scored of ten side by side: the protocol of Vicuna (2023), and of the WizardLM test set."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Any

from evolute.errors import InputError
from evolute.evaluate.judged.biases import consistency, first_bias, length_bias, length_correlation, means, told
from evolute.evaluate.judged.gathering import averaged, covered, outcome_of, unscored_note, won
from evolute.evaluate.statistics import bootstrap_macro, ratio_interval, wilson
from evolute.scores import Item, Measure, Outcome, Part, Score

BAND = "difficulty band"
"""A grouping that follows from the difficulty: from 8 of 10 on (WizardLM, arXiv:2304.12244), and the rest."""
HARD = 8


@dataclass(frozen=True, slots=True)
class Review:
    """One judgment of two answers to a question.

    Args:
        question: the question's id.
        model: whose result this is, and its `opponent`.
        scores: (the model's, the opponent's), whoever was shown first; None where they cannot be read.
        first: which of the two was shown first.
        groups: what the question belongs to: {"skill": "Math", "difficulty": "3"}.
        judge: who judged.
        text: what the judge said.
        why: why it is unscored.
        lengths: characters of (the model's answer, the opponent's), if known.
    """

    question: str
    model: str
    opponent: str
    scores: tuple[float, float] | None
    first: str
    groups: Mapping[str, str] = field(default_factory=dict)
    judge: str = ""
    text: str = ""
    why: str = ""
    lengths: tuple[int, int] | None = None


def summarise(
    reviews: Sequence[Review],
    *,
    benchmark: str = "vicuna",
    seed: int = 0,
    ran: Mapping[str, Any] | None = None,
    cost: float | None = None,
    calls: int = 0,
    notes: Sequence[str] = (),
) -> Score:
    """What one model came to against one opponent.

    The headline is the sum of the model's scores over the sum of the opponent's, in per cent, over questions; a
    question that was judged in both orders counts with the mean of both, and is unscored where either is. Beside it
    are the mean over groups ("macro"), which gives a small skill as much weight as a large one, and the mean scores.

    Args:
        reviews: all of one model, opponent and judge, at most one for each question and order.
        benchmark: its name on the command line.
        seed: of the bootstrap.
        ran: what was run, for the record.
        cost: US dollars.
        calls: of the judge.
        notes: sentences to keep with it.

    Raises:
        InputError: there is no review, or they are of several models, opponents or judges, or one comes twice.
    """
    model, opponent, judge = _sides(reviews)
    items = _items(reviews)
    scored = [item for item in items if item.weights is not None]
    enough = covered(len(scored), len(items))
    return Score(
        benchmark=benchmark,
        model=model,
        metric="ratio of summed scores",
        scale="ratio",
        measure=_ratio(scored, seed) if enough else Measure(),
        n=len(scored),
        unscored=len(items) - len(scored),
        against=opponent,
        judge=judge,
        outcome=_outcome(scored),
        parts=_parts(items, seed),
        also=_also(items, scored, seed) if enough else {},
        notes=[*notes, *unscored_note(len(items) - len(scored), len(items)), *_judge_notes(reviews)],
        items=items,
        ran=dict(ran or {}),
        cost=cost,
        calls=calls,
    )


def _sides(reviews: Sequence[Review]) -> tuple[str, str, str]:
    if not reviews:
        raise InputError("no review to sum up")
    sides = {(review.model, review.opponent, review.judge) for review in reviews}
    if len(sides) > 1:
        raise InputError(
            f"reviews of different models, opponents or judges cannot be summed up as one: {sorted(sides)}"
        )
    seen: set[tuple[str, str]] = set()
    for review in reviews:
        if (key := (review.question, review.first)) in seen:
            raise InputError(f"question {review.question!r} is judged twice with {review.first!r} first: leave one out")
        seen.add(key)
    return sides.pop()


def _items(reviews: Iterable[Review]) -> list[Item]:
    questions: dict[str, list[Review]] = {}
    for review in reviews:
        questions.setdefault(review.question, []).append(review)
    return [_item(question, said) for question, said in questions.items()]


def _item(question: str, said: Sequence[Review]) -> Item:
    groups = dict(said[0].groups)
    if groups.get("difficulty", "").isdecimal():
        groups[BAND] = f">= {HARD}" if int(groups["difficulty"]) >= HARD else f"< {HARD}"
    scores = [review.scores for review in said if review.scores is not None]
    if len(scores) < len(said):
        why = "; ".join(f"{review.why}: {review.text}" for review in said if review.scores is None)
        return Item(question, None, groups, why)
    ours, theirs = (fsum(pair[side] for pair in scores) / len(scores) for side in (0, 1))
    if not theirs:
        why = "the opponent's score is 0: no ratio of this question alone, though its points are in the sums"
        return Item(question, None, groups, why, weights=(ours, theirs))
    return Item(question, 100 * ours / theirs, groups, weights=(ours, theirs))


def _columns(items: Iterable[Item]) -> tuple[list[float], list[float]]:
    pairs = [item.weights for item in items if item.weights is not None]
    return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]


def _ratio(scored: Sequence[Item], seed: int) -> Measure:
    ours, theirs = _columns(scored)
    if not fsum(theirs):
        return Measure()
    bounds, how = ratio_interval(ours, theirs, seed)
    if bounds and bounds[0] == bounds[1]:  # nothing varies, so that nothing is known of how it might
        bounds = None
    low, high = (100 * bounds[0], 100 * bounds[1]) if bounds and all(map(_finite, bounds)) else (None, None)
    return Measure(100 * fsum(ours) / fsum(theirs), low, high, how if low is not None else "")


def _finite(value: float) -> bool:
    return abs(value) < float("inf")


def _outcome(scored: Iterable[Item]) -> Outcome:
    return outcome_of(won(*item.weights) for item in scored if item.weights is not None)


def _grouped(items: Iterable[Item]) -> dict[tuple[str, str], list[Item]]:
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        for group in item.groups.items():
            groups.setdefault(group, []).append(item)
    return groups


def _parts(items: Sequence[Item], seed: int) -> list[Part]:
    parts = []
    for (by, name), group in _grouped(items).items():
        scored = [item for item in group if item.weights is not None]
        parts.append(Part(by, name, _ratio(scored, seed), len(scored), len(group) - len(scored), _outcome(scored)))
    return parts


def _also(items: Sequence[Item], scored: Sequence[Item], seed: int) -> dict[str, Measure]:
    ours, theirs = _columns(scored)
    outcomes = [won(*pair) for pair in zip(ours, theirs, strict=True)]
    share = fsum(outcomes) / len(outcomes)
    low, high = wilson(fsum(outcomes), len(outcomes))
    also = {"micro average (summed scores)": _ratio(scored, seed)}
    for by in dict.fromkeys(name for item in items for name in item.groups):
        if (macro := _macro(scored, by, seed)) is not None:
            also[f"macro average over {by}"] = macro
    return also | {
        "mean score": averaged(ours, 10),
        "mean score of the opponent": averaged(theirs, 10),
        "win rate, ties as halves (%)": Measure(100 * share, 100 * low, 100 * high, "Wilson"),
    }


def _macro(scored: Sequence[Item], by: str, seed: int) -> Measure | None:
    groups = [_columns(group) for (name, _), group in _grouped(scored).items() if name == by]
    if not groups or not all(fsum(theirs) for _, theirs in groups):
        return None
    ratios = [fsum(ours) / fsum(theirs) for ours, theirs in groups]
    low, high = bootstrap_macro(groups, seed)
    if min(len(theirs) for _, theirs in groups) < 2 or not (_finite(low) and _finite(high)):  # one item has no spread
        return Measure(100 * fsum(ratios) / len(ratios))
    return Measure(100 * fsum(ratios) / len(ratios), 100 * low, 100 * high, "bootstrap within groups")


def _judge_notes(reviews: Sequence[Review]) -> list[str]:
    scored = [(review, won(*review.scores)) for review in reviews if review.scores is not None]
    orders: dict[Hashable, dict[bool, float]] = {}
    for review, value in scored:
        orders.setdefault(review.question, {})[review.first == review.model] = value
    both = [(said[True], said[False]) for said in orders.values() if len(said) == 2]
    firsts = means((review.question, value if review.first == review.model else 1 - value) for review, value in scored)
    drawn = len({review.first for review in reviews}) > 1
    values = means((review.question, value) for review, value in scored)
    lengths = {review.question: review.lengths for review, _ in scored if review.lengths}
    leads = [(float(ours - theirs), values[question]) for question, (ours, theirs) in lengths.items()]
    return told(
        consistency(both),
        first_bias(firsts.values()) if drawn else None,
        length_bias(leads),
        length_correlation([lead for lead, _ in leads], [value for _, value in leads]),
    )

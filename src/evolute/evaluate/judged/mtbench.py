"""MT-Bench: two turns, graded one answer at a time or two side by side (Zheng et al. 2023, arXiv:2306.05685)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evolute.errors import InputError
from evolute.evaluate.judged.biases import consistency, first_bias, means, told
from evolute.evaluate.judged.gathering import averaged, covered, outcome_of, unscored_note
from evolute.evaluate.statistics import wilson
from evolute.scores import Item, Measure, Part, Score

Side = Literal["win", "tie", "loss"]
"""What a verdict means for the model."""
_WORTH: Mapping[Side, float] = {"win": 1.0, "tie": 0.5, "loss": 0.0}


@dataclass(frozen=True, slots=True)
class Grade:
    """A score of ten for one turn's answer; `score` is None, and `why` says so, where it cannot be read."""

    question: str
    turn: int
    category: str
    model: str
    judge: str
    score: float | None
    text: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Duel:
    """Two answers to one turn, judged twice.

    Args:
        question: the question's id.
        turn: 1 or 2.
        category: of the question.
        model: whose result this is, and its `opponent`.
        verdicts: for the model, (shown first, shown second); None where there is none to be read.
        judge: who judged.
        texts: what the judge said, in that order.
        why: why it is unscored.
    """

    question: str
    turn: int
    category: str
    model: str
    opponent: str
    verdicts: tuple[Side | None, Side | None]
    judge: str = ""
    texts: tuple[str, str] = ("", "")
    why: str = ""

    @property
    def side(self) -> Side | None:
        """What both verdicts come to: theirs where they agree, else a tie; None where either is missing."""
        first, second = self.verdicts
        if first is None or second is None:
            return None
        return first if first == second else "tie"


def summarise_grades(
    grades: Sequence[Grade],
    *,
    benchmark: str = "mt-bench",
    ran: Mapping[str, Any] | None = None,
    cost: float | None = None,
    calls: int = 0,
    notes: Sequence[str] = (),
) -> Score:
    """One model's MT-Bench score: the mean over the scored judgments of both turns, as FastChat takes it.

    Both turns of a question are one cluster, in the interval and in the standard error.

    Args:
        grades: all of one model and judge, at most one for each question and turn.
        benchmark: its name on the command line.
        ran: what was run, for the record.
        cost: US dollars.
        calls: of the judge.
        notes: sentences to keep with it.

    Raises:
        InputError: there is no grade, or they are of several models or judges, or one comes twice.
    """
    model, judge = _one("grades", {(grade.model, grade.judge) for grade in grades})
    _check_once((grade.question, grade.turn) for grade in grades)
    items = [
        Item(
            id=f"{grade.question}:{grade.turn}",
            score=grade.score,
            groups={"category": grade.category, "turn": str(grade.turn)},
            why="" if grade.score is not None else f"{grade.why}: {grade.text}",
            cluster=grade.question,
        )
        for grade in grades
    ]
    scored = [item for item in items if item.score is not None]
    enough = covered(len(scored), len(items))
    unscored = len(items) - len(scored)
    return Score(
        benchmark=benchmark,
        model=model,
        metric="mean score",
        scale="points",
        measure=_points(scored) if enough else Measure(),
        n=len(scored),
        unscored=unscored,
        judge=judge,
        parts=_parts(items),
        notes=[*notes, *unscored_note(unscored, len(items))],
        items=items,
        ran=dict(ran or {}),
        cost=cost,
        calls=calls,
    )


def summarise_duels(
    duels: Sequence[Duel],
    *,
    benchmark: str = "mt-bench",
    ran: Mapping[str, Any] | None = None,
    cost: float | None = None,
    calls: int = 0,
    notes: Sequence[str] = (),
) -> Score:
    """One model against one opponent, each answer judged in both orders.

    A verdict that both orders agree on counts, a disagreement is a tie, and a row with an unreadable verdict is
    unscored (FastChat leaves it out as well). The headline is FastChat's adjusted win rate, ties as halves; the plain
    win rate is beside it.

    Args:
        duels: all of one model, opponent and judge, at most one for each question and turn.
        benchmark: its name on the command line.
        ran: what was run, for the record.
        cost: US dollars.
        calls: of the judge.
        notes: sentences to keep with it.

    Raises:
        InputError: there is no duel, or they are of several models, opponents or judges, or one comes twice.
    """
    model, opponent, judge = _one("duels", {(duel.model, duel.opponent, duel.judge) for duel in duels})
    _check_once((duel.question, duel.turn) for duel in duels)
    items = [_item(duel) for duel in duels]
    scored = [item for item in items if item.score is not None]
    unscored, enough = len(items) - len(scored), covered(len(scored), len(items))
    outcome = outcome_of((item.score or 0.0) / 100 for item in scored)
    low, high = wilson(outcome.wins, len(scored)) if scored else (0.0, 1.0)
    wins = Measure(100 * outcome.wins / len(scored), 100 * low, 100 * high, "Wilson") if enough else Measure()
    return Score(
        benchmark=benchmark,
        model=model,
        metric="adjusted win rate",
        scale="%",
        measure=_points(scored, duelled=True) if enough else Measure(),
        n=len(scored),
        unscored=unscored,
        against=opponent,
        judge=judge,
        outcome=outcome,
        parts=_parts(items, duelled=True),
        also={"win rate": wins},
        notes=[*notes, *unscored_note(unscored, len(items)), *_judge_notes(duels)],
        items=items,
        ran=dict(ran or {}),
        cost=cost,
        calls=calls,
    )


def _item(duel: Duel) -> Item:
    groups = {"category": duel.category, "turn": str(duel.turn)}
    score = None if duel.side is None else 100 * _WORTH[duel.side]
    why = "" if score is not None else f"{duel.why}: {' | '.join(duel.texts)}"
    return Item(f"{duel.question}:{duel.turn}", score, groups, why, cluster=duel.question)


def _judge_notes(duels: Iterable[Duel]) -> list[str]:
    pairs = [(duel.question, _WORTH[one], _WORTH[two]) for duel in duels for one, two in [duel.verdicts] if one and two]
    firsts = means((question, (one + 1 - two) / 2) for question, one, two in pairs)
    return told(consistency((one, two) for _, one, two in pairs), first_bias(firsts.values()), None)


def _one(what: str, sides: set[tuple[str, ...]]) -> tuple[str, ...]:
    if not sides:
        raise InputError(f"no {what} to sum up")
    if len(sides) > 1:
        raise InputError(f"{what} of different models or judges cannot be summed up as one: {sorted(sides)}")
    return sides.pop()


def _check_once(keys: Iterable[Hashable]) -> None:
    seen: set[Hashable] = set()
    for key in keys:
        if key in seen:
            raise InputError(f"question and turn {key!r} are judged twice: leave one out")
        seen.add(key)


def _points(scored: Sequence[Item], duelled: bool = False) -> Measure:
    values, clusters = [item.score or 0.0 for item in scored], [item.cluster for item in scored]
    if duelled and len(set(values)) == 1:  # no spread to reckon an error from
        low, high = wilson(sum(values) / 100, len(values))
        return Measure(values[0], 100 * low, 100 * high, "Wilson")
    return averaged(values, 100 if duelled else 10, clusters)


def _parts(items: Sequence[Item], duelled: bool = False) -> list[Part]:
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        for key in item.groups.items():
            groups.setdefault(key, []).append(item)
    parts = []
    for (by, name), group in sorted(groups.items(), key=lambda entry: entry[0][0]):
        scored = [item for item in group if item.score is not None]
        outcome = outcome_of((item.score or 0.0) / 100 for item in scored) if duelled else None
        parts.append(Part(by, name, _points(scored, duelled), len(scored), len(group) - len(scored), outcome))
    return parts

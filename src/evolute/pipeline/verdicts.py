"""A judge's replies to a contest, summed up as a score and written as others write theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from evolute import __version__
from evolute.errors import MissingExtra
from evolute.evaluate.judged import alpaca, mtbench, vicuna
from evolute.evaluate.judged.alpaca import Annotation
from evolute.evaluate.judged.annotations import annotation_rows, as_list
from evolute.evaluate.judged.answers import AnswerSet
from evolute.evaluate.judged.biases import consistency, told
from evolute.evaluate.judged.contests import Contest, Reply, as_annotations, as_duels, as_grades, as_reviews, orders_of
from evolute.evaluate.judged.controlled import REFERENCE, Controlled, read_control
from evolute.evaluate.judged.fastchat import as_lines, duel_rows, grade_rows, review_rows
from evolute.evaluate.judged.mtbench import Duel, Grade
from evolute.evaluate.judged.questions import QuestionSet
from evolute.evaluate.judged.vicuna import Review
from evolute.evaluate.statistics import cohen_kappa, krippendorff_alpha
from evolute.pipeline.judgement import Judgement
from evolute.recipe import ModelSpec
from evolute.scores import Item, Score

_NAMED = 3
"""Unknown answers of a file that are told by name."""


@dataclass(frozen=True)
class Verdicts:
    """One judge's replies, by the case's id."""

    contest: Contest
    judge: ModelSpec
    replies: Mapping[str, Reply]

    @cached_property
    def reviews(self) -> list[Review]:
        """As pairs of scores."""
        return as_reviews(self.contest, self.replies, self.judge.model)

    @cached_property
    def grades(self) -> list[Grade]:
        """As ratings of single answers."""
        return as_grades(self.contest, self.replies, self.judge.model)

    @cached_property
    def duels(self) -> list[Duel]:
        """As verdicts on pairs, in both orders."""
        return as_duels(self.contest, self.replies, self.judge.model)

    @cached_property
    def annotations(self) -> list[Annotation]:
        """As preferences."""
        return as_annotations(self.contest, self.replies, self.judge.model)

    def file_name(self, place: int) -> str:
        """Of the first judge's verdicts, and of a further one's; AlpacaEval reads a JSON list."""
        stem = "annotations" if self.contest.benchmark == "alpaca-eval" else "judgments"
        number = f"-{place + 1}" if place else ""
        return f"{stem}{number}.{'json' if stem == 'annotations' else 'jsonl'}"

    def as_file(self) -> bytes:
        """The verdicts with their texts, in AlpacaEval's format or FastChat's: what `--judgments` reads."""
        contest = self.contest
        if contest.benchmark == "alpaca-eval":
            texts = {question.id: question.turns[0] for question in contest.questions}
            rows = annotation_rows(self.annotations, texts)
            return as_list(rows)
        if contest.benchmark != "mt-bench":
            return as_lines(review_rows(self.reviews))
        prompts = {f"{case.question.id}:{case.turn}": case.prompt.name for case in contest.cases()}
        if contest.theirs is None:
            return as_lines(grade_rows(self.grades, prompts))
        return as_lines(duel_rows(self.duels, prompts))


def sum_up(verdicts: Verdicts, config: Judgement, questions: QuestionSet, cost: float | None, calls: int) -> Score:
    """The score that a judge's replies come to; `cost` (US dollars) and `calls` are of the whole evaluation."""
    contest, replies = verdicts.contest, verdicts.replies
    about: dict[str, Any] = {
        "ran": _ran(verdicts, config, questions), "cost": cost, "calls": calls, "benchmark": contest.benchmark,
    }  # fmt: skip
    if contest.benchmark == "alpaca-eval":
        notes = told(consistency(orders_of(contest, replies)), None, None) if contest.order == "both" else []
        controlled = None
        try:
            if (controlled := _controlled(verdicts, config)) is not None:
                notes.append(f"length-controlled win rate: {controlled.how}")
        except MissingExtra as error:  # all is paid for: the rest of the result is told
            notes.append(f"no length-controlled win rate: {error}")
        measure = controlled.measure if controlled is not None else None
        weighted = any(contest.choose(one.groups, 1).reads != "ranking" for one in contest.questions)
        return alpaca.summarise(
            verdicts.annotations, **about, notes=notes, weighted=weighted, length_controlled=measure
        )
    if contest.benchmark != "mt-bench":
        return vicuna.summarise(verdicts.reviews, **about, seed=config.seed)
    if contest.theirs is None:
        return mtbench.summarise_grades(verdicts.grades, **about)
    return mtbench.summarise_duels(verdicts.duels, **about)


def _controlled(verdicts: Verdicts, config: Judgement) -> Controlled | None:
    """Only of all instructions and against AlpacaEval 2's reference, where the data have what the fit needs."""
    theirs, home = verdicts.contest.theirs, Path(config.data)
    if theirs is None or theirs.name != REFERENCE or config.limit is not None:
        return None
    control = read_control(home if home.is_dir() else home.parent)
    return control.fitted(verdicts.annotations) if control is not None else None


def _ran(verdicts: Verdicts, config: Judgement, questions: QuestionSet) -> dict[str, Any]:
    """Exactly what was run."""
    contest = verdicts.contest
    prompts = {
        prompt.name: {"hash": prompt.hash, "source": prompt.source}
        for question in contest.questions
        for turn in range(1, len(question.turns) + 1)
        if (prompt := contest.choose(question.groups, turn))
    }
    return {
        "evolute": __version__,
        "questions": {"source": questions.source, "sha256": questions.sha256, "n": len(questions.questions)},
        "judge": verdicts.judge.decisive(),
        "judge_sampling": config.judging(verdicts.judge),
        "judge_prompts": prompts,
        "order": contest.order if contest.theirs is not None else "",
        "answers": _answered(contest.ours, config.model, config.answering(config.temperature)),
        "opponent": contest.theirs
        and _answered(
            contest.theirs,
            config.opponent,
            config.answering(
                config.temperature if config.opponent_temperature is None else config.opponent_temperature
            ),
        ),
        "system": config.system,
        "format": config.format,
        "seed": config.seed,
        "reading": config.reading,
    }


def _answered(side: AnswerSet, spec: ModelSpec | None, sampling: Mapping[str, Any]) -> dict[str, Any]:
    if spec is None:
        return {"file": side.source, "sha256": side.sha256}
    return {"model": spec.decisive(), "sampling": dict(sampling)}


def told_of(role: str, side: AnswerSet, wanted: int) -> Iterator[str]:
    """What is to be known of answers before they are judged."""
    if side.missing:
        question, why = next(iter(side.missing.items()))
        yield (
            f"{side.name} ({role}): no whole answer to {len(side.missing):,} of {wanted:,} questions, which are left "
            f"unscored; question {question}: {why}"
        )
    if side.unknown:
        names = ", ".join(repr(name) for name in side.unknown[:_NAMED])
        more = " …" if len(side.unknown) > _NAMED else ""
        yield f"{side.source}: {len(side.unknown):,} answers to no question of these are left out: {names}{more}"


def agreed(scores: Sequence[Score]) -> Score:
    """The first judge's score; with several, beside it what the others say, and how far they agree."""
    first, *others = scores
    if not others:
        return first
    also = {f"{first.metric} by {other.judge}": other.measure for other in others}
    return replace(first, also={**first.also, **also}, notes=[*first.notes, *_agreement(scores)])


def _agreement(scores: Sequence[Score]) -> Iterator[str]:
    """Agreement on wins, ties and losses; on the points themselves where answers are graded alone."""
    graded = scores[0].outcome is None
    columns = [[_value(score, item, graded) for item in score.items] for score in scores]
    alpha = krippendorff_alpha(columns, "interval" if graded else "nominal")
    what = "points" if graded else "wins, ties and losses"
    if alpha is not None:
        yield f"agreement of {len(scores)} judges on {what}: Krippendorff's alpha {alpha:+.2f}"
    for place, other in enumerate(scores[1:], 1):
        both = [pair for pair in zip(columns[0], columns[place], strict=True) if None not in pair]
        if graded or not both:
            continue
        share = sum(one == two for one, two in both) / len(both)
        kappa = cohen_kappa([one for one, _ in both], [two for _, two in both])
        by_chance = "" if kappa is None else f", Cohen's kappa {kappa:+.2f}"
        yield f"{scores[0].judge} and {other.judge} agree on {100 * share:.1f} % of {len(both)}{by_chance}"


def _value(score: Score, item: Item, graded: bool) -> float | None:
    if graded:
        return item.score
    if item.weights is not None:
        ours, theirs = item.weights
        return float((ours > theirs) - (ours < theirs))
    return None if item.score is None else float((item.score > 50) - (item.score < 50))

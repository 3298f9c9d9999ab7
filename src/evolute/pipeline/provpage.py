"""What a proof came to, put together for its page: differences, the sentence, and what each arm took."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from evolute import __version__
from evolute.pipeline.provanswers import Answered, Spent
from evolute.pipeline.provarms import TrainedArm
from evolute.pipeline.provpools import SEEDS, Arm, Split, Versus
from evolute.pipeline.provrule import RULE, Gain, by_arm, gain, gains_by_group, groupings, verdict_of
from evolute.pipeline.provscores import BASE
from evolute.recipe.proving import LOSS, Proving
from evolute.recipe.trainingfiles import resolve_training
from evolute.report.proof import ArmCost, Compared, Line, Proof, gain_interval
from evolute.report.proof import gain as shown_gain
from evolute.report.scorecard import Scorecard, Side
from evolute.scores import Score

_MOST_GROUPS = 60
"""A grouping with more groups than this is no grouping to read."""
_UNEQUAL = 0.05
"""A part of the tokens by which arms of equal tokens may differ without a word."""
Scores = Mapping[str, Mapping[str, Score]]


def proof_of(
    proving: Proving, split: Split, evolving: Spent, kept: int, answered: Answered, arms: Mapping[str, Arm],
    versus: Sequence[Versus], trained: Sequence[TrainedArm], card: Scorecard,
) -> Proof:  # fmt: skip
    """Everything the page shows."""
    scores = {side.label: side.scores for side in card.sides}
    labels = {name: [one.model.label for one in trained if one.arm == name] for name in arms}
    compared = [_compared(one, labels, scores, proving.seed) for one in versus]
    verdict, sentence = sentence_of(compared, proving.evaluation.main)
    if proving.demonstration:
        sentence = f"A demonstration, and no evidence: by the rule, {sentence[0].lower()}{sentence[1:]}"
    base = find_side(card.sides, BASE)
    return Proof(
        title=proving.name,
        version=__version__,
        demonstration=proving.demonstration,
        verdict=verdict,
        sentence=sentence,
        rule=RULE,
        main=proving.evaluation.main,
        compared=compared,
        arms=[_cost(arm, evolving, kept, answered, trained, proving) for arm in arms.values()],
        sides=[*base, *(side for side in card.sides if side.label != BASE)],
        facts=list(_facts(proving, split, answered)),
        warnings=list(_warnings(proving, arms, versus, trained, compared)),
        left_out=card.left_out,
        ran=_public(proving),
    )


def find_side(sides: Sequence[Side], label: str) -> list[Side]:
    """The side of that label, if there is one."""
    return [side for side in sides if side.label == label]


def _compared(one: Versus, labels: Mapping[str, Sequence[str]], scores: Scores, seed: int) -> Compared:
    lines, groups = [], []
    for benchmark in dict.fromkeys(name for held in scores.values() for name in held):
        ours, theirs = (by_arm(scores, labels[name], benchmark) for name in (one.one, one.other))
        if ours is None or theirs is None:
            continue
        lines.append(_line(benchmark, ours[0].scale, gain(ours, theirs, seed)))
        for by in groupings(ours[0]):
            found = gains_by_group(ours, theirs, by, seed)
            if 1 < len(found) <= _MOST_GROUPS:
                groups += [
                    _line(benchmark, ours[0].scale, each, f"{by} {name}") for name, each in sorted(found.items())
                ]
    return Compared(one.name, one.one, one.other, one.equal, one.main, lines, groups)


def _line(benchmark: str, scale: str, found: Gain, group: str = "") -> Line:
    return Line(
        benchmark, scale, found.measure, found.n, found.independent, found.verdict, group, found.needed, found.least,
        found.by_training, found.why,
    )  # fmt: skip


def sentence_of(compared: Sequence[Compared], main: str) -> tuple[str, str]:
    """The verdict by `RULE`, and the plain sentence."""
    lines = [(one, next((line for line in one.lines if line.benchmark == main), None)) for one in compared if one.main]
    found = [(one, line) for one, line in lines if line is not None and line.measure.value is not None]
    if len(found) < len(lines) or not found:
        why = next((line.why for _, line in lines if line is not None and line.why), f"{main} has no number")
        return "cannot be told", f"It cannot be told whether it helped: {why}."
    verdict = verdict_of([_gain(line) for _, line in found])
    told = " and ".join(f"{_told(line)} with {one.name}" for one, line in found)
    if verdict != "cannot be told":
        better = "better" if verdict == "helped" else "worse"
        return verdict, f"It {verdict}: by {main}, training on the evolved set was {better} than on its seeds, {told}."
    return verdict, f"It cannot be told whether it helped: by {main}, the difference is {told}. {_wanting(found)}"


def _wanting(found: Sequence[tuple[Compared, Line]]) -> str:
    """Why it cannot be told, and how many items it would take."""
    said = {line.verdict for _, line in found}
    if len(said) > 1:
        alone = "; ".join(f"with {one.name} alone it says: {line.verdict}" for one, line in found)
        return f"The two do not agree ({alone}).{_doubtful(found)}"
    if any(_clear(line) for _, line in found):
        return "The interval excludes 0, but the trainings do not agree on the sign."
    items = max(line.independent for _, line in found)
    if any(line.needed is None for _, line in found):
        return f"Nothing varies over these {items:,} items: more of them are needed to tell anything."
    needed = max(line.needed or 0 for _, line in found)
    return f"If it is as large as it looks, {_many(needed)} items would be needed to tell; there were {items:,}."


def _doubtful(found: Sequence[tuple[Compared, Line]]) -> str:
    """How many items the one of two that cannot be told would need."""
    one, line = next(((one, line) for one, line in found if line.verdict == "cannot be told"), (None, None))
    if one is None or line is None or line.needed is None or _clear(line):
        return ""
    return f" Were the difference with {one.name} as large as it looks, {_many(line.needed)} items would be needed."


def _many(items: int) -> str:
    return "more than a million" if items > 1_000_000 else f"about {items:,}"


def _clear(line: Line) -> bool:
    low, high = line.measure.low, line.measure.high
    return low is not None and high is not None and (low > 0 or high < 0)


def _gain(line: Line) -> Gain:
    return Gain(line.measure, line.n, line.independent, line.by_training)


def _told(line: Line) -> str:
    unit = {"nats": " nats a token", "points": " points"}.get(line.scale, " percentage points")
    bounds = gain_interval(line)
    return f"{shown_gain(line.measure.value, line.scale)}{unit}" + (f" ({bounds})" if bounds else "")


def _cost(
    arm: Arm, evolving: Spent, kept: int, answered: Answered, trained: Sequence[TrainedArm], proving: Proving
) -> ArmCost:
    own = [one for one in trained if one.arm == arm.name]
    spent, epochs = answered.spent_on(arm.examples), _epochs(proving)
    part = sum(one.row.round > 0 for one in arm.examples) / kept if kept else 0.0
    losses = [one.loss for one in own if one.loss is not None]
    return ArmCost(
        name=arm.name,
        examples=len(arm.examples),
        tokens=arm.tokens,
        answer_calls=spent.calls,
        answer_tokens=spent.tokens,
        answer_cost=spent.cost,
        evolving_calls=round(part * evolving.calls),
        evolving_tokens=round(part * evolving.tokens),
        evolving_cost=None if evolving.cost is None else part * evolving.cost,
        trainings=len(own),
        steps=round(_mean([one.steps for one in own])),
        trained_tokens=round(epochs * _mean([one.tokens for one in own])),
        seconds=_mean([one.seconds for one in own]),
        loss=_mean(losses) if losses else None,
    )


def _epochs(proving: Proving) -> float:
    return resolve_training(proving.training.recipe, proving.training.settings).epochs


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _facts(proving: Proving, split: Split, answered: Answered) -> Iterator[str]:
    rows = {kind: sum((row.round > 0) is (kind != SEEDS) for row in split.train) for kind in (SEEDS, "evolved")}
    yield (
        f"{split.roots:,} lineages; {split.held_roots:,} of them held out as wholes, drawn by seed {proving.seed}: "
        "no arm is trained on any of their rows"
    )
    yield f"to train on there were {rows[SEEDS]:,} seeds and {rows['evolved']:,} evolved rows"
    for why, count in split.left_out.items():
        yield f"{count:,} rows left out: they {why}" if why.startswith("share") else f"{count:,} rows left out: {why}"
    if proving.contamination:
        yield "rows that share 13 words in a row with an item of the benchmarks that ship were looked for"
    told = ", ".join(f"{why} {count:,}" for why, count in answered.why.items())
    yield (
        f"{len(answered.asked):,} rows were answered anew by {proving.responder.model.model}, seeds and evolved ones "
        f"alike; {len(answered.unusable):,} answers could not be used{f' ({told})' if told else ''}, and the next rows "
        "of their pools took their places"
    )


def _warnings(
    proving: Proving, arms: Mapping[str, Arm], versus: Sequence[Versus], trained: Sequence[TrainedArm],
    compared: Sequence[Compared],
) -> Iterator[str]:  # fmt: skip
    for one in versus:
        mine, theirs = arms[one.one].tokens, arms[one.other].tokens
        if one.equal == "tokens" and abs(mine - theirs) > _UNEQUAL * max(mine, theirs):
            yield (
                f"With so few examples the tokens could not be made equal: {one.one} has {mine:,}, {one.other} "
                f"{theirs:,}."
            )
    for done in trained:
        if done.examples != len(arms[done.arm].examples):
            yield (
                f"{done.model.label}: the training took {done.examples:,} of {len(arms[done.arm].examples):,} examples."
            )
    if len(proving.training.seeds) == 1:
        yield (
            "Each arm was trained once: the sentence is about these models, and what chance in training adds is not "
            "known. Give training.seeds several."
        )
    if proving.evaluation.main == LOSS:
        yield (
            "The main measure is a loss: it tells how near the models came to the responder on lineages like those "
            "trained on, and not how good their answers are."
        )
    few = min((line.independent for one in compared for line in one.lines if line.benchmark == proving.evaluation.main
               and line.n), default=0)  # fmt: skip
    if 0 < few < 20:
        yield f"The main measure has {few} independent items only: intervals of so few are wide, and rough."


def _public(proving: Proving) -> dict[str, Any]:
    """The recipe without addresses, headers, names of keys and folders: the page may be shown to anybody."""
    fields = proving.model_dump(mode="json", exclude={"out"})
    fields["responder"]["model"] = proving.responder.model.decisive()
    for name in ("judge", "against"):
        spec = getattr(proving.evaluation, name)
        fields["evaluation"][name] = spec.decisive() if spec is not None else None
    for group, name in (
        (fields, "run"),
        (fields, "base"),
        (fields["evaluation"], "data"),
        (fields["training"], "recipe"),
    ):
        group[name] = PurePath(group[name]).name
    if evolution := fields["evolution"]:
        evolution["recipe"] = PurePath(evolution["recipe"]).name
        evolution["seeds"] = [PurePath(seeds).name for seeds in evolution["seeds"]]
        evolution["settings"] = {path: value for path, value in evolution["settings"].items() if not _private(path)}
    return fields


def _private(path: str) -> bool:
    """Whether a setting by its dotted path may say where a model is, or what opens it."""
    return path.split(".")[0] == "models" and path.split(".")[-1] not in ("api", "model")

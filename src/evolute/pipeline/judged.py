"""Evaluate with a judge: have a model and its opponent answer, or take files of answers; ask the judge, and sum up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.evaluate.judged.answers import AnswerSet, read_answers
from evolute.evaluate.judged.contests import Contest, Reply
from evolute.evaluate.judged.questions import Benchmark, Question, QuestionSet, load_questions
from evolute.evolve.budget import Budget, Limits
from evolute.files import replacing
from evolute.formats import find_format
from evolute.ledger import Ledger
from evolute.models.prices import unit_price
from evolute.pipeline.evolving import Watch
from evolute.pipeline.generating import Answers, Sampling, generate, standing, usable_text
from evolute.pipeline.generating import Question as Asked
from evolute.pipeline.judgement import BASELINE, HEADING, Judgement, resolve_judgement
from evolute.pipeline.settings import check_same, no_format_here, write_settings
from evolute.pipeline.stopping import INTERRUPTED, in_loop
from evolute.pipeline.summary import EVALUATION, RESULTS
from evolute.pipeline.verdicts import Verdicts, agreed, sum_up, told_of
from evolute.recipe import ModelSpec
from evolute.records import Completion, Failure, Message
from evolute.scores import Score

MODEL, OPPONENT = "model", "opponent"
"""The roles under which the ledger lists answers; a judge's is `judge:` and its name."""
ANSWERS = {MODEL: "answers.jsonl", OPPONENT: "opponent.jsonl"}
_RAW_APIS = frozenset({"completions", "scripted"})
"""Those that get the text of a prompt format; others write their own."""
_BASELINES: Mapping[Benchmark, tuple[str, ...]] = {
    "vicuna": ("answer/answer_gpt35.jsonl",),
    "mt-bench": ("model_answer/gpt-3.5-turbo.jsonl",),
    "alpaca-eval": ("model_outputs/text_davinci_003.jsonl.gz", "text_davinci_003.json", "alpaca_eval.json"),
}
_UNASKED = "the answer before it is empty, so that it was not asked for"
_BASELINES_2 = ("model_outputs/gpt4_1106_preview.jsonl.gz", "alpaca_eval_gpt4_baseline.json")
"""Of AlpacaEval 2."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judged evaluation came to.

    `score` is by the first judge, and None where it stopped before every verdict was there; `stopped` says why.
    `others` are by further judges. `calls` and `cost` (US dollars, None where a price is unknown) are those of all
    sessions.
    """

    judgement: Judgement
    folder: Path
    score: Score | None = None
    others: Sequence[Score] = ()
    calls: int = 0
    cost: float | None = None
    stopped: str = ""


def evaluate_judged(
    benchmark: Benchmark,
    model: ModelSpec | None = None,
    *,
    answers: str | Path | None = None,
    against: ModelSpec | str | Path | None = None,
    judge: ModelSpec | Sequence[ModelSpec] | None = None,
    data: str | Path | None = None,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    watch: Watch | None = None,
    say: Callable[[str], None] = lambda remark: None,
) -> Judged:
    """Score a model's answers by a judge: the protocols of Vicuna (2023), WizardLM's test set, MT-Bench, AlpacaEval.

    Every call is recorded in the folder: called again, it goes on where it was stopped, and nothing is paid for twice;
    an answer or a verdict is used again wherever all that decides it is as it was. Works inside a running event loop
    too (a notebook).

    Args:
        benchmark: which questions and protocol; "quick" are a few questions of our own.
        model: who answers.
        answers: a file of answers instead; see `read_answers`.
        against: whose answers they are set against: a model, a file of answers, or "baseline", the benchmark's own
            reference answers from its data. None: MT-Bench grades each answer alone; the others need one.
        judge: who judges; of several the first is the headline.
        data: where the questions are read from; see `load_questions`.
        out: the evaluation's folder.
        settings: further fields of `Judgement`, by dotted path (`{"order": "alternate"}`).
        limits: bounds on cost, calls, tokens and minutes.
        watch: shows the progress.
        say: told what is being done, and what is to be known of the answers.

    Raises:
        InputError: the data, the answers, a field or a bound is wrong, or the folder holds another evaluation.
        LedgerError: the folder is in use, damaged, or cannot be written.
        EndpointError: an endpoint cannot serve; the evaluation is left ready to go on.
    """
    if out is None:
        raise InputError("where to? answers and verdicts are paid for once: give --out FOLDER, where they are kept")
    folder, limits = Path(out), limits or Limits()
    fields = _fields(benchmark, model, answers, against, judge, data) | dict(settings or {})
    judgement, before = resolve_judgement(fields, folder)
    questions = load_questions(judgement.benchmark, judgement.data or None, judgement.limit)
    session = _Session(judgement, questions, folder, limits, watch, say)
    session.check()
    say(f"{len(questions.questions):,} questions from {questions.source}")
    with _recorded(folder, judgement, before) as ledger:
        return session.run(ledger)


def _fields(benchmark: Benchmark, model: ModelSpec | None, answers: str | Path | None,
            against: ModelSpec | str | Path | None, judge: ModelSpec | Sequence[ModelSpec] | None,
            data: str | Path | None) -> dict[str, Any]:  # fmt: skip
    judges = [judge] if isinstance(judge, ModelSpec) else list(judge or ())
    given = {
        "benchmark": benchmark,
        "model": model and model.model_dump(mode="json"),
        "answers": answers and str(answers),
        "opponent": against.model_dump(mode="json") if isinstance(against, ModelSpec) else None,
        "against": None if isinstance(against, ModelSpec) else against and str(against),
        "judges": [one.model_dump(mode="json") for one in judges] or None,
        "data": data and str(data),
    }
    return {name: value for name, value in given.items() if value is not None}


@contextmanager
def _recorded(folder: Path, judgement: Judgement, before: Judgement | None) -> Iterator[Ledger]:
    """The ledger of the evaluation in a folder, if it may go on there."""
    with Ledger(folder) as ledger:
        begun = ledger.has_history or bool(ledger.reader.seed_count())
        if before is None and begun:
            raise InputError(f"{folder} holds a run that is no evaluation: give another --out")
        if before is not None:
            check_same(before.decisive(), judgement.decisive(), folder, "another evaluation")
        write_settings(judgement, folder / EVALUATION, HEADING)
        yield ledger


class _Session:
    """One session of a judged evaluation."""

    def __init__(self, judgement: Judgement, questions: QuestionSet, folder: Path, limits: Limits,
                 watch: Watch | None, say: Callable[[str], None]) -> None:  # fmt: skip
        self._judgement, self._questions, self._folder = judgement, questions, folder
        self._limits, self._watch, self._say = limits, watch, say
        self._choose = judgement.prompts()
        self._specs = {MODEL: judgement.model, OPPONENT: judgement.opponent} | {
            f"judge:{judge.model}": judge for judge in judgement.judges
        }
        self._files = {
            role: self._read(path, name)
            for role, path, name in (
                (MODEL, judgement.answers, judgement.name),
                (OPPONENT, self._opponents_file(), judgement.opponent_name),
            )
            if path
        }
        self._started = time.monotonic()
        self._remarks: list[str] = []

    def check(self) -> None:
        """Look that nothing is wrong that can be known before anything is paid for.

        Raises:
            InputError: something is.
        """
        for judge in self._judgement.judges:
            self._judgement.judging(judge)
        self._check_format()
        for question in self._questions.questions:
            for turn in range(1, len(question.turns) + 1):
                prompt = self._choose(question.groups, turn)
                if prompt.needs_reference and len(question.references) < turn:
                    raise InputError(f"the judge prompt {prompt.name} shows a reference, and {question.id!r} has none")
        for spec in self._specs.values():
            if self._limits.cost is not None and spec is not None and unit_price(spec) is None:
                raise InputError(
                    f"--max-cost needs a price, and none is known for {spec.model!r}: give it in the model's field "
                    "`price` ({input: DOLLARS, output: DOLLARS}, per million tokens), or bound --max-calls"
                )

    def _check_format(self) -> None:
        config = self._judgement
        if not config.format:
            return
        form = find_format(config.format)
        if config.model is not None and form.write is not None and config.model.api == "embedded":
            raise InputError(no_format_here(form.name))
        if config.model is not None and form.write is not None and config.model.api not in _RAW_APIS:
            raise InputError(
                f"the format {form.name!r} writes the whole prompt, which --api {config.model.api} would put into the "
                "endpoint's own chat template: give --api completions, or no --format"
            )
        turns = max(len(question.turns) for question in self._questions.questions)
        spoken = [Message("user", ""), *(turns - 1) * (Message("assistant", ""), Message("user", ""))]
        before = [Message("system", config.system)] if config.system else []
        if form.write is not None and (problem := form.objection([*before, *spoken])):
            raise InputError(problem)

    def run(self, ledger: Ledger) -> Judged:
        """Get what is missing, and sum up, if all is there."""
        specs = {role: spec for role, spec in self._specs.items() if spec is not None}
        budget = Budget(self._limits, standing(ledger.reader, specs, 0))
        if self._limits.cost is not None and budget.progress.cost is None:
            raise InputError(
                f"--max-cost: {self._folder} holds calls of a judge or an opponent that is not of this evaluation any "
                "more, whose price is unknown: bound --max-calls, or give another --out"
            )
        verdicts, stopped = in_loop(lambda: self._work(ledger, budget), lambda: budget.close(INTERRUPTED))
        cost, calls = budget.progress.cost, budget.progress.calls
        if stopped:
            return Judged(self._judgement, self._folder, calls=calls, cost=cost, stopped=stopped)
        scores = [sum_up(one, self._judgement, self._questions, cost, calls) for one in verdicts]
        headline = agreed(scores)
        headline = replace(headline, notes=(*headline.notes, *self._remarks))
        self._write(verdicts, headline, scores[1:])
        return Judged(self._judgement, self._folder, headline, scores[1:], calls, cost)

    async def _work(self, ledger: Ledger, budget: Budget) -> tuple[list[Verdicts], str]:
        """The judges' verdicts; or why there are not all."""
        sides: dict[str, AnswerSet] = {}
        for role in (MODEL, OPPONENT):
            found = self._files.get(role) or await self._answers(ledger, budget, role)
            if isinstance(found, str):
                return [], found
            if found is not None:
                sides[role] = found
        contest = self._contest(sides)
        self._write_answers(sides)
        verdicts = []
        for judge in self._judgement.judges:
            replies = await self._judged(ledger, budget, contest, judge)
            if isinstance(replies, str):
                return [], replies
            verdicts.append(Verdicts(contest, judge, replies))
        return verdicts, ""

    def _contest(self, sides: Mapping[str, AnswerSet]) -> Contest:
        ours, theirs = sides[MODEL], sides.get(OPPONENT)
        if theirs is not None and theirs.name == ours.name:
            warmth = self._judgement.opponent_temperature
            told = "opponent" if warmth is None else f"temperature {warmth:g}"
            theirs = replace(theirs, name=f"{theirs.name} ({told})")
        if theirs is not None and theirs.turns == ours.turns:
            self._remarks.append(f"every answer of {theirs.name} is the same as {ours.name}'s: it is one model twice")
            self._say(self._remarks[-1])
        for role, side in sides.items():
            for remark in told_of(role, side, len(self._questions.questions)):
                self._say(remark)
        config = self._judgement
        return Contest(
            config.benchmark, self._questions.questions, ours, theirs, self._choose, config.shown, config.seed,
            config.reading,
        )  # fmt: skip

    async def _answers(self, ledger: Ledger, budget: Budget, role: str) -> AnswerSet | str | None:
        """What a model answers; why it is not all there; None where there is no model."""
        config, spec = self._judgement, self._specs[role]
        if spec is None:
            return None
        given = config.opponent_temperature if role == OPPONENT else None
        temperature = config.temperature if given is None else given
        before = (Message("system", config.system),) if config.system else ()
        shape = find_format(config.format).shape if config.format and spec.api in _RAW_APIS else None
        asked = [
            Asked(
                question.id,
                (*before, Message("user", question.turns[0])),
                question.turns[1:],
                config.by_question(question.groups, temperature),
                shape,
            )
            for question in self._questions.questions
        ]
        sampling = Sampling(config.answering(temperature), config.seed)
        answers = await self._generate(ledger, budget, spec, asked, sampling, role)
        if stopped := _stopped(answers, "answers"):
            return stopped
        name = (config.name if role == MODEL else config.opponent_name) or spec.model
        if cut := answers.failed[Failure.TRUNCATED.value]:
            self._remarks.append(
                f"{cut:,} answers of {name} were cut off at {config.answer_tokens:,} tokens, and judged as such"
            )
        if empty := answers.failed[Failure.EMPTY.value]:
            self._remarks.append(f"{empty:,} answers of {name} are empty, and judged as such")
        return _answer_set(name, self._questions.questions, answers)

    async def _judged(
        self, ledger: Ledger, budget: Budget, contest: Contest, judge: ModelSpec
    ) -> dict[str, Reply] | str:
        """What a judge says to each case; or why not all is there."""
        asked = [Asked(case.id, case.messages) for case in contest.cases()]
        sampling = Sampling(self._judgement.judging(judge), self._judgement.seed)
        answers = await self._generate(ledger, budget, judge, asked, sampling, f"judge:{judge.model}")
        return _stopped(answers, "verdicts") or {case: _reply(said[-1]) for (case, _), said in answers.said.items()}

    async def _generate(self, ledger: Ledger, budget: Budget, spec: ModelSpec, asked: Sequence[Asked],
                        sampling: Sampling, role: str) -> Answers:  # fmt: skip
        budget.progress.note = f"{role}: {spec.model}" if role in ANSWERS else role
        budget.progress.seeds_total = (budget.progress.seeds_total or 0) + sum(1 + len(one.later) for one in asked)
        if self._limits.minutes is not None:
            left = self._limits.minutes - (time.monotonic() - self._started) / 60
            if left <= 0:
                budget.close(f"--max-minutes {self._limits.minutes:g} is reached")
            else:
                budget.limits = replace(self._limits, minutes=left)
        return await generate(ledger, spec, asked, 1, sampling, budget, self._watch, role=role)

    def _opponents_file(self) -> str:
        config = self._judgement
        if config.against != BASELINE:
            return config.against
        names = _BASELINES_2 if config.annotator == 2 else _BASELINES.get(config.benchmark, ())
        home = Path(config.data)
        folders = (home if home.is_dir() else home.parent, Path(self._questions.source).parent)
        found = next((path for folder in folders for name in names if (path := folder / name).is_file()), None)
        if found is None:
            wanted = f"none of {', '.join(names)} in {folders[0]}" if names else f"{config.benchmark} has none"
            raise InputError(f"--against baseline: {wanted}: give --against FILE or MODEL")
        return str(found)

    def _read(self, path: str, name: str) -> AnswerSet:
        config, asked = self._judgement, {question.id for question in self._questions.questions}
        whole = load_questions(config.benchmark, config.data or None) if config.limit else self._questions
        found = read_answers(Path(path), whole.questions, name)
        if not asked.intersection(found.turns):
            raise InputError(
                f"{path}: no answer in it to any of the questions of {self._questions.source}: neither a question's "
                "text nor its id (question_id, id, idx) is in a row"
            )
        return replace(found, missing={one: why for one, why in found.missing.items() if one in asked})

    def _write_answers(self, sides: Mapping[str, AnswerSet]) -> None:
        """Write what was answered, as FastChat and we read it, with the question's text beside."""
        for role, side in sides.items():
            with replacing(self._folder / ANSWERS[role]) as file:
                for question in self._questions.questions:
                    if (turns := side.turns.get(question.id)) is not None:
                        row: dict[str, Any] = {"question_id": question.id, "instruction": question.turns[0]}
                        row |= {"questions": question.turns, "model_id": side.name}
                        file.write(json.dumps(row | {"choices": [{"index": 0, "turns": turns}]}).encode() + b"\n")

    def _write(self, verdicts: Sequence[Verdicts], score: Score, others: Sequence[Score]) -> None:
        for place, one in enumerate(verdicts):
            with replacing(self._folder / one.file_name(place)) as file:
                file.write(one.as_file())
        said = {"score": score.to_json(), "other_judges": [other.to_json() for other in others]}
        with replacing(self._folder / RESULTS) as file:
            file.write(
                json.dumps(said).encode() + b"\n"
            )  # unindented: ten times as fast, and nobody reads 10,000 items


def _answer_set(name: str, questions: Sequence[Question], answers: Answers) -> AnswerSet:
    turns, missing = {}, {}
    for question in questions:
        said = answers.said[question.id, 0]
        turns[question.id] = tuple(usable_text(one) for one in said if usable_text(one) or _is_empty(one))
        if len(turns[question.id]) < len(question.turns):
            missing[question.id] = _UNASKED if _is_empty(said[-1]) else _why(said[-1])
    return AnswerSet(name, turns, missing)


def _is_empty(said: Completion) -> bool:
    """Whether the model answered, and said nothing: that is an answer too, in a file or live, and is judged."""
    return said.failure is Failure.EMPTY


def _reply(said: Completion) -> Reply:
    text = usable_text(said)
    return Reply(text, "" if text or said.logprobs else _why(said), said.logprobs)


def _why(said: Completion) -> str:
    failure = said.failure.value if said.failure is not None else "empty"
    return f"the endpoint gave no text ({failure}{f': {said.detail}' if said.detail else ''})"


def _stopped(answers: Answers, what: str) -> str:
    if answers.stopped or not answers.left:
        return answers.stopped
    return f"{answers.left:,} {what} could not be had ({answers.why_left})"

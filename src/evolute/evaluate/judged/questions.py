"""The questions of the judged benchmarks, from the user's files; and a few of our own that come with Evolute."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Literal

from evolute.errors import InputError
from evolute.evaluate.judged.groups import UNKNOWN
from evolute.evaluate.judged.prompts import REFERENCED
from evolute.evaluate.judged.rows import Row, read_bytes, read_rows

Benchmark = Literal["quick", "vicuna", "wizardlm", "mt-bench", "alpaca-eval"]
TURNS = 2
"""Of a dialogue of MT-Bench."""

_FILES: Mapping[Benchmark, tuple[str, ...]] = {
    "vicuna": ("vicuna/question.jsonl", "vicuna_bench/question.jsonl", "question.jsonl"),
    "wizardlm": ("WizardLM_testset.jsonl", "wizardlm/WizardLM_testset.jsonl", "data/WizardLM_testset.jsonl"),
    "mt-bench": ("mt_bench/question.jsonl", "question.jsonl"),
    "alpaca-eval": (
        "instructions.jsonl", "alpaca_eval.json", "alpaca_eval/instructions.jsonl", "alpaca_eval/alpaca_eval.json",
    ),
}  # fmt: skip
_ORIGIN: Mapping[Benchmark, str] = {
    "vicuna": "FastChat's question.jsonl of April 2023",
    "wizardlm": "WizardLM_testset.jsonl (CC BY-NC 4.0) of the WizardLM repository",
    "mt-bench": "question.jsonl and reference_answer/gpt-4.jsonl of FastChat's llm_judge/data/mt_bench",
    "alpaca-eval": "alpaca_eval.json (CC BY-NC 4.0) of the Hugging Face data set tatsu-lab/alpaca_eval",
}
_REFERENCES = ("reference_answer/gpt-4.jsonl", "reference_answer_gpt-4.jsonl")


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Args:
        id: its own, as text.
        turns: what the user says, turn by turn.
        groups: what it belongs to: {"skill": "Math", "difficulty": "3"}.
        references: reference answers, turn by turn; empty where there is none.
    """

    id: str
    turns: tuple[str, ...]
    groups: Mapping[str, str] = field(default_factory=dict)
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """The questions of a benchmark, where they were read, and a hash of what was read."""

    benchmark: Benchmark
    questions: Sequence[Question]
    source: str
    sha256: str


def load_questions(benchmark: Benchmark, data: str | Path | None = None, limit: int | None = None) -> QuestionSet:
    """Read a benchmark's questions.

    Args:
        benchmark: which; "quick" are our own, in the shape of the WizardLM test set, and need no data.
        data: the file, or a folder that holds it, as FastChat, WizardLM and AlpacaEval publish it.
        limit: only the first so many.

    Raises:
        InputError: there are none there, a field is missing or wrong, or an id comes twice.
    """
    path = questions_path(benchmark, data)
    rows = read_rows(path)
    read: Callable[[int, Row], Question] = _READ[benchmark]
    questions = _distinct((row, read(place, row)) for place, row in enumerate(rows))
    digest = hashlib.sha256(read_bytes(path))
    if benchmark == "mt-bench":
        questions, reference = _with_references(questions, path)
        digest.update(reference)
    return QuestionSet(benchmark, questions[:limit], "Evolute" if data is None else str(path), digest.hexdigest())


def questions_path(benchmark: Benchmark, data: str | Path | None) -> Path:
    """The file that is read.

    Raises:
        InputError: there is none.
    """
    if data is None and benchmark == "quick":
        return Path(str(files("evolute.evaluate.judged") / "data" / "quick.jsonl"))
    if data is None:
        raise InputError(f"where are the questions of {benchmark}? Give --data FILE or FOLDER: {_ORIGIN[benchmark]}")
    given = Path(data)
    if given.is_file():
        return given
    names = _FILES.get(benchmark, ())
    found = next((given / name for name in names if (given / name).is_file()), None)
    if found is None:
        where = f"none of {', '.join(names)} in it" if given.is_dir() else "no such file or folder"
        raise InputError(f"--data {given}: {where}; wanted is {_ORIGIN.get(benchmark, 'a file of questions')}")
    return found


def _distinct(rows: Iterable[tuple[Row, Question]]) -> list[Question]:
    seen: dict[str, str] = {}
    questions = []
    for row, question in rows:
        if (before := seen.get(question.id)) is not None:
            raise InputError(f"{row.where}: the id {question.id!r} is in {before} already: give each question its own")
        seen[question.id] = row.where
        questions.append(question)
    return questions


def _skilled(place: int, row: Row) -> Question:
    groups = {"skill": row.text("Skill", UNKNOWN), "difficulty": row.text("Difficulty", UNKNOWN)}
    return Question(row.text("idx"), (row.text("Instruction"),), groups)


def _vicuna(place: int, row: Row) -> Question:
    groups = {"category": row.text("category", UNKNOWN)}
    turns = _turns(row) if "turns" in row.fields else (row.text("text"),)
    return Question(row.text("question_id"), turns[:1], groups)


def _mt_bench(place: int, row: Row) -> Question:
    turns = _turns(row)
    if len(turns) != TURNS:
        raise row.wrong("turns", list(turns), f"{TURNS} turns")
    return Question(row.text("question_id"), turns, {"category": row.text("category", UNKNOWN)})


def _instruction(place: int, row: Row) -> Question:
    groups = {"dataset": row.text("dataset")} if "dataset" in row.fields else {}
    return Question(row.text("index", str(place)), (row.text("instruction"),), groups)


_READ: Mapping[Benchmark, Callable[[int, Row], Question]] = {
    "quick": _skilled, "wizardlm": _skilled, "vicuna": _vicuna, "mt-bench": _mt_bench, "alpaca-eval": _instruction,
}  # fmt: skip


def _turns(row: Row) -> tuple[str, ...]:
    turns = row.fields.get("turns")
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, str) for turn in turns):
        raise row.wrong("turns", turns, "a list of texts")
    return tuple(turns)


def _with_references(questions: Sequence[Question], path: Path) -> tuple[list[Question], bytes]:
    """The questions with their reference answers, and the bytes of the file of these."""
    file = next((path.parent / name for name in _REFERENCES if (path.parent / name).is_file()), None)
    found = {row.text("question_id"): choice_turns(row) for row in read_rows(file)} if file else {}
    lacking = [
        q.id for q in questions if q.groups["category"] in REFERENCED and len(found.get(q.id, ())) < len(q.turns)
    ]
    if lacking:
        raise InputError(
            f"{path}: no reference answers to {len(lacking)} questions of {', '.join(sorted(REFERENCED))} "
            f"({', '.join(lacking[:5])} …), which are judged with them: put {_REFERENCES[0]} beside it"
        )
    whole = [Question(q.id, q.turns, q.groups, found.get(q.id, ())) for q in questions]
    return whole, read_bytes(file) if file else b""


def choice_turns(row: Row) -> tuple[str, ...]:
    """The turns of FastChat's first choice.

    Raises:
        InputError: there is none, or they are no texts.
    """
    choices = row.fields.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise row.wrong("choices", choices, "a list of choices with turns")
    turns = choices[0].get("turns")
    if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
        raise row.wrong("choices", choices[0], "a choice with a list of texts as its turns")
    return tuple(turns)

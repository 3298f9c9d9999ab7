"""What questions belong to: categories that are known by id, and those of a file of questions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evolute.errors import InputError
from evolute.evaluate.judged.rows import Row, read_rows

UNKNOWN = "unknown"
"""The category of a question that no file tells of: it gets its row like any other."""
QUESTION_FILES = ("question.jsonl", "questions.jsonl", "WizardLM_testset.jsonl")
"""What is looked for in a folder."""

_MT_BENCH = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
_VICUNA = (
    (10, "generic"),
    (20, "knowledge"),
    (30, "roleplay"),
    (40, "common-sense"),
    (50, "fermi"),
    (60, "counterfactual"),
    (67, "coding"),
    (70, "math"),
    (80, "writing"),
)


def known_category(question: str) -> str:
    """The category of FastChat's questions by id: 1 to 80 are Vicuna's, 81 to 160 MT-Bench's."""
    number = int(question) if question.isascii() and question.isdecimal() and len(question) < 4 else 0
    if 81 <= number <= 160:
        return _MT_BENCH[(number - 81) // 10]
    return next((name for last, name in _VICUNA if 1 <= number <= last), UNKNOWN)


def read_groups(data: Path) -> dict[str, dict[str, str]]:
    """Each question's groups by its id, from FastChat's question.jsonl or the WizardLM test set.

    Args:
        data: the file, or a folder that holds it.

    Raises:
        InputError: there is none, or it is none, or an id comes twice.
    """
    groups: dict[str, dict[str, str]] = {}
    for row in read_rows(questions_file(data)):
        question, found = _groups(row)
        if question in groups:
            raise InputError(f"{row.where}: question {question!r} comes twice: leave one out")
        groups[question] = found
    return groups


def questions_file(data: Path) -> Path:
    """The file of questions that is meant.

    Raises:
        InputError: there is none.
    """
    if data.is_file():
        return data
    found = next((data / name for name in QUESTION_FILES if (data / name).is_file()), None)
    if found is None:
        raise InputError(f"{data}: no file of questions in it: expected one of {', '.join(QUESTION_FILES)}")
    return found


def _groups(row: Row) -> tuple[str, dict[str, str]]:
    if "Skill" in row.fields:
        return row.text("idx"), {"skill": row.text("Skill"), "difficulty": row.text("Difficulty")}
    return row.text("question_id"), {"category": row.text("category", UNKNOWN)}


def groups_of(question: str, groups: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """A question's groups; where a file of questions lacks it, `unknown` in each of that file's groupings."""
    if question in groups:
        return dict(groups[question])
    names = dict.fromkeys(name for known in groups.values() for name in known)
    return dict.fromkeys(names, UNKNOWN) if names else {"category": known_category(question)}

"""The benchmarks' files: found in a folder, and read into rows that are checked before anything is scored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evolute.errors import InputError
from evolute.evaluate.code.finding import rows_of

Benchmark = Literal["mmlu", "arc-challenge", "truthfulqa", "hellaswag", "gsm8k"]
Split = Literal["test", "shots"]
"""What is scored, and where the solved examples come from."""

_FOLDERS: Mapping[str, str] = {name: name.replace("-", "_") for name in ("mmlu", "arc-challenge", "truthfulqa")} | {
    "hellaswag": "hellaswag", "gsm8k": "gsm8k",
}  # fmt: skip
_NAMES: Mapping[tuple[str, Split], Sequence[str]] = {
    ("mmlu", "test"): ("test",),
    ("mmlu", "shots"): ("dev",),
    ("arc-challenge", "test"): ("test",),
    ("arc-challenge", "shots"): ("train",),
    ("hellaswag", "test"): ("hellaswag_val", "validation", "val"),
    ("hellaswag", "shots"): ("hellaswag_train_processed", "hellaswag_train", "train"),
    ("truthfulqa", "test"): ("mc_task_hf", "mc_flat", "validation", "mc_task"),
    ("gsm8k", "test"): ("test",),
    ("gsm8k", "shots"): ("train",),
}
"""A split's file by its name without ending; the first that is there."""
_ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz")


@dataclass(frozen=True, slots=True)
class Document:
    """One row of a benchmark.

    Args:
        id: unique in its benchmark: the data's own where it has one, else the row's number.
        text: the question as the prompt asks it, without its answer.
        choices: by name the lists of answers to choose from; TruthfulQA has two, the others one.
        right: by the same names, which of them are right.
        answer: the worked answer, where it is to be written (GSM8K).
        subject: MMLU's subject.
        row: as the file has it.
    """

    id: str
    text: str
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    right: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)
    answer: str = ""
    subject: str = ""
    row: Mapping[str, Any] = field(default_factory=dict)


def find_file(benchmark: Benchmark, split: Split, data: Path) -> Path | None:
    """The file of a split in a folder (or in the benchmark's own folder below it), or None where there is none.

    Raises:
        InputError: there is no such folder.
    """
    if data.is_file():
        return data if split == "test" else find_file(benchmark, split, data.parent)
    if not data.is_dir():
        raise InputError(f"{data}: there is no such file or folder: give --data the folder with {benchmark}'s files")
    for folder in (data / _FOLDERS[benchmark], data):
        for name in _NAMES.get((benchmark, split), ()):
            for ending in _ENDINGS:
                if (path := folder / f"{name}{ending}").is_file():
                    return path
    return None


def read_documents(benchmark: Benchmark, split: Split, data: Path) -> list[Document]:
    """Read a split.

    Raises:
        InputError: it is not there, cannot be read, or a row is not as the benchmark has it; the message names file,
            line and field.
    """
    if (path := find_file(benchmark, split, data)) is None:
        names = ", ".join(f"{name}.jsonl" for name in _NAMES.get((benchmark, split), ("?",)))
        raise InputError(f"{data}: holds no {benchmark} to take {_SPLITS[split]} from: looked for {names} (also .gz)")
    read = _READERS[benchmark]
    documents = [read(_Row(row, where, number), number) for number, (where, row) in enumerate(rows_of(path))]
    if not documents:
        raise InputError(f"{path}: holds no rows")
    seen: dict[str, int] = {}
    for number, document in enumerate(documents):
        if (before := seen.setdefault(document.id, number)) != number:
            raise InputError(f"{path}: rows {before + 1} and {number + 1} have the same id {document.id!r}")
    return documents


_SPLITS = {"test": "the questions", "shots": "the solved examples"}


class _Row:
    """A row and where it is; says what is wrong with a field."""

    def __init__(self, row: object, where: str, number: int) -> None:
        if not isinstance(row, dict):
            raise InputError(f"{where}: expected an object, got {type(row).__name__}")
        self.row: dict[str, Any] = row
        self.where = where
        self.number = number

    def text(self, name: str) -> str:
        value = self.row.get(name)
        if not isinstance(value, str):
            raise self.wrong(name, value, "a text")
        return value

    def texts(self, name: str, value: object = None) -> tuple[str, ...]:
        value = self.row.get(name) if value is None else value
        if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
            raise self.wrong(name, value, "a list of texts")
        return tuple(value)

    def index(self, name: str, value: object, count: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < count:
            raise self.wrong(name, value, f"the number of one of the {count} choices, from 0")
        return value

    def wrong(self, name: str, value: object, wanted: str) -> InputError:
        return InputError(f"{self.where}: {name}: expected {wanted}, got {value!r:.200}")


def _mmlu(row: _Row, number: int) -> Document:
    choices, subject = row.texts("choices"), row.text("subject")
    if len(choices) != 4:
        raise row.wrong("choices", list(choices), "4 of them")
    answer = row.row.get("answer")
    gold = "ABCD".find(answer) if isinstance(answer, str) and answer else answer
    lettered = "\n".join(f"{letter}. {choice}" for letter, choice in zip("ABCD", choices, strict=True))
    text = f"{row.text('question').strip()}\n{lettered}\nAnswer:"
    return _one_right(row, str(number), text, tuple("ABCD"), row.index("answer", gold, 4), subject)


def _arc(row: _Row, number: int) -> Document:
    given = row.row.get("choices")
    if not isinstance(given, dict):
        raise row.wrong("choices", given, "an object of text and label")
    choices, labels = row.texts("choices.text", given.get("text", 0)), row.texts("choices.label", given.get("label", 0))
    if len(labels) != len(choices):
        raise row.wrong("choices.label", list(labels), f"{len(choices)} labels")
    if (answer := row.text("answerKey")) not in labels:
        raise row.wrong("answerKey", answer, f"one of {', '.join(labels)}")
    text = f"Question: {row.text('question')}\nAnswer:"
    return _one_right(row, str(row.row.get("id") or number), text, choices, labels.index(answer))


def _hellaswag(row: _Row, number: int) -> Document:
    """Raw rows are cleaned as the harness does; those that were cleaned before (`query`, `choices`) are left alone."""
    if "query" in row.row and "choices" in row.row:
        query, choices, gold = row.text("query"), row.texts("choices"), row.row.get("gold")
    else:
        middle = f"{row.text('ctx_a')} {row.text('ctx_b').capitalize()}"
        query = _cleaned(f"{row.text('activity_label')}: {middle}")
        choices = tuple(_cleaned(ending) for ending in row.texts("endings"))
        label = row.row.get("label")
        gold = int(label) if isinstance(label, str) and label.isdecimal() else label
    return _one_right(row, str(number), query, choices, row.index("label", gold, len(choices)))


def _cleaned(text: str) -> str:
    """HellaSwag's marks of WikiHow taken out, as lm-evaluation-harness (MIT) does: tasks/hellaswag/utils.py."""
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")


def _truthful(row: _Row, number: int) -> Document:
    """As the hub has them ({choices, labels}), as the authors wrote them ({answer: label}), or flat."""
    pairs = {name: _targets(row, name) for name in ("mc1", "mc2")}
    return Document(
        str(number),
        row.text("question"),
        {name: choices for name, (choices, _) in pairs.items()},
        {name: right for name, (_, right) in pairs.items()},
        row=row.row,
    )


def _targets(row: _Row, name: str) -> tuple[tuple[str, ...], tuple[bool, ...]]:
    field_name = f"{name}_targets"
    given = row.row.get(field_name)
    if given is None:
        flat = name[-1]
        given = {"choices": row.row.get(f"choices{flat}"), "labels": row.row.get(f"labels{flat}")}
    if not isinstance(given, dict) or not given:
        raise row.wrong(field_name, given, "answers with their labels")
    if not isinstance(given.get("choices"), list):
        given = {"choices": list(given), "labels": list(given.values())}
    choices, labels = row.texts(field_name, given["choices"]), given.get("labels")
    if not isinstance(labels, list) or len(labels) != len(choices) or any(one not in (0, 1) for one in labels):
        raise row.wrong(field_name, labels, f"{len(choices)} labels, each 0 or 1")
    right = tuple(one == 1 for one in labels)
    if name == "mc1" and (not right[0] or sum(right) != 1):
        raise row.wrong(field_name, labels, "the first answer, and no other, to be right")
    if not any(right) or all(right):
        raise row.wrong(field_name, labels, "answers of both kinds")
    return choices, right


def _gsm8k(row: _Row, number: int) -> Document:
    return Document(str(number), f"Question: {row.text('question')}\nAnswer:", answer=row.text("answer"), row=row.row)


def _one_right(row: _Row, name: str, text: str, choices: tuple[str, ...], gold: int, subject: str = "") -> Document:
    right = tuple(number == gold for number in range(len(choices)))
    return Document(name, text, {"": choices}, {"": right}, subject=subject, row=row.row)


_READERS: Mapping[str, Callable[[_Row, int], Document]] = {
    "mmlu": _mmlu, "arc-challenge": _arc, "hellaswag": _hellaswag, "truthfulqa": _truthful, "gsm8k": _gsm8k,
}  # fmt: skip

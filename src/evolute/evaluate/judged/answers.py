"""Files of answers, in every shape that others write; matched to the questions, never by their place in the file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evolute.errors import InputError
from evolute.evaluate.judged.questions import Question, choice_turns
from evolute.evaluate.judged.rows import Row, read_bytes, read_rows

_IDS = ("question_id", "id", "idx", "index")
_ASKED = ("instruction", "Instruction", "prompt", "question")
_TEXTS = ("output", "response", "text", "answer", "completion")
_NAMES = ("model_id", "generator", "model")


@dataclass(frozen=True, slots=True)
class AnswerSet:
    """A model's answers.

    Args:
        name: of the model.
        turns: by question, what it said turn by turn.
        missing: by question, why there is no answer to it, or not to all its turns.
        unknown: answers of a file that fit no question, by what they are called there; they are left out.
        source: the file, or empty.
        sha256: of the file's bytes.
    """

    name: str
    turns: Mapping[str, tuple[str, ...]]
    missing: Mapping[str, str] = field(default_factory=dict)
    unknown: Sequence[str] = ()
    source: str = ""
    sha256: str = ""

    def upto(self, question: Question, turn: int) -> tuple[str, ...] | None:
        """The answers up to a turn (counted from 1); None where one is missing."""
        said = self.turns.get(question.id, ())
        return said[:turn] if len(said) >= turn else None


def read_answers(path: Path, questions: Sequence[Question], name: str = "") -> AnswerSet:
    """Read a file of answers: FastChat's (also that of 2023), AlpacaEval's, ours, or that of `evolute respond`.

    A row that holds the question's text belongs to the question with that text, whatever its id; else its id decides,
    if the row has no text, or one that the question's is part of: a prompt that was wrapped.

    Args:
        path: JSON lines or a JSON list, also gzip's.
        questions: those that were asked.
        name: of the model; empty: as the file says, or the file's own name.

    Raises:
        InputError: it cannot be read, a field is missing, or two rows answer one question.
    """
    rows = read_rows(path)
    by_text: dict[str, list[str]] = {}  # two questions of the WizardLM test set have the same text
    for question in questions:
        by_text.setdefault(question.turns[0].strip(), []).append(question.id)
    firsts = {question.id: question.turns[0].strip() for question in questions}
    found: dict[str, tuple[Row, tuple[str, ...]]] = {}
    unknown = []
    for row in sorted(rows, key=lambda row: _id(row) not in firsts):  # else a row without could take its question
        asked, called = _asked(row), _id(row)
        if asked is None and called is None:
            raise InputError(
                f"{row.where}: neither an id ({', '.join(_IDS)}) nor an instruction: which question is it?"
            )
        match = called if asked is None else _of_text(by_text.get(asked.strip(), []), called, found)
        if match is None and called in firsts and firsts[called] in (asked or ""):  # a prompt that was wrapped
            match = called
        if match not in firsts or match is None:
            unknown.append(called if called is not None else (asked or "")[:60])
        elif match in found:
            raise InputError(f"{row.where}: question {match!r} is answered in {found[match][0].where} already")
        else:
            found[match] = row, tuple(map(_whole, _said(row)))
    turns = {question: said for question, (_, said) in found.items()}
    digest = hashlib.sha256(read_bytes(path)).hexdigest()
    missing = {question.id: why for question in questions if (why := _lack(question, turns.get(question.id)))}
    return AnswerSet(name or _name(rows, path), turns, missing, unknown, str(path), digest)


def _of_text(same: Sequence[str], called: str | None, found: Mapping[str, object]) -> str | None:
    """Which of the questions with one text a row answers: that of its id, else the next that has no answer."""
    if called in same:
        return called
    return next((one for one in same if one not in found), same[-1] if same else None)


def _lack(question: Question, said: tuple[str, ...] | None) -> str:
    if said is None:
        return "the file has no answer to it"
    if len(said) < len(question.turns):
        return f"the file has an answer to turn {len(said)} of {len(question.turns)}" if said else "its answer is null"
    return ""


def _asked(row: Row) -> str | None:
    """The question's text, if the row has it; a conversation's is what the user said first."""
    if (spoken := _spoken(row)) is not None:
        return next((text for role, text in spoken if role in ("user", "human")), None)
    return next((row.text(name) for name in _ASKED if isinstance(row.fields.get(name), str)), None)


def _id(row: Row) -> str | None:
    return next((row.text(name) for name in _IDS if row.fields.get(name) is not None), None)


def _said(row: Row) -> tuple[str, ...]:
    """What the model said, turn by turn; nothing where it is null."""
    if "choices" in row.fields:
        return choice_turns(row)
    if (spoken := _spoken(row)) is not None:
        return tuple(text for role, text in spoken if role in ("assistant", "gpt"))
    if isinstance(turns := row.fields.get("responses"), list):
        return tuple(turn for turn in turns if isinstance(turn, str))
    name = next((name for name in _TEXTS if name in row.fields), None)
    if name is None:
        known = ", ".join(("choices", "messages", "conversations", *_TEXTS))
        raise InputError(f"{row.where}: no answer in it: expected one of {known}")
    return () if row.fields[name] is None else (row.text(name),)


def _whole(text: str) -> str:
    """With U+FFFD for half a surrogate pair, which JSON can hold and no request can."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _spoken(row: Row) -> list[tuple[str, str]] | None:
    """Who said what, in chat's `messages` or ShareGPT's `conversations`; None where there is neither."""
    for name, role, text in (("messages", "role", "content"), ("conversations", "from", "value")):
        if isinstance(turns := row.fields.get(name), list):
            for one in turns:
                if not isinstance(one, dict) or not all(isinstance(one.get(key), str) for key in (role, text)):
                    raise row.wrong(name, one, f"turns with {role} and {text}")
            return [(one[role], one[text]) for one in turns]
    return None


def _name(rows: Sequence[Row], path: Path) -> str:
    """The model's name where all rows agree on it, else the file's."""
    names = {str(row.fields[name]) for row in rows for name in _NAMES if isinstance(row.fields.get(name), str)}
    return names.pop() if len(names) == 1 else path.name.removesuffix(".gz").rpartition(".")[0] or path.name

"""What a row looks like to each kind of trainer: plain dictionaries, with the same columns and types in every row.

A shape says which columns there are; in what file they are written is the writers' business. No column comes and goes:
readers guess a column's type from the first rows that they see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from evolute.export.columns import Columns, Kind
from evolute.records import Message, Row

T = TypeVar("T")

_SHAREGPT_NAMES = {"system": "system", "user": "human", "assistant": "gpt"}


@dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """The columns of one format, and how a record of them is made; None in a record is a text that is not there."""

    columns: Columns
    record: Callable[[T], dict[str, Any]]


def alpaca(row: Row) -> dict[str, Any]:
    """`instruction`, `input`, `output`, and LLaMA-Factory's `system` and `history` for the turns before."""
    system, history = _pairs(row)
    return {
        "instruction": row.instruction,
        "input": row.input,
        "output": row.response or "",
        "system": system,
        "history": history,
    }


def sharegpt(row: Row) -> dict[str, Any]:
    """`conversations`: the whole conversation, its turns from `system`, `human` and `gpt`."""
    return {"conversations": [{"from": _SHAREGPT_NAMES[m.role], "value": m.content} for m in conversation(row)]}


def messages(row: Row) -> dict[str, Any]:
    """`messages`: the whole conversation, as chat templates take it."""
    return {"messages": as_messages(conversation(row))}


def prompt_completion(row: Row) -> dict[str, Any]:
    """TRL's conversational form: `prompt`, all turns but the answer, and `completion`, the answer as one turn."""
    return {"prompt": as_messages(asked(row)), "completion": as_messages(answer(row.response))}


def prompt_completion_text(row: Row) -> dict[str, Any]:
    """TRL's plain form: both as text. TRL joins them as they stand, so an empty line ends the prompt."""
    return {"prompt": prompt_text(row), "completion": row.response or ""}


def rows(row: Row) -> dict[str, Any]:
    """`messages`, and the last exchange as single columns."""
    single = {"instruction": row.instruction, "input": row.input, "response": row.response}
    return messages(row) | single


_TEXT: Kind = "string"
SHAPES: dict[str, Shape[Row]] = {
    "alpaca": Shape(dict.fromkeys(("instruction", "input", "output", "system"), _TEXT) | {"history": "pairs"}, alpaca),
    "sharegpt": Shape({"conversations": "turns"}, sharegpt),
    "messages": Shape({"messages": "messages"}, messages),
    "prompt-completion": Shape({"prompt": "messages", "completion": "messages"}, prompt_completion),
    "prompt-completion-text": Shape({"prompt": "string", "completion": "string"}, prompt_completion_text),
    "rows": Shape({"messages": "messages", **dict.fromkeys(("instruction", "input", "response"), _TEXT)}, rows),
}

LINEAGE: dict[str, Kind] = {
    "id": "string",
    "parent": "string",
    "root": "string",
    "round": "int64",
    "operation": "string",
    "verdict": "string",
    "evolver": "string",
    "judge": "string",
    "responder": "string",
    "source": "string",
    "line": "int64",
}


VERIFICATION: dict[str, Kind] = {"verified": "bool", "tests": "string"}


def lineage_columns(row: Row) -> dict[str, Any]:
    """How a row came to be: where it stands in its lineage, the models asked, and the seed's file and line."""
    return {name: "kept" if name == "verdict" else getattr(row, name) for name in LINEAGE}


def verification_columns(row: Row) -> dict[str, Any]:
    """Whether the response is verified, which one that nobody tried to verify is not; and its tests, if it has any."""
    return {"verified": bool(row.verified), "tests": row.tests}


def row_shape(name: str, *, lineage: bool, reasoning: bool, verification: bool = False) -> Shape[Row]:
    """The shape of that name, with the optional columns."""
    shape = SHAPES[name]
    more: dict[str, Kind] = {"reasoning": "string"} if reasoning else {}
    more |= VERIFICATION if verification else {}
    more |= LINEAGE if lineage else {}

    def record(row: Row) -> dict[str, Any]:
        columns = shape.record(row) | ({"reasoning": row.reasoning} if reasoning else {})
        columns |= verification_columns(row) if verification else {}
        return columns | (lineage_columns(row) if lineage else {})

    return Shape({**shape.columns, **more}, record)


def asked(row: Row) -> Iterable[Message]:
    """The system prompt if any, the turns before, and the instruction with its input below it."""
    if row.system:
        yield Message("system", row.system)
    yield from row.history
    yield Message("user", row.asked)


def answer(response: str | None) -> list[Message]:
    """The answering turn; none where there is no answer."""
    return [] if response is None else [Message("assistant", response)]


def conversation(row: Row) -> Iterable[Message]:
    """All turns, with the answer if there is one."""
    yield from asked(row)
    yield from answer(row.response)


def as_messages(turns: Iterable[Message]) -> list[dict[str, str]]:
    """Turns as chat templates take them."""
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def prompt_text(row: Row) -> str:
    """All turns but the answer as one text, an empty line after each."""
    return f"{row.prompt}\n\n"


def _pairs(row: Row) -> tuple[str, list[list[str]]]:
    """The system prompt, and the turns before as [user, assistant] pairs.

    A turn without its counterpart is paired with an empty one; a system turn in the middle joins the system prompt.
    """
    system = [row.system] if row.system else []
    pairs: list[list[str]] = []
    for turn in row.history:
        if turn.role == "system":
            system.append(turn.content)
        elif turn.role == "user":
            pairs.append([turn.content, ""])
        elif pairs and not pairs[-1][1]:
            pairs[-1][1] = turn.content
        else:
            pairs.append(["", turn.content])
    return "\n\n".join(system), pairs

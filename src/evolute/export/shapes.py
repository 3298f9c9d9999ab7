"""What a row looks like in each format: plain dictionaries, with the same columns and types in every row.

No column is null and none comes and goes: readers guess a column's type from the first rows that they see.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from evolute.records import Message, Row

_SHAREGPT_NAMES = {"system": "system", "user": "human", "assistant": "gpt"}


class Shape(Protocol):
    """Turns a row into a record of one format."""

    def __call__(self, row: Row, *, lineage: bool, reasoning: bool) -> dict[str, Any]:
        """The record; the flags add its optional columns."""
        ...


def alpaca(row: Row, *, lineage: bool, reasoning: bool) -> dict[str, Any]:
    """`instruction`, `input`, `output`, and LLaMA-Factory's `system` and `history` for the turns before."""
    system, history = _pairs(row)
    record = {
        "instruction": row.instruction,
        "input": row.input,
        "output": row.response or "",
        "system": system,
        "history": history,
    }
    return record | _extra(row, lineage=lineage, reasoning=reasoning)


def sharegpt(row: Row, *, lineage: bool, reasoning: bool) -> dict[str, Any]:
    """`conversations`: the whole conversation, its turns from `system`, `human` and `gpt`."""
    turns = [{"from": _SHAREGPT_NAMES[turn.role], "value": turn.content} for turn in conversation(row)]
    return {"conversations": turns} | _extra(row, lineage=lineage, reasoning=reasoning)


def messages(row: Row, *, lineage: bool, reasoning: bool) -> dict[str, Any]:
    """`messages`: the whole conversation, as chat templates take it."""
    turns = [{"role": turn.role, "content": turn.content} for turn in conversation(row)]
    return {"messages": turns} | _extra(row, lineage=lineage, reasoning=reasoning)


SHAPES: dict[str, Shape] = {"alpaca": alpaca, "sharegpt": sharegpt, "messages": messages}


def conversation(row: Row) -> Iterable[Message]:
    """The system prompt if any, the turns before, the instruction with its input, and the answer if there is one."""
    if row.system:
        yield Message("system", row.system)
    yield from row.history
    yield Message("user", f"{row.instruction}\n\n{row.input}" if row.input else row.instruction)
    if row.response is not None:
        yield Message("assistant", row.response)


def lineage_columns(row: Row) -> dict[str, Any]:
    """How a row came to be: where it stands in its lineage, the models asked, and the seed's file and line."""
    return {
        "id": row.id,
        "parent": row.parent,
        "root": row.root,
        "round": row.round,
        "operation": row.operation,
        "verdict": "kept",
        "evolver": row.evolver,
        "judge": row.judge,
        "responder": row.responder,
        "source": row.source,
        "line": row.line,
    }


def _extra(row: Row, *, lineage: bool, reasoning: bool) -> dict[str, Any]:
    thought = {"reasoning": row.reasoning or ""} if reasoning else {}
    return thought | lineage_columns(row) if lineage else thought


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

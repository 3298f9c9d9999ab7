"""Where the instruction, its answer and the conversation before it stand in a row, and the seeds made of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from evolute.records import Message, Seed, Speaker
from evolute.seeds.jsonrows import TURN_COLUMNS
from evolute.seeds.options import RowProblem, SeedOptions, cut
from evolute.seeds.where import dig

# The usual names, the surest first. Compared in lower case, with spaces and hyphens as underscores.
INSTRUCTIONS = ("instruction", "prompt", "question", "query", "problem", "request", "user", "human", "input", "text")
INPUTS = ("input", "context")
RESPONSES = ("output", "response", "completion", "solution", "answer", "reply", "assistant", "target")
SYSTEMS = ("system", "system_prompt")
_LABELS = ("id", "idx", "question_id", "task_id", "prompt_id", "conversation_id", "uid")

_LAYOUTS = 256  # sets of fields whose layout is remembered

_SPEAKERS: dict[str, Speaker] = {
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
    "system": "system", "developer": "system",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """Which column holds what; empty where none does."""

    shape: str
    instruction: str
    input: str = ""
    response: str = ""
    system: str = ""
    history: str = ""

    @property
    def columns(self) -> dict[str, str]:
        """What was looked for, and the column where it was found."""
        if self.shape == "text":
            return {}
        names = ("instruction", "input", "response", "system", "history")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


def known_columns(names: Iterable[str]) -> int:
    """How many of the names are usual ones."""
    usual = {*INSTRUCTIONS, *INPUTS, *RESPONSES, *SYSTEMS, *TURN_COLUMNS}
    return sum(_plain(name) in usual for name in names)


def as_mapping(row: object) -> Mapping[str, Any] | None:
    """A row's fields; a bare string is an instruction, a bare list of turns a conversation; None is no row at all."""
    if isinstance(row, dict):
        return row
    if isinstance(row, str):
        return {"text": row}
    if isinstance(row, list) and row and isinstance(row[0], dict):
        return {"messages": row}
    return None


def recognise(row: Mapping[str, Any], column: str | None = None, usual: str = "") -> Layout | None:
    """Where things stand in this row; None where it fits no shape, or lacks the named `column`.

    Null fields count as missing. `usual` is the file's column: it stays the instruction in each row that has it.
    """
    names: dict[str, str] = {}
    for name, value in row.items():
        if value is not None:
            names.setdefault(_plain(name), name)
    system = _first(names, SYSTEMS)
    if column is not None:
        if dig(row, column) is None:
            return None
        chosen = names.get(_plain(column), column)
        turns = turns_in(dig(row, column)) if _plain(column) in TURN_COLUMNS else None
        return Layout(_turn_shape(turns), chosen, system=system) if turns else _flat("column", chosen, names, system)
    if row.get(usual) is None:
        usual = next((names[name] for name in TURN_COLUMNS if name in names and turns_in(row[names[name]])), "")
    if _plain(usual) in TURN_COLUMNS and (turns := turns_in(row[usual])):
        return Layout(_turn_shape(turns), usual, system=system)
    instruction = usual or _first(names, INSTRUCTIONS)
    if not instruction:
        return None
    if isinstance(row.get(names.get("instances", "")), list):
        return Layout("self-instruct", instruction, names["instances"], names["instances"], system)
    if list(row) == ["text"]:
        return Layout("text" if isinstance(row["text"], str) else "pairs", "text")
    return _flat("alpaca" if _plain(instruction) == "instruction" else "pairs", instruction, names, system)


def _flat(shape: str, instruction: str, names: Mapping[str, str], system: str) -> Layout:
    others = {plain: name for plain, name in names.items() if name != instruction}
    return Layout(
        shape,
        instruction,
        input=_first(others, INPUTS),
        response=_first(others, RESPONSES),
        system=system,
        history=_first(others, ("history",)),
    )


def likely_column(row: Mapping[str, Any]) -> str:
    """The column to suggest where none has a usual name: the nearest to one, else the one with the longest text."""
    plain = {_plain(name): name for name in row}
    near = [close for usual in INSTRUCTIONS for close in difflib.get_close_matches(usual, plain, n=1, cutoff=0.75)]
    return plain[near[0]] if near else max(row, key=lambda name: len(row[name]) if isinstance(row[name], str) else 0)


class Shaper:
    """Makes seeds of one file's rows.

    Rows need not be alike: each is read by the layout of its own fields, which is worked out once for each set of them.
    """

    def __init__(self, options: SeedOptions, usual: Layout | None) -> None:
        self._options = options
        self._usual = usual.instruction if usual else ""
        self._layouts: dict[tuple[str, ...], Layout] = {}

    def seeds(self, row: Mapping[str, Any], source: str, line: int) -> Sequence[Seed]:
        """The seeds of one row: one, or one for each user turn.

        Raises:
            RowProblem: it holds no usable instruction.
        """
        fields = tuple(row)
        if None in row.values():
            fields = tuple(name for name in fields if row[name] is not None)
        layout = self._layouts.get(fields) or self._layout(row, fields)
        value = row[layout.instruction] if layout.instruction in row else dig(row, layout.instruction)
        if isinstance(value, str) and layout.shape not in ("sharegpt", "messages", "turns"):
            return (self._flat_seed(row, layout, value, source, line),)
        turns = turns_in(value)
        if not turns:
            raise RowProblem(f"{layout.instruction!r} is {kind_of(value)}, not text or a list of turns")
        system = _text(row.get(layout.system), layout.system)
        return list(self._conversation(turns, system, source, line, _label(row)))

    def _layout(self, row: Mapping[str, Any], fields: tuple[str, ...]) -> Layout:
        column = self._options.column
        layout = recognise(row, column, self._usual)
        if layout is None:
            wanted = f"no column {column!r}" if column else "no instruction"
            raise RowProblem(f"{wanted}; the row has {', '.join(map(cut, row)) or 'no fields'}")
        if len(self._layouts) < _LAYOUTS:
            self._layouts[fields] = layout
        return layout

    def _flat_seed(self, row: Mapping[str, Any], layout: Layout, instruction: str, source: str, line: int) -> Seed:
        answer: Any
        if layout.shape == "self-instruct":
            given, answer = _instance(dig(row, layout.input))
        else:
            given = _text(row.get(layout.input), layout.input) if layout.input else ""
            answer = row.get(layout.response) if layout.response else None
        system = _text(row.get(layout.system), layout.system) if layout.system else ""
        history = _pairs(row.get(layout.history), layout.history) if layout.history else ()
        return self._checked(Seed(instruction, given, _answer(answer), system, history, source, line, _label(row)))

    def _checked(self, seed: Seed) -> Seed:
        """The seed, unless its texts are empty, too long, or not storable as UTF-8."""
        if not seed.instruction or seed.instruction.isspace():
            raise RowProblem("the instruction is empty")
        length = len(seed.instruction) + len(seed.input)
        if length >= self._options.max_characters:
            raise RowProblem(
                f"the instruction has {length:,} characters; it must be below {self._options.max_characters:,}"
            )
        _refuse_unstorable(f"{seed.instruction}{seed.input}{seed.response or ''}{seed.system}")
        return seed

    def _conversation(
        self, turns: list[Any], system: str, source: str, line: int, label: int | str | None
    ) -> Iterator[Seed]:
        said = [turn_of(turn) for turn in turns]
        asked = [place for place, turn in enumerate(said) if turn.role == "user"]
        if not asked:
            raise RowProblem("a conversation without a turn of the user")
        if not self._options.every_turn:
            # Questions without their answers: a later one speaks of an answer that is not there.
            asked = asked[:1] if isinstance(turns[0], str) and not self._options.whole else asked[-1:]
        for place in asked:
            before, after = said[:place], said[place + 1 : place + 2]
            rules = [system, *(turn.content for turn in before if turn.role == "system")]
            response = _answer(after[0].content) if after and after[0].role == "assistant" else None
            history = _storable(turn for turn in before if turn.role != "system")
            rule = "\n\n".join(filter(None, rules))
            yield self._checked(Seed(said[place].content, "", response, rule, history, source, line, label))


def _label(row: Mapping[str, Any]) -> int | str | None:
    """What the row calls itself, if that can be written down again."""
    for name in _LABELS:
        value = row.get(name)
        if isinstance(value, str):
            return value if value.isascii() or value.isprintable() else None
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
            return value
    return None


def turn_of(turn: object) -> Message:
    """A turn of a conversation, as chat's messages or ShareGPT has it.

    Raises:
        RowProblem: it is none, or nobody known says it.
    """
    if isinstance(turn, str):
        return Message("user", turn)
    if not isinstance(turn, dict):
        raise RowProblem(f"a turn is an object with role and content, not {kind_of(turn)}")
    role = turn.get("role") or turn.get("from") or turn.get("speaker")
    speaker = _SPEAKERS.get(str(role).lower())
    if speaker is None:
        raise RowProblem(f"a turn by {cut(str(role))}; known are {', '.join(_SPEAKERS)}")
    content = next((turn[name] for name in ("content", "value", "text") if turn.get(name) is not None), None)
    return Message(speaker, _content(content))


def _content(content: object) -> str:
    """A turn's text: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise RowProblem(f"a turn's content is {kind_of(content)}, not text")
    parts = [part.get("text") if isinstance(part, dict) else part for part in content]
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) < len(parts):
        raise RowProblem("a turn holds something other than text (an image, a tool's call); only text can be evolved")
    return "\n".join(texts)


def _pairs(history: object, name: str) -> tuple[Message, ...]:
    """Earlier turns as a list of [question, answer]."""
    turns: list[Message] = []
    for pair in turns_in(history) or []:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise RowProblem(f"{name!r} is not a list of [question, answer]")
        turns += (Message("user", pair[0]), Message("assistant", pair[1]))
    return _storable(turns)


def _storable(turns: Iterable[Message]) -> tuple[Message, ...]:
    """Earlier turns, checked before there is a seed: its id is made of their bytes."""
    history = tuple(turns)
    _refuse_unstorable("".join(turn.content for turn in history))
    return history


def _instance(instances: object) -> tuple[str, Any]:
    """Self-Instruct's first instance: its input and its output."""
    first = instances[0] if isinstance(instances, list) and instances else {}
    if not isinstance(first, dict):
        raise RowProblem(f"an instance is an object with input and output, not {kind_of(first)}")
    return _text(first.get("input"), "input"), first.get("output")


def _turn_shape(turns: list[Any]) -> str:
    if isinstance(turns[0], str):
        return "turns"
    return "sharegpt" if isinstance(turns[0], dict) and turns[0].get("from") is not None else "messages"


def turns_in(value: object) -> list[Any] | None:
    """A list, or the list that a table's cell holds as JSON."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = orjson.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, list) else None


def _text(value: object, name: str) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, int | float):
        return str(value)
    raise RowProblem(f"{name!r} is {kind_of(value)}, not text")


def _answer(value: object) -> str | None:
    """An answer that is worth keeping: not blank; a number as its digits; nothing else."""
    if isinstance(value, str):
        return None if not value or value.isspace() else value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _refuse_unstorable(text: str) -> None:
    if "\0" in text:
        raise RowProblem("a null byte stands in its text")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RowProblem(f"a lone surrogate, U+{ord(text[error.start]):04X}, stands in its text") from None


def _first(names: Mapping[str, str], wanted: Iterable[str]) -> str:
    return next((names[name] for name in wanted if name in names), "")


def _plain(name: object) -> str:
    return str(name).strip().lower().replace(" ", "_").replace("-", "_")


def kind_of(value: object) -> str:
    """What a JSON value is, for a message."""
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return "null" if value is None else kinds.get(type(value), type(value).__name__)

"""Turn an operation's sections into messages.

User text is joined in, never formatted or searched: braces, slot names or markers inside an instruction are inert. The
fixed text comes first and the instruction last, so that an endpoint's prefix cache serves all calls of one operation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evolute.operations.files import (
    QUESTIONS,
    Demonstration,
    OperationFile,
    parse_demonstrations,
    parse_sections,
    parse_variants,
    write_sections,
)
from evolute.records import Message, tagged_hash

_SLOT = re.compile(
    r"\{(method|examples|conversation|turns|variant|instruction|rewrite|first|second|items|signatures|tests|error)\}(\n*)"
)
_SPEAKERS = {"system": "System", "user": "User", "assistant": "Assistant"}


class Template:
    """Text with slots. Compiled once; filling it is one join."""

    def __init__(self, text: str) -> None:
        parts = _SLOT.split(text)
        self._fixed = parts[0]
        # (slot, the line breaks after it, the text up to the next slot): an empty slot takes its line breaks with it.
        self._rest = tuple(zip(parts[1::3], parts[2::3], parts[3::3], strict=True))
        self.slots = tuple(slot for slot, _, _ in self._rest)

    def fill(self, values: Mapping[str, str]) -> str:
        """The text, with `values` in the slots and nothing in the others."""
        pieces = [self._fixed]
        for slot, breaks, text in self._rest:
            if value := values.get(slot):
                pieces += (value, breaks)
            pieces.append(text)
        return "".join(pieces)


@dataclass(frozen=True, slots=True)
class _Prompt:
    """What an operation's or a judge's text compiles to."""

    template: Template
    fixed: Mapping[str, str]
    conversation: Template
    short: Template | None
    answer: Template
    variants: tuple[str, ...]
    demonstrations: tuple[Demonstration, ...]

    def context(self, system: str, history: Sequence[Message]) -> str:
        """The block that shows what was said before the instruction; empty where nothing was."""
        if not system and not history:
            return ""
        turns = [f"System: {system}"] if system else []
        turns += [f"{_SPEAKERS[turn.role]}: {turn.content}" for turn in history]
        return self.conversation.fill({"turns": "\n\n".join(turns)})


@dataclass(frozen=True, slots=True)
class Operation:
    """One way to rewrite an instruction.

    `text` is the resolved file: everything that decides the prompt, and nothing else (neither name nor weight), so it
    can be stored once by its `hash`, and `restore` makes the operation from it again.
    """

    name: str
    family: str
    weight: float
    source: str
    path: str
    text: str
    hash: bytes
    _prompt: _Prompt = field(repr=False, compare=False)

    @property
    def variants(self) -> tuple[str, ...]:
        """What the draw chooses from (the formats of complicate-input); mostly none."""
        return self._prompt.variants

    @property
    def demonstrations(self) -> tuple[Demonstration, ...]:
        """The pairs that show what the operation does."""
        return self._prompt.demonstrations

    def messages(
        self,
        instruction: str,
        *,
        system: str = "",
        history: Sequence[Message] = (),
        draw: int = 0,
        demonstrations: bool = False,
    ) -> tuple[Message, ...]:
        """The conversation that asks a model to rewrite `instruction`.

        `system` and `history` are what stood before the instruction; they are shown, not rewritten. `draw` (any
        integer) chooses among the variants. With `demonstrations` the short template asks, after earlier turns in
        which it was answered well, which is what small models need.
        """
        prompt = self._prompt
        values = {"instruction": instruction, "conversation": prompt.context(system, history)}
        if prompt.variants:
            values["variant"] = prompt.variants[draw % len(prompt.variants)]
        if not demonstrations or prompt.short is None:
            return (Message("user", prompt.template.fill({**prompt.fixed, **values})),)
        turns = []
        for shown in prompt.demonstrations:
            asked = prompt.short.fill({"instruction": shown.prompt, "variant": shown.variant})
            turns += [Message("user", asked), Message("assistant", prompt.answer.fill({"rewrite": shown.rewrite}))]
        return (*turns, Message("user", prompt.short.fill(values)))

    def answer(self, rewrite: str, *, demonstrations: bool = False) -> str:
        """A good answer to `messages`: the rewritten instruction, set out as in the demonstrations where they ask."""
        return self._prompt.answer.fill({"rewrite": rewrite}) if demonstrations and self._prompt.short else rewrite


@dataclass(frozen=True, slots=True)
class _Question:
    """A file that asks about instructions rather than rewrite them."""

    name: str
    source: str
    path: str
    text: str
    hash: bytes
    _prompt: _Prompt = field(repr=False, compare=False)

    def _asked(self, values: Mapping[str, str], system: str, history: Sequence[Message]) -> Message:
        said = {**values, "conversation": self._prompt.context(system, history)}
        return Message("user", self._prompt.template.fill(said))


@dataclass(frozen=True, slots=True)
class Judge(_Question):
    """A question about two instructions, answered with one of `choices`."""

    choices: tuple[str, str] = ("Equal", "Not Equal")

    def messages(
        self, first: str, second: str, *, system: str = "", history: Sequence[Message] = ()
    ) -> tuple[Message, ...]:
        """The conversation that asks a model whether `second` says no more than `first`."""
        return (self._asked({"first": first, "second": second}, system, history),)


@dataclass(frozen=True, slots=True)
class Grader(_Question):
    """A question about rows that are done, answered with marks."""

    def messages(
        self, instruction: str = "", items: str = "", *, system: str = "", history: Sequence[Message] = ()
    ) -> tuple[Message, ...]:
        """The conversation that asks a model for marks on an instruction, on numbered items, or on both."""
        return (self._asked({"instruction": instruction, "items": items}, system, history),)


@dataclass(frozen=True, slots=True)
class Verifier(_Question):
    """What a responder is asked where its answer is verified: for tests, or to mend them or the solution."""

    def message(self, *, system: str = "", history: Sequence[Message] = (), **values: str) -> Message:
        """The turn that asks; `values` are what the template's slots show (`instruction`, `error`)."""
        return self._asked(values, system, history)


VERIFIERS: Mapping[str, tuple[str, ...]] = {
    "tests": ("instruction", "signatures"),
    "mend-tests": ("error",),
    "mend-solution": ("error", "tests"),
}
"""The verifiers that there are, and what each must show."""


def make_operation(file: OperationFile) -> Operation:
    """Make an operation of a resolved file.

    Raises:
        OperationError: a field or section is missing, or the template's slots do not fit the sections.
    """
    for name in ("name", "family"):
        if name not in file.header:
            raise file.error(f"the header has no {name!r}")
    if (family := file.header["family"]) in QUESTIONS:
        raise file.error(f"a {family} is not an operation; see evolute.operations.load_{family}")
    text, prompt = _compile(file, ("instruction",))
    header = file.header
    return Operation(
        name=header["name"],
        family=header["family"],
        weight=float(header.get("weight", 1.0)),
        source=header.get("source", ""),
        path=file.path,
        text=text,
        hash=tagged_hash("operation-1", text),
        _prompt=prompt,
    )


def make_judge(file: OperationFile) -> Judge:
    """Make a judge of a resolved file.

    Raises:
        OperationError: it is not a judge, or its template lacks a slot or one of the choices.
    """
    if file.header.get("family") != "judge":
        raise file.error(f"family must be 'judge', got {file.header.get('family')!r}")
    text, prompt = _compile(file, ("first", "second"))
    name, source = file.header.get("name", ""), file.header.get("source", "")
    judge = Judge(name, source, file.path, text, tagged_hash("operation-1", text), prompt)
    asked = file.sections["Template"]
    if missing := [choice for choice in judge.choices if choice not in asked]:
        raise file.error(f"Template must name the verdicts {judge.choices}; {missing[0]!r} is missing")
    return judge


def make_grader(file: OperationFile) -> Grader:
    """Make a grader of a resolved file.

    Raises:
        OperationError: it is not a grader, or its template shows neither an instruction nor items.
    """
    if file.header.get("family") != "grader":
        raise file.error(f"family must be 'grader', got {file.header.get('family')!r}")
    shown = [slot for slot in ("instruction", "items") if f"{{{slot}}}" in file.sections.get("Template", "")]
    text, prompt = _compile(file, tuple(shown or ("instruction",)))
    name, source = file.header.get("name", ""), file.header.get("source", "")
    return Grader(name, source, file.path, text, tagged_hash("operation-1", text), prompt)


def make_verifier(file: OperationFile) -> Verifier:
    """Make a verifier of a resolved file.

    Raises:
        OperationError: it is not a verifier of a known name, or its template lacks a slot.
    """
    name = file.header.get("name", "")
    if file.header.get("family") != "verifier" or name not in VERIFIERS:
        raise file.error(f"a verifier is of family 'verifier' and named one of {', '.join(VERIFIERS)}, got {name!r}")
    text, prompt = _compile(file, VERIFIERS[name])
    return Verifier(name, file.header.get("source", ""), file.path, text, tagged_hash("operation-1", text), prompt)


def restore(name: str, family: str, text: str) -> Operation:
    """Make an operation from the `text` that a ledger kept."""
    header = {"name": name, "family": family}
    return make_operation(OperationFile(name, header, parse_sections(text, name)))


def restore_judge(name: str, text: str) -> Judge:
    """Make a judge from the `text` that a ledger kept."""
    return make_judge(OperationFile(name, {"name": name, "family": "judge"}, parse_sections(text, name)))


def restore_verifier(name: str, text: str) -> Verifier:
    """Make a verifier from the `text` that a ledger kept."""
    return make_verifier(OperationFile(name, {"name": name, "family": "verifier"}, parse_sections(text, name)))


def _compile(file: OperationFile, wanted: tuple[str, ...]) -> tuple[str, _Prompt]:
    sections = file.sections
    shown: tuple[Demonstration, ...] = ()
    if "Demonstrations" in sections:
        shown = parse_demonstrations(sections["Demonstrations"], file.path)
    variants = parse_variants(sections.get("Variants", ""))
    if strange := [one.variant for one in shown if variants and one.variant not in variants]:
        raise file.error(f"Demonstrations: variant {strange[0]!r} is not in Variants ({', '.join(variants)})")
    template = Template(_section(file, "Template", (*wanted, "conversation")))
    if bool(variants) != ("variant" in template.slots):
        raise file.error("the section Variants and the slot {variant} in Template go together; one of them is missing")
    prompt = _Prompt(
        template=template,
        fixed=_fixed(file, template.slots, shown),
        conversation=Template(_section(file, "Conversation", ("turns",))),
        short=Template(_section(file, "Short template", (*wanted, "conversation"))) if shown else None,
        answer=Template(_section(file, "Short answer", ("rewrite",)) if "Short answer" in sections else "{rewrite}"),
        variants=variants,
        demonstrations=shown,
    )
    return write_sections(sections), prompt


def _fixed(file: OperationFile, slots: Sequence[str], shown: Sequence[Demonstration]) -> dict[str, str]:
    """What is the same in every prompt of the operation: its method, and the demonstrations inside the prompt."""
    fixed = {}
    if "method" in slots:
        fixed["method"] = _section(file, "Method", ())
    if "examples" in slots:
        if not shown:
            raise file.error("Template has the slot {examples}, but there is no section 'Demonstrations'")
        layout = Template(_section(file, "Example", ("instruction", "rewrite")))
        pairs = ({"variant": one.variant, "instruction": one.prompt, "rewrite": one.rewrite} for one in shown)
        fixed["examples"] = "\n\n".join(layout.fill(pair) for pair in pairs)
    return fixed


def _section(file: OperationFile, title: str, slots: tuple[str, ...]) -> str:
    """A section that must be there, with each of `slots` once."""
    text = file.sections.get(title, "")
    if not text:
        remedy = "write it, or take it from another file with 'extends: _in-depth.md'"
        raise file.error(f"the section {title!r} is missing or empty; {remedy}")
    for slot in slots:
        if (count := text.count(f"{{{slot}}}")) != 1:
            raise file.error(f"{title} must have the slot {{{slot}}} once, it has it {count} times")
    return text

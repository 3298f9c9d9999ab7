"""Lineages drawn as trees: seed, operation, evolved instruction, response; and what was dropped, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

import orjson
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text
from rich.tree import Tree

from evolute.text import printable

_LINES = 3
"""Lines that a text takes before it is cut."""
_EVIDENCE_CHARACTERS = 160


ROLLED_BACK = "rolled back"
"""Stands for a reason where Evol Stop left a kept candidate's round out of the dataset."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """One candidate of a lineage. `kept` is None while it is pending; `evidence` is the verdict's JSON, or empty.

    `verification` says in words how its answer was verified. `prompts` are what was sent for it and what came back,
    each with a title.
    """

    id: str
    parent: str
    round: int
    attempt: int
    operation: str
    instruction: str | None
    kept: bool | None
    reason: str
    evidence: str
    response: str | None
    prompts: list[tuple[str, str]]
    verification: str = ""


@dataclass(frozen=True, slots=True)
class LineageView:
    """A seed, and every candidate that came of it, in the order in which they were made."""

    seed_id: str
    instruction: str
    source: str
    line: int
    response: str | None
    nodes: list[NodeView]
    reason: str = ""
    """Why the seed itself is not in the dataset: its response was dropped."""
    verification: str = ""
    """How the seed's own answer was verified, in words."""


_MARKS = {True: ("✓", "+", "green"), False: ("✗", "x", "red"), None: ("…", "?", "yellow")}
"""A verdict's mark, what stands for it where there is no UTF-8, and its colour."""


def draw_lineage(lineage: LineageView, *, prompts: bool = False) -> Tree:
    """Draw a lineage; each candidate hangs below its parent.

    Long texts are cut to a few lines, except with `prompts`, which shows them whole, and every prompt and reply too.
    """
    head = f"seed {_named(lineage.seed_id, prompts)} · {PurePath(lineage.source).name}:{lineage.line}"
    if lineage.reason:
        head += f" · not in the dataset: {lineage.reason}"
    texts = texts_of(lineage.instruction, lineage.response, lineage.verification)
    tree = Tree(Block("●", "*", "bold", head, texts, whole=prompts))
    branches = {lineage.seed_id: tree}
    for node in lineage.nodes:
        mark, plain, colour = _MARKS[node.kept]
        texts = texts_of(node.instruction, node.response, node.verification)
        block = Block(mark, plain, colour, _heading(node, prompts), texts, whole=prompts, faded=node.kept is False)
        branch = branches.get(node.parent, tree).add(block)
        branches[node.id] = branch
        if prompts:
            for title, text in node.prompts:
                branch.add(Block("›", ">", "cyan", title, [("", text)], whole=True))
    return tree


def short(id_: str) -> str:
    """Enough of an id to name it in a command."""
    return id_[:11]


def _named(id_: str, whole: bool) -> str:
    return id_ if whole else short(id_)


def _heading(node: NodeView, whole: bool) -> str:
    attempt = f", attempt {node.attempt + 1}" if node.attempt else ""
    said = f"{node.operation} · round {node.round}{attempt} · {_named(node.id, whole)}"
    if node.kept is None:
        return f"{said} · pending"
    if node.kept:
        return said
    if node.reason == ROLLED_BACK:
        return f"{said} · {ROLLED_BACK}"
    why = evidence_in_words(node.evidence)
    return f"{said} · dropped: {node.reason}" + (f" ({why})" if why else "")


def evidence_in_words(text: str, most: int = _EVIDENCE_CHARACTERS) -> str:
    """A verdict's evidence, which is JSON, in words; cut to `most` characters, by default what a heading bears."""
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        found = text
    if isinstance(found, dict):
        found = ", ".join(f"{name}: {_plain(value)}" for name, value in found.items())
    said = " ".join(str(found).split())
    return said if len(said) <= most else said[: most - 1].rstrip() + "…"


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value) if isinstance(value, str | int) else orjson.dumps(value).decode()


def texts_of(instruction: str | None, response: str | None, verification: str = "") -> list[tuple[str, str]]:
    """An instruction, its response and how that was verified, each with its mark; what is missing is left out."""
    said = (("", instruction), ("→ ", response), ("= ", verification or None))
    return [(mark, text) for mark, text in said if text is not None]


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, and texts below it, that knows the width and the encoding only when it is drawn."""

    mark: str
    plain_mark: str
    style: str
    heading: str
    texts: list[tuple[str, str]]
    whole: bool = False
    faded: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        mark = self.plain_mark if options.ascii_only else self.mark
        heading = Text(_shown(f"{mark} {self.heading}", options), style=self.style)
        yield from self._lines(heading, console, options, whole=True)
        for lead, text in self.texts:
            enough = text if self.whole else " ".join(text[: options.max_width * (_LINES + 1)].split())
            shown = _shown(lead + enough, options)
            style = "dim" if self.faded or lead else ""
            yield from self._lines(Text(shown, style=style), console, options, whole=self.whole)

    @staticmethod
    def _lines(text: Text, console: Console, options: ConsoleOptions, *, whole: bool) -> Iterator[Text | Segment]:
        width = max(options.max_width, 8)
        lines = text.wrap(console, width)
        kept = lines if whole else lines[:_LINES]
        if len(kept) < len(lines):
            dots = "..." if options.ascii_only else "…"
            kept[-1].truncate(width - len(dots))
            kept[-1].rstrip()
            kept[-1].append(dots)
        yield from kept


def _shown(text: str, options: ConsoleOptions) -> str:
    """A text that this terminal can show: safe, and with escapes for what its encoding lacks."""
    safe = printable(text)
    if options.ascii_only:
        safe = safe.replace("·", "-").replace("→", "->").replace("…", "...")
        safe = safe.encode(options.encoding, "backslashreplace").decode(options.encoding)
    return safe

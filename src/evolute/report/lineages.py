"""A few lineages as trees, ready to be drawn: what each child changed, what was dropped, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import orjson

from evolute.ledger import CandidateRow, Reader
from evolute.report.differences import Piece, differences
from evolute.report.sampling import Lowest, draw

_EVIDENCE_CHARACTERS = 400
OF_RESPONSES = ("response-", "code-missing", "not-python", "tests-")
"""How the reasons begin for which a candidate's response is what it was dropped for."""


@dataclass(slots=True)
class Node:
    """A candidate. `pieces` compares it with its parent where the two are alike; `reason` is empty for a kept one."""

    round: int
    operation: str
    text: str
    pieces: list[Piece] | None
    reason: str
    evidence: list[tuple[str, str]]
    response: str = ""
    children: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Lineage:
    """A seed with what came of it; `source` and `line` say where it was read."""

    id: str
    text: str
    source: str
    line: int
    reason: str
    children: list[Node]

    @property
    def kept(self) -> int:
        """Kept descendants."""
        return sum(1 for node in _all(self.children) if not node.reason)

    @property
    def dropped(self) -> int:
        """Dropped descendants."""
        return sum(1 for node in _all(self.children) if node.reason)


def _all(nodes: list[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _all(node.children)


def sample_lineages(reader: Reader, count: int, seed: int, hidden: Collection[str] = ()) -> list[Lineage]:
    """Lineages drawn at random among those that have an evolved candidate, in seed order.

    None is drawn of the seeds in `hidden` (their ids): a row of theirs holds something private, and what was rewritten
    from it, or dropped, may hold it, too.
    """
    lowest = Lowest[int](count)
    for position, id_ in reader.select(
        """SELECT position, id FROM seeds s
        WHERE EXISTS (SELECT 1 FROM candidates d WHERE d.seed = s.position AND d.round > 0)"""
    ):
        if _named(id_) not in hidden:
            lowest.add(draw(seed, id_), position)
    return [_lineage(reader, position) for position in sorted(lowest.values())]


def _lineage(reader: Reader, position: int) -> Lineage:
    _, seed = next(reader.seeds(position - 1, count=1))
    texts = {seed.id: seed.text}
    children: dict[bytes, list[Node]] = {seed.id: []}
    reason = ""
    for row in reader.candidates(position):
        if not row.round:
            reason = row.reason
            continue
        node = _node(reader, row, texts.get(row.parent, ""))
        texts[row.id] = node.text
        children[row.id] = node.children
        children.get(row.parent, children[seed.id]).append(node)
    return Lineage(_named(seed.id), seed.text, PurePath(seed.source).name, seed.line, reason, children[seed.id])


def _named(id_: bytes) -> str:
    return f"s1-{id_.hex()}"


def _node(reader: Reader, row: CandidateRow, parent: str) -> Node:
    text, answer = _said(reader, row), _completion(reader, row.respond_call)
    pieces = differences(parent, text)
    return Node(row.round, row.operation, text, pieces, row.reason, evidence_of(row.evidence), answer)


def evidence_of(text: str) -> list[tuple[str, str]]:
    """A verdict's evidence, which is JSON, as names and values in words, each cut to what one reads."""
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return [("evidence", _cut(text))]
    if not isinstance(found, dict):
        return [("evidence", _cut(_plain(found)))]
    return [
        (str(name).replace("_", " "), _cut(_plain(value))) for name, value in found.items() if value not in ("", None)
    ]


def _plain(value: Any) -> str:  # noqa: ANN401 - JSON's own type
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _EVIDENCE_CHARACTERS else text[: _EVIDENCE_CHARACTERS - 1].rstrip() + "…"


@dataclass(frozen=True, slots=True)
class Example:
    """A dropped candidate, beside its parent; `response` where the response was what it was dropped for."""

    round: int
    operation: str
    parent: str
    text: str
    pieces: list[Piece] | None
    evidence: list[tuple[str, str]]
    response: str


def examples_by_reason(reader: Reader, hidden: Collection[str] = ()) -> dict[str, Example]:
    """A dropped candidate for each reason: the one with the least id, as good as a draw, for ids are hashes.

    Candidates of the lineages in `hidden` (their seeds' ids) are passed over; a reason that has no others is left out.
    """
    chosen = reader.select(
        """SELECT reason, seed, round, slot, attempt, min(id) FROM candidates WHERE reason IS NOT NULL AND round > 0
        GROUP BY reason ORDER BY reason"""
    )
    examples = {}
    for reason, position, *place, _ in list(chosen):
        if _seed_of(reader, position) in hidden:
            position, *place = _another(reader, reason, hidden)
        if place:
            examples[reason] = _example(reader, position, place)
    return examples


def _another(reader: Reader, reason: str, hidden: Collection[str]) -> list[int]:
    rows = reader.select(
        """SELECT c.seed, c.round, c.slot, c.attempt, s.id FROM candidates c JOIN seeds s ON s.position = c.seed
        WHERE c.reason = ? AND c.round > 0 ORDER BY c.id""",
        reason,
    )
    return next((place for *place, id_ in rows if _named(id_) not in hidden), [0])


def _seed_of(reader: Reader, position: int) -> str:
    (id_,) = next(reader.select("SELECT id FROM seeds WHERE position = ?", position))
    return _named(id_)


def _example(reader: Reader, position: int, place: list[int]) -> Example:
    _, seed = next(reader.seeds(position - 1, count=1))
    rows = [row for row in reader.candidates(position) if row.round]
    texts = {seed.id: seed.text} | {row.id: row.instruction or "" for row in rows}
    (row,) = (row for row in rows if [row.round, row.slot, row.attempt] == place)
    parent, text = texts.get(row.parent, ""), _said(reader, row)
    answer = _completion(reader, row.respond_call) if row.reason.startswith(OF_RESPONSES) else ""
    return Example(row.round, row.operation, parent, text, differences(parent, text), evidence_of(row.evidence), answer)


def _said(reader: Reader, row: CandidateRow) -> str:
    """The instruction, or what the evolver said where that held none."""
    return row.instruction or _completion(reader, row.evolve_call)


def _completion(reader: Reader, key: bytes | None) -> str:
    call = reader.call(key) if key is not None else None
    return (call.completion.text or "").strip() if call else ""

"""Measure a run's rows with each step of a selection, once: what was measured stays in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import orjson

from evolute.batches import batched
from evolute.errors import InputError
from evolute.ledger import FindingRow, GradeRow, Ledger, SelectionReader, SelectionWriter
from evolute.records import Reason, Row, tagged_hash
from evolute.select.copies import Copies, first_of_each
from evolute.select.findings import Hit, Hits, Pairs

BATCH = 2_000
"""Rows handed to a step at once."""
_COPY = '"copy"'
"""The evidence, in the ledger, of a row that equals another; the other pairs are between rows that differ."""


class Measurer(Protocol):
    """Takes rows in seed order, and says at the end what it found on them."""

    def add(self, rows: Sequence[Row]) -> None:
        """Look at the next rows."""
        ...

    def found(self) -> Hits | Pairs:
        """What was found on all of them."""
        ...

    def marks(self) -> Mapping[str, Iterable[GradeRow]]:
        """Marks to keep beside the findings, by kind; mostly none."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a selection.

    Attributes:
        name: names it in the ledger and on the report.
        decides: all that decides what it measures; thresholds are not among it.
        open: makes its measurer.
        apart: it needs much memory while it measures, so it has a pass over the rows of its own.
        asks: it asks an endpoint, whose answers the ledger remembers: rows are looked at where the ledger is.
    """

    name: str
    decides: Mapping[str, Any]
    open: Callable[[], Measurer]
    apart: bool = False
    asks: bool = False


@dataclass(slots=True)
class Table:
    """What deciding needs to know of each row, without its text: id, family, round and operation.

    A family is a lineage, with those of the other turns of the same conversation: rows that are alike by design.
    """

    ids: list[str] = field(default_factory=list)
    families: list[int] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)

    def add(self, rows: Sequence[Row]) -> None:
        """Take the next rows; rows of one family stand together, as in a dataset."""
        names: dict[str, str] = {}
        for row in rows:
            family = (row.source, row.line) if row.line else row.root
            number = self.families[-1] if self.families else 0
            self.families.append(number + (family != self._last))
            self._last = family
            self.ids.append(row.id)
            self.rounds.append(row.round)
            self.operations.append(names.setdefault(row.operation, row.operation))

    _last: str | tuple[str, int] = ""


class Texts:
    """A measurer of what is asked: rows in, texts on to what looks for duplicates.

    Only rows with the same context count as like: "Go on." after two conversations is twice another question, and a
    long system prompt that all rows share makes none of them like another.
    """

    def __init__(self, inner: Any) -> None:  # noqa: ANN401 - whichever class of select has add(texts) and pairs()
        self.inner = inner
        self.contexts = bytearray()
        """16 bytes for each row: a hash of its context, zeros for none."""

    def add(self, rows: Sequence[Row]) -> None:
        """Look at the next rows."""
        self.inner.add([row.asked for row in rows])
        for row in rows:
            self.contexts += tagged_hash("context-1", context) if (context := row.context) else bytes(16)

    def found(self) -> Hits | Pairs:
        """The pairs."""
        return within_contexts(self.inner.pairs(), self.contexts)

    def marks(self) -> Mapping[str, Iterable[GradeRow]]:
        """None."""
        return {}


def within_contexts(pairs: Pairs, contexts: bytes | bytearray) -> Pairs:
    """Only the pairs of rows with the same context; `contexts` has 16 bytes for each row."""
    numbers = np.frombuffer(contexts, dtype="<u8").reshape(-1, 2)
    return pairs.within(first_of_each(numbers)) if numbers.any() else pairs


class Rows:
    """A measurer of rows, each by itself."""

    def __init__(self, inner: Any) -> None:  # noqa: ANN401 - whichever class of select has add(rows) and hits()
        self._inner = inner

    def add(self, rows: Sequence[Row]) -> None:
        """Look at the next rows."""
        self._inner.add(rows)

    def found(self) -> Hits | Pairs:
        """The hits."""
        hits: Hits = self._inner.hits()
        return hits

    def marks(self) -> Mapping[str, Iterable[GradeRow]]:
        """None."""
        return {}


Looked = tuple[Step, Hits | Pairs, Mapping[str, Iterable[GradeRow]]]
"""A step, what it found on all rows, and the marks to keep beside that."""
Look = Callable[[Callable[[], Iterator[Row]], Sequence[Step], Table], Iterator[Looked]]
"""Takes the dataset, as often as it calls for it, through some steps; the table is full when the first is done."""


def look_here(dataset: Callable[[], Iterator[Row]], steps: Sequence[Step], table: Table) -> Iterator[Looked]:
    """Measure in this process: what `Look` means."""
    passes = [[step for step in steps if not step.apart], *([step] for step in steps if step.apart)]
    for number, together in enumerate(passes):
        measurers = [step.open() for step in together]
        takers: list[Table | Measurer] = [*measurers, table] if number == 0 else [*measurers]
        for rows in batched(dataset(), BATCH):
            for taker in takers:
                taker.add(rows)
        if not table.ids:
            return
        for step, measurer in zip(together, measurers, strict=True):
            yield step, measurer.found(), measurer.marks()


def measure(ledger: Ledger, steps: Sequence[Step], look: Look = look_here) -> tuple[Table, dict[str, Hits | Pairs]]:
    """Let each step measure the rows of the dataset, unless the ledger holds what it measured on them before.

    Args:
        ledger: the run's.
        steps: in the order in which they decide.
        look: where rows are looked at, if not here.

    Returns:
        The table of the rows, and what each step found, by its name, in the order of the steps.

    Raises:
        InputError: the run has no rows.
    """
    selection, writer = SelectionReader(ledger.reader), SelectionWriter(ledger)
    stamp = selection.stamp()
    keys = {step.name: _key(step, stamp) for step in steps}
    found = {
        step.name: _load(selection, step.name, note)
        for step in steps
        if (note := selection.step(step.name, keys[step.name])) is not None
    }
    left = [step for step in steps if step.name not in found]
    table = Table()
    for step, result, marks in (look if left else look_here)(ledger.reader.dataset, left, table):
        found[step.name] = result
        writer.keep_step(step.name, keys[step.name], _shape(result), _stored(result), marks)
    if not table.ids:
        raise InputError(f"{ledger.run} has no rows to select from; see `evolute status {ledger.run}`")
    return table, {step.name: found[step.name] for step in steps}


def _key(step: Step, stamp: str) -> str:
    decides = orjson.dumps(dict(step.decides), option=orjson.OPT_SORT_KEYS).decode()
    return f"{stamp} {decides}"


def _shape(result: Hits | Pairs) -> dict[str, Any]:
    if isinstance(result, Pairs):
        return {"count": result.count, "floor": result.floor, "reason": result.reason.value}
    return {"count": result.count}


def _stored(result: Hits | Pairs) -> Iterator[FindingRow]:
    if isinstance(result, Hits):
        yield from (finding_row(hit) for hit in result.hits)
        return
    pairs = result.links if isinstance(result, Copies) else result
    columns = (pairs.later.tolist(), pairs.earlier.tolist(), pairs.score.tolist())
    for later, earlier, score in zip(*columns, strict=True):
        yield FindingRow(later, pairs.reason, score, earlier, "")
    if isinstance(result, Copies):
        for row in np.flatnonzero(result.first != np.arange(result.count)).tolist():
            yield FindingRow(row, pairs.reason, 1.0, int(result.first[row]), _COPY)


def finding_row(hit: Hit) -> FindingRow:
    """A hit as the ledger keeps it."""
    evidence = orjson.dumps(dict(hit.evidence)).decode() if hit.evidence else ""
    return FindingRow(hit.row, hit.reason, hit.score, hit.other, evidence)


def _load(selection: SelectionReader, name: str, note: Mapping[str, Any]) -> Hits | Pairs:
    if "floor" not in note:
        return Hits(note["count"], [_hit(finding) for finding in selection.findings(name)])
    first = np.arange(note["count"], dtype=np.int64)
    links = []
    for finding in selection.findings(name):
        if finding.evidence == _COPY:
            first[finding.row] = finding.other
        else:
            links.append((finding.other, finding.row, finding.score))
    earlier, later, score = zip(*links, strict=True) if links else ((), (), ())
    pairs = Pairs(
        Reason(note["reason"]),
        note["count"],
        note["floor"],
        np.array(earlier, dtype=np.int64),
        np.array(later, dtype=np.int64),
        np.array(score, dtype=np.float32),
    )
    return Copies.of(first, pairs)


def _hit(finding: FindingRow) -> Hit:
    evidence = orjson.loads(finding.evidence) if finding.evidence else {}
    return Hit(finding.row, Reason(finding.reason), finding.score, evidence, finding.other)

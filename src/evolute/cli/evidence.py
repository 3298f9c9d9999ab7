"""What was dropped or flagged, and why: examples of a reason, and what the selection decided on a lineage's rows."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice

import orjson
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from evolute.cli.tree import Block, evidence_in_words, short, texts_of
from evolute.errors import InputError
from evolute.ledger import CandidateRow, FindingRow, Reader, SelectionReader
from evolute.ledger.rows import instruction_name, seed_name
from evolute.records import Row
from evolute.report.selected import PRIVATE_STEP
from evolute.report.withheld import NOT_SHOWN, PRIVATE, withheld
from evolute.text import printable
from evolute.verify import in_words

_EVIDENCE = 1_000  # characters of an example's evidence: two texts that overlap, say


@dataclass(slots=True)
class _Decisions:
    """What the last selection decided, where it holds for the rows as they stand; else empty. By row number."""

    dropped: dict[int, FindingRow] = field(default_factory=dict)
    flagged: dict[int, list[FindingRow]] = field(default_factory=dict)
    hidden: Mapping[int, str] = field(default_factory=dict)

    def all(self) -> Iterator[tuple[str, FindingRow]]:
        """Each finding, with what it led to."""
        yield from (("dropped", finding) for finding in self.dropped.values())
        yield from (("flagged", finding) for finding in chain.from_iterable(self.flagged.values()))


def show_reason(reader: Reader, reason: str, count: int, console: Console) -> None:
    """Draw examples of a reason: rows that the selection dropped or flagged, the strongest first, and candidates.

    Raises:
        InputError: nothing in this run was dropped or flagged for it.
    """
    reader.hold()
    decisions = _decisions(reader)
    evolved: Counter[str] = Counter()
    for (_, _, why), dropped in reader.tally().items():
        evolved[why] += dropped
    del evolved[""]
    found = [(verb, finding) for verb, finding in decisions.all() if finding.reason == reason]
    if not found and not evolved[reason] and not reader.verifications()[reason]:
        raise InputError(_unknown(reader, reason, decisions, evolved))
    if found:
        console.print(Text(f"{reason}: {len(found):,} rows dropped or flagged by the selection", style="bold"))
        best = heapq.nsmallest(count, found, key=lambda pair: (-pair[1].score, pair[1].row))
        numbers = {number for _, one in best for number in (one.row, one.other) if number is not None}
        rows = _rows_at(reader, numbers)
        for verb, finding in best:
            console.print(_drawn(verb, finding, rows, decisions.hidden))
    if evolved[reason]:
        console.print(Text(f"{reason}: {evolved[reason]:,} candidates dropped by the evolution", style="bold"))
        for candidate in islice((row for row in reader.candidates() if row.reason == reason), count):
            console.print(_candidate(reader, candidate, "dropped"))
    if (unverified := reader.verifications()[reason] - evolved[reason]) > 0:
        console.print(Text(f"{reason}: {unverified:,} rows kept, and not verified", style="bold"))
        kept = (row for row in reader.candidates() if not row.reason and _unverified(row) == reason)
        for candidate in islice(kept, count):
            console.print(_candidate(reader, candidate, "kept"))


def show_decisions(reader: Reader, root: bytes, console: Console) -> None:
    """Say for each row of a lineage what the selection decided; nothing where there was none."""
    selection = SelectionReader(reader)
    if selection.note() is None:
        return
    if not selection.is_current():
        console.print("selection: the run has changed since; `evolute select` decides anew")
        return
    decisions = _decisions(reader)
    rows = list(_of_lineage(reader, seed_name(root)))
    findings = {number: _findings(decisions, number) for number, _ in rows}
    others = {finding.other for said in findings.values() for _, finding in said if finding.other is not None}
    named = _rows_at(reader, others)
    console.print(Text("selection:", style="bold"))
    for number, row in rows:
        said = "; ".join(_verdict(verb, finding, named, decisions.hidden) for verb, finding in findings[number])
        if number not in decisions.dropped:
            said = f"kept; {said}" if said else "kept"
        console.print(Text(printable(f"  {short(row.id)} (round {row.round}): {said}")), soft_wrap=True)


def _findings(decisions: _Decisions, number: int) -> list[tuple[str, FindingRow]]:
    dropped = [("dropped", decisions.dropped[number])] if number in decisions.dropped else []
    return dropped + [("flagged", finding) for finding in decisions.flagged.get(number, ())]


def _quotes(finding: FindingRow, hidden: Mapping[int, str]) -> bool:
    """Whether its evidence may quote a hidden row; what was found private is masked in it already."""
    return finding.reason not in PRIVATE and not hidden.keys().isdisjoint((finding.row, finding.other))


def _verdict(verb: str, finding: FindingRow, named: Mapping[int, Row], hidden: Mapping[int, str]) -> str:
    said = f"{verb}: {finding.reason}"
    if finding.other is not None and finding.other in named:
        said += f", like {short(named[finding.other].id)} (score {finding.score:.3g})"
    why = "" if _quotes(finding, hidden) else evidence_in_words(finding.evidence)
    return said + (f" ({why})" if why else "")


def _decisions(reader: Reader) -> _Decisions:
    selection = SelectionReader(reader)
    if not selection.is_current():
        return _Decisions()
    found = _Decisions({finding.row: finding for finding in selection.dropped()})
    for finding in selection.flags():
        found.flagged.setdefault(finding.row, []).append(finding)
    # What was found private is hidden even where the recipe neither drops nor flags it.
    found.hidden = withheld(chain(selection.findings(PRIVATE_STEP), (finding for _, finding in found.all())))
    return found


def _rows_at(reader: Reader, numbers: Collection[int]) -> dict[int, Row]:
    """The dataset's rows of these numbers."""
    last = max(numbers, default=-1)
    return {number: row for number, row in enumerate(islice(reader.dataset(), last + 1)) if number in numbers}


def _of_lineage(reader: Reader, root: str) -> Iterator[tuple[int, Row]]:
    """The rows of one lineage, which stand together, with their numbers."""
    begun = False
    for number, row in enumerate(reader.dataset()):
        if row.root == root:
            begun = True
            yield number, row
        elif begun:
            return


def _drawn(verb: str, finding: FindingRow, rows: Mapping[int, Row], hidden: Mapping[int, str]) -> Tree:
    """An example: the row, the evidence, and the earlier row that it is like."""
    other = rows.get(finding.other) if finding.other is not None else None
    row = rows[finding.row]
    heading = f"{short(row.id)} · round {row.round} · {verb} · score {finding.score:.3g}"
    texts = _texts(row, hidden.get(finding.row))
    if finding.evidence and not _quotes(finding, hidden):
        texts.append(("evidence: ", evidence_in_words(finding.evidence, _EVIDENCE)))
    tree = Tree(Block("●", "*", "bold", heading, texts))
    if other is not None and finding.other is not None:
        heading = f"like {short(other.id)} · round {other.round} · an earlier row"
        tree.add(Block("≈", "~", "cyan", heading, _texts(other, hidden.get(finding.other))))
    return tree


def _texts(row: Row, kinds: str | None) -> list[tuple[str, str]]:
    if kinds is not None:
        return [("", f"{kinds} {NOT_SHOWN}")]
    return texts_of(row.asked, row.response)


def _unverified(row: CandidateRow) -> str:
    """Why its answer is not verified; empty where it is, or where that was not looked for."""
    return str(orjson.loads(row.verification)["reason"]) if row.verification else ""


def _candidate(reader: Reader, row: CandidateRow, verb: str) -> Tree:
    name = instruction_name(row.id) if row.round else seed_name(row.id)
    heading = f"{short(name)} · {row.operation or 'seed'} · round {row.round} · {verb}"
    if row.reason in PRIVATE:
        return Tree(Block("✗", "x", "red", heading, [("", NOT_SHOWN)]))
    answer = reader.call(row.respond_call) if row.respond_call else None
    instruction = row.instruction
    if not row.round:
        _, seed = next(reader.seeds(row.seed - 1, count=1))
        instruction = seed.text
    texts = texts_of(instruction, answer.completion.text if answer else None, in_words(row.verification))
    if row.evidence:
        texts.append(("evidence: ", evidence_in_words(row.evidence, _EVIDENCE)))
    mark = ("✗", "x", "red") if row.reason else ("✓", "+", "green")
    return Tree(Block(*mark, heading, texts))


def _unknown(reader: Reader, reason: str, decisions: _Decisions, evolved: Counter[str]) -> str:
    """What to say where nothing has the reason: those that there are."""
    selected = Counter(finding.reason for _, finding in decisions.all())
    parts = [
        f"by the {by}: {', '.join(f'{name} {count:,}' for name, count in counts.most_common())}"
        for by, counts in (("selection", selected), ("evolution", evolved))
        if counts
    ]
    selection = SelectionReader(reader)
    if selection.note() is not None and not selection.is_current():
        parts.append("its rows have changed since they were selected: `evolute select` decides anew")
    known = "; ".join(parts) or "nothing was dropped or flagged at all"
    return f"no row or candidate of {reader.run} was dropped or flagged as {reason!r}. In this run, {known}"

"""Replay and verify: what a ledger says of itself, derived again with the network off."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, fields
from itertools import groupby
from pathlib import Path

import orjson

from evolute.evolve.walking import Walk, walk
from evolute.ledger import CandidateRow, Reader, SelectionReader
from evolute.ledger.rows import dataset_row, seed_name
from evolute.pipeline.summary import run_recipe
from evolute.records import Reason, Row

_SHOWN = 20
"""Problems spelled out; the rest is counted."""


@dataclass(slots=True)
class Check:
    """What was looked at, and what is wrong; `problems` holds the first ones, `found` counts all."""

    counts: Counter[str] = field(default_factory=Counter)
    found: int = 0
    problems: list[str] = field(default_factory=list)
    stored: str = ""
    rebuilt: str = ""

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return self.found == 0

    def report(self, problem: str) -> None:
        """Note a problem."""
        self.found += 1
        if self.found <= _SHOWN:
            self.problems.append(problem)


def replay(run: str | Path) -> Check:
    """Rebuild the dataset from the seeds, the recipe and the recorded calls, and compare it with the stored one.

    `stored` and `rebuilt` are SHA-256 sums over the rows, so that two runs can be compared as well.
    """
    run = Path(run)
    check = Check()
    with Reader(run) as reader:
        stored, rebuilt = hashlib.sha256(), hashlib.sha256()
        groups = groupby(reader.dataset(), key=lambda row: row.root)
        group = next(groups, None)
        for again in walk(reader, run_recipe(run)):
            check.counts["lineages"] += 1
            old: list[Row] = []
            if group is not None and group[0] == seed_name(again.seed.id):
                old = list(group[1])
                group = next(groups, None)
            new = _rows(reader, again)
            if not reader.is_finished(again.position):
                # What has been recorded can already say more than the verdicts that were written before the stop.
                check.counts["lineages pending"] += 1
                stored_ids = {row.id for row in old}
                new = [row for row in new if row.id in stored_ids]
            check.counts["rows"] += len(new)
            for rows, digest in ((old, stored), (new, rebuilt)):
                for row in rows:
                    digest.update(orjson.dumps(row))
            _compare(old, new, check)
        check.stored, check.rebuilt = stored.hexdigest(), rebuilt.hexdigest()
    return check


def _rows(reader: Reader, again: Walk) -> list[Row]:
    rows = [dataset_row(again.seed, row, reader.calls_of(row)) for row in again.rows if not row.reason]
    answered = reader.meta("respond") != "never"
    last = reader.last_round()
    rows = [row for row in rows if last is None or row.round <= last]
    return [row for row in rows if row.response is not None or not answered]


def _compare(old: list[Row], new: list[Row], check: Check) -> None:
    """Two versions of one lineage's rows."""
    stored = {row.id: row for row in old}
    for row in new:
        before = stored.pop(row.id, None)
        if before is None:
            check.report(f"{row.id}: comes out, and is not stored")
        elif before != row:
            check.report(f"{row.id}: {_difference(before, row)}")
    for row in stored.values():
        check.report(f"{row.id}: is stored, and does not come out again")


def verify(run: str | Path) -> Check:
    """Check every invariant of a run: the file, each id, each verdict, each row, the totals."""
    run = Path(run)
    check = Check()
    with Reader(run) as reader:
        for (said,) in reader.select("PRAGMA integrity_check"):
            if said != "ok":
                check.report(f"ledger.db: {said}")
        _check_totals(reader, check)
        stored_ids = reader.select("SELECT id FROM seeds ORDER BY position")
        for again in walk(reader, run_recipe(run)):
            (stored_id,) = next(stored_ids)
            check.counts["seeds"] += 1
            if stored_id != again.seed.id:
                check.report(f"seed {again.position}: its id {stored_id.hex()} is not the hash of its content")
            _check_lineage(reader, again, check)
        _check_selection(reader, check)
    return check


def _check_selection(reader: Reader, check: Check) -> None:
    """Every row is kept or dropped, for a known reason, and what it is like stands before it."""
    selection = SelectionReader(reader)
    note = selection.note()
    if note is None or not selection.is_current():
        return
    rows = sum(1 for _ in reader.dataset())
    dropped = list(selection.dropped())
    check.counts["selected rows"] += rows - len(dropped)
    if (note["rows"], note["kept"]) != (rows, rows - len(dropped)):
        check.report(
            f"the selection tells of {note['kept']} of {note['rows']} rows, and keeps {rows - len(dropped)} of {rows}"
        )
    for finding in (*dropped, *selection.flags()):
        if finding.reason not in set(Reason):
            check.report(f"row {finding.row} of the selection: {finding.reason!r} is not a known reason")
        if not 0 <= finding.row < rows or (finding.other is not None and not 0 <= finding.other < finding.row):
            check.report(f"row {finding.row} of the selection: it or {finding.other} is no earlier row of the dataset")


def _check_lineage(reader: Reader, again: Walk, check: Check) -> None:
    stored = list(reader.candidates(again.position))
    done = reader.is_finished(again.position)
    if again.missing:
        if done:
            check.report(f"seed {again.position} counts as finished, but {again.missing}")
        check.counts["lineages pending"] += 1
    else:
        check.counts["lineages finished"] += 1
    fresh = {(row.round, row.slot, row.attempt): row for row in again.rows}
    for row in stored:
        check.counts["candidates"] += 1
        place = f"seed {row.seed}, round {row.round}, slot {row.slot}, attempt {row.attempt}"
        derived = fresh.pop((row.round, row.slot, row.attempt), None)
        if derived is None:
            check.report(f"{place}: recorded, but it does not come out again")
        elif derived != row:
            check.report(f"{place}: {_difference(row, derived)}")
        if row.reason and row.reason not in set(Reason):
            check.report(f"{place}: {row.reason!r} is not a known reason")
        if not row.reason:
            _check_kept(reader, row, place, check)
    if done:
        for row in fresh.values():
            check.report(f"seed {row.seed}, round {row.round}: a verdict comes out that is not recorded")


def _check_kept(reader: Reader, row: CandidateRow, place: str, check: Check) -> None:
    if row.round and not (row.instruction or "").strip():
        check.report(f"{place}: kept, but its instruction is empty")
    for key in (row.evolve_call, row.respond_call):
        if key is None:
            continue
        check.counts["calls of kept rows"] += 1
        call = reader.call(key)
        if call is None:
            check.report(f"{place}: its call {key.hex()} is not in the ledger")
        elif call.completion.failure is not None:
            check.report(f"{place}: kept, but its {call.role} call failed ({call.completion.failure})")


def _check_totals(reader: Reader, check: Check) -> None:
    # By the models' numbers: one name has several where its sampling was changed.
    for role, model, *sums in reader.select(
        """SELECT c.role, m.name, count(*), sum(c.prompt_tokens), sum(c.completion_tokens),
        t.calls, t.prompt_tokens, t.completion_tokens FROM calls c JOIN models m ON m.id = c.model
        LEFT JOIN totals t ON t.role = c.role AND t.model = c.model GROUP BY c.role, c.model"""
    ):
        counted, kept = tuple(sums[:3]), tuple(sums[3:])
        check.counts["calls"] += counted[0]
        if kept != counted:
            check.report(f"totals of {role} on {model}: {kept} kept, {counted} counted")


def _difference(old: object, new: object) -> str:
    before, after = orjson.loads(orjson.dumps(_plain(old))), orjson.loads(orjson.dumps(_plain(new)))
    names = [name for name in before if before[name] != after.get(name)]
    return "; ".join(
        f"{name} was {str(before[name])[:80]!r}, comes out as {str(after.get(name))[:80]!r}" for name in names
    )


def _plain(record: object) -> dict[str, object]:
    names = record._fields if isinstance(record, CandidateRow) else [field.name for field in fields(record)]  # type: ignore[arg-type]
    values = {name: getattr(record, name) for name in names}
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()}

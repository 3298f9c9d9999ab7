"""What a selection left of the dataset and found on its rows, as far as the report shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

from evolute.ledger import FindingRow, GradeRow, Reader, SelectionReader
from evolute.report.sampling import Lowest
from evolute.report.withheld import withheld

PRIVATE_STEP = "quality"
"""The step that looks for personal data; what it found is hidden even where the recipe neither drops nor flags it."""
SHOWN = 3
"""Rows shown of each kind."""
_LOOKED_AT = 60
"""The lowest marks that are looked through for evolved rows, which alone are shown."""

State = Literal["none", "stale", "current"]


@dataclass(slots=True)
class Selected:
    """The last selection. All but `state` is empty where there was none, or where the dataset has changed since."""

    state: State = "none"
    note: Mapping[str, Any] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)
    gone: dict[int, str] = field(default_factory=dict)
    """The rows that were dropped, with the reason."""
    drops: dict[str, list[FindingRow]] = field(default_factory=dict)
    flags: dict[str, list[FindingRow]] = field(default_factory=dict)
    difficulty: list[GradeRow] = field(default_factory=list)
    low_marks: dict[str, list[GradeRow]] = field(default_factory=dict)
    tokens: dict[str, list[GradeRow]] = field(default_factory=dict)
    hidden: dict[int, str] = field(default_factory=dict)
    """The rows that hold something private, whether they were dropped for it or not, with its kinds."""

    @property
    def steps(self) -> list[str]:
        """The steps in their order, with how many rows each dropped, as far as the note says."""
        named = [[step] if isinstance(step, str) else step for step in self.note.get("steps", [])]
        return [step[0] if len(step) < 2 else f"{step[0]} {step[1]:,}" for step in named]

    @property
    def corpora_checked(self) -> list[str]:
        """The benchmarks that rows were compared with, each with its number of items."""
        corpora = (self.note.get("corpora") or {}).get("checked") or []
        names = [(corpus.get("title") or corpus["name"], corpus.get("items")) for corpus in corpora]
        return [f"{name} ({items:,})" if isinstance(items, int) else name for name, items in names]

    @property
    def corpora_not_checked(self) -> list[str]:
        """The benchmarks that we know and that were not looked at."""
        return list((self.note.get("corpora") or {}).get("not_checked") or [])

    @property
    def wanted(self) -> set[int]:
        """Numbers of the rows that are shown."""
        findings = [finding for kinds in (self.drops, self.flags) for some in kinds.values() for finding in some]
        others = {finding.other for finding in findings if finding.other is not None}
        return (
            {finding.row for finding in findings} | others | {g.row for some in self.low_marks.values() for g in some}
        )


def read_selection(reader: Reader) -> Selected:
    """Read what the last selection found, if it was one of the dataset as it stands."""
    selection = SelectionReader(reader)
    note = selection.note()
    if note is None or not selection.is_current():
        return Selected("none" if note is None else "stale")
    dropped, flagged = selection.counts()
    found = Selected("current", note, dropped, flagged)
    found.gone = {finding.row: finding.reason for finding in selection.dropped()}
    found.hidden = withheld(chain(selection.findings(PRIVATE_STEP), selection.dropped(), selection.flags()))
    found.drops = strongest(selection.dropped())
    found.flags = strongest(selection.flags())
    found.difficulty = list(selection.grades("difficulty"))
    lowest = {kind: _lowest(selection.grades(kind)) for kind in ("difficulty", "quality")}
    found.low_marks = {kind: grades for kind, grades in lowest.items() if grades}
    tokens = {kind: list(selection.grades(f"{kind}-tokens")) for kind in ("prompt", "response")}
    found.tokens = {kind: grades for kind, grades in tokens.items() if grades}
    return found


def strongest(findings: Iterable[FindingRow]) -> dict[str, list[FindingRow]]:
    """The findings with the highest scores, by reason, the most frequent reasons first."""
    lowest: dict[str, Lowest[FindingRow]] = {}
    counts: Counter[str] = Counter()
    for finding in findings:
        counts[finding.reason] += 1
        lowest.setdefault(finding.reason, Lowest(SHOWN)).add(-finding.score, finding)
    return {reason: lowest[reason].values() for reason, _ in counts.most_common()}


def _lowest(grades: Iterable[GradeRow]) -> list[GradeRow]:
    lowest = Lowest[GradeRow](_LOOKED_AT)
    for grade in grades:
        if grade.value is not None:
            lowest.add(grade.value, grade)
    return lowest.values()

"""What a selection came to: the note that it leaves in the ledger, and the summary that is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolute.ledger import GradeRow, Reader
from evolute.pipeline.grading import Grades
from evolute.pipeline.steps import Tools
from evolute.recipe import Recipe, Select
from evolute.select.findings import Hit

Dropped = dict[int, tuple[str, Hit]]
"""By row: the step that dropped it, and what it found."""
Flags = Sequence[tuple[str, Hit]]


@dataclass(frozen=True, slots=True)
class Selected:
    """What a selection came to.

    `dropped` and `flagged` count rows by reason; `steps` says how many each step dropped, in their order; a row that
    several would drop counts for the first. `unreadable` counts marks that the grader's reply did not give, `left` what
    could not be asked since calls failed. `marks` has rows, mean, lowest and highest by kind; `groups` how many rows
    the mixture drew of each. `changed` are the fields of `select` that differ from their defaults. `stopped` says why
    there is no new selection, empty if there is one.
    """

    run: Path
    rows: int = 0
    kept: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    flagged: Mapping[str, int] = field(default_factory=dict)
    steps: Sequence[tuple[str, int]] = ()
    corpora_checked: Sequence[str] = ()
    corpora_not_checked: Sequence[str] = ()
    unreadable: int = 0
    left: int = 0
    pending: int = 0
    marks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)
    changed: Mapping[str, Any] = field(default_factory=dict)
    stopped: str = ""


def note_of(
    recipe: Recipe,
    rows: int,
    dropped: Dropped,
    flags: Flags,
    grades: Grades,
    tools: Tools,
    groups: Mapping[str, int],
) -> dict[str, Any]:
    """What the selection says of itself, for whoever reads the run later."""
    select = recipe.select
    counted = Counter(step for step, _ in dropped.values())
    names = [*tools.names, *sorted(set(counted) - set(tools.names))]
    return {
        "rows": rows,
        "kept": rows - len(dropped),
        "dropped": dict(Counter(hit.reason.value for _, hit in dropped.values()).most_common()),
        "flagged": dict(
            Counter(reason for reason, _ in {(hit.reason.value, hit.row) for _, hit in flags}).most_common()
        ),
        "steps": [[name, counted[name]] for name in names],
        "corpora": tools.corpora_note(),
        "encoder": tools.encoder_name,
        "tokenizer": select.tokens.tokenizer,
        "mixture": {"by": select.mixture.by, "groups": dict(groups)},
        "unreadable": grades.unreadable,
        "left": grades.left,
        "marks": {kind: _spread(marks) for kind, marks in sorted(grades.marks.items())},
    }


def _spread(marks: Sequence[GradeRow]) -> dict[str, float]:
    values = [mark.value for mark in marks if mark.value is not None]
    if not values:
        return {"rows": 0}
    return {"rows": len(values), "mean": sum(values) / len(values), "low": min(values), "high": max(values)}


def selected_of(run: Path, note: Mapping[str, Any], reader: Reader) -> Selected:
    """The summary that a note tells."""
    return Selected(
        run=run,
        rows=note["rows"],
        kept=note["kept"],
        dropped=note["dropped"],
        flagged=note["flagged"],
        steps=[(name, count) for name, count in note["steps"]],
        corpora_checked=[corpus["title"] for corpus in note["corpora"]["checked"]],
        corpora_not_checked=note["corpora"]["not_checked"],
        unreadable=note["unreadable"],
        left=note["left"],
        pending=reader.seed_count() - reader.finished_count(),
        marks=note["marks"],
        groups=note["mixture"]["groups"],
        changed=dict(_changed(note["made_by"]["select"], Select().model_dump(mode="json"), "select")),
    )


def _changed(fields: Mapping[str, Any], defaults: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    """The fields that differ from their defaults, by dotted name."""
    for part, value in fields.items():
        if isinstance(value, dict) and part != "quotas":
            yield from _changed(value, defaults[part], f"{name}.{part}")
        elif value != defaults[part]:
            yield f"{name}.{part}", value

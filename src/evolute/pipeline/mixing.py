"""The last step of a selection: which of the rows that passed make the dataset."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evolute.batches import batched
from evolute.errors import InputError
from evolute.ledger import Ledger
from evolute.pipeline.grading import Grades
from evolute.pipeline.measuring import BATCH, Table
from evolute.pipeline.steps import Tools
from evolute.recipe import Select
from evolute.records import Reason
from evolute.select.findings import Hit
from evolute.select.mixture import count_groups, cover, difficulty_band, draw, draw_by_group

if TYPE_CHECKING:
    from evolute.encoders import Vectors

CLUSTERS = 20
"""As in the paper's analysis of breadth (WizardLM, section 4.3)."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """The rows that were not drawn, and how many were drawn of each group."""

    dropped: Sequence[Hit] = ()
    groups: Mapping[str, int] = field(default_factory=dict)


def mix(select: Select, table: Table, dropped: Container[int], grades: Grades, ledger: Ledger, tools: Tools) -> Mixed:
    """Draw the mixture from the rows that passed.

    Raises:
        InputError: there are too few rows, a quota cannot be met, or rows without a mark are mixed by difficulty.
    """
    mixture = select.mixture
    passed = [row for row in range(len(table.ids)) if row not in dropped]
    if not passed or (mixture.rows is None and not mixture.quotas):
        return Mixed()
    ids = [table.ids[row] for row in passed]
    if mixture.by == "uniform":
        groups: list[str] = []
        chosen = draw(ids, mixture.rows or len(ids), mixture.seed)
    elif mixture.by == "coverage":
        groups = []
        chosen = cover(ids, _vectors(ledger, passed, tools), mixture.rows or len(ids), mixture.seed)
    else:
        groups = _groups(mixture.by, table, passed, grades, ledger, tools)
        chosen = draw_by_group(ids, groups, mixture.rows, mixture.quotas, mixture.seed)
    kept = set(chosen)
    reason = Reason.OVER_QUOTA if mixture.quotas else Reason.NOT_SAMPLED
    evidence = {"by": mixture.by, "seed": mixture.seed}
    hits = [
        Hit(row, reason, evidence=evidence | ({"group": groups[place]} if groups else {}))
        for place, row in enumerate(passed)
        if place not in kept
    ]
    return Mixed(hits, count_groups(groups, chosen) if groups else {})


def _groups(by: str, table: Table, passed: Sequence[int], grades: Grades, ledger: Ledger, tools: Tools) -> list[str]:
    if by == "round":
        return [str(table.rounds[row]) for row in passed]
    if by == "operation":
        return [table.operations[row] or "(seed)" for row in passed]
    if by == "difficulty":
        marks = {grade.row: grade.value for grade in grades.marks.get("difficulty", [])}
        if all(marks.get(row) is None for row in passed):
            raise InputError(
                "select.mixture.by is 'difficulty', and no row that passed has a mark: set select.grade.difficulty to"
                " true, so that the role grader gives them"
            )
        return [difficulty_band(marks.get(row)) for row in passed]
    return _clusters(_vectors(ledger, passed, tools))


def _vectors(ledger: Ledger, passed: Sequence[int], tools: Tools) -> Vectors:
    import numpy as np

    wanted = set(passed)
    texts = (row.prompt for number, row in enumerate(ledger.reader.dataset()) if number in wanted)
    return np.concatenate([np.asarray(tools.encoder.encode(some), dtype=np.float32) for some in batched(texts, BATCH)])


def _clusters(vectors: Vectors) -> list[str]:
    from evolute.errors import MissingExtra

    try:
        from sklearn.cluster import MiniBatchKMeans
    except ImportError:
        raise MissingExtra("mixing by cluster", "report") from None
    clusters = min(CLUSTERS, len(vectors))
    labels = MiniBatchKMeans(clusters, random_state=0, n_init=3, batch_size=4096).fit_predict(vectors)
    return [str(label) for label in labels.tolist()]

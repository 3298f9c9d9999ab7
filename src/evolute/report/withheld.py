"""Rows that the page does not show: those in which the selection found personal data or a secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import orjson

from evolute.ledger import FindingRow
from evolute.records import Reason, Row

PRIVATE = frozenset({Reason.PERSONAL_DATA.value, Reason.SECRET.value})
NOT_SHOWN = "(not shown: it holds personal data or a secret)"


def withheld(findings: Iterable[FindingRow]) -> dict[int, str]:
    """The numbers of the rows with such a finding, each with the kinds that were found in it."""
    kinds: dict[int, dict[str, None]] = {}
    for finding in findings:
        if finding.reason in PRIVATE:
            kinds.setdefault(finding.row, {})[_kind(finding)] = None
    return {row: ", ".join(found) for row, found in kinds.items()}


def _kind(finding: FindingRow) -> str:
    """What was found (`email address`): never a piece of the row, for the rules name kinds from their own lists."""
    evidence = orjson.loads(finding.evidence or "{}")
    kind = evidence.get("kind") if isinstance(evidence, dict) else None
    return kind if isinstance(kind, str) and kind else finding.reason


def placeholder(row: Row, kinds: str) -> str:
    """What is shown in a row's place."""
    return f"{kinds} in row {row.id[:11]} {NOT_SHOWN}"


def shown(row: Row, number: int, hidden: Mapping[int, str]) -> Row:
    """The row as it may be shown: without any of its texts where its number is among the hidden ones."""
    if (kinds := hidden.get(number)) is None:
        return row
    return replace(
        row, instruction=placeholder(row, kinds), input="", response=None, system="", history=(), reasoning=None
    )

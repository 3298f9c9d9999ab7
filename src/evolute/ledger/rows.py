"""What a reader of the ledger gets: candidates, calls, totals, and the dataset's rows made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import orjson

from evolute.records import Completion, Row, Seed


@dataclass(frozen=True, slots=True)
class Totals:
    """What one model has done in one role, over all sessions of the run. `seconds` adds up the calls' latencies.

    `share` is that of the normal price: calls that came in batches are totalled apart from those made at once.
    """

    role: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cached_tokens: int
    seconds: float
    attempts: int
    share: float = 1.0


class CandidateRow(NamedTuple):
    """A candidate as it is recorded; `reason` is empty for a kept one. Round 0 is the seed with its response.

    `verification` is JSON, empty where its answer was not to be verified: `calls` and `executions` list the hex keys of
    those that it took besides the other columns' calls.
    """

    seed: int
    round: int
    slot: int
    attempt: int
    id: bytes
    parent: bytes
    operation: str
    template: bytes | None
    instruction: str | None
    reason: str
    evidence: str
    evolve_call: bytes | None
    judge_call: bytes | None
    respond_call: bytes | None
    verification: str = ""


@dataclass(frozen=True, slots=True)
class CallRow:
    """A recorded call: who was asked in which role, and what came back."""

    key: bytes
    role: str
    model: str
    completion: Completion


class Calls(NamedTuple):
    """What a dataset row wants of its candidate's calls; None where there was no such call."""

    evolver: str | None
    judge: str | None
    responder: str | None
    response: str | None
    reasoning: str | None


class FindingRow(NamedTuple):
    """What a step of the selection found on a row of the dataset; `other` is an earlier row that it is like."""

    row: int
    reason: str
    score: float
    other: int | None
    evidence: str


class GradeRow(NamedTuple):
    """A mark that a row was given; `value` is None where the grader's reply was none, which `evidence` then holds."""

    row: int
    value: float | None
    evidence: str
    call: bytes | None


class SampleRow(NamedTuple):
    """A response to a row's instruction; sample 0 is its own, without a call. `score` is None where not marked."""

    row: int
    sample: int
    call: bytes
    score: float | None


def seed_name(digest: bytes) -> str:
    """A seed's id as text."""
    return f"s1-{digest.hex()}"


def instruction_name(digest: bytes) -> str:
    """An evolved instruction's id as text."""
    return f"i1-{digest.hex()}"


def dataset_row(seed: Seed, row: CandidateRow, calls: Calls) -> Row:
    """The dataset's row of a kept candidate."""
    response = seed.response if row.respond_call is None and row.round == 0 else calls.response
    root = seed_name(seed.id)
    note = orjson.loads(row.verification) if row.verification else {}
    return Row(
        id=instruction_name(row.id) if row.round else root,
        parent="" if row.round == 0 else root if row.parent == seed.id else instruction_name(row.parent),
        root=root,
        round=row.round,
        operation=row.operation,
        instruction=row.instruction or "" if row.round else seed.instruction,
        input="" if row.round else seed.input,
        response=response.strip() if response is not None else None,
        system=seed.system,
        history=seed.history,
        evolver=calls.evolver or "",
        judge=calls.judge or "",
        responder=calls.responder or "",
        source=seed.source,
        line=seed.line,
        reasoning=calls.reasoning,
        verified=note.get("verified"),
        tests=note.get("tests", ""),
    )

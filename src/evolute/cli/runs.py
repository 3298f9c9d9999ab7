"""Commands that look at a run: status, show, verify, replay."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import orjson
from cyclopts import Parameter

from evolute.cli.evidence import show_decisions, show_reason
from evolute.cli.screen import Json, say, show_summary, write_json
from evolute.cli.screen import out as screen
from evolute.cli.tree import ROLLED_BACK, LineageView, NodeView, draw_lineage
from evolute.errors import InputError
from evolute.evolve.walking import Walk, walk
from evolute.ledger import CandidateRow, Reader
from evolute.ledger.lock import describe, holder
from evolute.ledger.rows import instruction_name, seed_name
from evolute.pipeline import checking, reading
from evolute.pipeline.summary import Summary, run_recipe
from evolute.verify import in_words


def status(run: Path, /, *, json: Json = False) -> None:
    """How a run stands; works from another terminal while it runs.

    Args:
        run: The run's folder.
    """
    summary = reading.status(run)
    who = holder(run)
    if json:
        write_json({**_fields(summary), "running": who})
        return
    if who is not None:
        screen().print(f"running: {describe(who)}")
    show_summary(summary)


def _fields(summary: Summary) -> dict[str, object]:
    own = {name: getattr(summary, name) for name in summary.__dataclass_fields__}
    derived = ("pending", "cost_per_kept", "rolled_back")
    return {**own, **{name: getattr(summary, name) for name in derived}}


def show(
    run: Path,
    id_: Annotated[str | None, Parameter(name="ID", help="A seed's or an instruction's id, or its beginning.")] = None,
    /,
    *,
    reason: Annotated[
        str | None, Parameter(help="Draw what was dropped or flagged for this reason, the strongest cases first.")
    ] = None,
    count: Annotated[int, Parameter(help="Lineages or cases to draw when no id is given.")] = 3,
) -> None:
    """Draw lineages as trees: seed, operation, evolved instruction, response; what was dropped, and why.

    With an ID, one lineage, every prompt that was sent for it, and what the selection decided on its rows. With
    --reason, rows and candidates that were dropped or flagged for it, with the evidence.

    Args:
        run: The run's folder.
        id_: A seed's (s1-…) or an instruction's (i1-…) id, or its beginning.
    """
    console = screen()
    if count < 1:
        raise InputError(f"--count must be at least 1, got {count!r}")
    if reason is not None and id_ is not None:
        raise InputError(f"an id ({id_}) and --reason {reason}: give one of them")
    with Reader(run) as reader:
        if reason is not None:
            show_reason(reader, reason, count, console)
            return
        if id_ is None:
            for view in islice(_richest(reader, count), count):
                console.print(draw_lineage(view))
                console.print()
            return
        found = reader.find(id_)
        if found is None:
            raise InputError(f"{run} has no seed or instruction whose id begins with {id_!r}")
        for again in walk(reader, run_recipe(run), found[0] - 1, 1):
            console.print(draw_lineage(_view(reader, again.position, again), prompts=True))
        show_decisions(reader, found[1].id, console)


def _richest(reader: Reader, count: int) -> Iterator[LineageView]:
    """Lineages that show something: those with the most kept rounds first, in seed order among equals."""
    best = reader.select(
        """SELECT seed FROM candidates GROUP BY seed
        ORDER BY sum(reason IS NULL AND round > 0) DESC, sum(reason IS NOT NULL) DESC, seed LIMIT ?""",
        count,
    )
    for (position,) in sorted(best):
        yield _view(reader, position, None)


def _view(reader: Reader, position: int, again: Walk | None) -> LineageView:
    _, seed = next(reader.seeds(position - 1, count=1))
    rows = list(reader.candidates(position))
    root = next((row for row in rows if row.round == 0), None)
    answer = _response(reader, root) if root else None
    return LineageView(
        seed_id=seed_name(seed.id),
        instruction=seed.text,
        source=seed.source,
        line=seed.line,
        response=answer or seed.response,
        nodes=[_node(reader, row, seed.id, again) for row in rows if row.round],
        reason=root.reason if root else "",
        verification=in_words(root.verification) if root else "",
    )


def _node(reader: Reader, row: CandidateRow, root: bytes, again: Walk | None) -> NodeView:
    prompts = []
    last = reader.last_round()
    reason = row.reason or (ROLLED_BACK if last is not None and row.round > last else "")
    verifying = orjson.loads(row.verification)["calls"] if row.verification else ()
    for key in (row.evolve_call, row.judge_call, row.respond_call, *map(bytes.fromhex, verifying)):
        request = again.asked.get(key) if again and key else None
        if request is not None:
            text = "\n".join(f"[{message.role}] {message.content}" for message in request.messages)
            call = reader.call(request.key)
            said = call.completion.text if call else None
            prompts += [(f"{request.role} asked", text), (f"{request.role} said", said or "(nothing)")]
    return NodeView(
        id=instruction_name(row.id),
        parent=seed_name(row.parent) if row.parent == root else instruction_name(row.parent),
        round=row.round,
        attempt=row.attempt,
        operation=row.operation,
        instruction=row.instruction,
        kept=not reason,
        reason=reason,
        evidence=row.evidence,
        response=_response(reader, row),
        prompts=prompts,
        verification=in_words(row.verification),
    )


def _response(reader: Reader, row: CandidateRow) -> str | None:
    call = reader.call(row.respond_call) if row.respond_call else None
    return call.completion.text if call else None


def verify(run: Path, /, *, json: Json = False) -> None:
    """Check every invariant: the file, each id, each verdict derived again, each kept row, the totals.

    Args:
        run: The run's folder.
    """
    _finish(checking.verify(run), json, "every invariant holds", "invariants are broken")


def replay(run: Path, /, *, json: Json = False) -> None:
    """Rebuild the dataset from seeds, recipe and ledger with the network off, and say whether it is identical.

    Args:
        run: The run's folder.
    """
    _finish(checking.replay(run), json, "identical", "not identical")


def _finish(check: checking.Check, json: bool, good: str, bad: str) -> None:
    if json:
        write_json({"ok": check.ok, **{name: getattr(check, name) for name in check.__dataclass_fields__}})
    else:
        counts = ", ".join(f"{count:,} {name}" for name, count in check.counts.items())
        screen().print(f"{good if check.ok else bad}: {counts}")
        if check.rebuilt:
            screen().print(f"sha256 {check.rebuilt}")
        for problem in check.problems:
            say(f"- {problem}")
        if check.found > len(check.problems):
            say(f"… and {check.found - len(check.problems):,} more")
    if not check.ok:
        sys.exit(1)

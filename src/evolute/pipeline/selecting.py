"""Select: from the rows that the evolution kept to those that one would sign for.

Cheap steps come before paid ones. Measuring is apart from deciding (`measuring.py`): with another threshold, or another
mixture, only the decision is made again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evolute.errors import InputError, Stopped
from evolute.evolve.budget import Budget, Limits
from evolute.ledger import FindingRow, Ledger, SelectionReader, SelectionWriter
from evolute.pipeline.choosing import selecting_recipe
from evolute.pipeline.evolving import standing, write_recipe
from evolute.pipeline.grading import Grades, grade, load_graders
from evolute.pipeline.measuring import Look, Step, Table, finding_row, look_here, measure
from evolute.pipeline.mixing import mix
from evolute.pipeline.selected import Dropped, Flags, Selected, note_of, selected_of
from evolute.pipeline.steps import Tools, over_budget, steps_of
from evolute.pipeline.stopping import INTERRUPTED, in_loop
from evolute.recipe import Recipe, Select
from evolute.records import Reason, tagged_hash
from evolute.select.findings import Hit, Hits, Pairs, Selection

Looking = Callable[[Path, Tools], Look]
"""Makes what measures the rows of a run, given its folder, with the recipe's tools."""


def select(
    run: str | Path,
    *,
    recipe: Recipe | str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    looking: Looking | None = None,
    say: Callable[[str], None] = lambda remark: None,
) -> Selected:
    """Decide which rows of a run make its dataset, and record each decision with its evidence.

    Args:
        run: the run's folder.
        recipe: take the parts `select`, `export` and `roles.grader` from this one; default: the run's own.
        settings: recipe fields by dotted path: `{"select.duplicates.near": 0.9}`.
        limits: bounds on what the grader may spend, over all sessions of the run.
        looking: where rows are measured, if not here: `evolute.scale.whole.looking_on("ray")`.
        say: told what is being done.

    Returns:
        What was kept and dropped. Where this very selection has been made already, what it came to.

    Raises:
        InputError: there is no run, the recipe is wrong, nothing is left, or a quota cannot be met.
        LedgerError: another process writes the run, or it is damaged.
        EndpointError: the grader or the encoder cannot be asked; what was paid for is recorded.
    """
    run = Path(run)
    chosen = selecting_recipe(run, recipe, settings)
    with Ledger(run) as ledger:
        tools = Tools(chosen, ledger)
        steps = steps_of(chosen.select, tools)
        made_by = _made_by(chosen, steps)
        before = SelectionReader(ledger.reader)
        note = before.note()
        if note is not None and before.is_current() and note["made_by"] == made_by and not note["left"]:
            say("this selection has been made already")
            write_recipe(run, chosen)
            return selected_of(run, note, ledger.reader)
        say(f"looking at the rows of {run} ({', '.join(step.name for step in steps)})")
        table, found = measure(ledger, steps, looking(run, tools) if looking else look_here)
        if "tokens" in found:
            found["tokens"] = over_budget(ledger.reader, chosen.select.tokens.budget, len(table.ids))
        if unread := tools.unread:
            say(f"{unread:,} prompts are in a script that the encoder cannot read: they count as like none")
        dropped, flags = decide(chosen.select, table, found)
        grades = Grades()
        try:
            groups = _mark_and_mix(ledger, chosen, table, dropped, grades, tools, limits or Limits(), say)
        except Stopped as stop:
            return Selected(run, len(table.ids), left=grades.left, stopped=str(stop))
        if len(dropped) == len(table.ids):
            raise InputError(_nothing_left(run, dropped))
        flags = [(name, hit) for name, hit in flags if hit.row not in dropped]
        note = note_of(chosen, len(table.ids), dropped, flags, grades, tools, groups)
        note |= {"stamp": before.stamp(), "made_by": made_by}
        _record(ledger, note, dropped, flags, grades)
        write_recipe(run, chosen)
        return selected_of(run, note, ledger.reader)


def decide(select: Select, table: Table, found: Mapping[str, Hits | Pairs]) -> tuple[Dropped, list[tuple[str, Hit]]]:
    """What the measuring steps drop, in their order, and what they flag, on rows that stay and others."""
    dropped: Dropped = {}
    flags: list[tuple[str, Hit]] = []
    if not select.seeds:
        for row, round_ in enumerate(table.rounds):
            if round_ == 0:
                dropped[row] = ("seeds", Hit(row, Reason.NOT_SAMPLED, evidence={"rule": "select.seeds is false"}))

    def drop(name: str, selection: Selection) -> None:
        dropped.update({hit.row: (name, hit) for hit in selection.dropped})

    for name, result in found.items():
        threshold, drops, flagged = _terms(select, name)
        if isinstance(result, Pairs):
            across = name == "duplicates" or select.duplicates.within_lineage
            pairs = result if across else result.between(table.families)
            drop(name, pairs.select(threshold, gone=dropped))
        else:
            drop(name, result.select(threshold, gone=dropped, reasons=drops))
            flags += [(name, hit) for hit in result.hits if hit.reason in flagged and hit.score >= threshold]
    return dropped, flags


def _terms(select: Select, name: str) -> tuple[float, frozenset[Reason], frozenset[Reason]]:
    """A step's threshold, and the reasons for which it drops and flags."""
    everything, nothing = frozenset(Reason), frozenset[Reason]()
    both = {"drop": (everything, nothing), "flag": (nothing, everything), "ignore": (nothing, nothing)}
    duplicates = select.duplicates
    return {
        "quality": (0.0, frozenset(select.quality.drop), frozenset(select.quality.flag)),
        "contamination": (select.contamination.words, *both[select.contamination.check]),
        "semantic-contamination": (select.contamination.semantic or 0.0, nothing, everything),
        "tokens": (0.0, *both[select.tokens.over]),
        "duplicates": (1.0, everything, nothing),
        "near-duplicates": (duplicates.near or 1.0, everything, nothing),
        "semantic-duplicates": (duplicates.semantic or 1.0, everything, nothing),
    }[name]


def _mark_and_mix(
    ledger: Ledger,
    recipe: Recipe,
    table: Table,
    dropped: Dropped,
    grades: Grades,
    tools: Tools,
    limits: Limits,
    say: Callable[[str], None],
) -> Mapping[str, int]:
    """Ask models about rows, and draw the mixture: the drawing first, unless it depends on marks.

    Returns:
        How many rows of each group were drawn.
    """
    spec = recipe.select.grade
    budget = Budget(limits, standing(ledger, recipe))
    marks_decide = spec.band is not None or recipe.select.mixture.by == "difficulty"
    if marks_decide and spec.difficulty:
        _ask(ledger, recipe, table, dropped, grades, tools, budget, say, difficulty=True, rest=False)
        if grades.left:
            raise Stopped(f"{grades.left:,} rows could not be marked, since their calls failed: run it again")
        _drop_out_of_band(recipe.select, grades, table, dropped)
    mixed = mix(recipe.select, table, dropped, grades, ledger, tools)
    dropped.update({hit.row: ("mixture", hit) for hit in mixed.dropped})
    difficulty = spec.difficulty and not marks_decide
    if (difficulty or spec.siblings or spec.responses > 1) and len(dropped) < len(table.ids):
        _ask(ledger, recipe, table, dropped, grades, tools, budget, say, difficulty=difficulty, rest=True)
    return mixed.groups


def _ask(
    ledger: Ledger,
    recipe: Recipe,
    table: Table,
    dropped: Dropped,
    grades: Grades,
    tools: Tools,
    budget: Budget,
    say: Callable[[str], None],
    *,
    difficulty: bool,
    rest: bool,
) -> None:
    passed = [row for row in range(len(table.ids)) if row not in dropped]
    say(f"asking the grader about {len(passed):,} rows")
    wanted = _difficulty_rows(recipe, table, passed) if difficulty else frozenset[int]()
    numbered = ((number, row) for number, row in enumerate(ledger.reader.dataset()) if number not in dropped)

    async def asked() -> None:
        try:
            await grade(ledger, recipe, numbered, budget, grades, tools, difficulty=wanted, rest=rest)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None  # the second Ctrl-C

    in_loop(asked, lambda: budget.close(INTERRUPTED))


def _difficulty_rows(recipe: Recipe, table: Table, passed: Sequence[int]) -> frozenset[int]:
    spec = recipe.select.grade
    if spec.sample is None:
        return frozenset(passed)
    rounds: dict[int, list[int]] = {}
    for row in passed:
        rounds.setdefault(table.rounds[row], []).append(row)

    def order(row: int) -> bytes:
        return tagged_hash("graded-1", recipe.seed, table.ids[row])

    return frozenset(row for rows in rounds.values() for row in sorted(rows, key=order)[: spec.sample])


def _drop_out_of_band(select: Select, grades: Grades, table: Table, dropped: Dropped) -> None:
    if select.grade.band is None:
        return
    low, high = select.grade.band
    marks = {grade.row: grade.value for grade in grades.marks.get("difficulty", [])}
    for row in range(len(table.ids)):
        mark = marks.get(row)
        if row not in dropped and (mark is None or not low <= mark <= high):
            evidence = {"difficulty": mark, "band": [low, high]}
            dropped[row] = ("difficulty", Hit(row, Reason.OUT_OF_BAND, evidence=evidence))


def _nothing_left(run: Path, dropped: Dropped) -> str:
    reasons = Counter(hit.reason.value for _, hit in dropped.values())
    most = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common(3))
    return (
        f"no row of {run} is left of {len(dropped):,} ({most}): relax the rule that dropped most "
        f"(`evolute recipe explain select` names them). The selection before stands"
    )


def _made_by(recipe: Recipe, steps: Sequence[Step]) -> dict[str, Any]:
    """All that decides a selection, as plain data."""
    made: dict[str, Any] = {
        "select": recipe.select.model_dump(mode="json"),
        "steps": {step.name: dict(step.decides) for step in steps},
    }
    if recipe.select.grade.asks:
        made["grader"] = recipe.roles.grader.model_dump(mode="json")
        made["asked"] = recipe.spec("grader")[1].decisive()
        made["prompts"] = [grader.hash.hex() for grader in load_graders(recipe).values()]
    return made


def _record(ledger: Ledger, note: Mapping[str, Any], dropped: Dropped, flags: Flags, grades: Grades) -> None:
    def rows(entries: Iterable[tuple[str, Hit]]) -> list[tuple[str, FindingRow]]:
        return [(step, finding_row(hit)) for step, hit in sorted(entries, key=lambda entry: entry[1].row)]

    marks = {kind: grades.marks.get(kind, []) for kind in ("difficulty", "complexity", "quality")}
    SelectionWriter(ledger).keep_selection(note, rows(dropped.values()), rows(flags), marks, grades.samples)

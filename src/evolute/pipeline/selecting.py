"""Select: from the rows that the evolution kept to those that one would sign for.

Cheap steps come before paid ones. Measuring is apart from deciding (`measuring.py`): with another threshold, or another
mixture, only the decision is made again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolute.errors import InputError, RecipeError, Stopped
from evolute.evolve.budget import Budget, Limits
from evolute.ledger import LEDGER, FindingRow, Ledger, SelectionReader, SelectionWriter
from evolute.pipeline.evolving import resolve_recipe, standing, write_recipe
from evolute.pipeline.grading import Grades, grade
from evolute.pipeline.measuring import Table, finding_row, measure
from evolute.pipeline.mixing import mix
from evolute.pipeline.steps import Tools, over_budget, steps_of
from evolute.pipeline.stopping import INTERRUPTED, in_loop
from evolute.recipe import Recipe, Select, assign, load, resolve
from evolute.records import Reason, tagged_hash
from evolute.select.findings import Hit, Hits, Pairs, Selection

Dropped = dict[int, tuple[str, Hit]]
"""By row: the step that dropped it, and what it found."""


@dataclass(frozen=True, slots=True)
class Selected:
    """What a selection came to.

    `dropped` and `flagged` count rows by reason; `steps` says how many each step dropped, in their order; a row that
    several would drop counts for the first. `stopped` says why there is no new selection, empty if there is one.
    """

    run: Path
    rows: int
    kept: int
    dropped: Mapping[str, int]
    flagged: Mapping[str, int]
    steps: Sequence[tuple[str, int]]
    corpora_checked: Sequence[str] = ()
    corpora_not_checked: Sequence[str] = ()
    unreadable: int = 0
    left: int = 0
    pending: int = 0
    stopped: str = ""


def select(
    run: str | Path,
    *,
    recipe: Recipe | str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    say: Callable[[str], None] = lambda remark: None,
) -> Selected:
    """Decide which rows of a run make its dataset, and record each decision with its evidence.

    Args:
        run: the run's folder.
        recipe: take the parts `select`, `export` and `roles.grader` from this one; default: the run's own.
        settings: recipe fields by dotted path: `{"select.duplicates.near": 0.9}`.
        limits: bounds on what the grader may spend, over all sessions of the run.
        say: told what is being done.

    Returns:
        What was kept and dropped.

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
        say(f"looking at the rows of {run} ({', '.join(step.name for step in steps)})")
        table, found = measure(ledger, steps)
        if "tokens" in found:
            found["tokens"] = over_budget(ledger.reader, chosen.select.tokens.budget, len(table.ids))
        dropped, flags = decide(chosen.select, table, found)
        grades = Grades()
        if _asks_models(chosen.select):
            say(f"asking the grader about rows that passed ({len(table.ids) - len(dropped):,})")
            budget = Budget(limits or Limits(), standing(ledger, chosen))
            try:
                grades = _grade(ledger, chosen, table, dropped, budget)
            except Stopped as stop:
                return Selected(run, len(table.ids), 0, {}, {}, [], stopped=str(stop))
        _drop_out_of_band(chosen.select, grades, table, dropped)
        mixed = mix(chosen.select, table, dropped, grades, ledger, tools)
        for hit in mixed.dropped:
            dropped[hit.row] = ("mixture", hit)
        if len(dropped) == len(table.ids):
            raise InputError(_nothing_left(run, dropped))
        note = _note(chosen, table, dropped, flags, ledger, tools, mixed.groups)
        _record(ledger, note, dropped, flags, grades)
        write_recipe(run, chosen)
        return _summary(run, note, dropped, flags, grades, ledger)


def selecting_recipe(
    run: Path, recipe: Recipe | str | Path | None = None, settings: Mapping[str, Any] | None = None
) -> Recipe:
    """The run's own recipe, with what comes after the evolution taken from `recipe` and `settings`.

    Raises:
        InputError: there is no run.
        RecipeError: a setting would change the evolution.
    """
    if not (run / LEDGER).is_file() or not (run / "recipe.yaml").is_file():
        raise InputError(
            f"{str(run)!r} is not a run: it has no {LEDGER}. A run is made by `evolute evolve FILE --out RUN`"
        )
    own = resolve_recipe(run)
    fields = load(run / "recipe.yaml")
    if recipe is not None:
        other = recipe if isinstance(recipe, Recipe) else resolve(load(recipe), str(recipe))
        taken = other.model_dump(mode="json")
        fields |= {part: taken[part] for part in ("select", "export")}
        fields["roles"]["grader"] = taken["roles"]["grader"]
        fields["models"] = taken["models"] | fields["models"]
    for path, value in (settings or {}).items():
        assign(fields, path.split("."), value)
    chosen = resolve(fields, str(recipe or run / "recipe.yaml"))
    if chosen.fingerprint() != own.fingerprint():
        raise RecipeError(
            f"that would change how {run} evolved, not which rows are selected: `evolute evolve --out {run}` takes it"
        )
    return chosen


def decide(select: Select, table: Table, found: Mapping[str, Hits | Pairs]) -> tuple[Dropped, list[tuple[str, Hit]]]:
    """What the measuring steps drop, in their order, and what they flag on rows that stay."""
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
    return dropped, [(name, hit) for name, hit in flags if hit.row not in dropped]


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


def _asks_models(select: Select) -> bool:
    return select.grade.difficulty or select.grade.siblings or select.grade.responses > 1


def _grade(ledger: Ledger, recipe: Recipe, table: Table, dropped: Dropped, budget: Budget) -> Grades:
    passed = [row for row in range(len(table.ids)) if row not in dropped]
    wanted = _difficulty_rows(recipe, table, passed)
    numbered = ((number, row) for number, row in enumerate(ledger.reader.dataset()) if number not in dropped)

    async def asked() -> Grades:
        try:
            return await grade(ledger, recipe, numbered, budget, difficulty=wanted)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None  # the second Ctrl-C

    return in_loop(asked, lambda: budget.close(INTERRUPTED))


def _difficulty_rows(recipe: Recipe, table: Table, passed: Sequence[int]) -> frozenset[int]:
    spec = recipe.select.grade
    if not spec.difficulty:
        return frozenset()
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


def _note(
    recipe: Recipe,
    table: Table,
    dropped: Dropped,
    flags: Sequence[tuple[str, Hit]],
    ledger: Ledger,
    tools: Tools,
    groups: Mapping[str, int],
) -> dict[str, Any]:
    """What the selection says of itself, for whoever reads the run later."""
    select = recipe.select
    counted = Counter(step for step, _ in dropped.values())
    return {
        "stamp": SelectionReader(ledger.reader).stamp(),
        "rows": len(table.ids),
        "kept": len(table.ids) - len(dropped),
        "dropped": dict(Counter(hit.reason.value for _, hit in dropped.values()).most_common()),
        "flagged": dict(Counter(hit.reason.value for _, hit in flags).most_common()),
        "steps": [[name, counted.pop(name, 0)] for name in (*tools.names, *sorted(set(counted) - set(tools.names)))],
        "corpora": tools.corpora_note(),
        "encoder": tools.encoder_name,
        "tokenizer": select.tokens.tokenizer,
        "mixture": {"by": select.mixture.by, "groups": dict(groups)},
        "made_by": made_by(recipe),
    }


def made_by(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe decides a selection."""
    return {
        "select": recipe.select.model_dump(mode="json"),
        "grader": recipe.roles.grader.model_dump(mode="json"),
        "asked": recipe.spec("grader")[1].decisive(),
    }


def _record(
    ledger: Ledger,
    note: Mapping[str, Any],
    dropped: Dropped,
    flags: Sequence[tuple[str, Hit]],
    grades: Grades,
) -> None:
    def rows(entries: Sequence[tuple[str, Hit]]) -> list[tuple[str, FindingRow]]:
        return [(step, finding_row(hit)) for step, hit in sorted(entries, key=lambda entry: entry[1].row)]

    writer = SelectionWriter(ledger)
    for kind in ("difficulty", "complexity", "quality"):
        writer.keep_grades(kind, grades.marks.get(kind, []))
    writer.keep_samples(grades.samples)
    writer.keep_selection(note, rows(list(dropped.values())), rows(flags))


def _summary(
    run: Path,
    note: Mapping[str, Any],
    dropped: Dropped,
    flags: Sequence[tuple[str, Hit]],
    grades: Grades,
    ledger: Ledger,
) -> Selected:
    return Selected(
        run=run,
        rows=note["rows"],
        kept=note["kept"],
        dropped=note["dropped"],
        flagged=note["flagged"],
        steps=[(name, count) for name, count in note["steps"]],
        corpora_checked=[corpus["title"] for corpus in note["corpora"]["checked"]],
        corpora_not_checked=note["corpora"]["not_checked"],
        unreadable=grades.unreadable,
        left=grades.left,
        pending=ledger.reader.seed_count() - ledger.reader.finished_count(),
    )

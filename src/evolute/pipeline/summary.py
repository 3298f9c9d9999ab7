"""How a run stands, read from its ledger at any time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from evolute.errors import InputError
from evolute.ledger import Reader, SelectionReader, Totals
from evolute.ledger.batches import BatchRow, batches
from evolute.ledger.rounds import Rounds
from evolute.models.prices import cost, unit_price
from evolute.recipe import Price, Recipe, load, resolve
from evolute.records import Usage

DATASET = "dataset.jsonl"
"""The file in a run's folder that holds all rows that the evolution kept."""
EVALUATION, RESULTS = "evaluation.yaml", "results.json"
"""What tells the folder of an evaluation from a run's, and what it came to."""
_GRADER, _FURTHER, _REST = "(grader)", "(further responses)", "(other calls)"


@dataclass(frozen=True, slots=True)
class OperationUse:
    """What one operation's candidates came to; round 0, the seeds' own answers, is named `(seeds)`."""

    operation: str
    kept: int
    dropped: int
    tokens: int
    cost: float | None
    seconds: float = 0.0
    """The latencies of its calls, added up."""


@dataclass(frozen=True, slots=True)
class SelectionState:
    """What the last selection kept of how many rows; not `current` where the run has changed since."""

    rows: int
    kept: int
    current: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run stands.

    `kept` and `dropped` (by reason) count evolved candidates; `seeds_dropped` counts seeds whose own response was
    dropped, so that they are not in the dataset. `cost` is in US dollars, None where a price is unknown; `stopped`
    says why a run is not finished; `selection` is None where none was made. `others` are the calls behind no candidate:
    the grader's, further responses (those that were ranked), and the rest (unsound responses; calls of lineages under
    way and of an earlier recipe). With `operations` they add up to the total. `verified` and `unverified` (by reason)
    count answers that were to be verified, those of dropped candidates and of seeds among them.
    """

    run: Path
    seeds: int
    finished: int
    duplicates: int
    bad_rows: int
    kept: int
    dropped: Mapping[str, int]
    seeds_dropped: Mapping[str, int]
    by_round: Sequence[tuple[int, int, int]]
    calls: int
    tries: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost: float | None
    roles: Sequence[Totals]
    operations: Sequence[OperationUse]
    others: Sequence[OperationUse]
    left_over: Mapping[str, int]
    stopped: str
    selection: SelectionState | None = None
    rounds: Rounds | None = None
    """How far an evolution with a barrier between rounds has come (Evol Stop); None without one."""
    verified: int = 0
    unverified: Mapping[str, int] = field(default_factory=dict)
    batches: Sequence[BatchRow] = ()
    """All batches, in the order in which they were made."""

    @property
    def rolled_back(self) -> int:
        """Kept evolved candidates that are not in the dataset, since their rounds were rolled back."""
        last = self.rounds.last if self.rounds else None
        return 0 if last is None else sum(kept for round_, kept, _ in self.by_round if round_ > last)

    @property
    def evol_stop(self) -> str:
        """What Evol Stop has come to, in a sentence; empty without one."""
        if self.rounds is None:
            return ""
        told = [f"round {number} scored {score:g}" for number, score in sorted(self.rounds.scores.items())]
        if self.rounds.last is None:
            told.append(f"round {self.rounds.grown} is not decided yet")
            return ", ".join(told)
        if self.rounds.last == self.rounds.grown:
            return f"{', '.join(told)}; all rounds are kept"
        left = f"{self.rolled_back:,} later rows are left out of the dataset"
        return f"{', '.join(told)}; rolled back to round {self.rounds.last} ({left})"

    @property
    def pending(self) -> int:
        """Seeds whose lineage is not finished."""
        return self.seeds - self.finished

    @property
    def cost_per_kept(self) -> float | None:
        """US dollars per kept evolved instruction: of the evolution's calls, without the grader's and what it ranks."""
        after = _sum([use.cost for use in self.others if use.operation in (_GRADER, _FURTHER)])
        return None if self.cost is None or after is None or not self.kept else (self.cost - after) / self.kept


def run_recipe(run: Path) -> Recipe:
    """The recipe as the run resolved it.

    Raises:
        InputError: the folder holds an evaluation, which has none.
    """
    if (run / EVALUATION).exists():
        raise InputError(f"{run} is an evaluation, not a run: what came of it is in {run / 'results.json'}")
    return resolve(load(run / "recipe.yaml"), str(run / "recipe.yaml"))


def prices_of(recipe: Recipe, models: Iterable[str]) -> dict[str, Price | None]:
    """Prices by model name, as the recipe's models say; one that has left the recipe counts as unknown."""
    known = {spec.model: unit_price(spec) for spec in recipe.models.values()}
    return {name: known.get(name) for name in models}


def part_usage(part: Totals) -> Usage:
    """The tokens that are priced."""
    return Usage(part.prompt_tokens, part.completion_tokens, cached=part.cached_tokens)


def total_cost(totals: Sequence[Totals], prices: Mapping[str, Price | None]) -> float | None:
    """US dollars for all calls; None where any of their models has no known price."""
    costs = [cost(part_usage(part), prices[part.model], part.share) for part in totals]
    return _sum(costs)


def summarise(run: Path, reader: Reader) -> Summary:
    """Read how the run stands."""
    totals = reader.totals()
    prices = prices_of(run_recipe(run), {part.model for part in totals})
    tally = reader.tally()
    usage = reader.operation_usage()
    seeds = reader.seed_count()
    rows = orjson.loads(reader.meta("rows") or "{}")
    dropped: Counter[str] = Counter()
    seeds_dropped: Counter[str] = Counter()
    verifications = reader.verifications()
    rounds: dict[int, list[int]] = {}
    for (round_, _, reason), count in tally.items():
        if reason:
            (dropped if round_ else seeds_dropped)[reason] += count
        if round_:
            rounds.setdefault(round_, [0, 0])[1 if reason else 0] += count
    return Summary(
        run=run,
        seeds=seeds,
        finished=reader.finished_count(),
        duplicates=max(0, sum(rows.values()) - seeds),
        bad_rows=int(reader.meta("bad_rows") or 0),
        kept=sum(kept for kept, _ in rounds.values()),
        dropped=dict(dropped.most_common()),
        seeds_dropped=dict(seeds_dropped.most_common()),
        by_round=[(round_, kept, gone) for round_, (kept, gone) in sorted(rounds.items())],
        calls=sum(part.calls for part in totals),
        tries=sum(part.attempts for part in totals),
        prompt_tokens=sum(part.prompt_tokens for part in totals),
        completion_tokens=sum(part.completion_tokens for part in totals),
        reasoning_tokens=sum(part.reasoning_tokens for part in totals),
        cost=total_cost(totals, prices),
        roles=totals,
        operations=_operations(usage, tally, prices),
        others=_others(reader, usage, totals, prices),
        left_over=dict(reader.left_over()),
        stopped=reader.meta("stopped") or "",
        selection=_selection(reader),
        rounds=Rounds.read(reader),
        verified=verifications.pop("", 0),
        unverified=dict(verifications.most_common()),
        batches=batches(reader),
    )


def _selection(reader: Reader) -> SelectionState | None:
    selection = SelectionReader(reader)
    note = selection.note()
    return None if note is None else SelectionState(note["rows"], note["kept"], selection.is_current())


def _operations(
    usage: Sequence[tuple[Any, ...]], tally: Mapping[tuple[int, str, str], int], prices: Mapping[str, Price | None]
) -> list[OperationUse]:
    tokens: Counter[str] = Counter()
    costs: dict[str, list[float | None]] = {}
    seconds: Counter[str] = Counter()
    for operation, model, prompt, completion, cached, latency, share in usage:
        tokens[operation] += prompt + completion
        seconds[operation] += latency
        spent = cost(Usage(prompt, completion, cached=cached), prices.get(model), 1.0 if share is None else share)
        costs.setdefault(operation, []).append(spent)
    counts: dict[str, list[int]] = {}
    for (_, operation, reason), count in tally.items():
        counts.setdefault(operation, [0, 0])[1 if reason else 0] += count
    return [
        OperationUse(name or "(seeds)", kept, gone, tokens[name], _sum(costs.get(name, [])), seconds[name])
        for name, (kept, gone) in sorted(counts.items())
    ]


def _others(
    reader: Reader, usage: Sequence[tuple[Any, ...]], totals: Sequence[Totals], prices: Mapping[str, Price | None]
) -> list[OperationUse]:
    """What the totals hold beside the operations' calls."""
    uses: dict[str, Counter[tuple[Sold, str]]] = {_GRADER: Counter(), _FURTHER: Counter(), _REST: Counter()}
    for part in totals:
        kind = uses[_GRADER if part.role == "grader" else _REST]
        _add(kind, (part.model, part.share), part.prompt_tokens, part.completion_tokens, part.cached_tokens)
    for model, share, *counts in reader.select(
        """SELECT m.name, m.share, sum(c.prompt_tokens), sum(c.completion_tokens), sum(c.cached_tokens)
        FROM samples s JOIN calls c ON c.key = s.call LEFT JOIN models m ON m.id = c.model
        WHERE s.sample > 0 GROUP BY 1, 2"""
    ):
        _add(uses[_FURTHER], (model, share), *counts)
        _add(uses[_REST], (model, share), *(-count for count in counts))
    for _, model, prompt, completion, cached, _, share in usage:
        _add(uses[_REST], (model, share), -prompt, -completion, -cached)
    found = [_other(name, used, prices) for name, used in uses.items()]
    return [use for use in found if use.tokens > 0]  # less than none: the run went on between two looks


Sold = tuple[str, float | None]
"""A model, and the share of its price."""


def _add(used: Counter[tuple[Sold, str]], sold: Sold, *counts: int) -> None:
    for name, count in zip(("prompt", "completion", "cached"), counts, strict=True):
        used[sold, name] += count


def _other(name: str, used: Counter[tuple[Sold, str]], prices: Mapping[str, Price | None]) -> OperationUse:
    costs, tokens = [], 0
    for sold in {sold for sold, _ in used}:
        usage = Usage(used[sold, "prompt"], used[sold, "completion"], cached=used[sold, "cached"])
        if usage != Usage():
            model, share = sold
            costs.append(cost(usage, prices.get(model), 1.0 if share is None else share))
        tokens += usage.prompt + usage.completion
    return OperationUse(name, 0, 0, tokens, _sum(costs))


def _sum(costs: Sequence[float | None]) -> float | None:
    """What is partly unknown is unknown."""
    return None if None in costs else sum(one for one in costs if one is not None)

"""Walking lineages again on what the ledger holds: for replay, for verify, and for showing the prompts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from evolute.errors import NotRecorded
from evolute.evolve.lineage import Lineage
from evolute.evolve.seen import Verdicts
from evolute.evolve.session import Craft, make_setting, make_verifying
from evolute.ledger import CandidateRow, Executions, Reader
from evolute.ledger.rounds import Rounds
from evolute.models.recording import Replayed
from evolute.recipe import Recipe
from evolute.records import Completion, Request, Seed


class _Noting(Replayed):
    """Replays, and notes what was asked."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader)
        self.asked: dict[bytes, Request] = {}

    async def complete(self, request: Request) -> Completion:
        self.asked[request.key] = request
        return await super().complete(request)


@dataclass(frozen=True, slots=True)
class Walk:
    """A lineage as it comes out again: its verdicts in dataset order, the requests by key, and what was missing."""

    position: int
    seed: Seed
    rows: list[CandidateRow]
    asked: dict[bytes, Request]
    missing: str = ""


def walk(reader: Reader, recipe: Recipe, after: int = 0, count: int = -1) -> Iterator[Walk]:
    """Walk the lineages of the seeds behind position `after`, in reading order, with no network behind them."""
    if (rounds := Rounds.read(reader)) is not None:
        recipe = recipe.up_to(rounds.grown)
    noting = _Noting(reader)
    rows: dict[tuple[int, int, int], CandidateRow] = {}

    def keep(row: CandidateRow, verbatim: bool) -> None:
        rows[row.round, row.slot, row.attempt] = row

    craft, models = Craft.restored(reader), dict.fromkeys(recipe.models, noting)
    verifying = make_verifying(recipe, craft, Executions(reader))
    setting = make_setting(recipe, craft, models, keep, Verdicts(reader), verifying)
    setting = replace(setting, at_once=False)
    for position, seed in reader.seeds(after, count=count):
        rows.clear()
        noting.asked = {}
        missing = ""
        try:
            # Nothing in a replay waits, so the coroutine runs to its end at the first push.
            Lineage(setting, position, seed).grow().send(None)
        except StopIteration:
            pass
        except NotRecorded as error:
            missing = str(error)
        yield Walk(position, seed, [rows[place] for place in sorted(rows)], noting.asked, missing)

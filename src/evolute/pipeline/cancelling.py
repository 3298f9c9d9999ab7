"""Giving up the batches that a run waits for, without losing what they have answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.evolve.budget import Budget, Limits
from evolute.ledger import LEDGER, Ledger
from evolute.ledger.batches import BatchRow, askers, batches
from evolute.models.batching.batched import open_batched
from evolute.models.prices import unit_price
from evolute.pipeline.evolving import resolve_recipe, standing
from evolute.pipeline.stopping import in_loop
from evolute.recipe import BatchSpec, Recipe


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What became of the batches that waited.

    Attributes:
        batches: how many are ended now.
        requests: how many requests they held.
        answered: how many of these had been answered; the answers are in the ledger.
        left: requests in batches of models that the recipe has not, which still wait.
    """

    batches: int
    requests: int
    answered: int
    left: int


def cancel_batches(
    run: str | Path, *, settings: Mapping[str, Any] | None = None, say: Callable[[str], None] = lambda remark: None
) -> Cancelled:
    """Have the provider end the batches that a run waits for, and fetch what they have answered. Asks nothing.

    A batch that has ended by itself meanwhile is fetched whole. A provider takes up to some minutes to cancel; who
    does not wait for that (Ctrl-C) calls again.

    Args:
        run: the run's folder.
        settings: recipe fields by dotted path, where the batches are of another model, or at another address, than
            the run's recipe has now. They are not kept.
        say: told what is being done.

    Raises:
        InputError: there is no such run, or its recipe cannot open the batches' provider.
        EndpointError: the provider cannot be reached, or refuses; the same call goes on.
    """
    run = Path(run)
    if not (run / LEDGER).is_file():
        raise InputError(f"{run}: not a run's folder (it has no {LEDGER})")
    recipe = resolve_recipe(run, None, settings)
    with Ledger(run) as ledger:
        waiting = batches(ledger.reader, only_open=True)
        if waiting:
            say(
                f"ending batches: {len(waiting):,}, with {_requests(waiting):,} requests; what they answered is fetched"
            )
            in_loop(lambda: _cancel(ledger, recipe), lambda: None)
        left = batches(ledger.reader, only_open=True)
        over = {batch.id for batch in waiting} - {batch.id for batch in left}
        ended = [batch for batch in batches(ledger.reader) if batch.id in over]
        return Cancelled(len(ended), _requests(ended), sum(batch.answered for batch in ended), _requests(left))


async def _cancel(ledger: Ledger, recipe: Recipe) -> None:
    budget = Budget(Limits(), standing(ledger, recipe))
    there = askers(ledger.reader)
    async with AsyncExitStack() as stack:
        for spec in {spec.identity: spec for spec in recipe.models.values() if spec.identity in there}.values():
            asked = spec if spec.batch else spec.model_copy(update={"batch": BatchSpec()})
            opened = open_batched(ledger, asked, budget, unit_price(spec), cancel=True)
            await (await stack.enter_async_context(opened)).ended()


def _requests(rows: list[BatchRow]) -> int:
    return sum(batch.requests for batch in rows)

"""One shard at one worker: the ordinary engine over a ledger on the local disk, shipped to the sink."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolute.errors import EvoluteError, InputError, LedgerDamaged, RunBusy
from evolute.evolve.budget import Limits
from evolute.evolve.session import Craft, Session
from evolute.ledger import LEDGER, Ledger
from evolute.pipeline.evolving import notes_of, standing
from evolute.pipeline.ingest import Ingest, feed
from evolute.pipeline.stopping import in_thread
from evolute.recipe import Recipe
from evolute.scale.allowance import Allowance, Ask, Link
from evolute.scale.segments import SEEDS, decode, put_seeds
from evolute.scale.shards import Shard
from evolute.scale.shipping import Shipper, take_up
from evolute.scale.sink import Sink
from evolute.seeds import SeedOptions

RUN_FILE = "run.json"
"""What the sink says of the run that it belongs to."""


@dataclass(frozen=True, slots=True)
class Job:
    """What all workers of a run have in common.

    Attributes:
        recipe: the run's recipe, resolved.
        craft: its operations, as texts: a worker needs no folder of them.
        run: the run's name in the sink, for the folder on the local disk.
        sink: the sink's URL.
        local_disk: the folder for ledgers on each node, with `{node}` for the node's name; empty: the system's own for
            temporary files.
        limits: the run's bounds.
        ship_calls: calls recorded that may be missing in the sink at any time.
        ship_seconds: the age at which they are shipped, however few.
    """

    recipe: Recipe
    craft: Craft
    run: str
    sink: str
    local_disk: str
    limits: Limits
    ship_calls: int
    ship_seconds: float


async def grow_shard(job: Job, shard: Shard, todo: set[int], attempt: str, node: str, ask: Ask) -> str:
    """Grow the lineages of a shard, as far as the run's bounds go; all that was recorded is in the sink afterwards.

    Args:
        job: what to do.
        shard: the seeds.
        todo: those of their positions that the run has not finished.
        attempt: a name for this attempt, which no other has.
        node: the machine's name.
        ask: sends reports to the run's shares.

    Returns:
        Why the shard was left unfinished; empty where it was not.

    Raises:
        EvoluteError: what must stop the run.
    """
    sink = Sink(job.sink)
    if not sink.has(RUN_FILE):
        raise InputError(
            f"the node {node} does not see the sink {job.sink}: give --sink a folder that all nodes share, or a URL "
            "(s3://..., gs://...)"
        )
    fingerprint = job.craft.fingerprint(job.recipe)
    folder = Path(job.local_disk.replace("{node}", node) or Path(tempfile.gettempdir()) / "evolute") / job.run
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--local-disk: the node {node} cannot make {folder}: {error.strerror or error}") from None
    rescued = _rescue(folder / shard.name, sink, shard, attempt, fingerprint)
    with _ledger(folder, shard, attempt) as ledger:
        ledger.begin(fingerprint, notes_of(job.recipe, job.craft))
        seeds = decode(SEEDS, sink.get(shard.file), shard.file)
        ledger.transact(lambda db: put_seeds(db, seeds, only=todo))
        with Shipper(ledger.run, sink, shard.name, attempt, fingerprint) as shipper:
            take_up(ledger, sink, shard.name)
            shipper.begin(ledger)
            why = await _grow(job, ledger, shipper, shard, todo, attempt, ask, rescued)
    shutil.rmtree(ledger.run, ignore_errors=True)  # the sink has it all
    with contextlib.suppress(OSError):  # there are others
        folder.rmdir()
    return why


async def _grow(
    job: Job, ledger: Ledger, shipper: Shipper, shard: Shard, todo: set[int], attempt: str, ask: Ask, shipped: list[str]
) -> str:
    budget = Allowance(job.limits, standing(ledger, job.recipe), job.ship_calls)
    async with Session(ledger, job.recipe, job.craft, budget) as session:
        link = Link(ask, attempt, shard.name, len(todo), session, budget)
        link.tell_shipped(shipped)
        await link.ask()
        try:
            async with (
                _beside(_keep_shipping(job, ledger, shipper, budget, link)),
                _beside(link.keep_asking()),
            ):
                await _run(session, ledger, shipper, budget, link)
        finally:
            await link.ask(ended=True)
    return budget.why


async def _run(session: Session, ledger: Ledger, shipper: Shipper, budget: Allowance, link: Link) -> None:
    ingest = Ingest(ledger, (), SeedOptions())  # the seeds are there
    try:
        await session.run(feed(ledger, ingest, lambda seeds: None, lambda remark: None, stopping=lambda: budget.why))
    finally:
        await _ship(ledger, shipper, budget, link, last=True)


async def _keep_shipping(job: Job, ledger: Ledger, shipper: Shipper, budget: Allowance, link: Link) -> None:
    """Ship whenever there is enough, or it is old enough."""
    shipped = time.monotonic()
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, shipped + job.ship_seconds - time.monotonic())):
                await budget.full.wait()
        old = time.monotonic() >= shipped + job.ship_seconds
        try:
            await _ship(ledger, shipper, budget, link, last=False, lineages=old)
        except EvoluteError as error:
            budget.close(str(error))  # the last attempt to ship, at the end, raises it
            return
        shipped = time.monotonic() if old else shipped


async def _ship(
    ledger: Ledger, shipper: Shipper, budget: Allowance, link: Link, *, last: bool, lineages: bool = True
) -> None:
    async with shipper.turn:
        budget.full.clear()
        names = await in_thread(lambda: shipper.ship(ledger, lineages=lineages, last=last))
        budget.shipped(shipper.calls)
        link.tell_shipped(names)


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Keep something going while the block lasts; what it raises comes out of the block's end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _rescue(folder: Path, sink: Sink, shard: Shard, attempt: str, fingerprint: bytes) -> list[str]:
    """Ship the calls that an attempt which was killed has left on this disk, and remove it; the files' names."""
    if not (folder / LEDGER).is_file():
        return []
    names: list[str] = []
    try:
        with Ledger(folder) as ledger, Shipper(folder, sink, shard.name, f"{attempt}-0", fingerprint) as shipper:
            names = shipper.ship(ledger, lineages=False, last=False)
    except RunBusy:
        return []  # it counts as dead, and is not
    except LedgerDamaged:
        pass  # what was shipped is in the sink
    shutil.rmtree(folder, ignore_errors=True)
    return names


@contextlib.contextmanager
def _ledger(folder: Path, shard: Shard, attempt: str) -> Iterator[Ledger]:
    """The shard's ledger on the local disk; one of its own where an attempt that counts as dead still holds it."""
    try:
        ledger = Ledger(folder / shard.name)
    except RunBusy:
        ledger = Ledger(folder / f"{shard.name}-{attempt}")
    with ledger:
        yield ledger

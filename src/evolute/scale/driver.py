"""A run's evolution on Ray: shards go through Ray Data to workers, and what these ship into the run's ledger."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import orjson

from evolute.cores import usable_cores
from evolute.errors import EvoluteError, InputError
from evolute.evolve.budget import Budget
from evolute.evolve.progress import Progress
from evolute.evolve.session import Craft, introduce, role_identity
from evolute.ledger import Ledger
from evolute.models.prices import unit_price
from evolute.pipeline.evolving import Watch, notes_of
from evolute.pipeline.ingest import Ingest, feed
from evolute.pipeline.stopping import in_thread, stop_clock, stop_signals
from evolute.recipe import EVOLVING_ROLES, Recipe
from evolute.scale.collecting import Collector
from evolute.scale.flow import Thread, appoint, go_through, ray_errors
from evolute.scale.shards import Shard, cut, shards_in, size_for
from evolute.scale.shares import Standing
from evolute.scale.sink import Sink, place_of
from evolute.scale.starting import check_address, connect
from evolute.scale.worker import RUN_FILE, Job

_LOOK_SECONDS = 0.5
_MOST_LOCAL = 4
_NAME = "name in sinks"


@dataclass(frozen=True, slots=True)
class OnRay:
    """How a run goes to Ray.

    Attributes:
        address: `ray` starts one on this machine; `ray://HOST:PORT` joins a cluster (`evolute.scale.starting`).
        sink: the folder or fsspec URL that all nodes see, for what the workers ship; default: RUN/segments.
        local_disk: each worker's folder for its ledgers, on the disk of its node (`{node}`: the node's name in Ray);
            default: the system's for temporary files.
        workers: how many; default: one for each node, or for each core (at most 4) where Ray is started here.
        shard: seeds in a shard; default: what gives each worker 4 shards, at most 5,000.
        ship_calls: a worker never has more calls recorded that are not in the sink.
        ship_seconds: the age at which calls are shipped, however few.
    """

    address: str = "ray"
    sink: str | None = None
    local_disk: str = ""
    workers: int | None = None
    shard: int | None = None
    ship_calls: int = 1_000
    ship_seconds: float = 10.0

    def __post_init__(self) -> None:
        check_address(self.address)
        for name in ("workers", "shard", "ship_calls", "ship_seconds"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InputError(f"--{name.replace('_', '-')} must be above 0, got {value!r}")

    def check(self, recipe: Recipe, pilot: int | None) -> None:
        """Refuse what a cluster cannot do.

        Raises:
            InputError: the recipe declares something that needs all lineages in one process, or only a pilot is wanted.
        """
        if recipe.evolve.stop is not None:
            raise InputError(
                "--on ray: evolve.stop holds all lineages back until a round is scored, and workers know only their "
                "own: leave out either"
            )
        if recipe.evolve.duplicates:
            raise InputError(
                "--on ray: evolve.duplicates compares with what other lineages have kept, and workers know only their "
                "own: leave it out (`select` finds duplicates over all rows) or --on ray"
            )
        if any(getattr(spec, "batch", None) is not None for spec in recipe.models.values()):
            raise InputError("--on ray and --batch: a batch waits as well on one machine; leave out one of them")
        if pilot is not None:
            raise InputError("a pilot of a few lineages needs no cluster: leave --on ray out")

    async def run(
        self,
        ledger: Ledger,
        ingest: Ingest,
        recipe: Recipe,
        craft: Craft,
        budget: Budget,
        pilot: int | None,
        watch: Watch | None,
        say: Callable[[str], None],
    ) -> None:
        """Grow all lineages on the cluster: a `Runner` (`evolute.pipeline.evolving`).

        Raises:
            InputError: the sink is another run's, or there is no such cluster.
            EvoluteError: what stopped the run.
        """
        with ExitStack() as stack:
            stack.callback(ingest.close)
            budget.on_close.append(lambda why: ingest.wake())
            stack.enter_context(stop_signals(budget))
            stack.enter_context(stop_clock(budget, budget.limits.minutes))
            try:
                await self._run(stack, ledger, ingest, recipe, craft, budget, watch, say)
            except asyncio.CancelledError:
                raise KeyboardInterrupt from None  # the second Ctrl-C

    async def _run(
        self,
        stack: ExitStack,
        ledger: Ledger,
        ingest: Ingest,
        recipe: Recipe,
        craft: Craft,
        budget: Budget,
        watch: Watch | None,
        say: Callable[[str], None],
    ) -> None:
        progress = budget.progress
        if any(unit_price(recipe.spec(role)[1]) is None for role in EVOLVING_ROLES):
            progress.cost = None

        def counted(seeds: int) -> None:
            progress.seeds_total = seeds

        async for _ in feed(ledger, ingest, counted, say, 0, stopping=lambda: budget.why):
            pass
        if budget.why:
            return
        fingerprint = craft.fingerprint(recipe)
        sink = Sink(place_of(self.sink, ledger.run))
        collector = Collector(ledger, sink, fingerprint)
        introduce(ledger, recipe, craft)
        there = shards_in(sink, ledger.reader)  # before anything of another run's is taken in
        name = _claim(sink, ledger, recipe, craft)
        collector.hand_over()
        if taken := collector.collect():
            say(f"{taken:,} segments of the sink taken in: {ledger.reader.finished_count():,} seeds finished")
        meter = _Meter(ledger, progress)
        if watch is not None:
            stack.enter_context(watch(progress, lambda: None))
        progress.note = "waiting for Ray"
        # Started on a thread it warns that it takes SIGTERM for itself only on the main one, where we have it.
        logging.getLogger("ray._private.worker").setLevel(logging.ERROR)
        await asyncio.to_thread(stack.enter_context, connect(self.address))
        progress.note = progress.note.replace("waiting for Ray", "")
        workers = self.workers or _default_workers(self.address)
        shards = cut(ledger.reader, sink, self.shard or size_for(ledger.reader.seed_count(), workers), there)
        job = Job(recipe, craft, name, sink.url, self.local_disk, budget.limits, self.ship_calls, self.ship_seconds)
        while not budget.why:
            todo = [(shard, left) for shard in shards if (left := shard.unfinished(ledger.reader))]
            again = bool(todo) and await _pass(job, todo, min(workers, len(todo)), budget, meter, collector)
            if not collector.settle(recipe) and not again:
                return


class _Meter:
    """Brings what the workers say into the run's progress."""

    def __init__(self, ledger: Ledger, progress: Progress) -> None:
        self._progress = progress
        self._ledger = ledger
        self.begin()

    def begin(self) -> None:
        """Count from here on."""
        progress = self._progress
        progress.seeds_done = self._ledger.reader.finished_count()
        self._seeds, self._kept, self._dropped = progress.seeds_done, progress.kept, progress.dropped.copy()
        self._spent = {name: getattr(progress, name) for name in ("calls", "prompt_tokens", "completion_tokens")}
        self._cost, self._recalled = progress.cost, progress.recalled

    @property
    def spent(self) -> dict[str, float]:
        """What earlier sessions, and earlier passes of this one, have spent of the bounds."""
        tokens = self._spent["prompt_tokens"] + self._spent["completion_tokens"]
        return {"calls": self._spent["calls"], "tokens": tokens, "cost": self._cost or 0.0}

    def show(self, standing: Standing) -> None:
        """Add what the workers have come to."""
        progress, done, counts = self._progress, standing.done, standing.counts
        progress.seeds_done = self._seeds + done["seeds"]
        progress.kept = self._kept + done["kept"]
        progress.dropped.clear()
        progress.dropped.update(self._dropped + done["dropped"])
        for name, before in self._spent.items():
            setattr(progress, name, before + counts.get(name, 0))
        progress.recalled = self._recalled + counts.get("recalled", 0)
        progress.cost = None if self._cost is None else self._cost + counts.get("cost", 0.0)
        progress.in_flight, progress.limit = counts["in_flight"], counts["limit"]
        progress.retries.clear()
        progress.retries.update(counts["retries"])
        progress.last = counts["last"]


async def _pass(
    job: Job,
    todo: Sequence[tuple[Shard, list[int]]],
    workers: int,
    budget: Budget,
    meter: _Meter,
    collector: Collector,
) -> bool:
    """Have all these shards grown once, and take in what comes of them; whether a worker left one unfinished."""
    meter.begin()
    treasurer = appoint(job.limits, meter.spent)
    failures: list[EvoluteError] = []
    left: list[str] = []
    work = Thread(lambda: go_through(job, todo, workers, treasurer, failures, left))

    async def look() -> None:
        standing: Standing = await treasurer.standing.remote()
        meter.show(standing)
        await in_thread(lambda: collector.collect(standing.shipped))
        if why := standing.why or (str(failures[0]) if failures else ""):
            budget.close(why)
        if budget.why and not standing.why:
            treasurer.stop.remote(budget.why)

    with ray_errors():
        while not await work.ended(_LOOK_SECONDS):
            await look()
        await look()
    await in_thread(collector.collect)
    if failures:
        raise failures[0]
    return bool(left)


def _default_workers(address: str) -> int:
    import ray

    nodes = sum(node["Alive"] for node in ray.nodes())  # type: ignore[no-untyped-call]
    return nodes if "://" in address else min(_MOST_LOCAL, usable_cores())


def _claim(sink: Sink, ledger: Ledger, recipe: Recipe, craft: Craft) -> str:
    """Write into the sink what a run can be made of there, beside its segments; the run's name in it.

    A run that has lost its folder may begin anew on its sink: without a name of its own, with the recipe there.

    Raises:
        InputError: the sink is another run's.
    """
    reader, fingerprint = ledger.reader, craft.fingerprint(recipe).hex()
    own = reader.meta(_NAME)
    name = own or secrets.token_hex(8)  # the same in each of its sinks: it may come back to one
    if sink.has(RUN_FILE):
        there = orjson.loads(sink.get(RUN_FILE))
        name = there["run"]
        if own != name and (own or there["fingerprint"] != fingerprint):
            raise InputError(
                f"--sink {sink.url!r} belongs to another run, with a recipe or models of its own (its {RUN_FILE}): "
                "give each run a sink of its own"
            )
    ledger.note(_NAME, name)
    known = {
        "run": name,
        "recipe": recipe.to_yaml(),
        "fingerprint": fingerprint,
        "notes": notes_of(recipe, craft) | {note: reader.meta(note) or "" for note in ("rows", "bad_rows")},
        "models": [(role, role_identity(recipe, role).hex(), recipe.spec(role)[1].model) for role in EVOLVING_ROLES],
        "templates": [
            (digest.hex(), title, text)
            for digest, title, text in reader.select("SELECT hash, name, text FROM templates")
        ],
    }
    sink.put(RUN_FILE, orjson.dumps(known, option=orjson.OPT_INDENT_2))
    return str(name)

"""Shards through Ray Data, and what is around it: the run's `Shares` as an actor, a thread that waits for the end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import orjson

from evolute import errors
from evolute.errors import EvoluteError
from evolute.evolve.budget import Limits
from evolute.pipeline.stopping import in_loop
from evolute.scale.shards import Shard
from evolute.scale.shares import Reply, Report, Shares
from evolute.scale.worker import Job, grow_shard

_CPUS = 0.25
"""Of a core, what a worker claims: it mostly waits for the endpoint, and a lost node's shards must find room."""


def go_through(
    job: Job,
    todo: Sequence[tuple[Shard, list[int]]],
    workers: int,
    treasurer: Any,  # noqa: ANN401 - an actor's handle has no type
    failures: list[EvoluteError],
    left: list[str],
) -> None:
    """Have Ray Data take the shards to workers; one whose worker or node dies, it takes to another, time and again.

    Args:
        job: what to do.
        todo: the shards, with the positions that are not finished.
        workers: so many at a time.
        treasurer: what `appoint` gave.
        failures: where errors that must stop the run are put as they come.
        left: where is put why a shard was left unfinished.
    """
    from ray.data import TaskPoolStrategy, from_items

    items = [{"shard": shard.name, "todo": orjson.dumps(left).decode()} for shard, left in todo]
    outcomes = from_items(items, override_num_blocks=len(items)).map_batches(
        partial(_grow, job=job, treasurer=treasurer),
        batch_size=1,
        num_cpus=_CPUS,
        compute=TaskPoolStrategy(size=workers),
    )
    for outcome in outcomes.iter_rows():
        if outcome["left"]:
            left.append(outcome["left"])
        if outcome["error"]:
            failures.append(_error(outcome["error"], outcome["message"]))


def _grow(batch: Any, job: Job, treasurer: Any) -> Any:  # noqa: ANN401 - Ray Data's types
    """Grow one shard, in a process of Ray's."""
    import ray

    name, todo = str(batch["shard"][0]), set(orjson.loads(str(batch["todo"][0])))
    attempt, node = uuid.uuid4().hex[:12], ray.get_runtime_context().get_node_id()
    left = error = message = ""

    async def ask(report: Report) -> Reply:
        reply: Reply = await treasurer.ask.remote(report)
        return reply

    try:
        left = in_loop(lambda: grow_shard(job, Shard.parse(name), todo, attempt, node, ask), lambda: None)
    except EvoluteError as failure:
        error, message = type(failure).__name__, str(failure)
    return {"left": [left], "error": [error], "message": [message]}


def appoint(limits: Limits, spent: dict[str, float]) -> Any:  # noqa: ANN401 - an actor's handle has no type
    """The run's `Shares`, as an actor beside the driver: without the one there is no other."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Shares).options(num_cpus=0, scheduling_strategy=here).remote(limits, spent)


@contextlib.contextmanager
def ray_errors() -> Iterator[None]:
    """Make an error of ours of what Ray itself raises; a worker's unforeseen error keeps its traceback."""
    from ray.exceptions import RayError, RayTaskError

    try:
        yield
    except RayTaskError:
        raise
    except RayError as error:
        said = str(error).strip().partition("\n")[0]
        raise EvoluteError(f"Ray: {said} What was shipped is kept: run the same command to go on") from error


class Thread:
    """A function on a thread that nobody has to wait for."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._failure: BaseException | None = None
        self._function = function
        threading.Thread(target=self._work, name="evolute-ray", daemon=True).start()

    async def ended(self, seconds: float) -> bool:
        """Wait for the end, but no longer than so; whether it has come. Raises what the function raised."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        if self._ended.is_set() and self._failure is not None:
            raise self._failure
        return self._ended.is_set()

    def _work(self) -> None:
        try:
            self._function()
        except BaseException as error:  # noqa: BLE001 - raised where the end is awaited
            self._failure = error
        with contextlib.suppress(RuntimeError):  # the loop may have ended in haste
            self._loop.call_soon_threadsafe(self._ended.set)


def _error(kind: str, message: str) -> EvoluteError:
    """An error of a worker, as its own kind where that is made of a message alone."""
    made = getattr(errors, kind, EvoluteError)
    try:
        error = made(message)
    except TypeError:
        error = EvoluteError(message)
    return error if isinstance(error, EvoluteError) else EvoluteError(message)

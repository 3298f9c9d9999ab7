"""Ray Data jobs over numbered pieces of work."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from evolute.errors import EvoluteError

T = TypeVar("T")


class Each(Protocol):
    """Does numbered pieces of work, and gives each number with its result, in whatever order they come."""

    def __call__(self, work: Callable[[int], T], count: int, /) -> Iterator[tuple[int, T]]:
        """Do `work` for 0 to `count`."""
        ...


def each(work: Callable[[int], T], count: int, /) -> Iterator[tuple[int, T]]:
    """Do `work` for 0 to `count`, on the cluster's workers, each as a task of one core.

    A task that is lost with its node is done again elsewhere, which is Ray's own care.

    Args:
        work: a function that can be pickled; what it needs besides its number lies where all nodes see it.
        count: how many pieces there are.

    Yields:
        Each number with its result, as they come.

    Raises:
        EvoluteError: the work raised it.
    """
    import ray.data

    def done(item: dict[str, Any]) -> dict[str, Any]:
        number = int(item["id"])
        try:
            return {"number": number, "result": pickle.dumps(work(number), protocol=5), "problem": ""}
        except EvoluteError as error:  # as a result: raised, Ray would write of it at length, and try it again
            return {"number": number, "result": b"", "problem": str(error)}

    if not count:
        return
    items = ray.data.range(count, override_num_blocks=count)
    for row in items.map(done, compute=ray.data.TaskPoolStrategy()).iter_rows():
        if row["problem"]:
            raise EvoluteError(row["problem"])
        yield int(row["number"]), pickle.loads(row["result"])

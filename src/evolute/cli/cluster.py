"""The options that send a run to a cluster."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from evolute.errors import InputError

if TYPE_CHECKING:
    from evolute.pipeline.evolving import Runner
    from evolute.pipeline.selecting import Looking

_CLUSTER = Group("Cluster (docs/scale.md)", sort_key=5)


@Parameter(name="*")
@dataclass(frozen=True)
class Cluster:
    """Where a run's lineages are grown, if not in this process."""

    on: Annotated[
        str | None,
        Parameter(
            group=_CLUSTER,
            help="ray starts Ray on this machine; ray://HOST:PORT joins a cluster, from one of its nodes.",
        ),
    ] = None
    sink: Annotated[
        str | None,
        Parameter(
            group=_CLUSTER,
            help="A folder or URL (s3://, gs://) that all nodes see, for what workers ship. Default: RUN/segments.",
        ),
    ] = None
    local_disk: Annotated[
        str,
        Parameter(
            group=_CLUSTER,
            help="A folder on each node's own disk, for ledgers; {node}: the node. Default: the temporary one.",
        ),
    ] = ""
    workers: Annotated[
        int | None,
        Parameter(group=_CLUSTER, help="Default: one for each node; with --on ray one for each core, up to 4."),
    ] = None
    shard: Annotated[
        int | None,
        Parameter(group=_CLUSTER, help="Seeds in a shard. Default: 4 shards for each worker, of 5000 at most."),
    ] = None
    ship_calls: Annotated[
        int,
        Parameter(group=_CLUSTER, help="The most calls that a lost worker can cost, beside those in flight."),
    ] = 1_000
    ship_seconds: Annotated[
        float, Parameter(group=_CLUSTER, help="Seconds after which a worker's calls are shipped, however few.")
    ] = 10.0

    def runner(self) -> Runner | None:
        """What grows the lineages on the cluster; None: this process does.

        Raises:
            InputError: an option is out of range, or is given without --on.
        """
        if self.on is None:
            given = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
            if given:
                raise InputError(f"--{given[0].replace('_', '-')} is for a cluster: give --on ray, too")
            return None
        from evolute.scale.driver import OnRay

        return OnRay(self.on, self.sink, self.local_disk, self.workers, self.shard, self.ship_calls, self.ship_seconds)

    def looking(self) -> Looking | None:
        """What measures the rows of a selection on the cluster, its scratch in the sink; None: this process does."""
        if self.on is None:
            return None
        from evolute.scale.whole import looking_on

        return looking_on(self.on, self.sink)

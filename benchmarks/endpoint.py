"""The loopback endpoint of the benchmarks: the server that Evolute ships, which also notes when it was called.

Run by common.py as `python endpoint.py --latency SECONDS`; prints its address and serves until it is stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping
from typing import Any

import uvloop

from evolute.models.loopback import LoopbackServer, scripted_rule


class Timed(LoopbackServer):
    """Adds to the counters when the first request arrived and the last was answered, on the monotonic clock."""

    def __init__(self, latency: float) -> None:
        super().__init__(self._note, latency=latency)
        self._delay, self._first, self._last = latency, 0.0, 0.0

    def _note(self, body: Mapping[str, Any]) -> str:
        self._last = time.monotonic()
        self._first = self._first or self._last - self._delay
        return scripted_rule(body)

    def stats(self) -> dict[str, Any]:
        """The counters, with the two times."""
        return super().stats() | {"first": self._first, "last": self._last}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0)
    async with Timed(parser.parse_args().latency) as server:
        print(server.base_url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())

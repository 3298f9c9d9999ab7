"""What a run has done so far: plain counters, written by the engine and read by whoever shows them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """Counters of one session, begun with what earlier sessions of the run have reached.

    `seeds_total` is None while the seeds are still being read; `recalled` counts calls answered by the ledger;
    `calls` and the tokens are those of the run (earlier sessions too), `started` is a monotonic time; `cost` is in US
    dollars, None where a price is unknown.
    """

    seeds_done: int = 0
    seeds_total: int | None = None
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    recalled: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    in_flight: int = 0
    limit: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    cost: float | None = None
    started: float = field(default_factory=time.monotonic)
    last: str = ""
    note: str = ""

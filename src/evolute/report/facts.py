"""What the report says of a run beyond its rows: the pipeline fills it in from the recipe and the bill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RoleUse:
    """What one model did in one role: `seconds` of latency in all, `cost` in US dollars, None where it is unknown."""

    role: str
    model: str
    calls: int
    tries: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    cost: float | None


@dataclass(frozen=True, slots=True)
class OperationUse:
    """What one operation's candidates came to, answers and judgements included; `(seeds)`: the seeds' own answers."""

    operation: str
    kept: int
    dropped: int
    tokens: int
    seconds: float
    cost: float | None


@dataclass(frozen=True, slots=True)
class Facts:
    """A run, as the report's head tells it.

    `dropped` counts evolved candidates by reason, `seeds_dropped` seeds whose own response was dropped. `left_over`
    counts lineages that could not be finished, by cause; `stopped` says why a run ended early, empty where it did not;
    `evol_stop` what the scores of its rounds came to, where it has any.
    """

    name: str
    recipe: str
    version: str = ""
    recipe_seed: int = 0
    judged: bool = True
    sources: Sequence[str] = ()
    seeds: int = 0
    finished: int = 0
    duplicates: int = 0
    bad_rows: int = 0
    kept: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    seeds_dropped: Mapping[str, int] = field(default_factory=dict)
    roles: Sequence[RoleUse] = ()
    operations: Sequence[OperationUse] = ()
    left_over: Mapping[str, int] = field(default_factory=dict)
    stopped: str = ""
    evol_stop: str = ""

    @property
    def candidates(self) -> int:
        """Evolved candidates, kept and dropped."""
        return self.kept + sum(self.dropped.values())

    @property
    def calls(self) -> int:
        """Calls to all models."""
        return sum(use.calls for use in self.roles)

    @property
    def tokens(self) -> int:
        """Tokens of all prompts and completions."""
        return sum(use.prompt_tokens + use.completion_tokens for use in self.roles)

    @property
    def seconds(self) -> float:
        """The latencies of all calls, added up: more than the run took, where calls ran side by side."""
        return sum(use.seconds for use in self.roles)

    @property
    def cost(self) -> float | None:
        """US dollars; None where a part is unknown."""
        costs = [use.cost for use in self.roles]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

"""What batches need of a run's budget, which lies above them."""

from __future__ import annotations

from typing import Protocol

from evolute.recipe import Price
from evolute.records import Usage


class Gate(Protocol):
    """The budget, as batches need it.

    Attributes:
        spent_up: a bound on what is spent is reached; what was admitted before is still waited for.
    """

    spent_up: bool

    @property
    def leaving(self) -> bool:
        """Whether the session is to end once everything that can be asked is submitted."""
        ...

    @property
    def is_blind(self) -> bool:
        """Whether tokens or cost are bounded, and no call has shown yet what it takes."""
        ...

    async def admitted(self) -> None:
        """Let one more call begin."""
        ...

    def carry(self, calls: int) -> None:
        """So many calls of an earlier session are under way."""
        ...

    def settle(self, usage: Usage | None, price: Price | None) -> None:
        """A call has ended."""
        ...

    def close(self, why: str) -> None:
        """Begin no further call."""
        ...

    def remark(self, note: str) -> None:
        """Show a note beside the progress."""
        ...

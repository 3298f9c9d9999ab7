"""The seam: one method, and everything else is a model that wraps a model."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Protocol

from evolute.errors import EvoluteError
from evolute.records import Completion, Request


class Model(Protocol):
    """Something that answers requests."""

    async def complete(self, request: Request) -> Completion:
        """Answer one request.

        Raises:
            CallFailed: this try failed; another may not (the pacer retries).
            RequestRejected: this request can never succeed.
            EndpointError: the endpoint cannot serve the run at all.
        """
        ...


class Pacer(Model, Protocol):
    """A model that says when to call: what a session looks at and stops.

    Attributes:
        changed: set whenever `limit` changes; whoever waits for it clears it.
    """

    changed: asyncio.Event

    @property
    def limit(self) -> int:
        """Calls allowed in flight at present."""
        ...

    @property
    def retries(self) -> Counter[str]:
        """Failed tries so far, by the name of their error."""
        ...

    def stop(self, error: EvoluteError) -> None:
        """Begin no further try: whoever waits, and whoever comes, gets this error; calls under way go on."""
        ...

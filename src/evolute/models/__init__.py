"""The seam: one method, and everything else is a model that wraps a model."""

from __future__ import annotations

from typing import Protocol

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

"""One thread that does the torch work: it takes prompts in, lets them grow together, and tells each its tokens."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from evolute.errors import EndpointError, EvoluteError, Overloaded
from evolute.models.local_batch import Batch, Drawn, Row
from evolute.models.local_sampling import Sampling

READ_TOGETHER = 8192
"""Tokens, padding included, of the prompts that are read in one pass: between two, the others get a token each."""


@dataclass(slots=True, eq=False)
class _Asked:
    """A row, and the loop and the queue in which its tokens are awaited; a None ends them."""

    row: Row
    most: int
    endings: frozenset[int]
    loop: asyncio.AbstractEventLoop
    told: asyncio.Queue[Drawn | EvoluteError | None] = field(default_factory=asyncio.Queue)
    left: bool = False
    """Whether nobody waits for it any more."""

    def is_over(self, token: int) -> bool:
        return token in self.endings or len(self.row.made) >= self.most


class Engine:
    """A model at work. `close` it when done; it may be asked from any event loop.

    Args:
        model: transformers' own, on its device.
        slots: answers that grow together; others wait.
    """

    def __init__(self, model: Any, slots: int) -> None:  # noqa: ANN401 - transformers' own
        self._model = model
        self._batch = Batch(model)
        self._slots = slots if self._batch.joins else 1
        self._waiting: deque[_Asked] = deque()
        self._growing: list[_Asked] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="evolute-local", daemon=True)
        self._thread.start()

    async def tokens(
        self, prompt: Sequence[int], sampling: Sampling, most: int, endings: frozenset[int]
    ) -> AsyncGenerator[Drawn]:
        """The answer's tokens as they come, the ending one among them; leaving the iterator ends the work.

        Raises:
            Overloaded: the device has not enough memory for what was asked at once.
            EndpointError: the engine was closed, or torch failed.
        """
        asked = _Asked(Row(list(prompt), sampling), most, endings, asyncio.get_running_loop())
        with self._changed:
            if self._closed:
                raise EndpointError("the local model was closed")
            self._waiting.append(asked)
            self._changed.notify()
        try:
            while (drawn := await asked.told.get()) is not None:
                if isinstance(drawn, EvoluteError):
                    raise drawn
                yield drawn
        finally:
            asked.left = True

    @property
    def load(self) -> tuple[int, int]:
        """How many answers grow, and how many wait."""
        return len(self._growing), len(self._waiting)

    def close(self) -> None:
        """End the thread; what is under way fails."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        import torch

        try:
            while (joining := self._admitted()) is not None:
                try:
                    self._step(joining)
                except torch.OutOfMemoryError:
                    self._fail(
                        Overloaded("the local model ran out of memory: ask for fewer or shorter answers at once")
                    )
                except (RuntimeError, IndexError, ValueError, TypeError) as error:  # what torch and transformers raise
                    self._fail(EndpointError(f"the local model failed: {type(error).__name__}: {error}"))
        finally:
            with self._changed:
                self._closed = True
                self._growing += self._waiting
                self._waiting.clear()
            self._fail(EndpointError("the local model was closed"))

    def _admitted(self) -> list[_Asked] | None:
        """Those that join now; waits while there is nothing to do. None: the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting or self._growing)
            if self._closed:
                return None
            joining: list[_Asked] = []
            while self._waiting and len(self._growing) + len(joining) < self._slots:
                longest = max(len(asked.row.prompt) for asked in (*joining, self._waiting[0]))
                if joining and longest * (len(joining) + 1) > READ_TOGETHER:
                    break
                asked = self._waiting.popleft()
                if not asked.left:
                    joining.append(asked)
            return joining

    def _step(self, joining: list[_Asked]) -> None:
        self._growing = [asked for asked in self._growing if not asked.left]
        self._batch.keep([asked.row for asked in self._growing])
        self._growing += joining
        if not self._growing:
            return
        drawn = self._batch.step([asked.row for asked in joining])
        pairs = list(zip(self._growing, drawn, strict=True))
        self._tell([(asked, one) for asked, one in pairs])
        over = [asked for asked, one in pairs if asked.is_over(one.token)]
        self._tell([(asked, None) for asked in over])
        for asked in over:
            asked.left = True

    def _fail(self, error: EvoluteError) -> None:
        """End all that grow with this error, and begin anew."""
        self._tell([(asked, error) for asked in self._growing])
        self._growing, self._batch = [], Batch(self._model)

    @staticmethod
    def _tell(news: Sequence[tuple[_Asked, Drawn | EvoluteError | None]]) -> None:
        for loop in {asked.loop for asked, _ in news}:
            mine = [(asked.told, one) for asked, one in news if asked.loop is loop]
            with suppress(RuntimeError):  # that loop has ended, and nobody waits there
                loop.call_soon_threadsafe(_put, mine)


def _put(news: Sequence[tuple[asyncio.Queue[Any], Any]]) -> None:
    for queue, one in news:
        queue.put_nowait(one)

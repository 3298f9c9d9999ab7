"""Ctrl-C while a model trains: the first one ends the step and writes a checkpoint, the second stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Whether the user wants to stop."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take a signal.

        Raises:
            KeyboardInterrupt: it is the second.
        """
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._say("stopping with a checkpoint after this step; Ctrl-C once more stops at once")


@contextmanager
def interrupts(say: Callable[[str], None]) -> Iterator[Interrupts]:
    """Take Ctrl-C for the length of a block.

    It stays as it was outside of the main thread (a notebook has its own ways), and where several processes train, for
    they must end at the same step.
    """
    taken = Interrupts(say)
    if threading.current_thread() is not threading.main_thread() or "WORLD_SIZE" in os.environ:
        yield taken
        return
    before = signal.signal(signal.SIGINT, taken)
    try:
        yield taken
    finally:
        signal.signal(signal.SIGINT, before)

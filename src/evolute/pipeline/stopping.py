"""Running a coroutine wherever we are called from, and stopping it when the user or the clock says so."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from evolute.evolve.budget import Budget

T = TypeVar("T")


INTERRUPTED = "interrupted"


def in_loop(make: Callable[[], Coroutine[Any, Any, T]], interrupt: Callable[[], None]) -> T:
    """Run a coroutine to its end on a loop of its own: here, or on a thread where a loop runs already (a notebook).

    Args:
        make: makes the coroutine.
        interrupt: called in the coroutine's loop when the thread that waits for it is interrupted.
    """
    loops: list[asyncio.AbstractEventLoop] = []

    def run() -> T:
        with _calm_collector(), _runner() as runner:
            loops.append(runner.get_loop())
            return runner.run(make())

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run()
    with ThreadPoolExecutor(1, "evolute-run") as pool:
        future = pool.submit(run)
        while True:
            try:
                return future.result()
            except KeyboardInterrupt:
                loops[0].call_soon_threadsafe(interrupt)


async def in_thread(work: Callable[[], T]) -> T:
    """Do something on another thread, and wait for its end even if cancelled.

    `asyncio.to_thread` leaves the thread behind; one that reads a database which is closed meanwhile takes the process
    down.
    """
    thread = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])
        thread.exception()  # looked at here: who was cancelled does not hear of it
        raise


@contextlib.contextmanager
def _calm_collector() -> Iterator[None]:
    """Look for garbage cycles rarely: a run makes next to none, and looking took a tenth of its CPU."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _runner() -> asyncio.Runner:
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):  # Windows has no uvloop
        import uvloop

        factory = uvloop.new_event_loop
    return asyncio.Runner(loop_factory=factory)


@contextlib.contextmanager
def stop_signals(budget: Budget) -> Iterator[None]:
    """Ctrl-C (or SIGTERM) once: begin nothing more, let what is in flight end. Twice: stop now."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def stop() -> None:
        if not budget.why:
            budget.progress.note = "stopping: waiting for the calls in flight (once more to stop at once)"
            budget.close(INTERRUPTED)
        elif task is not None:
            task.cancel()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with contextlib.suppress(NotImplementedError):  # Windows' loops take no signal handlers
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        with contextlib.suppress(NotImplementedError):
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


@contextlib.contextmanager
def stop_clock(budget: Budget, minutes: float | None) -> Iterator[None]:
    """Close the budget after so many minutes."""
    if minutes is None:
        yield
        return
    timer = asyncio.get_running_loop().call_later(minutes * 60, budget.close, f"--max-minutes {minutes:g} is reached")
    try:
        yield
    finally:
        timer.cancel()

"""What is said to and fro between a program's processes and us. Nothing that a process says is taken on trust."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from time import perf_counter

from evolute.sandbox.inside import values
from evolute.sandbox.outcomes import Limits, Outcome, Returned, Tested
from evolute.sandbox.process import Flooded, Gone, Process

_OUTCOMES = frozenset(Outcome)
_DETAIL, _TESTS = 1000, 10_000
"""Characters of one detail, and tests of one module, that are listened to."""
_AHEAD, _AHEAD_BYTES = 128, 1 << 20
"""Calls that a process is given at once, at most, and from how many bytes on fewer."""


class Verdict:
    """Gathers what the tests say, and carries their calls to the candidate.

    `spared_tester`: the tests were trusted, and their process is as good as new: it came to its end, or to no work.
    """

    def __init__(self, nonce: str) -> None:
        self.spared_tester = False
        self._reached = False
        self._nonce = nonce
        self._tests: list[tuple[str, Outcome, str]] = []
        self._value: object = None

    async def follow(
        self, tester: Process, subject: Process, job: dict[str, object], limits: Limits, read: str | None
    ) -> Tested:
        """Run the tests to their end, whatever it is."""
        began, told = perf_counter(), False
        outcome, detail = Outcome.PASSED, ""
        try:
            async with asyncio.timeout(limits.seconds):
                if tester is subject:
                    await tester.tell(job)
                outcome, detail = await heard(subject, "loaded")
                if outcome is Outcome.PASSED:
                    if tester is not subject:
                        told = True
                        await tester.tell(job)
                    await self._carry(tester, subject, limits)
                    if read is not None:
                        await subject.tell(("read", read))
                        self._take(await subject.hear(limits.value))
        except (TimeoutError, Gone, Flooded) as error:
            if not (self._reached and self._tests):
                outcome, detail = ended(error, limits)
        seconds = perf_counter() - began
        await subject.kill()
        self.spared_tester = bool(job["trusted"]) and (self._reached or not told)
        if not self.spared_tester:
            await tester.kill()
        for _, tested, said in self._tests:
            if tested is not Outcome.PASSED:
                outcome, detail = tested, said
        output = subject.output if tester is subject else tester.output + subject.output
        return Tested(outcome, detail, output, seconds, tuple(self._tests), self._value)

    async def _carry(self, tester: Process, subject: Process, limits: Limits) -> None:
        """Until the verdict: pass calls on to the candidate and its answers back, unread."""
        while not self._reached:
            frame = await tester.hear(limits.value)
            if frame.startswith(b'["call"'):
                await subject.say(frame)
                await tester.say(await subject.hear(limits.value))
            else:
                self._take(frame)

    def _take(self, frame: bytes) -> None:
        match _json(frame):
            case ["test", str(name), str(outcome), str(detail)] if outcome in _OUTCOMES and len(self._tests) < _TESTS:
                self._tests.append((_readable(name), Outcome(outcome), _readable(detail)))
            case ["value", value, None]:
                self._value = _decoded(value)
            case ["verdict", self._nonce]:
                self._reached = True
            case _:
                raise Gone("it sent what is no verdict")


async def call_ahead(
    process: Process,
    arguments: Iterable[Sequence[object]],
    rooms: Iterable[float],
    deadline: float,
    limits: Limits,
) -> AsyncGenerator[Returned, None]:
    """Call after call, of which the process has always some to go on with; `rooms` has the seconds of each.

    Raises:
        TimeoutError, Flooded, Gone: there will be no more results.
    """
    asked = zip(arguments, rooms, strict=False)
    waiting: deque[float] = deque()
    while True:
        if len(waiting) <= _AHEAD // 2:
            _ask(process, asked, waiting)
        if not waiting:
            return
        yield await _called(process, waiting.popleft(), deadline, limits)


def _ask(process: Process, asked: Iterator[tuple[Sequence[object], float]], waiting: deque[float]) -> None:
    """Send the next calls: so many, or so many bytes."""
    frames: list[bytes] = []
    size = 0
    while len(waiting) < _AHEAD and size < _AHEAD_BYTES:
        call = next(asked, None)
        if call is None:
            break
        positional, room = call
        text = positional if isinstance(positional, str) else values.dumps(list(positional))
        frames.append(f"[{text},{room!r}]".encode())
        waiting.append(room)
        size += len(text)
    if frames:
        process.put(*frames)


async def _called(process: Process, room: float, deadline: float, limits: Limits) -> Returned:
    """One result. The process keeps the time itself; where it does not, it is killed a second later."""
    frame = process.heard(limits.value)
    if frame is None:
        now = asyncio.get_running_loop().time()
        async with asyncio.timeout(max(0.0, min(room + 1, deadline - now))):
            frame = await process.hear(limits.value)
    said = _json(frame)
    match said:
        case [*_, float(took)] if not 0 <= took <= room + 1:
            raise Gone("it sent what is no result")
        case ["passed", value, "", float(took)]:
            try:
                return Returned(Outcome.PASSED, values.rebuild(value), "", took, len(frame))
            except values.Uncrossable as error:
                return Returned(Outcome.CRASHED, None, f"it sent {error}", took)
        case [("failed" | "timeout" | "memory") as outcome, None, str(detail), float(took)]:
            return Returned(Outcome(outcome), None, _readable(detail), took)
    raise Gone("it sent what is no result")


async def heard(process: Process, kind: str) -> tuple[Outcome, str]:
    """Wait for a frame of this kind: how something ended, and the detail.

    Raises:
        Flooded, Gone: there will be none.
    """
    match _json(await process.hear(1 << 22)):
        case [said, str(outcome), str(detail)] if said == kind and outcome in _OUTCOMES:
            return Outcome(outcome), _readable(detail)
    raise Gone("it sent what is no verdict")


def _readable(text: str) -> str:
    """One bounded line, without lone surrogates, which no file takes."""
    return " ".join(text[:_DETAIL].splitlines()).encode("utf-8", "replace").decode()


def _json(frame: bytes) -> object:
    try:
        return values.json_loads(frame.decode())
    except (ValueError, RecursionError):
        raise Gone("it sent what is no JSON") from None


def _decoded(value: object) -> object:
    try:
        return values.rebuild(value)
    except values.Uncrossable:
        return None


def ended(error: BaseException, limits: Limits) -> tuple[Outcome, str]:
    """How a process that came to no verdict of its own ended."""
    if isinstance(error, TimeoutError):
        return Outcome.TIMEOUT, f"stopped after {limits.seconds:g} s"
    if isinstance(error, Flooded):
        return Outcome.OUTPUT, f"printed more than {limits.output} bytes"
    return Outcome.CRASHED, str(error)

"""Run programs that models wrote. Each gets a process of its own, shut in, which is used once."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import repeat
from time import perf_counter

from evolute.cores import usable_cores
from evolute.errors import SandboxError, SandboxUnavailable
from evolute.sandbox.blueprint import draw
from evolute.sandbox.outcomes import Limits, Outcome, Ran, Returned, Tested
from evolute.sandbox.probing import PROBE, check_probe
from evolute.sandbox.process import Flooded, Gone, Process
from evolute.sandbox.talking import Verdict, call_ahead, ended, heard


class Sandbox:
    """A pool of shut-in processes, started before they are needed; an async context manager.

    Each process has: no network, no other process in sight, its own user (nobody, without any capability), a read-only
    system (/usr and the Python it runs on; no home, no /etc, no /proc), a private temporary folder in memory, a list of
    system calls that holds no way to start a process, to open a socket or to enter a name space, and `limits`.
    All that it writes is bounded, and it ends with its verdict, its time, or us.

    Args:
        workers: programs that run at once; as many as there are cores to use by default.
        limits: what a program may use where a call says nothing else.
        python: the Python to run (a path, 3.9 or later); by default the one that Evolute runs on.
        packages: packages of Evolute's own environment that programs may import ("numpy"), as far as its Python is of
            the same version.
        unsafe: run programs without a sandbox. What is left: a process of its own in a temporary folder, an empty
            environment, limits of time, memory, output and the size of each file, and tests in another process than the
            program. What is gone: a program can read and change all that you can, connect to where you can, start
            processes that stay behind, fill your disk, and read the memory of the tests. Only for programs that you
            would run by hand, or inside a machine that may be lost.

    Raises on entering:
        SandboxUnavailable: a protection is missing; the message says which, and what to install.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        limits: Limits | None = None,
        python: str | None = None,
        packages: Sequence[str] = (),
        unsafe: bool = False,
    ) -> None:
        self.workers = workers or usable_cores()
        self.limits = limits or Limits()
        self._python = python
        self._packages = tuple(packages)
        self._unsafe = unsafe
        self._ready: deque[asyncio.Task[Process]] = deque()
        self._testers: list[Process] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(self.workers)

    async def __aenter__(self) -> Sandbox:
        limits = self.limits
        self._blueprint = await asyncio.to_thread(
            draw, self._python, limits.files, limits.output, self._packages, unsafe=self._unsafe
        )
        for _ in range(self.workers + 1):
            self._prepare()
        if not self._unsafe:
            try:
                check_probe(await self.run(PROBE))
            except BaseException as error:
                await self.__aexit__()
                if isinstance(error, SandboxError):
                    raise SandboxUnavailable(f"{error}\nNo untrusted program is run without all protections") from None
                raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        waiting = [*self._ready]
        self._ready.clear()
        for task in waiting:
            try:
                await (await task).kill()
            except SandboxError:  # it never stood
                continue
        await asyncio.gather(*self._ending, *(tester.kill() for tester in self._testers))

    @property
    def python(self) -> str:
        """The path of the Python that programs run on."""
        return self._blueprint.interpreter.executable

    async def run(self, code: str, *, stdin: str = "", limits: Limits | None = None) -> Ran:
        """Run a whole program, as its own main module, with `stdin` (up to 64 KiB) to read.

        Raises:
            SandboxError: no process could be started.
        """
        limits = limits or self.limits
        async with self._turns, self._process() as process:
            began = perf_counter()
            try:
                async with asyncio.timeout(limits.seconds):
                    await process.tell(self._job("run", limits, code=code, stdin=stdin))
                    outcome, detail = await heard(process, "done")
            except (TimeoutError, Gone, Flooded) as error:
                outcome, detail = ended(error, limits)
            seconds = perf_counter() - began
            await process.kill()
            return Ran(outcome, detail, process.output, seconds)

    async def test(
        self,
        candidate: str,
        tests: str,
        *,
        calls: Sequence[str],
        setup: str = "",
        limits: Limits | None = None,
        together: bool = False,
        trusted: bool = False,
        read: str | None = None,
    ) -> Tested:
        """Run `tests` against `candidate`, in two processes: only plain values cross, rebuilt by type.

        In the tests each of `calls` is a function that calls the candidate's, also as `from solution import …`. The
        module of the tests is executed, then each `test_…` function in it, up to the first that fails. `setup` is
        executed in the tests' process before them and is never shown to the candidate.

        Tests that are `trusted`, a benchmark's say, share a process with other such tests, one after the other, and the
        first one's limit of memory; the candidate never does. With `together`, all runs in one process, for tests whose
        values cannot cross: the verdict is then a fresh nonce, which a program that only ends early cannot know, but
        one that searches its own process can. `read` is a global of the candidate's to bring back after the tests.

        Raises:
            SandboxError: no process could be started.
        """
        limits = limits or self.limits
        nonce = secrets.token_hex(16)
        verdict = Verdict(nonce)
        told = {"tests": tests, "setup": setup, "calls": list(calls), "nonce": nonce, "read": read}
        if together:
            job = self._job("together", limits, trusted=False, code=candidate, **told)
            async with self._turns, self._process() as process:
                return await verdict.follow(process, process, job, limits, None)
        job = self._job("test", limits, trusted=trusted, **told)
        async with self._turns, self._process() as subject:
            await subject.tell(self._job("serve", limits, code=candidate, calls=list(calls)))
            if not trusted:
                async with self._process() as tester:
                    return await verdict.follow(tester, subject, job, limits, read)
            tester = await self._trusted_tester()
            try:
                return await verdict.follow(tester, subject, job, limits, read)
            finally:
                if verdict.spared_tester:
                    self._testers.append(tester)
                else:
                    self._kill(tester)

    async def call(
        self,
        candidate: str,
        function: str,
        arguments: Iterable[Sequence[object]],
        *,
        limits: Limits | None = None,
        seconds: Sequence[float] | None = None,
    ) -> AsyncGenerator[Returned, None]:
        """Call the candidate's function on each list of arguments, in one process; close the iterator to stop early.

        `seconds` bounds each call, `limits.seconds` all of them. A call whose time is over does not end the others,
        unless the process had to be killed; then the last of the results says so. A candidate that does not load
        gives one result, its error. Arguments that are a text are taken as `values.dumps` made it of a list.

        Raises:
            Uncrossable: an argument is no plain value.
            SandboxError: no process could be started.
        """
        limits = limits or self.limits
        rooms = repeat(limits.seconds) if seconds is None else seconds
        async with self._turns, self._process() as process:
            deadline = asyncio.get_running_loop().time() + limits.seconds
            try:
                async with asyncio.timeout_at(deadline):
                    await process.tell(self._job("call", limits, code=candidate, function=function))
                    outcome, detail = await heard(process, "loaded")
                if outcome is Outcome.PASSED:
                    async with aclosing(call_ahead(process, arguments, rooms, deadline, limits)) as results:
                        async for returned in results:
                            yield returned
                    return
            except (TimeoutError, Gone, Flooded) as error:
                outcome, detail = ended(error, limits)
            yield Returned(outcome, None, detail, 0.0)

    def _job(self, do: str, limits: Limits, *, trusted: bool = False, **said: object) -> dict[str, object]:
        bounds = {
            "RLIMIT_AS": limits.memory, "RLIMIT_FSIZE": limits.files, "RLIMIT_NOFILE": 64,
            "RLIMIT_CORE": 0, "RLIMIT_MSGQUEUE": 0, "RLIMIT_MEMLOCK": 0,
        }  # fmt: skip
        if not trusted:  # whose process serves again, so that its CPU time adds up
            bounds["RLIMIT_CPU"] = math.ceil(limits.seconds) + 1
        if not self._unsafe:  # without a name space of its own, the user's other processes would count
            bounds["RLIMIT_NPROC"] = limits.threads
        return {"do": do, "limits": bounds, "path": self._blueprint.path, "trusted": trusted, **said}

    async def _trusted_tester(self) -> Process:
        """A process for trusted tests: one that has done such before, or a new one."""
        while self._testers:
            tester = self._testers.pop()
            if tester.alive:
                tester.forget()
                return tester
            self._kill(tester)
        return await self._take()

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[Process]:
        """A process that stands ready; it is killed afterwards, and the next one started meanwhile."""
        process = await self._take()
        try:
            yield process
        finally:
            self._kill(process)

    async def _take(self) -> Process:
        self._prepare()
        starting = self._ready.popleft()
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._ready.appendleft(starting)
            raise

    def _kill(self, process: Process) -> None:
        ending = asyncio.ensure_future(process.kill())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _prepare(self) -> None:
        self._ready.append(asyncio.ensure_future(Process.start(self._blueprint)))

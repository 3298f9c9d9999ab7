"""One started process of the sandbox, seen from outside: frames to it, bounded frames from it, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import tempfile
from subprocess import Popen, TimeoutExpired

from evolute.errors import SandboxError
from evolute.sandbox.blueprint import Blueprint
from evolute.sandbox.bubblewrap import command

_BOOT = """
import marshal, posix, sys
sys.path.remove("")
def take(size):
    data = b""
    while len(data) < size:
        data += posix.read(0, size - len(data)) or sys.exit()
    return data
for name in ("evolute", "evolute.sandbox", "evolute.sandbox.inside"):
    sys.modules[name] = type(sys)(name)
for name, code in marshal.loads(take(int.from_bytes(take(4), "big"))):
    module = sys.modules[name] = type(sys)(name)
    exec(code, module.__dict__)
module.main()
"""
"""Takes the worker's modules, compiled, from its standard input: they are compiled once, and not by each process."""


class Flooded(Exception):
    """The process printed more than it may."""


class Gone(Exception):
    """The process ended, or closed its channel, or sent what is no frame."""


class Process:
    """A process that stands ready for one job. Create it with `start`; `kill` ends all that it started."""

    def __init__(self, process: Popen[bytes], blueprint: Blueprint, folder: str | None) -> None:
        self._process = process
        self._output = bytearray()
        self._unread = bytearray()
        self._limit = blueprint.output
        self._folder = folder
        self._flooded = False
        self._killed = False

    @classmethod
    async def start(cls, blueprint: Blueprint) -> Process:
        """Start a process and wait until it stands.

        Raises:
            SandboxError: it does not; what it said stands in the message.
        """
        folder = tempfile.mkdtemp(prefix="evolute-unsafe-") if blueprint.seccomp is None else None
        channel, its_channel = socket.socketpair()
        output, its_output = socket.socketpair()
        try:
            with its_channel, its_output:
                self = cls(_spawn(blueprint, folder, its_channel, its_output), blueprint, folder)
        except OSError as error:
            channel.close()
            output.close()
            if folder:
                shutil.rmtree(folder, ignore_errors=True)
            raise SandboxError(f"no process could be started in the sandbox: {error}") from None
        await self._connect(channel, output)
        self.put(blueprint.worker)
        try:
            await self.hear(1 << 10)
        except (Gone, Flooded):
            await self.kill()
            raise SandboxError(f"no process could be started in the sandbox: {self.output.strip()!r}") from None
        return self

    async def say(self, *frames: bytes) -> None:
        """Send frames; that the process is gone shows when it is heard."""
        self.put(*frames)
        with contextlib.suppress(ConnectionError):
            await self._stdin.drain()

    def put(self, *frames: bytes) -> None:
        """Send frames without waiting until they are taken."""
        if not self._stdin.is_closing():
            self._stdin.write(b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames))

    async def tell(self, said: object) -> None:
        """Send one frame of plain JSON."""
        await self.say(json.dumps(said).encode())  # a program may hold a lone surrogate, which orjson refuses

    async def hear(self, limit: int) -> bytes:
        """Wait for one frame of at most `limit` bytes.

        Raises:
            Flooded: it printed more than it may.
            Gone: there will be none.
        """
        while (frame := self.heard(limit)) is None:
            try:
                part = await self._stdout.read(1 << 18)
            except ConnectionError:
                part = b""
            if not part:
                if self._flooded:
                    raise Flooded
                raise Gone(await self._why())
            self._unread += part
        return frame

    def heard(self, limit: int) -> bytes | None:
        """A frame that is here already, or None.

        Raises:
            Gone: it is larger than `limit` bytes.
        """
        unread = self._unread
        if len(unread) < 4:
            return None
        end = 4 + int.from_bytes(unread[:4], "big")
        if end > limit + 4:
            raise Gone(f"a value of {end - 4} bytes, and {limit} may cross")
        if len(unread) < end:
            return None
        frame = bytes(unread[4:end])
        del unread[:end]
        return frame

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self._output.decode("utf-8", "replace")

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def forget(self) -> None:
        """Forget what it printed: it serves again."""
        self._output.clear()

    async def kill(self) -> None:
        """End it and all that it started; once it has ended, nothing happens."""
        if self._killed:
            return
        self._killed = True
        self._end()
        # The connections end when nothing inside holds them any more. Outside a sandbox something may: see `Sandbox`.
        rest = asyncio.ensure_future(self._stdout.read())
        await asyncio.wait([self._reading, rest], timeout=1)
        self._reading.cancel()
        rest.cancel()
        self._stdin.close()
        self._printing.close()
        self._process.wait()  # killed, so this is short
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _connect(self, channel: socket.socket, output: socket.socket) -> None:
        self._stdout, self._stdin = await asyncio.open_unix_connection(sock=channel)
        printed, self._printing = await asyncio.open_unix_connection(sock=output)
        self._reading = asyncio.ensure_future(self._collect(printed))

    def _end(self) -> None:
        """Kill. The sandbox's first process takes all others with it; without a sandbox there is only the group."""
        if self._process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if self._folder:
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    async def _collect(self, stderr: asyncio.StreamReader) -> None:
        """Keep what it prints, up to the limit; then end it."""
        while part := await stderr.read(1 << 16):
            room = self._limit - len(self._output)
            self._output += part[:room]
            if len(part) > room and not self._flooded:
                self._flooded = True
                self._end()

    async def _why(self) -> str:
        try:
            code = await asyncio.to_thread(self._process.wait, 1)
        except TimeoutExpired:
            return "it closed its channel"
        number = -code if code < 0 else code - 128  # bubblewrap reports a signal as a shell does
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(number).name}"
        return f"exited with status {code} before its verdict"


def _spawn(blueprint: Blueprint, folder: str | None, channel: socket.socket, output: socket.socket) -> Popen[bytes]:
    """Start the process. Not through the loop, whose fork copies our page tables: that takes seven times as long."""
    # Not -I, which would leave hashes to chance: a program whose output follows the order of a set gives one verdict.
    arguments = ["-S", "-s", "-B", "-X", "utf8", "-c", _BOOT]
    if folder is not None:
        line = [blueprint.interpreter.executable, *arguments]
        environment = {"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
        return Popen(
            line,
            stdin=channel.fileno(),
            stdout=channel.fileno(),
            stderr=output.fileno(),
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    source, sink = os.pipe()
    try:
        os.write(sink, blueprint.seccomp or b"")
        os.close(sink)
        line = [*command(blueprint.interpreter, blueprint.files, source, blueprint.packages), *arguments]
        return Popen(line, stdin=channel.fileno(), stdout=channel.fileno(), stderr=output.fileno(), pass_fds=(source,))
    finally:
        os.close(source)

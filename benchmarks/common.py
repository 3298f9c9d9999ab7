"""What the benchmarks share: a loopback endpoint, a measured child process, seeds, and Markdown tables.

Nothing here decides what is measured. A server runs in a process of its own, so that its CPU time is not ours.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).parent
MEBIBYTE = 2**20
CANDIDATE = """seed, round, slot, attempt, id, parent, operation, template, instruction, reason, evidence, evolve_call,
    judge_call, respond_call"""
"""The ledger's columns of a candidate that was not verified."""
EVOLVER_ONLY = (
    "--set", "evolve.judge=false", "--set", "evolve.respond=never", "--set", "evolve.seed_responses=keep",
)  # fmt: skip

_VERBS = ("Explain", "Design", "Compare", "Summarize", "Criticize", "Plan", "Estimate", "Rewrite", "Defend", "Test")
_THINGS = (
    "a cache that forgets", "the rules of a village market", "a bridge made of paper", "the budget of a school",
    "a proof by induction", "the timetable of a ferry", "a recipe for rye bread", "an index over dates",
    "the life of a river", "a letter to a landlord", "a backup that was never tried", "the tides of a narrow bay",
    "a queue with two readers",
)  # fmt: skip
_READERS = ("a new colleague", "a class of children", "a careful auditor", "a tired nurse", "an old friend",
            "a city council", "a sceptical reviewer")  # fmt: skip


def write_seeds(path: Path, count: int, start: int = 0) -> Path:
    """Write `count` distinct instructions as JSONL, numbered from `start`."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"instruction": text}) + "\n" for text in seed_texts(count, start))
    return path


def seed_texts(count: int, start: int = 0) -> Iterator[str]:
    """Distinct instructions of about 20 words."""
    for i in range(start, start + count):
        verb, thing, reader = _VERBS[i % 10], _THINGS[i % 13], _READERS[i % 7]
        yield f"{verb} {thing} for {reader} who has asked about it {i + 2} times, in plain words and in good order."


def evolute(*args: str | Path) -> list[str]:
    """Our command line, as it is installed beside this interpreter."""
    return [sys.executable, str(Path(sysconfig.get_path("scripts"), "evolute")), *map(str, args)]


@dataclass(frozen=True)
class Traffic:
    """What an endpoint saw: requests, the most at once, and the seconds from the first request to the last answer."""

    requests: int
    peak_in_flight: int
    first: float
    last: float

    @property
    def seconds(self) -> float:
        """From the first request to the last answer."""
        return self.last - self.first

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.requests / self.seconds


@dataclass(frozen=True)
class Server:
    """A running endpoint; `url` is what a client is given."""

    url: str

    def traffic(self) -> Traffic:
        """What it has seen so far."""
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/stats", timeout=30) as reply:
            seen = json.load(reply)
        if "n" in seen:  # the peers' server has names of its own
            return Traffic(seen["n"], seen["peak_inflight"], seen["first_monotonic"] or 0, seen["last_monotonic"] or 0)
        return Traffic(seen["requests"], seen["peak_in_flight"], seen["first"], seen["last"])


@contextmanager
def server(latency: float, peers: Path | None = None) -> Iterator[Server]:
    """Start an endpoint that answers after `latency` seconds, and stop it afterwards.

    It is endpoint.py, or `mock_server.py` of the folder `peers`, which also sends the headers that one peer needs.
    """
    port = _free_port()
    theirs = [str(peers / "mock_server.py"), "--headers", "--port", str(port)] if peers else None
    command = [sys.executable, *(theirs or [str(HERE / "endpoint.py")]), "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = f"http://127.0.0.1:{port}/v1" if peers else process.stdout.readline().strip()
            running = Server(url)
            _wait_until_up(running, process)
            yield running
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_up(running: Server, process: subprocess.Popen[str], patience: float = 30) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            running.traffic()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server did not come up: {process.args!r}") from None
            time.sleep(0.05)


@dataclass(frozen=True)
class Measured:
    """One child process, start to end. Times in seconds, memory in bytes; `peak` sums the process and its children."""

    started: float
    wall: float
    cpu: float
    peak: int
    output: str


def measure(command: Sequence[str], *, timeout: float = 900, env: dict[str, str] | None = None) -> Measured:
    """Run a command to its end, and stop the benchmark with its output if it fails."""
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
    )
    peak = _Peak(process.pid)
    killer = threading.Timer(timeout, process.kill)
    killer.start()
    output = process.stdout.read().decode(errors="replace")
    # wait4 rather than wait: it alone gives this child's own times, with those of the children it waited for.
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    killer.cancel()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\nended with {process.returncode}:\n{output[-4000:]}")
    # ru_maxrss is exact but for one process; the samples see the whole tree.
    return Measured(started, wall, usage.ru_utime + usage.ru_stime, max(peak.stop(), usage.ru_maxrss * 1024), output)


class _Peak(threading.Thread):
    """Samples the memory of a process and its children."""

    def __init__(self, pid: int, interval: float = 0.05) -> None:
        super().__init__(daemon=True)
        self._root, self._interval = psutil.Process(pid), interval
        self._over, self._peak = threading.Event(), 0
        self.start()

    def run(self) -> None:
        while not self._over.wait(self._interval):
            self._peak = max(self._peak, self._resident())

    def _resident(self) -> int:
        total = 0
        try:
            for process in (self._root, *self._root.children(recursive=True)):
                total += process.memory_info().rss
        except psutil.Error:
            pass  # it ended while we looked
        return total

    def stop(self) -> int:
        self._over.set()
        self.join()
        return self._peak


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table under a heading."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row) + " |")
    sys.stdout.flush()


def say(text: str) -> None:
    """Progress, apart from the tables."""
    print(text, file=sys.stderr, flush=True)


def verdict(ratio: float, aim: float, *, at_most: bool = False) -> str:
    """`ratio` beside the aim, and whether it is met."""
    met = ratio <= aim if at_most else ratio >= aim
    return f"{ratio:,.3g} (aim {'≤' if at_most else '≥'} {aim:g}: {'met' if met else 'NOT met'})"

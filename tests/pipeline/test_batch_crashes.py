"""A run in batches is killed at every stage of a batch: no request is submitted or paid twice, the dataset is the same.

The server tells the stages apart by the requests that it gets, and kills the run itself, before or after it has done
what it was asked.
"""

import asyncio
import contextlib
import signal
import sqlite3
import sys
import time

import pytest
from aiohttp import ClientSession, web

from evolute import api
from evolute.errors import EvoluteError
from evolute.ledger import Reader
from evolute.ledger.batches import batches
from evolute.models.loopback import LoopbackServer
from evolute.models.loopback_batches import Batches, BatchFaults
from evolute.models.loopback_reply import scripted_rule

pytestmark = pytest.mark.slow

EVOLVED_ONLY = ("--set", "evolve.judge=false", "--set", "evolve.respond=never", "--rounds", "1")


class Trapped(Batches):
    """Does as ever, and kills the run at a stage, once."""

    def __init__(self, faults, stage=None):
        super().__init__(scripted_rule, faults)
        self.stage, self.run, self.looks, self.sprung = stage, None, 0, False

    async def handle(self, request):
        stage = self._stage(request)
        if stage == self.stage and not self.sprung:
            self._spring()
            if stage in ("intended", "uploaded"):
                return web.Response(status=500)  # what was asked is not done
        response = await super().handle(request)
        if stage == "uploaded" and self.stage == "made":
            self._spring()
        return response

    def _stage(self, request):
        method, path = request.method, request.path
        if method == "POST" and path.endswith("/files"):
            return "intended"
        if method == "POST" and path.endswith("/batches"):
            return "uploaded"
        if path.endswith(("/content", "/results")):
            return "fetching"
        self.looks += method == "GET" and "/batches/" in path
        return "waiting" if self.looks == 2 else ""

    def _spring(self):
        if not self.sprung:
            self.sprung = True
            self.run.kill()


def evolve(server, seeds, out, *flags):
    return asyncio.create_subprocess_exec(
        sys.executable, "-m", "evolute", "evolve", str(seeds), "--out", str(out), "--base-url", server.base_url,
        "--model", "m", *EVOLVED_ONLY, *flags,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def ended(process):
    _, said = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, said.decode()


def in_batches(seconds="0.2"):
    return ("--batch", "--set", f"models.default.batch.seconds={seconds}")


async def uninterrupted(seeds, out, name="chat"):
    """The dataset of a live run, in this process."""
    key = "ANTHROPIC_API_KEY" if name == "anthropic" else "OPENAI_API_KEY"
    settings = {"models.default.api": name, "models.default.model": "m", "models.default.api_key_env": key}
    evolved_only = {"evolve.judge": False, "evolve.respond": "never", "evolve.rounds": 1}
    async with LoopbackServer() as server:
        settings |= {"models.default.base_url": server.base_url} | evolved_only
        await asyncio.to_thread(api.evolve, str(seeds), out=out, recipe="wizardlm", settings=settings)
    return (out / "dataset.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("name", "stages"),
    [("chat", ["intended", "uploaded", "made", "waiting", "fetching"]), ("anthropic", ["made", "fetching"])],
)
async def test_killed_at_every_stage_of_a_batch(tmp_path, seeds_file, monkeypatch, name, stages):
    """One run, killed at one stage after the other: each process goes on from where the last one died."""
    seeds, run = seeds_file(9), tmp_path / "run"
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    flags = ("--api", name)
    whole = await uninterrupted(seeds, tmp_path / "live", name)
    async with LoopbackServer() as server:
        trap = server.batches = Trapped(BatchFaults(seconds=4.0))
        for stage in stages:
            trap.stage, trap.sprung, trap.looks = stage, False, 0
            trap.run = await evolve(server, seeds, run, *flags, *in_batches())
            status, said = await ended(trap.run)
            assert status == -signal.SIGKILL, f"{stage}: {said}"
            assert trap.stats()["batches"] == (stages.index(stage) >= stages.index("made"))
        trap.stage = None
        status, said = await ended(await evolve(server, seeds, run, *flags, *in_batches()))
        assert status == 0, said
        stats = trap.stats()
    assert (stats["batches"], stats["requests"], stats["repeated"], stats["answered_twice"]) == (1, 9, 0, 0)
    assert (run / "dataset.jsonl").read_bytes() == whole
    with Reader(run) as reader:
        assert not any(one.is_open for one in batches(reader))
    assert list((run / "batches").iterdir()) == []


async def test_anothers_batch_of_the_same_size_is_not_taken_for_ours(tmp_path, seeds_file, monkeypatch):
    """Anthropic's batches carry no name: what was found after a kill shows only in its results whose it is."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    seeds, run, flags = seeds_file(9), tmp_path / "run", ("--api", "anthropic")
    whole = await uninterrupted(seeds, tmp_path / "live", "anthropic")
    params = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
    foreign = {"requests": [{"custom_id": f"other-{n}", "params": params} for n in range(9)]}
    async with LoopbackServer() as server:
        trap = server.batches = Trapped(BatchFaults(seconds=2.5), "uploaded")
        trap.run = await evolve(server, seeds, run, *flags, *in_batches())
        assert (await ended(trap.run))[0] == -signal.SIGKILL
        async with ClientSession() as client:
            made = await client.post(f"{server.base_url}/messages/batches", json=foreign)
            assert made.status == 200
        status, said = await ended(await evolve(server, seeds, run, *flags, *in_batches()))
        assert status == 0, said
        assert trap.stats()["batches"] == 2
    assert (run / "dataset.jsonl").read_bytes() == whole
    assert states(run) == ["unsent", "ended"]


async def test_killed_while_results_are_streamed(tmp_path, seeds_file):
    """Some results are in the ledger and some are not: those are taken from the same batch, and asked no more."""
    seeds, run = seeds_file(400), tmp_path / "run"
    whole = await uninterrupted(seeds, tmp_path / "live")
    answered = 0

    def rule(body):
        nonlocal answered
        answered += 1
        if answered == 390 and trap is not None:
            _wait_for(lambda: 0 < recorded(run) < 400)
            process.kill()
        return scripted_rule(body)

    async with LoopbackServer() as server:
        trap = server.batches = Trapped(BatchFaults())
        trap._rule = rule
        process = await evolve(server, seeds, run, *in_batches("1"))
        status, said = await ended(process)
        assert status == -signal.SIGKILL, said
        assert 0 < recorded(run) < 400
        trap, spent = None, server.batches.stats()
        status, said = await ended(await evolve(server, seeds, run, *in_batches("1")))
        assert status == 0, said
        assert server.batches.stats() == spent
    assert (run / "dataset.jsonl").read_bytes() == whole


async def test_ctrl_c_leaves_at_once_and_says_where_the_requests_are(tmp_path, seeds_file):
    seeds, run = seeds_file(5), tmp_path / "run"
    async with LoopbackServer(batches=BatchFaults(seconds=600)) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "evolute", "evolve", str(seeds), "--out", str(run), "--base-url", server.base_url,
            "--model", "m", *EVOLVED_ONLY, *in_batches(),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await asyncio.to_thread(_wait_for, lambda: "submitted" in states(run))
        process.send_signal(signal.SIGINT)
        told, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 130
    assert "5 requests wait in 1 batch, which go on without us; the run's command fetches them" in told.decode()
    assert "batch_000000" in told.decode()


def recorded(run):
    with contextlib.suppress(EvoluteError, sqlite3.Error), Reader(run) as reader:
        return next(reader.select("SELECT count(*) FROM calls"))[0]
    return 0


def states(run):
    with contextlib.suppress(EvoluteError, sqlite3.Error), Reader(run) as reader:
        return [one.state for one in batches(reader)]
    return []


def _wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)

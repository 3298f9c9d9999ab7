"""Kill a real run at seeded instants: nothing is paid for twice but what was in flight, and the dataset is the same."""

import asyncio
import random
import sys
from collections import Counter

import pytest

from evolute.models.loopback import LoopbackServer
from evolute.models.loopback_reply import scripted_rule

IN_FLIGHT = 8
SEEDS = 12
FLAGS = ("--model", "m", "--rounds", "2", "--concurrency", str(IN_FLIGHT), "--set", "evolve.attempts=2")


class Run:
    """A run against a counting server, which can kill it when a given number of requests has come in."""

    def __init__(self, server, seeds, out):
        self.server, self.seeds, self.out = server, seeds, out

    async def go(self):
        """Start or resume it, and wait for its end; the exit status."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "evolute", "evolve", str(self.seeds), "--out", str(self.out),
            "--base-url", self.server.base_url, *FLAGS,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, self.said = await self.process.communicate()
        return self.process.returncode

    def kill(self):
        """SIGKILL."""
        self.process.kill()


class Trap:
    """A server's rule that answers as ever, counts, and kills a run at the n-th request."""

    def __init__(self):
        self.paid = Counter()
        self.run = None
        self.at = None

    def __call__(self, body):
        self.paid[str(body["messages"]) + str(body.get("seed"))] += 1
        if self.run is not None and sum(self.paid.values()) == self.at:
            self.run.kill()
        return scripted_rule(body)


async def uninterrupted(seeds, out):
    """The dataset, and the number of calls, of a run that nobody disturbs."""
    trap = Trap()
    async with LoopbackServer(trap, latency=0.002) as server:
        run = Run(server, seeds, out)
        assert await run.go() == 0, run.said
    dataset = (out / "dataset.jsonl").read_bytes()
    assert dataset.count(b"\n") > SEEDS
    return dataset, sum(trap.paid.values())


async def killed_and_resumed(seeds, out, at):
    """The dataset, and how many calls were paid twice, of a run killed at its `at`-th request and resumed."""
    trap = Trap()
    async with LoopbackServer(trap, latency=0.002) as server:
        run = Run(server, seeds, out)
        trap.run, trap.at = run, at
        assert await run.go() == -9
        trap.run = None
        assert await run.go() == 0, run.said
    return (out / "dataset.jsonl").read_bytes(), sum(trap.paid.values()) - len(trap.paid)


async def kill_at_instants(tmp_path, seeds, count, chance):
    dataset, calls = await uninterrupted(seeds, tmp_path / "whole")
    twice = []
    for instant in [chance.randint(1, calls - 1) for _ in range(count)]:
        resumed, paid_twice = await killed_and_resumed(seeds, tmp_path / f"killed-{instant}-{len(twice)}", instant)
        assert paid_twice <= IN_FLIGHT, f"killed at call {instant} of {calls}: {paid_twice} calls were paid twice"
        assert resumed == dataset, f"killed at call {instant} of {calls}: another dataset"
        twice.append(paid_twice)
    return twice


@pytest.mark.slow
async def test_killed_at_a_few_instants(tmp_path, seeds_file):
    await kill_at_instants(tmp_path, seeds_file(SEEDS), 4, random.Random(20230423))


@pytest.mark.marathon
@pytest.mark.parametrize("quarter", range(4))
async def test_killed_at_a_hundred_instants(tmp_path, seeds_file, quarter):
    twice = await kill_at_instants(tmp_path, seeds_file(SEEDS), 25, random.Random(quarter))
    assert max(twice) > 0, "no kill hit a call in flight: the instants prove nothing"


@pytest.mark.slow
async def test_killed_again_and_again(tmp_path, seeds_file):
    """The same run killed at every tenth call still comes to the same end."""
    seeds = seeds_file(SEEDS)
    dataset, _ = await uninterrupted(seeds, tmp_path / "whole")
    trap = Trap()
    kills = 0
    async with LoopbackServer(trap, latency=0.002) as server:
        run = Run(server, seeds, tmp_path / "run")
        trap.run = run
        while True:
            trap.at = sum(trap.paid.values()) + 30
            status = await run.go()
            if status == 0:
                break
            assert status == -9
            kills += 1
    assert kills >= 3
    assert (tmp_path / "run" / "dataset.jsonl").read_bytes() == dataset
    assert sum(trap.paid.values()) - len(trap.paid) <= kills * IN_FLIGHT

"""A pacer held to a share of what the recipe allows, and to another share a moment later."""

import asyncio
import time
from functools import partial

from evolute.models.balancing import Balanced
from evolute.models.pacing import Paced, Share
from evolute.models.scripted import Scripted
from evolute.recipe import ModelSpec
from evolute.records import Message, Request


class Gate:
    """A model that answers when let."""

    def __init__(self):
        self.now = self.peak = 0
        self.open = asyncio.Event()

    async def complete(self, request):
        self.now += 1
        self.peak = max(self.peak, self.now)
        await self.open.wait()
        self.now -= 1
        return await Scripted().complete(request)


def many(model, count):
    requests = (Request("evolver", (Message("user", "Name a river."),), b"", n) for n in range(count))
    return asyncio.gather(*map(model.complete, requests))


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_share_of_the_calls_in_flight():
    inner = Gate()
    paced = Paced(inner, ModelSpec(concurrency=8))
    paced.share(Share(0))
    task = many(paced, 20)
    await settle()
    assert (inner.now, paced.limit) == (0, 0)
    paced.changed.clear()
    paced.share(Share(3))
    await settle()
    assert (inner.now, paced.limit, paced.changed.is_set()) == (3, 3, True)
    paced.share(Share(1))
    await settle()
    assert (inner.now, paced.limit) == (3, 1)  # those under way are not cut off
    paced.share(Share(5))
    await settle()
    assert inner.now == 5
    inner.open.set()
    await task
    assert inner.peak == 5


async def test_a_share_of_the_rate_that_grows_lets_those_who_wait_begin():
    inner = Gate()
    inner.open.set()
    paced = Paced(inner, ModelSpec(requests_per_minute=60_000, tokens_per_minute=60_000_000))
    paced.share(Share(None, 0.001, 1.0))
    await asyncio.wait_for(many(paced, 1), 5)  # one is always there
    task = many(paced, 20)
    await asyncio.sleep(0.05)
    assert not task.done()
    paced.share(Share(None, 60_000, 60_000_000))
    begun = time.monotonic()
    await asyncio.wait_for(task, 5)
    assert time.monotonic() - begun < 2


async def test_each_of_several_endpoints_has_the_share():
    gates = [Gate(), Gate()]
    balanced = Balanced([partial(Paced, gate, ModelSpec(concurrency=8)) for gate in gates], rounds=2)
    balanced.share(Share(0))
    task = many(balanced, 12)
    await settle()
    assert [gate.now for gate in gates] == [0, 0]
    assert balanced.waiting == 12
    balanced.share(Share(2))
    await settle()
    assert [gate.now for gate in gates] == [2, 2]
    balanced.share(Share(8))
    for gate in gates:
        gate.open.set()
    await task

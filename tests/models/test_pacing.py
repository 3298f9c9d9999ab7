import asyncio
import socket
import time

import pytest

from evolute import errors
from evolute.models.http import Http
from evolute.models.loopback import Faults, LoopbackServer
from evolute.models.pacing import Paced
from evolute.models.scripted import Scripted
from evolute.recipe import ModelSpec
from evolute.records import Completion, Failure, Message, Request, Usage


def ask(number=0, text="Name a river."):
    return Request("evolver", (Message("user", text),), b"", number)


class Counting:
    """A model that tells how many calls it had at once, in which order, and answers when let."""

    def __init__(self):
        self.now = self.peak = 0
        self.order = []
        self.open = asyncio.Event()

    async def complete(self, request):
        self.order.append(request.draw)
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            await self.open.wait()
        finally:
            self.now -= 1
        return await Scripted().complete(request)


async def many(model, count, start=0):
    return await asyncio.gather(*(model.complete(ask(n)) for n in range(start, start + count)), return_exceptions=True)


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_never_more_in_flight_than_the_limit_and_in_order():
    inner = Counting()
    paced = Paced(inner, ModelSpec(concurrency=3))
    task = asyncio.create_task(many(paced, 10))
    await settle()
    assert (paced.in_flight, paced.waiting, paced.limit) == (3, 7, 3)
    inner.open.set()
    assert all(completion.attempts == 1 for completion in await task)
    assert inner.peak == 3
    assert inner.order == list(range(10))
    assert (paced.in_flight, paced.waiting) == (0, 0)


async def test_the_limit_starts_low_and_grows_under_load():
    paced = Paced(Scripted(latency=0.01), ModelSpec())
    assert paced.limit == 8
    task = asyncio.create_task(many(paced, 4000))
    await paced.changed.wait()
    assert paced.limit == 16
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_waiter_leaves_no_slot_behind():
    inner = Counting()
    paced = Paced(inner, ModelSpec(concurrency=1))
    tasks = [asyncio.create_task(paced.complete(ask(n))) for n in range(4)]
    await settle()
    tasks[1].cancel()  # it waits
    tasks[0].cancel()  # it holds the slot, which goes to the third
    await settle()
    assert (paced.in_flight, paced.waiting) == (1, 1)
    tasks[2].cancel()
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (paced.in_flight, paced.waiting) == (0, 0)
    inner.open.set()
    assert (await paced.complete(ask(9))).text


async def test_a_slot_granted_to_one_who_leaves_goes_on():
    inner = Counting()
    inner.open.set()
    paced = Paced(inner, ModelSpec(concurrency=1))
    first, second, third = (asyncio.create_task(paced.complete(ask(n))) for n in range(3))
    first.add_done_callback(lambda _: second.cancel())
    assert (await first).text
    assert (await third).text
    assert paced.in_flight == 0


async def test_retries_are_counted_and_the_completion_says_so():
    faults = [errors.Overloaded("down", status=503), errors.Malformed("?"), errors.TimedOut("slow")]
    paced = Paced(Scripted(faults=faults), ModelSpec(concurrency=4), rng_seed=1)
    completion = await paced.complete(ask())
    assert completion.attempts == 4
    assert paced.retries == {"Overloaded": 1, "Malformed": 1, "TimedOut": 1}


async def test_a_retry_goes_before_those_who_have_not_tried():
    order = []

    def rule(request):
        order.append(request.draw)
        return "x"

    faults = [errors.Overloaded("down")]
    paced = Paced(Scripted(rule, latency=0.01, faults=faults), ModelSpec(concurrency=1), rng_seed=3)
    await many(paced, 100)
    assert order.index(0) < 90  # the back-off is at most 0.25 s, and a hundred calls take a second


async def test_the_last_failure_is_raised_when_the_tries_are_spent():
    paced = Paced(Scripted(faults=[errors.Malformed(str(n)) for n in range(9)]), ModelSpec(retries=2), rng_seed=1)
    with pytest.raises(errors.Malformed, match="2"):
        await paced.complete(ask())
    with pytest.raises(errors.Malformed):
        await Paced(Scripted(faults=[errors.Malformed("0")]), ModelSpec(retries=0)).complete(ask())


async def test_retry_after_is_honoured():
    faults = [errors.RateLimited("slow down", status=429, retry_after=0.15)]
    started = time.monotonic()
    completion = await Paced(Scripted(faults=faults), ModelSpec()).complete(ask())
    assert completion.attempts == 2
    assert time.monotonic() - started >= 0.15


@pytest.mark.parametrize("asked", [1e12, float("inf"), float("nan")])
async def test_no_retry_after_is_a_wait_of_hours(asked, monkeypatch):
    loop = asyncio.get_running_loop()
    delays, later = [], loop.call_later

    def call_later(delay, *rest):
        delays.append(delay)
        return later(min(delay, 0.01), *rest)

    monkeypatch.setattr(loop, "call_later", call_later)
    paced = Paced(Scripted(faults=[errors.RateLimited("slow down", retry_after=asked)]), ModelSpec())
    assert (await paced.complete(ask())).attempts == 2
    assert 600 <= max(delays) < 601
    assert paced._asked_until <= time.monotonic() + 600


async def test_a_slot_is_free_while_a_retry_sleeps():
    faults = [errors.RateLimited("slow down", retry_after=30)]
    paced = Paced(Scripted(faults=faults), ModelSpec(concurrency=1))
    stuck = asyncio.create_task(paced.complete(ask()))
    await settle()
    assert (paced.in_flight, paced.waiting) == (0, 1)
    assert (await paced.complete(ask(1))).text
    stuck.cancel()


async def test_requests_per_minute_are_kept():
    paced = Paced(Scripted(), ModelSpec(requests_per_minute=6000))
    started = time.monotonic()
    await many(paced, 50)
    assert time.monotonic() - started >= 0.45  # 100 a second


async def test_tokens_per_minute_are_kept():
    spec = ModelSpec(tokens_per_minute=60_000, concurrency=100)
    paced = Paced(Scripted(lambda request: "word " * 400), spec)  # 500 tokens each; 1,000 a second
    started = time.monotonic()
    await many(paced, 2)
    assert time.monotonic() - started >= 0.2


async def test_tokens_per_minute_are_kept_where_the_endpoint_does_not_count():
    spec = ModelSpec(tokens_per_minute=300_000, concurrency=100)
    paced = Paced(Scripted(lambda request: Completion(text="x", usage=Usage())), spec)  # 256 each, as estimated
    started = time.monotonic()
    for number in range(6):
        await paced.complete(ask(number))
    assert time.monotonic() - started >= 0.2


async def test_nothing_at_the_port_is_told_soon():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        spec = ModelSpec(base_url=f"http://127.0.0.1:{free.getsockname()[1]}/v1")
        started = time.monotonic()
        async with Http(spec) as http:
            ends = await many(Paced(http, spec, breaker_seconds=1.0), 20)
    assert time.monotonic() - started < 3
    assert {type(end) for end in ends} == {errors.EndpointGone}
    assert "has never answered" in str(ends[0])
    assert "resume" in str(ends[0])


async def test_the_breaker_opens_when_an_endpoint_goes_away_and_not_before():
    async def ends_of(faults, seconds):
        model = Scripted(faults=[None] * 8 + faults)
        paced = Paced(model, ModelSpec(concurrency=4), breaker_seconds=seconds, rng_seed=2)
        return await many(paced, 40)

    gone = await ends_of([errors.ConnectionLost("refused")] * 1000, 0.3)
    assert sum(isinstance(end, errors.EndpointGone) for end in gone) == 32
    assert "nothing usable" in str(gone[-1])
    short = await ends_of([errors.Overloaded("busy")] * 30, 60)
    assert all(not isinstance(end, Exception) for end in short)


@pytest.mark.parametrize("kind", [errors.AuthenticationFailed, errors.ModelNotFound, errors.BadReply])
async def test_what_no_request_can_survive_ends_them_all_at_once(kind):
    model = Scripted(faults=[kind("no")] * 3)
    ends = await many(Paced(model, ModelSpec(concurrency=3)), 50)
    assert {type(end) for end in ends} == {kind}
    assert model.calls <= 3


async def test_a_web_page_amid_answers_is_only_a_failed_try():
    paced = Paced(Scripted(faults=[None, errors.BadReply("a page")]), ModelSpec(concurrency=1))
    ends = await many(paced, 2)
    assert [end.attempts for end in ends] == [1, 2]


async def test_rejections_before_any_success_end_the_run_and_after_one_only_the_request():
    faults = [errors.RequestRejected("no", status=400)] * 9
    ends = await many(Paced(Scripted(faults=faults), ModelSpec(), pause=0.01), 3)
    assert {type(end) for end in ends} == {errors.EndpointError}
    assert "refuses every request: no" in str(ends[0])
    paced = Paced(Scripted(faults=[None, *faults]), ModelSpec(), pause=0.01)
    assert (await paced.complete(ask())).text
    with pytest.raises(errors.RequestRejected):
        await paced.complete(ask())


async def test_one_bad_request_amid_slow_good_ones_is_only_that():
    async def answer(request):
        if request.draw == 0:
            raise errors.RequestRejected("too long", status=400)
        return await Scripted(latency=0.3).complete(request)

    class Model:
        complete = staticmethod(answer)

    ends = await many(Paced(Model(), ModelSpec(), pause=0.01), 5)
    assert isinstance(ends[0], errors.RequestRejected)
    assert all(end.text for end in ends[1:])


@pytest.mark.slow
@pytest.mark.parametrize("too_many", [0.0, 0.2])
async def test_a_hostile_endpoint_costs_time_and_nothing_else(too_many):
    faults = Faults(
        too_many=too_many, error=0.05, reset=0.02, hang=0.02, null=0.01, empty=0.01, cut=0.01, not_json=0.01
    )  # fmt: skip
    loopback = LoopbackServer(lambda body: "fine", latency=0.02, rate=500, faults=faults, retry_after=0.2)
    async with loopback as server:
        spec = ModelSpec(base_url=server.base_url, model="m", read_timeout=0.5)
        async with Http(spec) as http:
            paced = Paced(http, spec)
            ends = await many(paced, 400)
    assert all(not isinstance(end, Exception) for end in ends)
    texts = [end for end in ends if end.failure is None]
    assert {end.text for end in texts} == {"fine"}
    assert {end.failure for end in ends} == {None, Failure.NULL, Failure.EMPTY}
    assert sum(end.attempts for end in ends) == server.requests == 400 + paced.retries.total()
    assert server.requests <= 400 * (1.6 + 2 * too_many)
    assert set(paced.retries) >= {"Overloaded", "Malformed", "ConnectionLost", "TimedOut"}

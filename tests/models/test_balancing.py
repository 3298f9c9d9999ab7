import asyncio
from contextlib import AsyncExitStack
from functools import partial

import pytest
from pydantic import ValidationError

from evolute import errors
from evolute.models.balancing import Balanced
from evolute.models.http import Http
from evolute.models.loopback import Faults, LoopbackServer
from evolute.models.pacing import Paced
from evolute.recipe import ModelSpec
from evolute.records import Message, Request


def ask(number):
    return Request("evolver", (Message("user", f"Name {number} rivers."),), b"", number)


async def balanced(stack, urls, *, again=30.0, rounds=4, **options):
    """Endpoints at these addresses, as a run opens them."""
    renewals = []
    for url in urls:
        spec = ModelSpec(base_url=url, model="loopback", api_key_env="", retries=1, **options)
        http = await stack.enter_async_context(Http(spec))
        renewals.append(partial(Paced, http, spec, breaker_seconds=0.3))
    return Balanced(renewals, rounds=rounds, again=again)


async def test_calls_go_to_both_endpoints_and_more_of_them_to_the_quicker():
    async with AsyncExitStack() as stack:
        quick = await stack.enter_async_context(LoopbackServer(latency=0.005))
        slow = await stack.enter_async_context(LoopbackServer(latency=0.1))
        model = await balanced(stack, [slow.base_url, quick.base_url], concurrency=4)
        await asyncio.gather(*(limited(model, number, asyncio.Semaphore(6)) for number in range(8)))
        gate = asyncio.Semaphore(6)
        await asyncio.gather(*(limited(model, number, gate) for number in range(8, 108)))
        assert slow.requests + quick.requests == 108
        assert quick.requests > 2 * slow.requests > 0


async def limited(model, number, gate):
    async with gate:
        return await model.complete(ask(number))


async def test_an_endpoint_that_fails_is_passed_and_what_failed_there_is_answered_elsewhere():
    async with AsyncExitStack() as stack:
        sound = await stack.enter_async_context(LoopbackServer(latency=0.005))
        broken = await stack.enter_async_context(LoopbackServer(faults=Faults(error=1.0)))
        model = await balanced(stack, [broken.base_url, sound.base_url], concurrency=4)
        gate = asyncio.Semaphore(4)
        answers = await asyncio.gather(*(limited(model, number, gate) for number in range(100)))
        assert all(answer.text for answer in answers)
        assert sound.requests == sound.answers == 100
        assert 0 < broken.requests < 40  # it would be the quickest by far


async def test_an_endpoint_that_goes_away_loses_no_request_and_is_asked_again_when_it_is_back():
    async with AsyncExitStack() as stack:
        sound = await stack.enter_async_context(LoopbackServer(latency=0.002))
        async with LoopbackServer(latency=0.002) as mortal:
            port = int(mortal.base_url.rsplit(":", 1)[1].removesuffix("/v1"))
            model = await balanced(stack, [mortal.base_url, sound.base_url], again=0.0)
            await asyncio.gather(*(model.complete(ask(number)) for number in range(40)))
            assert mortal.requests
        answers = await asyncio.gather(*(model.complete(ask(number)) for number in range(40, 160)))
        assert all(answer.text for answer in answers)
        back = await stack.enter_async_context(LoopbackServer(latency=0.002, port=port))
        number = 160
        while not back.requests:
            await asyncio.wait_for(model.complete(ask(number)), 10)
            number += 1


async def test_when_all_are_gone_the_model_is():
    async with AsyncExitStack() as stack:
        model = await balanced(stack, ["http://127.0.0.1:9/v1", "http://127.0.0.1:19/v1"], rounds=9)
        with pytest.raises(errors.EndpointGone):
            await model.complete(ask(0))
        with pytest.raises(errors.EndpointGone, match=r"none of 2 endpoints is left: .*:9/v1 .*:19/v1 "):
            await model.complete(ask(1))
        assert model.retries["ConnectionLost"] > 2


async def test_a_request_that_fails_everywhere_fails_after_its_rounds():
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(LoopbackServer(faults=Faults(error=1.0))) for _ in range(2)]
        model = await balanced(stack, [server.base_url for server in servers], rounds=2)
        with pytest.raises(errors.Overloaded):
            await model.complete(ask(0))
        assert [server.requests for server in servers] == [2, 2]


async def test_who_stops_it_stops_all():
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(LoopbackServer())
        model = await balanced(stack, [server.base_url, "http://127.0.0.1:9/v1"])
        model.stop(errors.Stopped("enough"))
        with pytest.raises(errors.Stopped, match="enough"):
            await model.complete(ask(0))
        assert server.requests == 0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"api": "scripted", "replicas": ["http://b/v1"]}, "reached over HTTP, and api is 'scripted'"),
        ({"replicas": ["http://b/v1"]}, "different addresses"),
        ({"base_url": "http://a/v1", "replicas": ["http://a/v1"]}, "different addresses"),
    ],
)
def test_replicas_that_make_no_sense_are_refused(fields, said):
    with pytest.raises(ValidationError, match=said):
        ModelSpec(**fields)


def test_replicas_do_not_decide_an_answer():
    one = ModelSpec(base_url="http://a/v1", model="m")
    assert one.identity == ModelSpec(base_url="http://b/v1", model="m", replicas=("http://c/v1",)).identity

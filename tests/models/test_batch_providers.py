"""OpenAI's and Anthropic's batches against the loopback server, which speaks both."""

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson
import pytest
from aiohttp import web

from evolute.errors import (
    AuthenticationFailed,
    CallFailed,
    ConnectionLost,
    EndpointError,
    Overloaded,
    RateLimited,
    RequestRejected,
)
from evolute.models.batching.anthropic import AnthropicBatches
from evolute.models.batching.client import BatchHttp
from evolute.models.batching.openai import OpenAIBatches
from evolute.models.http import Http
from evolute.models.loopback import BatchFaults, Faults, LoopbackServer
from evolute.recipe import ModelSpec
from evolute.records import Message, Request

KEY = "sk-planted-4f1c9a77e2"
BOTH = pytest.mark.parametrize("api", ["chat", "anthropic"])
QUIET = BatchFaults(never=True)


def ask(number=0, **sampling):
    turns = (Message("system", "Be brief."), Message("user", f"Name river {number}."))
    return Request("evolver", turns, b"", number + 7, {"temperature": 0.5, "max_tokens": 64} | sampling)


def spec_for(server, api, **fields):
    return ModelSpec(base_url=server.base_url, model="m", api=api, **fields)


@pytest.fixture(autouse=True)
def _planted(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@asynccontextmanager
async def opened(server, api, folder, **fields):
    spec = spec_for(server, api, **fields)
    async with BatchHttp(spec) as http:
        yield OpenAIBatches(http, spec) if api != "anthropic" else AnthropicBatches(http, spec, folder)


def written(provider, folder, requests, name="run-1"):
    path = folder / f"{name}.jsonl"
    path.write_bytes(b"".join(provider.line(request.key.hex(), request) + b"\n" for request in requests))
    return name, path, len(requests)


async def over(provider, id):
    deadline = time.monotonic() + 20
    while (status := await provider.status(id)).state == "running":
        assert time.monotonic() < deadline, "the batch does not end"
        await asyncio.sleep(0.02)
    return status


async def fetched(provider, id):
    return [result async for result in provider.results(id)]


@BOTH
async def test_a_batch_asks_and_reads_what_a_live_call_does(api, tmp_path):
    requests = [ask(number) for number in range(20)]
    async with LoopbackServer() as server, opened(server, api, tmp_path) as provider:
        async with Http(spec_for(server, api)) as http:
            live = {request.key.hex(): await http.complete(request) for request in requests}
            sent = server.last_body
        name, path, count = written(provider, tmp_path, requests)
        line = orjson.loads(path.read_bytes().splitlines()[-1])
        id = await provider.submit(name, path, count)
        assert (await over(provider, id)).state == "ended"
        results = await fetched(provider, id)
    assert line.get("body", line.get("params")) == sent
    assert {result.key: result.completion for result in results} == {
        key: replace(completion, latency=0.0) for key, completion in live.items()
    }


async def test_the_file_and_the_batch_are_as_openai_documents_them(tmp_path):
    async with LoopbackServer() as server, opened(server, "chat", tmp_path) as provider:
        name, path, count = written(provider, tmp_path, [ask()])
        id = await provider.submit(name, path, count)
        batch = server.batches.made[0]
        assert (id, batch.metadata, batch.endpoint) == (batch.id, {"evolute_batch": name}, "/v1/chat/completions")
        assert (server.batches.folder / batch.file).read_bytes() == path.read_bytes()
    line = orjson.loads(path.read_bytes())
    assert (line["custom_id"], line["method"], line["url"]) == (ask().key.hex(), "POST", "/v1/chat/completions")


@BOTH
async def test_what_fails_or_expires_may_be_asked_again_and_order_does_not_matter(api, tmp_path):
    requests = [ask(number) for number in range(200)]
    faults = BatchFaults(fail=0.2, expire=0.2, shuffle=True)
    async with LoopbackServer(batches=faults) as server, opened(server, api, tmp_path) as provider:
        id = await provider.submit(*written(provider, tmp_path, requests))
        status = await over(provider, id)
        results = await fetched(provider, id)
    errors = Counter(type(result.error) for result in results if result.error)
    done = sum(result.completion is not None for result in results)
    assert (status.state, status.done, status.failed, status.total) == ("expired", done, 200 - done, 200)
    assert set(errors) == {Overloaded, CallFailed}
    assert min(errors.values()) > 10
    assert sorted(result.key for result in results) == sorted(request.key.hex() for request in requests)
    assert [result.key for result in results if result.completion] != [
        request.key.hex() for request in requests if request.key.hex() in {r.key for r in results if r.completion}
    ]


@BOTH
async def test_a_batch_that_never_ends_is_cancelled_and_says_so(api, tmp_path):
    async with LoopbackServer(batches=QUIET) as server, opened(server, api, tmp_path) as provider:
        id = await provider.submit(*written(provider, tmp_path, [ask(1), ask(2)]))
        assert (await provider.status(id)).state == "running"
        await provider.cancel(id)
        status = await over(provider, id)
        await provider.cancel(id)  # once more is no error
        results = await fetched(provider, id)
    assert (status.state, status.done, status.failed) == ("cancelled", 0, 2)
    assert [type(result.error) for result in results] == [CallFailed, CallFailed]


@BOTH
async def test_what_a_cancelled_batch_had_answered_is_kept(api, tmp_path):
    requests = [ask(number) for number in range(50)]
    async with LoopbackServer(batches=BatchFaults(seconds=30)) as server, opened(server, api, tmp_path) as provider:
        id = await provider.submit(*written(provider, tmp_path, requests))
        server.batches.made[0].created -= 15
        await provider.cancel(id)
        results = await fetched(provider, id)
    answered = sum(result.completion is not None for result in results)
    assert 20 <= answered <= 30
    assert len(results) == 50


async def test_a_file_that_openai_refuses_fails_as_a_whole_with_the_reason(tmp_path):
    async with LoopbackServer(batches=BatchFaults(refuse=1)) as server, opened(server, "chat", tmp_path) as provider:
        name, path, count = written(provider, tmp_path, [ask(1)])
        waiting = await provider.status(await provider.submit(name, path, count))
        path.write_bytes(path.read_bytes() * 2)
        twice = await provider.submit("run-2", path, 2)
        status = await provider.status(twice)
        assert await fetched(provider, twice) == []
    assert (waiting.state, waiting.detail[:20]) == ("failed", "token_limit_exceeded")
    assert (status.state, status.detail[:19]) == ("failed", "duplicate_custom_id")


@BOTH
@pytest.mark.parametrize(("faults", "lost"), [({"lose": 1}, ConnectionLost), ({"lose_500": 1}, Overloaded)])
async def test_a_batch_whose_making_was_not_confirmed_is_found_and_not_made_twice(api, faults, lost, tmp_path):
    faults = BatchFaults(**faults, seconds=30)
    async with LoopbackServer(batches=faults) as server, opened(server, api, tmp_path) as provider:
        before = time.time()
        name, path, count = written(provider, tmp_path, [ask(1), ask(2)])
        assert await provider.find(name, before, count, ()) is None
        with pytest.raises(lost):
            await provider.submit(name, path, count)
        assert [batch.id for batch in server.batches.made] == [await provider.find(name, before, count, ())]
        assert server.batches.stats()["repeated"] == 0


async def test_an_upload_once_accepted_is_not_repeated(tmp_path):
    faults = BatchFaults(lose_500=1, seconds=30)
    async with LoopbackServer(batches=faults) as server, opened(server, "chat", tmp_path) as provider:
        job = written(provider, tmp_path, [ask(1)])
        for expected in (Overloaded, None):
            if expected:
                with pytest.raises(expected):
                    await provider.submit(*job)
            else:
                await provider.submit(*job)
        assert server.batches.uploads == 1


@BOTH
async def test_one_batch_among_many_is_found_page_by_page(api, tmp_path):
    faults = BatchFaults(page=2, seconds=30)
    async with LoopbackServer(batches=faults) as server, opened(server, api, tmp_path) as provider:
        before, ids = time.time(), []
        for number in range(7):  # for Anthropic they differ by their count alone
            job = written(provider, tmp_path, [ask(i) for i in range(number + 1)], f"run-{number}")
            ids.append(await provider.submit(*job))
        assert await provider.find("run-1", before, 2, ()) == ids[1]
        assert await provider.find("run-1", before, 2, {ids[1]}) is None
        assert await provider.find("run-9", before, 99, ()) is None
        assert await provider.find("run-1", time.time() + 3600, 2, ()) is None


async def test_of_two_ended_batches_alike_ours_is_the_one_that_answers_our_requests(tmp_path):
    async with LoopbackServer() as server, opened(server, "anthropic", tmp_path) as provider:
        before = time.time()
        theirs = await provider.submit(*written(provider, tmp_path, [ask(1)], "theirs"))
        ours = await provider.submit(*written(provider, tmp_path, [ask(2)], "ours"))
        assert await provider.find("ours", before, 1, ()) == ours
        assert await provider.find("theirs", before, 1, ()) == theirs
        assert await provider.find("ours", before, 1, {ours}) is None


@BOTH
async def test_results_that_break_off_go_on_where_they_stopped(api, tmp_path):
    requests = [ask(number) for number in range(2000)]
    async with LoopbackServer(batches=BatchFaults(cut=2)) as server, opened(server, api, tmp_path) as provider:
        id = await provider.submit(*written(provider, tmp_path, requests))
        keys = [result.key async for result in provider.results(id)]
    assert keys == [request.key.hex() for request in requests]


@BOTH
async def test_a_429_is_waited_for_and_other_failures_of_reading_are_tried_again(api, tmp_path):
    async with (
        LoopbackServer(faults=Faults(too_many=0.5), retry_after=0.01, seed=4) as server,
        opened(server, api, tmp_path, retries=50) as provider,
    ):
        id = await provider.submit(*written(provider, tmp_path, [ask(1)]))
        assert (await over(provider, id)).state == "ended"
        assert [result.completion is not None for result in await fetched(provider, id)] == [True]
    assert server.statuses["429"] > 0
    assert server.batches.stats()["batches"] == 1


async def test_patience_has_a_bound(tmp_path):
    async with (
        LoopbackServer(faults=Faults(too_many=1), retry_after=0.01) as server,
        opened(server, "chat", tmp_path, retries=2) as provider,
    ):
        with pytest.raises(RateLimited):
            await provider.submit(*written(provider, tmp_path, [ask(1)]))
    assert server.statuses["429"] == 3


@BOTH
async def test_a_refused_key_is_said_without_showing_it(api, tmp_path):
    async with LoopbackServer(require_key="another") as server, opened(server, api, tmp_path) as provider:
        with pytest.raises(AuthenticationFailed) as caught:
            await provider.submit(*written(provider, tmp_path, [ask(1)]))
    assert "OPENAI_API_KEY" in str(caught.value)
    assert KEY not in str(caught.value)


@BOTH
async def test_a_batch_that_the_provider_does_not_know_is_no_reason_to_ask_again(api, tmp_path):
    async with LoopbackServer() as server, opened(server, api, tmp_path) as provider:
        with pytest.raises(EndpointError, match=r"knows no batch batch_7\. Is this the key"):
            await provider.status("batch_7")


async def test_an_endpoint_without_batches_is_told_apart_from_a_wrong_model(tmp_path):
    async with LoopbackServer() as server:
        elsewhere = ModelSpec(base_url=server.base_url + "/elsewhere", model="m")
        async with BatchHttp(elsewhere) as http:
            provider = OpenAIBatches(http, elsewhere)
            with pytest.raises(EndpointError, match=r"no batch API.*provider=files"):
                await provider.submit(*written(provider, tmp_path, [ask(1)]))


async def test_results_that_are_no_longer_kept_are_none(tmp_path):
    async with LoopbackServer() as server, opened(server, "chat", tmp_path) as provider:
        id = await provider.submit(*written(provider, tmp_path, [ask(1)]))
        server.batches.made[0].created -= 31 * 86400
        assert await fetched(provider, id) == []


@BOTH
async def test_a_request_refused_for_its_content_is_rejected_and_others_are_answered(api, tmp_path):
    def rule(body):
        if "river 1." in orjson.dumps(body["messages"]).decode():
            return web.json_response({"error": {"message": "flagged by policy", "type": "error"}}, status=400)
        return "The Rhine."

    async with LoopbackServer(rule) as server, opened(server, api, tmp_path) as provider:
        id = await provider.submit(*written(provider, tmp_path, [ask(1), ask(2)]))
        first, second = sorted(await fetched(provider, id), key=lambda result: result.completion is not None)
    assert isinstance(first.error, RequestRejected)
    assert first.error.status == 400
    assert (second.completion.text, second.error) == ("The Rhine.", None)


async def test_a_field_that_is_refused_is_left_out_of_what_is_asked_from_then_on(tmp_path):
    def rule(body):
        if "max_tokens" in body:
            said = "Unsupported parameter: 'max_tokens' is not supported with this model."
            return web.json_response({"error": {"message": said, "param": "max_tokens"}}, status=400)
        return "The Rhine."

    async with LoopbackServer(rule) as server, opened(server, "chat", tmp_path) as provider:
        id = await provider.submit(*written(provider, tmp_path, [ask(1), ask(2)]))
        assert {type(result.error) for result in await fetched(provider, id)} == {CallFailed}
        id = await provider.submit(*written(provider, tmp_path, [ask(1), ask(2)], "run-2"))
        assert [result.completion.text for result in await fetched(provider, id)] == ["The Rhine."] * 2


@BOTH
async def test_a_server_that_starts_again_on_its_folder_goes_on(api, tmp_path):
    kept = tmp_path / "server"
    async with LoopbackServer(folder=kept, batches=QUIET) as server, opened(server, api, tmp_path) as provider:
        id = await provider.submit(*written(provider, tmp_path, [ask(1), ask(2)]))
    async with LoopbackServer(folder=kept) as server, opened(server, api, tmp_path) as provider:
        assert (await over(provider, id)).done == 2
        assert len(await fetched(provider, id)) == 2
        again = await provider.submit(*written(provider, tmp_path, [ask(2)], "run-2"))
    assert again != id
    counted = {"batches": 2, "requests": 3, "repeated": 1, "answered": 3, "answered_twice": 1}
    assert server.batches.stats() | counted == server.batches.stats()

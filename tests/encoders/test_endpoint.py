"""The encoder behind an endpoint, and the opening of encoders by name."""

import asyncio
import queue
import sys
import threading

import numpy as np
import pytest
from aiohttp import web

from evolute import errors
from evolute.encoders.endpoint import BATCH, EndpointEncoder
from evolute.encoders.opening import open_encoder
from evolute.encoders.sentence import SentenceEncoder
from evolute.encoders.static import StaticEncoder
from evolute.models.loopback import Faults, LoopbackServer
from evolute.models.loopback_reply import embeddings_body
from evolute.recipe import ModelSpec

TEXTS = [f"how does the number {n} look in water" for n in range(3 * BATCH + 5)]


class Remembered(dict):
    """A store in memory; `puts` counts the answers that were made durable."""

    puts = 0

    def get(self, keys):
        return {key: self[key] for key in keys if key in self}

    def put(self, items):
        self.puts += 1
        self.update(items)


def encoder_of(server, store=None, **fields):
    return EndpointEncoder(ModelSpec(base_url=server.base_url, model="m", **fields), store)


def encode(encoder, texts):
    return asyncio.to_thread(encoder.encode, texts)


async def test_a_row_for_each_text_in_order():
    async with LoopbackServer() as server:
        encoder = encoder_of(server)
        vectors = await encode(encoder, TEXTS)
        alone = await encode(encoder_of(server), TEXTS[-1:])
    expected = np.array([row["embedding"] for row in embeddings_body({"input": TEXTS})["data"]])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, expected, atol=1e-6)
    assert np.array_equal(alone[0], vectors[-1])
    assert (encoder.calls, encoder.usage.prompt, encoder.dimensions) == (4, 8 * len(TEXTS), 64)


async def test_the_same_text_is_asked_once_and_a_blank_one_never():
    async with LoopbackServer() as server:
        vectors = await encode(encoder_of(server), ["same", " ", "same", "", "other"])
        assert server.last_body["input"] == ["same", "other"]
    assert not vectors[[1, 3]].any()
    assert np.array_equal(vectors[0], vectors[2])


async def test_nothing_to_ask_asks_nothing():
    async with LoopbackServer() as server:
        assert (await encode(encoder_of(server), [])).shape == (0, 0)
        assert (await encode(encoder_of(server), [" "])).shape == (1, 0)
        assert server.requests == 0


async def test_what_is_remembered_is_not_asked_again():
    store = Remembered()
    async with LoopbackServer() as server:
        first = await encode(encoder_of(server, store), TEXTS)
        again = encoder_of(server, store)
        assert np.array_equal(await encode(again, TEXTS), first)
        assert server.requests == store.puts == 4
    assert (again.calls, again.usage.prompt) == (0, 0)


async def test_passing_faults_are_tried_again():
    faults = Faults(error=0.3, reset=0.2)
    async with LoopbackServer(faults=faults, seed=3) as server:
        vectors = await encode(encoder_of(server), TEXTS)
        assert server.requests > server.answers
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


async def test_an_endpoint_that_fails_half_way_leaves_what_was_paid_for():
    answered, paid = [], True

    def rule(body):
        if len(answered) == 2 and not paid:
            return web.json_response({"error": {"message": "no credit", "code": "insufficient_quota"}}, status=429)
        answered.append(body["input"])
        return embeddings_body(body)

    store, paid = Remembered(), False
    async with LoopbackServer(rule) as server:
        with pytest.raises(errors.EndpointError, match="no credit left"):
            await encode(encoder_of(server, store, concurrency=1), TEXTS)
        assert (store.puts, len(store)) == (2, 2 * BATCH)
        paid = True
        vectors = await encode(encoder_of(server, store, concurrency=1), TEXTS)
    assert [text for batch in answered for text in batch] == TEXTS  # none was asked for twice
    assert vectors.any(axis=1).all()


@pytest.mark.parametrize(
    ("store", "said"),
    [(Remembered(), "vectors that came are kept.* same command"), (None, "Nothing remembers .* again from the start")],
)
async def test_an_endpoint_that_breaks_half_way_says_what_to_do(store, said):
    answered = []

    def rule(body):
        if len(answered) == 2:
            return web.json_response({"error": {"message": "boom"}}, status=500)
        answered.append(body)
        return embeddings_body(body)

    async with LoopbackServer(rule) as server:
        with pytest.raises(
            errors.EndpointGone, match=rf"encoder 'm' at {server.base_url}.*after 0 retries.*boom.*{said}"
        ):
            await encode(encoder_of(server, store, concurrency=1, retries=0), TEXTS)
    if store is not None:
        assert len(store) == 2 * BATCH


def test_it_is_called_where_an_event_loop_runs():
    async def cell(base_url, store):
        return EndpointEncoder(ModelSpec(base_url=base_url, model="m"), store).encode(TEXTS)

    store, addresses, ended = Remembered(), queue.Queue(), threading.Event()

    async def serve():
        async with LoopbackServer() as server:
            addresses.put(server.base_url)
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        vectors = asyncio.run(cell(addresses.get(timeout=30), store))
    finally:
        ended.set()
        thread.join()
    assert vectors.any(axis=1).all()
    assert len(store) == len(TEXTS)


async def test_another_dimension_half_way_is_an_error_and_is_not_kept():
    seen = []

    def rule(body):
        seen.append(body)
        whole = embeddings_body(body)
        if len(seen) > 1:
            for row in whole["data"]:
                row["embedding"] = row["embedding"][:48]
        return whole

    store = Remembered()
    async with LoopbackServer(rule) as server:
        with pytest.raises(errors.BadReply, match="vectors of 64 numbers and now of 48"):
            await encode(encoder_of(server, store, concurrency=1), TEXTS)
    assert len(store) == BATCH
    assert {len(raw) for raw in store.values()} == {64 * 4}


async def test_a_text_that_the_endpoint_rejects_is_named():
    def rule(body):
        if any("poison" in text for text in body["input"]):
            return web.json_response({"error": {"message": "maximum context length exceeded"}}, status=400)
        return embeddings_body(body)

    async with LoopbackServer(rule) as server:
        encoder = encoder_of(server, concurrency=1)
        with pytest.raises(errors.RequestRejected, match=r"maximum context length.* begins 'poison poison"):
            await encode(encoder, [*TEXTS, "poison " * 40])


async def test_a_wrong_key_is_said_at_once(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-00000000")
    async with LoopbackServer(require_key="sk-right-00000000") as server:
        with pytest.raises(errors.AuthenticationFailed):
            await encode(encoder_of(server), TEXTS)


async def test_encoders_are_opened_by_name():
    async with LoopbackServer() as server:
        models = {"e5": ModelSpec(base_url=server.base_url, model="e5-small")}
        assert isinstance(open_encoder("static", {}), StaticEncoder)
        encoder = open_encoder("e5", models, Remembered())
        assert isinstance(encoder, EndpointEncoder)
        assert encoder.name == "e5-small"
        with pytest.raises(errors.InputError, match=r"no encoder 'e6'.*'static'.*here: e5"):
            open_encoder("e6", models)
    with pytest.raises(errors.InputError, match="no embeddings endpoint"):
        open_encoder("tiny", {"tiny": ModelSpec(api="scripted")})


def test_the_identity_tells_what_the_name_does_not():
    plain, fewer = (
        EndpointEncoder(ModelSpec(base_url="http://a/v1", model="m", extra_body=extra))
        for extra in ({}, {"dimensions": 64})
    )
    assert plain.name == fewer.name
    assert plain.identity != fewer.identity
    again = EndpointEncoder(ModelSpec(base_url="http://a/v1", model="m", concurrency=3, retries=9))
    assert again.identity == plain.identity


def test_sentence_transformers_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # as if it were not installed
    with pytest.raises(errors.InputError, match="pip install sentence-transformers"):
        open_encoder("sentence-transformers:all-MiniLM-L6-v2", {})
    with pytest.raises(errors.InputError, match="'some/model' needs sentence-transformers"):
        SentenceEncoder("some/model")

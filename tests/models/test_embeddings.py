"""Embeddings over HTTP: what is sent, how it is read, and what is said of a bad answer."""

import numpy as np
import pytest
from aiohttp import web

from evolute import errors
from evolute.models.embeddings import EmbeddingsHttp, embeddings_request
from evolute.models.loopback import Faults, LoopbackServer
from evolute.models.loopback_reply import hashed_vector
from evolute.recipe import ModelSpec

TEXTS = ["a river", "a lake", "the sea"]


def spec(server, **fields):
    return ModelSpec(base_url=server.base_url, model="m", **fields)


async def answer(rule=None, texts=TEXTS, *, faults=None, **fields):
    server = LoopbackServer(rule, faults=faults) if rule else LoopbackServer(faults=faults)
    async with server:
        described = spec(server, **fields)
        async with EmbeddingsHttp(described) as http:
            return server, await http.complete(embeddings_request(texts, described))


def reply(vectors, order=None, **more):
    data = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return lambda body: {"data": [data[at] for at in order or range(len(data))], "model": "m-7"} | more


async def test_sends_the_texts_and_reads_their_vectors():
    server, got = await answer(extra_body={"dimensions": 64})
    assert server.last_body == {"model": "m", "input": TEXTS, "encoding_format": "float", "dimensions": 64}
    assert np.allclose(got.vectors, [hashed_vector(text) for text in TEXTS], rtol=1e-6)
    assert (got.usage.prompt, got.failure, got.model) == (6, None, "m")


async def test_the_vectors_are_put_in_order_by_their_index():
    _, got = await answer(reply([[1, 0], [2, 0], [3, 0]], order=[2, 0, 1]))
    assert got.vectors[:, 0].tolist() == [1, 2, 3]
    assert (got.usage.prompt, got.model) == (0, "m-7")  # it did not count


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ([[1, 0], [2, 0]], "gave 2 vectors"),
        ([[1, 0], [2, 0], [3, 0], [4, 0]], "gave 4 vectors"),
        ([[1, 0], [2, 0], [3]], r"lengths are \[1, 2\]"),
        ([[], [], []], r"lengths are \[0\]"),
        ([[1, 0], [2, 0], [None, 1]], "not finite"),
        ([[1, 0], [2, 0], [1e300, 1]], "not finite"),
        ([[1, 0], [2, 0], ["a", 1]], "lists of numbers"),
        ([[1, 0], [0, 0], [3, 1]], "all zero"),
        (["AACAPw==", "AACAPw==", "AACAPw=="], "lists of numbers"),
    ],
)
async def test_vectors_that_cannot_be_are_refused(vectors, said):
    with pytest.raises(errors.BadReply, match=said):
        await answer(reply(vectors))


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": [1]}, {"data": [{"index": "x"}, {"index": 1}]}, []])
async def test_json_that_is_not_the_apis_is_malformed(body):
    with pytest.raises(errors.Malformed, match="not embeddings"):
        await answer(lambda _: web.json_response(body))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("error", errors.Overloaded), ("too_many", errors.RateLimited), ("html", errors.BadReply),
        ("not_json", errors.Malformed), ("reset", errors.ConnectionLost), ("cut", errors.Malformed),
    ],
)  # fmt: skip
async def test_what_goes_wrong_is_told_as_for_completions(fault, error):
    with pytest.raises(error):
        await answer(faults=Faults(**{fault: 1.0}))


async def test_an_endpoint_that_knows_no_formats_is_asked_without():
    async with LoopbackServer(refuse=("encoding_format",)) as server, EmbeddingsHttp(spec(server)) as http:
        for _ in range(2):
            assert len((await http.complete(embeddings_request(TEXTS, http.spec))).vectors) == 3
        assert (server.requests, server.answers) == (3, 2)


async def test_an_unknown_model_names_those_that_there_are():
    async with LoopbackServer(models=("e5", "bge")) as server, EmbeddingsHttp(spec(server)) as http:
        with pytest.raises(errors.ModelNotFound, match=r"e5, bge|bge, e5"):
            await http.complete(embeddings_request(TEXTS, http.spec))


async def test_a_text_that_is_not_unicode_is_rejected_unsent():
    with pytest.raises(errors.RequestRejected, match="JSON"):
        await answer(texts=["\ud800"])


@pytest.mark.parametrize("fields", [{"api": "scripted"}, {"api": "anthropic", "base_url": "http://x/v1"}, {}])
def test_a_model_without_such_an_endpoint(fields):
    with pytest.raises(errors.InputError, match="no embeddings endpoint"):
        EmbeddingsHttp(ModelSpec(**fields))


async def test_the_loopback_server_likens_texts_that_share_words():
    _, got = await answer(texts=["the old mill", "the old mill stream", "quantum chromodynamics"])
    near, far = got.vectors[0] @ got.vectors[1], got.vectors[0] @ got.vectors[2]
    assert near > abs(far)
    assert any(hashed_vector(""))

"""The lines of a batch: whatever a provider sends, nothing is taken for what it is not."""

import asyncio

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.errors import (
    AuthenticationFailed,
    CallFailed,
    EndpointError,
    Malformed,
    Overloaded,
    RateLimited,
    RequestRejected,
)
from evolute.models.batching.anthropic import AnthropicBatches
from evolute.models.batching.client import BatchHttp, _split
from evolute.models.batching.lines import Lines, name_of, read_name
from evolute.models.batching.openai import OpenAIBatches
from evolute.recipe import ModelSpec
from evolute.records import Failure, Message, Request

SPEC = ModelSpec(base_url="http://localhost:1/v1", model="m")
ANTHROPIC = SPEC.model_copy(update={"api": "anthropic"})
READERS = (Lines(SPEC).openai, AnthropicBatches(BatchHttp(ANTHROPIC), ANTHROPIC, None)._result)
KEY = "ab" * 16


def ask(text="Name a river.", **sampling):
    return Request("evolver", (Message("user", text),), b"", 3, sampling)


def line(status=200, body=None, error=None, custom_id=KEY):
    response = None if status is None else {"status_code": status, "request_id": "r", "body": body}
    return orjson.dumps({"id": "b", "custom_id": custom_id, "response": response, "error": error})


def chat(content, finish="stop"):
    return {"choices": [{"message": {"content": content}, "finish_reason": finish}]}


def refusal(message, **more):
    return {"error": {"message": message} | more}


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
shapes = st.fixed_dictionaries(
    {},
    optional={
        "custom_id": st.just(KEY) | json,
        "response": st.fixed_dictionaries({}, optional={"status_code": json, "body": json}) | json,
        "error": json,
        "result": st.fixed_dictionaries({"type": st.sampled_from(["succeeded", "errored", "expired"])}, optional={
            "message": json, "error": st.fixed_dictionaries({"error": json}) | json,
        }) | json,
    },
)  # fmt: skip


@given(st.binary(max_size=40) | shapes.map(orjson.dumps) | shapes.map(lambda d: orjson.dumps(d)[:-3]))
def test_any_line_is_an_answer_an_error_or_nothing(raw):
    for read in READERS:
        result = read(raw)
        assert result is None or (result.completion is None) != (result.error is None)
        assert result is None or read_name(result.key) is not None


@given(st.lists(st.binary(max_size=9).map(lambda b: b.replace(b"\n", b" "))), st.lists(st.integers(1, 7)))
def test_lines_are_the_same_however_the_bytes_come(lines, cuts):
    whole = b"".join(line + b"\n" for line in lines)

    async def pieces():
        at = 0
        for cut in cuts:
            yield whole[at : at + cut]
            at += cut
        yield whole[at:]

    async def read():
        return [line async for line in _split(pieces())]

    assert asyncio.run(read()) == lines


def test_a_last_line_without_its_end_is_a_line_and_one_cut_short_is_nothing():
    raw = line(body=chat("Rhine"))
    assert Lines(SPEC).openai(raw).completion.text == "Rhine"
    assert Lines(SPEC).openai(raw[:-5]) is None


@given(st.binary(min_size=16, max_size=16), st.sampled_from([{}, {"logprobs": True}, {"logprobs": 5, "max_tokens": 0}]))
def test_a_name_tells_its_key_and_what_reading_the_reply_needs(key, sampling):
    name = name_of(key.hex(), ask(**sampling))
    assert len(name) <= 64
    assert name.replace("-", "").isalnum()
    found, told = read_name(name)
    assert found == key.hex()
    assert bool(told) == bool(sampling)
    assert told.get("max_tokens") == sampling.get("max_tokens")


def test_log_probabilities_come_through_where_they_were_asked_for():
    reply = chat("a", "length")
    reply["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": -1.0}]}
    asked = name_of(KEY, ask(logprobs=True, max_tokens=1))
    found, plain = (Lines(SPEC).openai(line(body=reply, custom_id=name)).completion for name in (asked, KEY))
    assert (found.failure, orjson.loads(found.logprobs)) == (None, {"logprobs": reply["choices"][0]["logprobs"]})
    assert (plain.failure, plain.logprobs) == (Failure.TRUNCATED, "")


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (line(429, refusal("slow down")), RateLimited),
        (line(400, refusal("too long")), RequestRejected),
        (line(401, refusal("no such key")), AuthenticationFailed),
        (line(400, refusal("temperature is not supported", param="temperature")), EndpointError),
        (line(400, refusal("seed is not supported", param="seed")), CallFailed),
        (line(200, refusal("upstream failed", code=503)), Overloaded),
        (line(200, {"hello": 1}), Malformed),
        (line(200, None), Malformed),
        (line(400, None, refusal("vLLM's prompt is too long")), RequestRejected),
        (line(400, None, "vLLM says it as a text"), RequestRejected),
        (line(None, error={"code": "batch_expired", "message": "too late"}), CallFailed),
        (line(None, error={"code": "batch_cancelled", "message": "cancelled"}), CallFailed),
        (line(None, error=None), CallFailed),
    ],
)
def test_each_kind_of_line_is_the_error_that_it_is_live(raw, kind):
    result = Lines(SPEC).openai(raw)
    assert (type(result.error), result.completion, result.key) == (kind, None, KEY)


def test_a_text_that_cannot_be_written_is_rejected_before_it_is_sent():
    provider = OpenAIBatches(BatchHttp(SPEC), SPEC)
    with pytest.raises(RequestRejected, match="cannot be written as JSON"):
        provider.line(KEY, ask("\ud800"))


def test_openais_own_models_are_asked_in_the_name_that_all_of_them_take(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody")
    spec = ModelSpec(base_url="https://api.openai.com/v1", model="gpt-5-mini")
    body = orjson.loads(OpenAIBatches(BatchHttp(spec), spec).line(KEY, ask(max_tokens=9)))["body"]
    assert (body["max_completion_tokens"], "max_tokens" in body) == (9, False)


def test_no_secret_stands_in_an_error():
    lines = Lines(SPEC, ["sk-planted-4f1c9a77e2"])
    for raw in (line(400, refusal("sk-planted-4f1c9a77e2")), line(200, {"sk-planted-4f1c9a77e2": 1})):
        assert "planted" not in str(lines.openai(raw).error)

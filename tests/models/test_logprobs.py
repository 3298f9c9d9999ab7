"""Log-probabilities: asked for, decoded as they came, recorded, and given back ever after."""

import asyncio
import json
import math
import sqlite3

import pytest

from evolute.ledger import LEDGER, Ledger, Reader
from evolute.ledger.merging import merge_ledgers
from evolute.ledger.schema import APPLICATION_ID, MIGRATIONS
from evolute.models import wire
from evolute.models.http import Http
from evolute.models.loopback import LoopbackServer
from evolute.models.recording import Recalled, Recorded, Replayed
from evolute.recipe import ModelSpec
from evolute.records import Completion, Failure, Message, Request, tagged_hash

IDENTITY = tagged_hash("model-1", "m")
GIVEN = {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": None, "text_offset": [0]}


def request(sampling, prompt="Say it."):
    return Request("solver", (Message("user", prompt),), IDENTITY, 7, sampling)


async def asked(sampling, prompt="Say it.", api="completions", rule=lambda body: "It is said."):
    async with (
        LoopbackServer(rule) as server,
        Http(ModelSpec(api=api, base_url=server.base_url, model="m", api_key_env="")) as model,
    ):
        return await model.complete(request(sampling, prompt))


def plain(text, finish, **fields):
    return {"choices": [{"text": text, "finish_reason": finish, **fields}]}


@pytest.mark.parametrize("sampling", [{"logprobs": 0}, {"logprobs": True}, {"echo": True}, {"prompt_logprobs": 0}])
def test_they_are_kept_as_they_came_where_they_were_asked_for(sampling):
    data = plain("a", "stop", logprobs=GIVEN, prompt_logprobs=[None, {"7": {"logprob": -1.5}}])
    kept = json.loads(wire.decode("completions", data, 0.0, sampling).logprobs)
    assert kept == {"logprobs": GIVEN, "prompt_logprobs": [None, {"7": {"logprob": -1.5}}]}


@pytest.mark.parametrize("sampling", [{}, {"logprobs": None}, {"logprobs": False, "echo": False}])
def test_they_are_not_kept_where_nobody_asked(sampling):
    assert wire.decode("completions", plain("a", "stop", logprobs=GIVEN), 0.0, sampling).logprobs == ""


def test_vllms_chat_has_the_prompts_beside_the_choices():
    data = {"choices": [{"message": {"content": "a"}, "logprobs": None}], "prompt_logprobs": [None, {}]}
    completion = wire.decode("chat", data, 0.0, {"prompt_logprobs": 1})
    assert json.loads(completion.logprobs) == {"prompt_logprobs": [None, {}]}


@pytest.mark.parametrize(
    ("text", "finish", "most", "failure"),
    [
        ("", "length", 0, None), (None, "stop", 5, None), ("", "stop", 5, None), ("a", "length", 1, None),
        ("a", "length", 5, Failure.TRUNCATED), ("a", "content_filter", 1, Failure.FILTERED),
    ],
)  # fmt: skip
def test_a_text_that_was_not_wanted_may_be_missing(text, finish, most, failure):
    data = plain(text, finish, logprobs=GIVEN)
    completion = wire.decode("completions", data, 0.0, {"logprobs": 0, "echo": True, "max_tokens": most})
    assert (completion.failure, completion.text) == (failure, text or "")
    without = wire.decode("completions", plain(text, finish), 0.0, {"logprobs": 0, "echo": True, "max_tokens": most})
    assert without.failure is not None


async def test_an_echoed_prompt_has_the_same_likelihood_wherever_it_ends():
    whole = await asked({"logprobs": 1, "echo": True, "max_tokens": 0}, "One two three, né 四.")
    told = json.loads(whole.logprobs)["logprobs"]
    assert whole.text == "".join(told["tokens"]) == "One two three, né 四."
    assert [told["text_offset"][at] for at in (0, 1, 2)] == [0, 3, 7]
    assert told["token_logprobs"][0] is None
    assert all(logprob < 0 for logprob in told["token_logprobs"][1:])
    part = json.loads((await asked({"logprobs": 1, "echo": True, "max_tokens": 0}, "One two")).logprobs)["logprobs"]
    assert part["token_logprobs"] == told["token_logprobs"][:2]
    vllm = json.loads((await asked({"prompt_logprobs": 1, "max_tokens": 1}, "One two three, né 四.")).logprobs)
    ours = [next(iter(one.values()))["logprob"] for one in vllm["prompt_logprobs"][1:]]
    assert ours == told["token_logprobs"][1:]


async def test_chat_tells_the_likeliest_tokens():
    completion = await asked({"logprobs": True, "top_logprobs": 5, "max_tokens": 1}, api="chat", rule=lambda body: "m")
    (token,) = json.loads(completion.logprobs)["logprobs"]["content"]
    assert (completion.text, token["token"], completion.failure) == ("m", "m", None)
    chances = [one["logprob"] for one in token["top_logprobs"]]
    assert len(chances) == 5
    assert chances == sorted(chances, reverse=True)
    assert sum(map(math.exp, chances)) < 1
    assert completion == await same(completion)


async def same(completion):
    """The same once more, with the time it took."""
    again = await asked({"logprobs": True, "top_logprobs": 5, "max_tokens": 1}, api="chat", rule=lambda body: "m")
    return Completion(**{name: getattr(again, name) for name in again.__slots__} | {"latency": completion.latency})


def record(run, completion):
    """Record a completion through the recorder, and recall it and replay it."""

    class Fixed:
        async def complete(self, asked):
            return completion

    async def both():
        with Ledger(run) as ledger:
            ledger.add_model("solver", IDENTITY, "m")
            model = Recalled(Recorded(Fixed(), ledger, "m"), ledger)
            first = await model.complete(request({"logprobs": 1}))
            ledger.has_history = True
            return first, await model.complete(request({"logprobs": 1}))

    return asyncio.run(both())


def test_recalled_replayed_and_merged_they_are_the_same(tmp_path):
    completion = Completion("a", model="m", logprobs=json.dumps({"logprobs": GIVEN}))
    assert record(tmp_path / "run", completion) == (completion, completion)
    merge_ledgers([tmp_path / "run"], tmp_path / LEDGER)
    for run in (tmp_path / "run", tmp_path):
        with Reader(run) as reader:
            assert asyncio.run(Replayed(reader).complete(request({"logprobs": 1}))) == completion
            assert [call.completion for call in reader.calls()] == [completion]


def test_an_older_ledger_takes_them_and_keeps_its_calls(tmp_path):
    old = request({}, "Asked long ago.")
    with sqlite3.connect(tmp_path / LEDGER) as db:
        for step in MIGRATIONS[:3]:
            step(db)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 3")
        db.execute("INSERT INTO models VALUES (1, ?, 'm')", (IDENTITY,))
        db.execute(
            """INSERT INTO calls (key, role, model, text, finish, prompt_tokens, completion_tokens, reasoning_tokens,
            cached_tokens, latency, attempts) VALUES (?, 'solver', 1, 'Said.', 'stop', 1, 2, 0, 0, 0.5, 1)""",
            (old.key,),
        )
    db.close()
    completion = Completion("a", model="m", logprobs='{"logprobs":{}}')
    assert record(tmp_path, completion)[1] == completion
    with Reader(tmp_path) as reader:
        assert (found := reader.completion(old.key)) is not None
        assert (found.text, found.logprobs) == ("Said.", "")
        assert sum(one.calls for one in reader.totals()) == 1, "the new call alone is counted: none was before"

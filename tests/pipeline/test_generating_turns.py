"""Answers in several turns: in order, with the model's own words before it, recorded, and resumed."""

import asyncio

import pytest
from aiohttp import web

from evolute.evolve.budget import Budget, Limits
from evolute.ledger import Ledger, Reader
from evolute.models.loopback import Faults, LoopbackServer
from evolute.pipeline.generating import Question, Sampling, generate, standing
from evolute.recipe import ModelSpec, Price
from evolute.records import Message


def echoing(body):
    """Says how many turns it was shown, what was said last, and its temperature."""
    messages = body["messages"]
    return f"{len(messages)}: {messages[-1]['content']} at {body.get('temperature')}"


def talk(name="a", *later, **fields):
    return Question(name, (Message("system", "Be brief."), Message("user", f"{name} one")), later, fields)


class Asking:
    """Asks in a folder; the settings of one call may differ from the last's."""

    def __init__(self, folder):
        self.folder = folder
        self.price = None

    async def __call__(self, server, *questions, n=1, limits=None, role="solver", **fields):
        url = server if isinstance(server, str) else server.base_url
        spec = ModelSpec(
            api="chat", base_url=url, model="m", api_key_env="", concurrency=1, retries=0, price=self.price
        )
        sampling = Sampling({"temperature": 0.7} | fields)

        def run():
            with Ledger(self.folder) as ledger:
                budget = Budget(limits or Limits(), standing(ledger.reader, {role: spec}, len(questions) * n))
                return asyncio.run(generate(ledger, spec, questions, n, sampling, budget, role=role))

        return await asyncio.to_thread(run)


@pytest.fixture
def asking(tmp_path):
    return Asking(tmp_path / "run")


async def test_each_turn_is_asked_with_the_models_own_answers_before_it(asking):
    seen = []

    def rule(body):
        seen.append(body["messages"])
        return echoing(body)

    async with LoopbackServer(rule) as server:
        answers = await asking(server, talk("a", "two", "three"))
    assert answers.texts("a") == ["2: a one at 0.7", "4: two at 0.7", "6: three at 0.7"]
    assert [message["role"] for message in seen[2]] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [message["content"] for message in seen[2]][2:5] == ["2: a one at 0.7", "two", "4: two at 0.7"]
    assert (answers.count, answers.unasked, answers.left, answers.stopped) == (3, 0, 0, "")


async def test_what_was_said_is_paid_for_once(asking):
    async with LoopbackServer(echoing) as server:
        stopped = await asking(server, talk("a", "two"), talk("b", "two"), limits=Limits(calls=3))
        assert stopped.stopped == "--max-calls 3 is reached"
        done = await asking(server, talk("a", "two"), talk("b", "two"))
        assert server.requests == 4
        more = await asking(server, talk("a", "two"), talk("b", "two"), n=2)
        assert server.requests == 8
        assert len(server.prompts) == 8, "two turns or numbers had the same draw"
    again = await asking(server, talk("a", "two"), talk("b", "two"), n=2)  # nobody listens there any more
    for name in "ab":
        assert again.texts(name, 1) == more.texts(name, 1)
        assert again.texts(name) == done.texts(name)
    assert again.count == 8


async def test_a_turn_without_text_ends_its_conversation_alone(asking):
    def rule(body):
        return "" if body["messages"][-1]["content"] == "two" else echoing(body)

    async with LoopbackServer(rule) as server:
        answers = await asking(server, talk("a", "two", "three", "four"), talk("b", "other"))
        assert server.requests == 4
        again = await asking(server, talk("a", "two", "three", "four"), talk("b", "other"))
        assert server.requests == 4
    assert answers.texts("a") == ["2: a one at 0.7", ""]
    assert len(answers.texts("b")) == 2
    assert (answers.failed, answers.unasked, answers.left) == ({"empty": 1}, 2, 0)
    assert (again.texts("a"), again.unasked) == (answers.texts("a"), 2)


async def test_a_text_that_was_cut_off_is_gone_on_from(asking):
    async with LoopbackServer(echoing, faults=Faults(length=1.0)) as server:
        answers = await asking(server, talk("a", "two"))
    assert [bool(text) for text in answers.texts("a")] == [True, True]
    assert (answers.failed, answers.unasked) == ({"truncated": 2}, 0)


async def test_a_call_that_fails_leaves_its_turn_and_those_behind_it(asking):
    broken = True

    def rule(body):
        return {"no": "choices"} if broken and body["messages"][-1]["content"] == "two" else echoing(body)

    async with LoopbackServer(rule) as server:
        answers = await asking(server, talk("a", "two", "three"), talk("b"))
        assert (answers.count, answers.left, answers.unasked) == (2, 2, 0)
        assert "not the API's JSON" in answers.why_left
        broken = False
        answers = await asking(server, talk("a", "two", "three"), talk("b"))
        assert (answers.count, answers.left) == (4, 0)
        assert server.requests == 5


async def test_a_question_has_sampling_of_its_own(asking):
    async with LoopbackServer(echoing) as server:
        answers = await asking(server, talk("a", temperature=0), talk("b"), talk("c", temperature=None), max_tokens=9)
        assert server.last_body["max_tokens"] == 9
    assert [answers.texts(name)[0].rpartition(" ")[2] for name in "abc"] == ["0", "0.7", "None"]
    with Reader(asking.folder) as reader:
        assert [(part.role, part.calls) for part in reader.totals()] == [("solver", 1)] * 3


async def test_two_roles_have_answers_of_their_own(asking):
    asking.price = Price(input=1.0, output=1.0)
    async with LoopbackServer(lambda body: str(body["seed"])) as server:
        ours = await asking(server, talk("a"))
        theirs = await asking(server, talk("a"), role="opponent")
        assert server.requests == 2
    assert ours.texts("a") != theirs.texts("a")
    spec = ModelSpec(api="chat", model="m", base_url="http://localhost/v1", price=asking.price)
    with Reader(asking.folder) as reader:
        both = standing(reader, {"solver": spec, "opponent": spec}, 2)
        alone = standing(reader, {"solver": spec}, 2)
    assert (both.calls, alone.calls) == (2, 2)
    assert both.cost == pytest.approx((both.prompt_tokens + both.completion_tokens) / 1e6)
    assert alone.cost is None, "what the opponent's calls cost is not known here"


async def test_a_question_that_is_refused_is_one_failed_answer(asking):
    def rule(body):
        if "bad" in body["messages"][-1]["content"]:
            return web.json_response({"error": {"message": "the prompt is too long"}}, status=400)
        return echoing(body)

    async with LoopbackServer(rule) as server:
        answers = await asking(server, talk("bad", "two"), talk("good"))
    assert (answers.failed, answers.unasked) == ({"rejected": 1}, 1)
    assert "too long" in answers.said["bad", 0][0].detail
    assert answers.texts("good") == ["2: good one at 0.7"]

import asyncio
import json
import sys

import aiohttp
import pytest
from aiohttp import web

from evolute.models.loopback import Faults, LoopbackServer, _arguments
from evolute.operations import load_grader
from evolute.records import Row
from evolute.select.grading import (
    DIFFICULTIES,
    instructions_as_items,
    pairs_as_items,
    parse_mark,
    parse_marks,
    responses_as_items,
)


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


def chat(text="Name a river.", **more):
    return {"model": "m", "messages": [{"role": "user", "content": text}]} | more


async def post(session, server, body, path="/chat/completions", **headers):
    async with session.post(server.base_url + path, json=body, headers=headers) as response:
        return response.status, await response.json(), response.headers


async def test_the_answer_is_a_function_of_model_messages_and_seed(session):
    async with LoopbackServer() as server:
        replies = [(await post(session, server, chat(seed=seed)))[1] for seed in (1, 1, 2)]
    texts = [reply["choices"][0]["message"]["content"] for reply in replies]
    assert texts[0] == texts[1] != texts[2]
    assert server.stats()["requests"] == 3
    assert server.stats()["prompts"] == 2
    assert server.stats()["repeated"] == 1


async def test_speaks_plain_completions_and_messages_and_lists_models(session):
    async with LoopbackServer(lambda body: "hello", models=("m",)) as server:
        plain = (await post(session, server, {"model": "m", "prompt": "Hi"}, "/completions"))[1]
        claude = (await post(session, server, chat(), "/messages"))[1]
        async with session.get(server.base_url + "/models") as response:
            listed = await response.json()
    assert plain["choices"][0]["text"] == "hello"
    assert claude["content"] == [{"type": "text", "text": "hello"}]
    assert [entry["id"] for entry in listed["data"]] == ["m"]


@pytest.mark.parametrize(
    "constraint",
    [
        {"grammar": 'root ::= "Equal" | "Not Equal"'},
        {"structured_outputs": {"choice": ["Equal", "Not Equal"]}},
        {"guided_choice": ["Equal", "Not Equal"]},
    ],
)
async def test_a_constrained_judge_says_one_of_the_choices(session, constraint):
    async with LoopbackServer() as server:
        reply = (await post(session, server, chat(**constraint)))[1]
    assert reply["choices"][0]["message"]["content"] in ("Equal", "Not Equal")


async def test_a_json_schema_is_honoured(session):
    schema = {"type": "object", "properties": {"verdict": {"enum": ["Equal", "Not Equal"]}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
    async with LoopbackServer() as server:
        reply = (await post(session, server, chat(response_format=wanted)))[1]
    assert json.loads(reply["choices"][0]["message"]["content"])["verdict"] in ("Equal", "Not Equal")


async def test_refuses_as_asked(session):
    options = {"models": ("m",), "require_key": "k", "refuse": ("max_tokens",), "max_body": 200}
    async with LoopbackServer(**options) as server:
        key = {"Authorization": "Bearer k"}
        assert (await post(session, server, chat()))[0] == 401
        assert (await post(session, server, chat("x" * 300), **key))[0] == 413
        assert (await post(session, server, chat() | {"model": "other"}, **key))[0] == 404
        status, body, _ = await post(session, server, chat(max_tokens=9), **key)
        assert status == 400
        assert "max_completion_tokens" in body["error"]["message"]
        assert (await post(session, server, chat(), **key))[0] == 200


async def test_rate_limit_lets_the_rate_through_and_says_when_to_come_back(session):
    async with LoopbackServer(lambda body: "x", rate=20, retry_after=2) as server:
        replies = await asyncio.gather(*(post(session, server, chat(seed=n)) for n in range(30)))
    statuses = [status for status, _, _ in replies]
    assert 2 <= statuses.count(200) <= 15
    assert {headers["Retry-After"] for status, _, headers in replies if status == 429} == {"2"}


async def test_faults_keep_their_shares_and_are_seeded(session):
    async def statuses():
        async with LoopbackServer(lambda body: "x", faults=Faults(error=0.2, too_many=0.1, null=0.1), seed=7) as server:
            for n in range(200):
                await post(session, server, chat(seed=n))
            return server.stats()["statuses"]

    seen = await statuses()
    assert 20 <= seen["error"] <= 60
    assert 8 <= seen["too_many"] <= 35
    assert seen == await statuses()


@pytest.mark.parametrize("fault", ["reset", "drop"])
async def test_broken_connections_break(session, fault):
    async with LoopbackServer(lambda body: "x" * 500, faults=Faults(**{fault: 1.0})) as server:
        with pytest.raises(aiohttp.ClientError):
            await post(session, server, chat())
        assert server.answers == 0


async def test_a_hang_ends_when_the_client_leaves(session):
    async with LoopbackServer(faults=Faults(hang=1.0)) as server:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(post(session, server, chat()), 0.1)
        while server.in_flight:  # noqa: ASYNC110 - the server tells nobody; it is a matter of one turn of the loop
            await asyncio.sleep(0)
        assert server.peak_in_flight == 1


async def test_a_rule_may_give_a_whole_response(session):
    async with LoopbackServer(lambda body: web.json_response({}, status=418)) as server:
        assert (await post(session, server, chat()))[0] == 418


async def test_runs_as_a_process(session):
    command = [sys.executable, "-m", "evolute.models.loopback", "--model", "m"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        base_url = (await process.stdout.readline()).decode().strip()
        async with session.post(base_url + "/chat/completions", json=chat()) as response:
            assert response.status == 200
        async with session.get(base_url.removesuffix("/v1") + "/stats?prompts") as response:
            stats = await response.json()
    finally:
        process.terminate()
        await process.wait()
    assert stats["answers"] == 1
    assert list(stats["by_prompt"].values()) == [1]


@pytest.mark.parametrize("api", ["chat", "completions"])
async def test_it_answers_graders_with_marks(session, api):
    """So that difficulty, siblings and response grading can be tried against it."""
    row = dataset_row("Name the three longest rivers of Asia, with their lengths.")
    items = [row, dataset_row("Name a river. " * 60)]
    asked = {
        "difficulty": {"instruction": row.asked},
        "complexity": {"items": instructions_as_items(items)},
        "quality": {"items": pairs_as_items(items)},
        "responses": {"instruction": row.asked, "items": responses_as_items(["The Ob.", "The Yangtze. " * 40])},
    }
    schema = {"type": "object", "properties": {"verdict": {"enum": list(DIFFICULTIES)}}}
    form = {"response_format": {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}}
    async with LoopbackServer() as server:
        for name, fields in asked.items():
            prompt = load_grader(name).messages(**fields)[-1].content
            body = chat(prompt) | (form if name == "difficulty" else {})
            body |= {"prompt": prompt} if api == "completions" else {}
            choice = (await post(session, server, body, f"/{'chat/' * (api == 'chat')}completions"))[1]["choices"][0]
            said = choice["message"]["content"] if api == "chat" else choice["text"]
            marks = parse_mark(said, 1, 10) if name == "difficulty" else parse_marks(said, 2, 1, 6)
            assert marks is not None, (name, said)


def dataset_row(instruction):
    return Row(
        id="s1-0", parent="", root="s1-0", round=0, operation="", instruction=instruction, input="", response="Yes.",
        system="", history=(), evolver="", judge="", responder="", source="", line=1,
    )  # fmt: skip


def test_help_says_what_each_fault_is(capsys):
    with pytest.raises(SystemExit):
        _arguments().parse_args(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for name, meaning in (("--reset", "The connection is reset"), ("--cut", "A 200 whose JSON stops half-way")):
        assert f"{name} SHARE {meaning}" in shown

"""Conversations without a page: turns, what is sent, what is shown, what is saved, and the terminal."""

import asyncio
import importlib.util
import os
import threading

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.chat.opening import open_talker, place_of
from evolute.chat.sessions import Panel
from evolute.chat.showing import harmless, literal, shown, turn_at, unmarked
from evolute.chat.talking import Answer, Talker
from evolute.chat.terminal import Terminal
from evolute.chat.turns import Turn, append_line, messages_of, whole_messages
from evolute.chat.votes import Vote, check_votes, record_vote
from evolute.errors import EndpointError, InputError
from evolute.evaluate.judged.fastchat import duels_of
from evolute.evaluate.judged.rows import read_rows
from evolute.models.loopback import LoopbackServer
from evolute.recipe import ModelSpec
from evolute.records import Message


def turn(asked, *texts):
    return Turn(asked, [Answer(text) for text in texts])


def test_each_model_is_sent_its_own_answers_and_no_empty_ones():
    turns = [turn("one", "A1", "B1"), turn("two", "", "B2"), Turn("three")]
    said = [[m.content for m in messages_of(turns, side, "Be kind.")] for side in (0, 1)]
    assert said == [["Be kind.", "one", "A1", "three"], ["Be kind.", "one", "B1", "two", "B2", "three"]]
    assert messages_of([Turn("one")], 0, "  ") == (Message("user", "one"),)
    assert [m.content for m in whole_messages(turns, 1)] == ["one", "B1", "two", "B2"]


def test_a_line_is_added_whole_even_behind_a_torn_one(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"torn": ')
    threads = [threading.Thread(target=append_line, args=(path, {"n": n, "text": "é" * 5000})) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torn, *rows = path.read_bytes().splitlines()
    assert torn == b'{"torn": '
    assert sorted(orjson.loads(row)["n"] for row in rows if row) == list(range(20))
    with pytest.raises(InputError, match="cannot be written"):
        append_line(tmp_path / "none" / "x.jsonl", {})


def test_a_vote_reads_as_a_pairwise_judgment(tmp_path):
    path = tmp_path / "votes.jsonl"
    check_votes(path)
    talk = (Message("user", "one"), Message("assistant", "A1"))
    for choice in ("first", "second", "tie", "both-bad"):
        record_vote(path, Vote(choice, ("a", "b"), (talk, talk), {"temperature": 0.5}, blind=True))
    duels = [duel for duel in duels_of(read_rows(path), {}) if duel.model == "a"]
    assert [duel.verdicts for duel in duels] == [("win", "win"), ("loss", "loss"), ("tie", "tie"), ("tie", "tie")]
    row = orjson.loads(path.read_bytes().splitlines()[0])
    assert row["conversation_1"] == [{"role": "user", "content": "one"}, {"role": "assistant", "content": "A1"}]
    with pytest.raises(InputError, match="--votes"):
        check_votes(tmp_path / "none" / "votes.jsonl")


def test_a_message_on_the_page_belongs_to_its_turn():
    thinking = Answer("A2", "Hm.", finish="length")
    turns = [turn("one", "A1"), Turn("two", [thinking]), Turn("three", [Answer(problem="stopped")])]
    messages = shown(turns, 0)
    assert [message["content"] for message in messages] == [
        "one", "A1", "two", "Hm.", "A2", "*(cut off at the most tokens of an answer)*", "three", "*(stopped)*",
    ]  # fmt: skip
    assert [turn_at(turns, 0, index) for index in range(9)] == [0, 0, 1, 1, 1, 1, 2, 2, 2]


def test_html_is_shown_as_text_and_code_keeps_its_signs():
    text = "<b>x</b> `a < b` ``c ` < d`` <i\n```html\n<p>\n```\n    if a < b:\n<p>\n~~~\n<q>"
    assert harmless(text) == (
        "&lt;b>x&lt;/b> `a < b` ``c ` < d`` &lt;i\n```html\n<p>\n```\n    if a < b:\n&lt;p>\n~~~\n<q>"
    )
    assert harmless("\x1b[2J") == "\\x1b[2J"
    assert literal("a *b* <c>\n[d](e)") == r"a \*b\* \<c\> \[d\]\(e\)"


@given(st.text("a<b>`~ \n-", max_size=60))
def test_the_users_own_words_come_back_as_they_were(text):
    assert unmarked(harmless(text, "<\u200b")) == text


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (("m@http://h/v1",), ("m", "http://h/v1")),
        (("@http://h/v1",), ("", "http://h/v1")),
        (("org/m", "http://h/v1"), ("org/m", "http://h/v1")),
        (("smollm2",), ("smollm2", "")),
    ],
)
def test_a_model_is_named_with_its_endpoint(given, place):
    found = place_of(*given)
    assert (found.model, found.base_url) == place


async def test_without_a_name_the_only_model_is_taken():
    async with LoopbackServer(models=("only",)) as server, open_talker(place_of("", server.base_url)) as talker:
        assert talker.name == "only"
    async with LoopbackServer(models=("one", "two")) as server:
        with pytest.raises(InputError, match="it lists one, two"):
            async with open_talker(place_of("", server.base_url)):
                pass
    with pytest.raises(InputError, match="which model"):
        place_of("")
    with pytest.raises(InputError, match="there is no such folder"):
        async with open_talker(place_of("nowhere")):
            pass


class Shown:
    """A terminal and all that it shows."""

    def __init__(self, talker, **options):
        self.text, self.remarks, self.wrote = "", [], asyncio.Event()
        self.terminal = Terminal(talker, self.write, self.remarks.append, **options)

    def write(self, text):
        self.text += text
        if text:
            self.wrote.set()

    async def take(self, *lines):
        self.text = ""
        self.remarks.clear()
        for line in lines:
            await self.terminal.take(line)
        return self.text


def talker_at(server):
    return Talker(ModelSpec(model="m", base_url=server.base_url))


def telling(body):
    return f"{body['messages'][-1]['content']}: {len(body['messages'])}, {body['seed']}"


async def test_the_terminal_leads_a_conversation(tmp_path):
    out = tmp_path / "talks.jsonl"
    async with LoopbackServer(telling) as server, talker_at(server) as talker:
        shown = Shown(talker, seed=3, sampling={"temperature": 0.0, "top_p": None})
        first = await shown.take("one")
        assert first.startswith("one: 1, ")
        assert (await shown.take("//two")).startswith("/two: 3, ")
        again = await shown.take("/undo", "/retry")
        assert again.startswith("one: 1, ")
        assert again != first  # another draw
        assert (await shown.take("/system Be kind.", "three")).startswith("three: 4, ")
        assert server.last_body["messages"][0] == {"role": "system", "content": "Be kind."}
        assert server.last_body["messages"][2]["content"] + "\n" == again
        await shown.take(f"/save {out}", "/clear", "four", f"/save {out}", "/exit")
        assert shown.terminal.over
    rows = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert [[message["role"] for message in row["messages"]] for row in rows] == [
        ["system", "user", "assistant", "user", "assistant"],
        ["system", "user", "assistant"],
    ]


async def test_an_answer_that_was_cut_off_is_not_saved_as_one_to_learn(tmp_path):
    out = tmp_path / "talks.jsonl"
    finishes = iter(["stop", "length", "length"])

    def reply(body):
        choice = {"message": {"role": "assistant", "content": "So far"}, "index": 0, "finish_reason": next(finishes)}
        return {"id": "x", "model": "m", "choices": [choice]}

    async with LoopbackServer(reply) as server, talker_at(server) as talker:
        shown = Shown(talker)
        await shown.take("one", "two", f"/save {out}")
        assert shown.remarks[-1] == f"added to {out}, up to an answer that was stopped or cut off"
        with pytest.raises(InputError, match="stopped or cut off"):
            await shown.take("/clear", "three", f"/save {out}")
    (row,) = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert [message["content"] for message in row["messages"]] == ["one", "So far"]


async def test_the_terminal_refuses_clearly_and_shows_no_escapes():
    async with LoopbackServer(lambda body: "red \x1b[31m") as server, talker_at(server) as talker:
        shown = Shown(talker)
        for line in ("/retry", "/undo", "/save", "/save x", "/nonsense"):
            with pytest.raises(InputError):
                await shown.take(line)
        assert await shown.take("one") == "red \\x1b[31m\n"
        assert await shown.take("  ", "/system - ", "/system", "/help") == ""
        assert shown.remarks[1] == "there is no system prompt"


async def test_what_fails_or_is_stopped_leaves_a_conversation_that_goes_on():
    ended = asyncio.Event()

    async def endless():
        try:
            yield "on and on"
            await asyncio.Event().wait()
        finally:
            ended.set()

    replies = [lambda: endless(), lambda: "fine"]
    async with LoopbackServer(lambda body: replies.pop(0)(), refuse=("top_k",)) as server, talker_at(server) as talker:
        shown = Shown(talker, sampling={"top_k": 3})
        with pytest.raises(EndpointError, match="refuses the parameter top_k"):
            await shown.take("one")
        assert shown.terminal.turns == []
        shown.terminal.sampling = {}
        task = asyncio.create_task(shown.take("two"))
        await asyncio.wait_for(shown.wrote.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(ended.wait(), 20)
        assert await shown.take("three") == "fine\n"
        assert [m["content"] for m in server.last_body["messages"]] == ["two", "on and on", "three"]


async def test_a_models_own_folder_talks_in_this_process(tiny_model):
    async with open_talker(place_of(str(tiny_model), format="wizardlm-7b")) as talker:
        one, same, other = Answer(), Answer(), Answer()
        for answer, draw in ((one, 1), (same, 1), (other, 2)):
            pieces = [p async for p in talker.stream((Message("user", "Hi"),), answer, {"max_tokens": 12}, draw)]
            assert "".join(piece.text for piece in pieces) == answer.text
    assert (one.text, one.finish, one.usage.completion, one.model) == (same.text, "length", 12, "tiny")
    assert one.text != other.text


@pytest.mark.embedded
async def test_smollm2_talks_in_this_process():
    pytest.importorskip("xllamacpp")
    async with open_talker(place_of("smollm2")) as talker:
        answer = Answer()
        pieces = [p async for p in talker.stream((Message("user", "Say hello."),), answer, {"max_tokens": 8})]
    assert len(pieces) > 3
    assert answer.usage.completion == 8
    assert answer.cut


async def test_a_page_for_others_wants_a_password_and_models_that_can_be_told_apart():
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("Gradio is not installed")
    from evolute.chat.demo_serving import Demo, serve

    before = dict(os.environ)
    with pytest.raises(InputError, match="needs a password"):
        await serve(Demo([place_of("m@http://127.0.0.1:9/v1")], host="0.0.0.0"), print)
    async with LoopbackServer() as server:
        place = place_of("m", server.base_url)
        with pytest.raises(InputError, match="both models are called 'm'"):
            await serve(Demo([place, place], port=0), print)
    assert dict(os.environ) == before


async def test_blind_orders_follow_the_seed_and_differ_between_conversations():
    async with LoopbackServer() as server, talker_at(server) as one, talker_at(server) as two:
        orders = [[panel.new_session().order for _ in range(12)] for panel in
                  (Panel((one, two), seed=5, blind=True), Panel((one, two), seed=5, blind=True))]  # fmt: skip
    assert orders[0] == orders[1]
    assert set(orders[0]) == {(0, 1), (1, 0)}


def test_the_examples_are_one_for_each_skill_and_none_of_the_test_sets():
    from importlib.resources import files
    from pathlib import Path

    rows = [orjson.loads(line) for line in (files("evolute.chat") / "data/examples.jsonl").read_text().splitlines()]
    assert len(rows) == len({row["skill"] for row in rows}) == 29
    tests = Path(__file__).parents[3] / "shared/data/wizardlm/WizardLM_testset.jsonl"
    if not tests.is_file():
        pytest.skip("the WizardLM test set is not here")
    theirs = [orjson.loads(line) for line in tests.read_bytes().splitlines()]
    assert {row["Skill"].replace("Writting", "Writing") for row in theirs} == {row["skill"] for row in rows}
    words = {tuple(row["Instruction"].lower().split()[n : n + 6]) for row in theirs for n in range(400)}
    for row in rows:
        mine = row["prompt"].lower().split()
        assert not [mine[n : n + 6] for n in range(len(mine) - 5) if tuple(mine[n : n + 6]) in words]

"""The streaming client, against a real server that streams: pieces, usage, refusals, hanging up."""

import asyncio
from contextlib import aclosing
from itertools import pairwise

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from evolute.chat.events import Events
from evolute.chat.talking import Answer, Talker
from evolute.chat.thinking import Thinking
from evolute.errors import (
    BadReply,
    ConnectionLost,
    EndpointError,
    InputError,
    Malformed,
    ModelNotFound,
    Overloaded,
    RequestRejected,
)
from evolute.formats import find_format
from evolute.models.loopback import Faults, LoopbackServer
from evolute.recipe import ModelSpec
from evolute.records import Message, Usage

HELLO = (Message("user", "Say hello."),)


def cuts(raw, places):
    """The bytes in pieces, cut at these places."""
    at = sorted({0, len(raw), *(place % (len(raw) + 1) for place in places)})
    return [raw[a:b] for a, b in pairwise(at)]


LINES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8)


@given(
    events=st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=4),
    noise=st.sampled_from([": a comment", ":", "event: message", "id: 7", "retry: 10", "unknown", "data-not: x"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    space=st.booleans(),
    mark=st.booleans(),
    places=st.lists(st.integers(0, 10_000), max_size=12),
)
def test_events_are_read_however_the_stream_is_cut(events, noise, end, space, mark, places):
    gap = " " if space else ""
    written = "\ufeff" if mark else ""
    for data in events:
        if not space:
            data[:] = [line.lstrip(" ") for line in data]
        written += noise + end + "".join(f"data:{gap}{line}{end}" for line in data) + end
    reader = Events()
    read = [data for piece in cuts(written.encode(), places) for data in reader.feed(piece)]
    if end == "\r":  # the last one ends with a CR that might yet be half of a CRLF
        read += reader.feed(b":\n")
    assert read == ["\n".join(data) for data in events]


def test_an_event_that_the_end_cut_off_is_none_and_other_bytes_do_no_harm():
    reader = Events()
    assert reader.feed(b"data: \xff\xfe\xc3\n\ndata: half") == ["\ufffd\ufffd\ufffd"]


@given(
    thoughts=st.text(max_size=20),
    answer=st.text("abc <>/think\n", max_size=30),
    places=st.lists(st.integers(0, 100), max_size=8),
)
def test_thoughts_are_told_apart_however_they_come(thoughts, answer, places):
    thoughts = thoughts.replace("</think>", "")
    whole = f"\n<think>{thoughts}</think>\n\n{answer}"
    reader, parts = Thinking(), []
    for piece in cuts(whole, places):
        parts.append(reader.feed(piece))
    parts.append(reader.end())
    assert "".join(thought for thought, _ in parts) == thoughts
    assert "".join(said for _, said in parts) == answer.lstrip()


@given(answer=st.text("abc <>/think\n", max_size=30), places=st.lists(st.integers(0, 100), max_size=8))
def test_without_thoughts_nothing_is_lost(answer, places):
    if answer.lstrip().startswith("<think>"):
        return
    reader = Thinking()
    parts = [reader.feed(piece) for piece in cuts(answer, places)] + [reader.end()]
    assert ("".join(t for t, _ in parts), "".join(said for _, said in parts)) == ("", answer)


def spec_of(server):
    return ModelSpec(model="m", base_url=server.base_url)


async def ask(server, messages=HELLO, form=None, **sampling):
    async with Talker(spec_of(server), form and find_format(form)) as talker:
        answer = Answer()
        pieces = [piece async for piece in talker.stream(messages, answer, sampling, draw=7)]
    return answer, pieces


def events(*chunks, end=b"data: [DONE]\n\n", kind="text/event-stream"):
    """A reply of these chunks as they are."""
    data = b"".join(b"data: " + (c if isinstance(c, bytes) else orjson.dumps(c)) + b"\n\n" for c in chunks)
    return web.Response(body=data + end, headers={"Content-Type": kind})


def delta(text=None, finish=None, **more):
    return {"choices": [{"delta": {"content": text} | more, "finish_reason": finish}]}


async def test_an_answer_comes_in_pieces_with_usage_and_why_it_ended():
    async with LoopbackServer(lambda body: "One  two\n\nthree. ") as server:
        answer, pieces = await ask(server, temperature=0.5, top_p=None)
    assert [piece.text for piece in pieces] == ["One", "  two", "\n\nthree.", " "]
    assert (answer.text, answer.finish, answer.model, answer.cut) == ("One  two\n\nthree. ", "stop", "m", False)
    assert answer.usage.prompt > 0
    assert answer.usage.completion > 0
    sent = server.last_body
    assert (sent["stream"], sent["temperature"], sent["seed"]) == (True, 0.5, 7)
    assert "top_p" not in sent


async def test_each_piece_is_there_before_the_next_is_written():
    read = asyncio.Event()

    async def one_by_one():
        for word in ("One ", "two ", "three"):
            yield word
            await read.wait()
            read.clear()

    async with LoopbackServer(lambda body: one_by_one()) as server, Talker(spec_of(server)) as talker:
        answer = Answer()
        async with asyncio.timeout(20):
            async for _ in talker.stream(HELLO, answer):
                read.set()
    assert answer.text == "One two three"


async def test_a_format_is_written_out_with_its_stop_words():
    async with LoopbackServer(lambda body: "Hello") as server:
        answer, _ = await ask(server, (Message("system", "Be brief."), *HELLO), form="vicuna-v1.1")
    assert server.last_body["prompt"] == "Be brief. USER: Say hello. ASSISTANT:"
    assert server.last_body["stop"] == ["</s>", "USER:", "ASSISTANT:"]
    assert answer.text == "Hello"
    with pytest.raises(InputError, match="no room for a system prompt"):
        await ask(server, (Message("system", "Be brief."), *HELLO), form="wizardlm-7b")


async def test_thoughts_are_no_part_of_the_answer():
    async with LoopbackServer(lambda body: "<think>Well, then.</think>\n\nHello") as server:
        tagged, _ = await ask(server)
    replies = [
        events(delta(reasoning_content="Well, then."), delta("Hello", "stop")),
        events(delta("Well, then.</think>"), delta("\n\nHello", "stop")),
    ]
    async with LoopbackServer(lambda body: replies.pop(0)) as server:
        own_field, _ = await ask(server)
        opened_by_the_template, _ = await ask(server)
    assert {(one.text, one.thoughts) for one in (tagged, own_field, opened_by_the_template)} == {
        ("Hello", "Well, then.")
    }


async def test_an_endpoint_that_does_not_stream_answers_in_one_piece():
    body = {"model": "m", "choices": [{"message": {"content": "Hello"}, "finish_reason": "length"}]}
    async with LoopbackServer(lambda _: body | {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}) as server:
        answer, pieces = await ask(server)
    assert ([piece.text for piece in pieces], answer.cut, answer.usage) == (["Hello"], True, Usage(3, 1))


@pytest.mark.parametrize("refused", ["seed", "stream_options", "max_tokens"])
async def test_what_can_be_left_out_or_renamed_is(refused):
    async with LoopbackServer(lambda body: "Hello", refuse=(refused,)) as server:
        answer, _ = await ask(server, max_tokens=9)
    assert answer.text == "Hello"
    assert refused not in server.last_body


async def test_other_refusals_are_errors_that_say_what_to_do():
    async with LoopbackServer(models=("other",)) as server:
        with pytest.raises(ModelNotFound, match="It offers: other"):
            await ask(server)
    async with LoopbackServer(refuse=("top_p",)) as server:
        with pytest.raises(EndpointError, match="refuses the parameter top_p"):
            await ask(server, top_p=0.5)
    async with LoopbackServer(faults=Faults(error=1)) as server:
        with pytest.raises(Overloaded):
            await ask(server)
    async with LoopbackServer(faults=Faults(html=1)) as server:
        with pytest.raises(BadReply, match="a web page"):
            await ask(server)
    with pytest.raises(ConnectionLost):
        await ask(server)
    with pytest.raises(RequestRejected, match="cannot be written"):
        await ask(server, (Message("user", "\ud800"),))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (events(delta("Hel"), end=b""), ConnectionLost),
        (events(b"<html>"), Malformed),
        (events(b"[1]"), Malformed),
        (events({"choices": [7]}), Malformed),
        (events({"choices": [{"delta": [7]}]}), Malformed),
        (events({"choices": [], "usage": {"completion_tokens_details": [1]}}), Malformed),
        (events(delta("Hel"), {"error": {"message": "out of memory", "code": 503}}), Overloaded),
    ],
    ids=["cut", "html", "list", "number", "delta", "usage", "error"],
)
async def test_a_stream_that_breaks_is_an_error_and_keeps_what_came(reply, error):
    async with (
        LoopbackServer(lambda body: reply) as server,
        Talker(spec_of(server)) as t,
    ):
        answer = Answer()
        with pytest.raises(error):
            async for _ in t.stream(HELLO, answer):
                pass
    assert answer.text in ("", "Hel")


async def test_stopping_hangs_up():
    gone = asyncio.Event()

    async def endless():
        try:
            while True:
                yield "on and "
                await asyncio.sleep(0)
        finally:
            gone.set()

    async with (
        LoopbackServer(lambda body: endless()) as server,
        Talker(spec_of(server)) as talker,
    ):
        answer = Answer()
        async with aclosing(talker.stream(HELLO, answer)) as pieces:
            async for _ in pieces:
                if len(answer.text) > 50:
                    break
        await asyncio.wait_for(gone.wait(), 10)  # the server saw that nobody listens
        assert (answer.finish, answer.text[:7]) == ("", "on and ")

import asyncio
import datetime
import socket
import traceback
from email.utils import format_datetime

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from evolute import errors
from evolute.models import refusals, wire
from evolute.models.http import Http, is_private
from evolute.models.loopback import Faults, LoopbackServer
from evolute.recipe import ModelSpec
from evolute.records import Failure, Message, Request, Usage

KEY = "sk-planted-4f1c9a77e2"
SAMPLING = {"temperature": 1.0, "top_p": 0.9, "max_tokens": 64}


def ask(text="Name a river.", *, draw=0, choices=(), system=""):
    messages = ((Message("system", system),) if system else ()) + (Message("user", text),)
    return Request("evolver", messages, b"", draw, SAMPLING, choices)


@pytest.fixture(autouse=True)
def _planted(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def client(server, **fields):
    return Http(ModelSpec(base_url=server.base_url, model="m", **fields))


async def answer(reply, request=None, **fields):
    async with LoopbackServer(lambda body: reply) as server, client(server, **fields) as model:
        return await model.complete(request or ask())


def chat(content, finish="stop", **message):
    return {"choices": [{"message": {"content": content} | message, "finish_reason": finish}]}


async def test_sends_what_was_asked_and_reads_what_came_back():
    more = {"extra_body": {"top_k": 5}, "headers": {"X-Team": "a"}}
    async with LoopbackServer(lambda body: "The Rhine.") as server, client(server, **more) as model:
        completion = await model.complete(ask(draw=2**40 + 7, system="Be brief."))
    assert server.last_body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a river."}],
        "seed": 7,
        "top_k": 5,
        **SAMPLING,
    }
    assert server.last_headers["Authorization"] == f"Bearer {KEY}"
    assert server.last_headers["X-Team"] == "a"
    assert (completion.text, completion.failure, completion.finish, completion.model) == (
        "The Rhine.",
        None,
        "stop",
        "m",
    )
    assert completion.usage.completion > 0
    assert completion.latency > 0


async def test_anthropic_has_its_own_shape():
    async with LoopbackServer(lambda body: "The Rhine.") as server, client(server, api="anthropic") as model:
        completion = await model.complete(ask(system="Be brief."))
    assert server.last_body == {
        "model": "m",
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Name a river."}],
        **SAMPLING,
    }
    assert server.last_headers["x-api-key"] == KEY
    assert server.last_headers["anthropic-version"] == "2023-06-01"
    assert "Authorization" not in server.last_headers
    assert (completion.text, completion.finish) == ("The Rhine.", "end_turn")


async def test_plain_completions_get_one_prompt():
    turns = (Message("user", "Hi"), Message("assistant", "Hello."), Message("user", "Name a river."))
    async with LoopbackServer(lambda body: " The Rhine.") as server, client(server, api="completions") as model:
        assert (await model.complete(ask(system="Be brief."))).text == " The Rhine."
        assert server.last_body["prompt"] == "Be brief.\n\nName a river."
        await model.complete(Request("evolver", turns, b"", 0))
        assert server.last_body["prompt"] == "User: Hi\n\nAssistant: Hello.\n\nUser: Name a river.\n\nAssistant:"


@pytest.mark.parametrize(
    ("reply", "text", "failure"),
    [
        (chat(None), None, Failure.NULL),
        (chat(""), "", Failure.EMPTY),
        (chat(" \n"), " \n", Failure.EMPTY),
        (chat("The Rh", "length"), "The Rh", Failure.TRUNCATED),
        (chat(None, "length", reasoning_content="Hm"), None, Failure.TRUNCATED),
        (chat(None, "content_filter"), None, Failure.FILTERED),
        (chat(None, refusal="I can't."), None, Failure.FILTERED),
        (chat([{"type": "text", "text": "The "}, {"type": "text", "text": "Rhine."}]), "The Rhine.", None),
        (chat("<think>Hm.</think>\n\nThe Rhine."), "The Rhine.", None),
        (chat("Hm.\n</think>\n\nThe Rhine."), "The Rhine.", None),
        (chat("<think>Hm, a river", "length"), "", Failure.TRUNCATED),
        (chat("<think>Hm.</think>"), "", Failure.EMPTY),
        (chat("Write <think>x</think> verbatim."), "Write <think>x</think> verbatim.", None),
    ],
)
async def test_a_failure_is_a_type_never_text(reply, text, failure):
    completion = await answer(reply)
    assert (completion.text, completion.failure) == (text, failure)


@pytest.mark.parametrize(
    ("blocks", "stop", "text", "failure"),
    [
        (
            [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "The Rhine."}],
            "end_turn",
            "The Rhine.",
            None,
        ),
        ([], "end_turn", None, Failure.NULL),
        ([{"type": "text", "text": "The"}], "max_tokens", "The", Failure.TRUNCATED),
        ([], "refusal", None, Failure.FILTERED),
    ],
)
async def test_anthropic_failures(blocks, stop, text, failure):
    completion = await answer({"content": blocks, "stop_reason": stop}, api="anthropic")
    assert (completion.text, completion.failure) == (text, failure)
    assert completion.reasoning == ("Hm." if len(blocks) == 2 else None)


async def test_reasoning_is_kept_apart_and_usage_is_read():
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 7,
        "completion_tokens_details": {"reasoning_tokens": 4},
        "prompt_tokens_details": {"cached_tokens": 8},
    }
    completion = await answer(chat("The Rhine.", reasoning="Hm.") | {"usage": usage})
    assert (completion.text, completion.reasoning) == ("The Rhine.", "Hm.")
    assert completion.usage == Usage(prompt=9, completion=7, reasoning=4, cached=8)
    spent = {"input_tokens": 2, "output_tokens": 3, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 1}
    completion = await answer({"content": [], "usage": spent}, api="anthropic")
    assert completion.usage == Usage(prompt=8, completion=3, cached=5)


def refused(status, message, headers=None, **error):
    return web.json_response({"error": {"message": message, **error}}, status=status, headers=headers)


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (refused(401, "Incorrect API key"), errors.AuthenticationFailed, "OPENAI_API_KEY"),
        (refused(403, "Country not supported"), errors.AuthenticationFailed, "Country"),
        (refused(403, "Your input was flagged"), errors.RequestRejected, "flagged"),
        (refused(402, "Insufficient credits"), errors.EndpointError, "credit"),
        (refused(404, "no such model"), errors.ModelNotFound, "loopback"),
        (refused(400, "too many tokens"), errors.RequestRejected, "too many tokens"),
        (refused(400, "'max_tokens' is too large: 64", param="max_tokens"), errors.RequestRejected, "too large"),
        (refused(413, "too long"), errors.RequestRejected, "413"),
        (refused(422, "unprocessable"), errors.RequestRejected, "422"),
        (
            refused(400, "`temperature` and `top_p` cannot both be specified"),
            errors.EndpointError,
            "evolver.top_p=null",
        ),
        (refused(400, "Unsupported value: 'temperature'"), errors.EndpointError, "evolver.temperature=null"),
        (refused(408, "timeout"), errors.Overloaded, "408"),
        (refused(425, "too early"), errors.Overloaded, "425"),
        (refused(500, "oops"), errors.Overloaded, "oops"),
        (web.Response(status=502, text="<html><title>502 Bad Gateway</title>x"), errors.Overloaded, "502 Bad Gateway"),
        (refused(503, "busy"), errors.Overloaded, "busy"),
        (refused(429, "slow down"), errors.RateLimited, "slow down"),
        (refused(529, "overloaded"), errors.RateLimited, "529"),
        (refused(429, "You exceeded your quota", code="insufficient_quota"), errors.EndpointError, "credit"),
        (web.Response(status=302, headers={"Location": "http://elsewhere.invalid/"}), errors.BadReply, "base_url"),
        (web.Response(text="<html>Log in</html>", content_type="text/html"), errors.BadReply, "web page"),
        (web.Response(text="upstream timed out"), errors.Malformed, "upstream timed out"),
        (web.Response(text='{"choices": [{"mess'), errors.Malformed, "not the API's JSON"),
        (web.json_response([1]), errors.Malformed, "not the API's JSON"),
        (web.json_response({"choices": []}), errors.Malformed, "not the API's JSON"),
        (web.json_response(chat(7)), errors.Malformed, "not the API's JSON"),
        (web.json_response({"error": {"code": 429, "message": "busy"}}), errors.RateLimited, "busy"),
        (web.json_response({"error": {"message": "upstream"}}), errors.Overloaded, "upstream"),
        (web.json_response({"error": "model 'm' is broken"}, status=500), errors.Overloaded, "is broken"),
        (web.json_response({"detail": "Not today"}, status=400), errors.RequestRejected, "Not today"),
    ],
)
async def test_every_refusal_is_typed(reply, kind, says):
    with pytest.raises(errors.EvoluteError) as caught:
        await answer(reply)
    assert caught.type is kind
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("reset", errors.ConnectionLost),
        ("drop", errors.ConnectionLost),
        ("hang", errors.TimedOut),
        ("cut", errors.Malformed),
        ("not_json", errors.Malformed),
        ("html", errors.BadReply),
        ("error", errors.Overloaded),
        ("too_many", errors.RateLimited),
    ],
)
async def test_every_fault_is_typed(fault, kind):
    loopback = LoopbackServer(lambda body: "x" * 99, faults=Faults(**{fault: 1.0}))
    async with loopback as server, client(server, read_timeout=0.1) as model:
        with pytest.raises(kind):
            await model.complete(ask())


async def test_a_wrong_port_is_a_lost_connection():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with Http(ModelSpec(base_url=f"http://127.0.0.1:{free.getsockname()[1]}/v1")) as model:
            with pytest.raises(errors.ConnectionLost, match="connection failed"):
                await model.complete(ask())


async def test_what_is_not_http_is_a_bad_reply():
    async def greet(reader, writer):
        await reader.read(1)
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        await writer.drain()
        writer.close()

    other = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with other, Http(ModelSpec(base_url=f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}/v1")) as model:
        with pytest.raises(errors.BadReply):
            await model.complete(ask())


async def test_retry_after_in_every_form():
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=30)
    for headers, low, high in [
        ({"Retry-After": "3"}, 3, 3),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25, 0.25),
        ({"Retry-After": format_datetime(later, usegmt=True)}, 25, 31),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0, 0),
    ]:
        with pytest.raises(errors.RateLimited) as caught:
            await answer(refused(429, "slow", headers))
        assert low <= caught.value.retry_after <= high
    assert refusals.retry_after({"Retry-After": "soon"}) is None
    assert refusals.retry_after({}) is None
    assert refusals.retry_after({"retry-after-ms": "soon", "Retry-After": "2"}) == 2


@pytest.mark.parametrize("name", ["Retry-After", "retry-after-ms"])
def test_a_hostile_retry_after_is_no_long_wait(name):
    for endless in ("inf", "-inf", "nan", "1e999"):
        assert refusals.retry_after({name: endless}) is None
    assert refusals.retry_after({name: "1e12"}) == refusals.LONGEST_WAIT
    assert refusals.retry_after({name: "-5"}) == 0


def test_a_date_decades_ahead_is_no_long_wait():
    assert refusals.retry_after({"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}) == refusals.LONGEST_WAIT
    assert refusals.retry_after({"Retry-After": f"Fri, 01 Jan {'9' * 30} 00:00:00 GMT"}) is None


dates = st.from_regex(r"Fri, [0-9]{1,3} (Jan|Feb|Mar) [0-9]{1,22} [0-9]{1,3}:[0-9]{2}:[0-9]{2} ([+-][0-9]{1,9}|GMT)")


@given(st.text(max_size=40) | dates)
def test_any_retry_after_is_a_short_wait_or_none(value):
    seconds = refusals.retry_after({"Retry-After": value})
    assert seconds is None or 0 <= seconds <= refusals.LONGEST_WAIT


async def test_max_completion_tokens_where_max_tokens_is_refused():
    async with LoopbackServer(lambda body: "x", refuse=("max_tokens", "seed")) as server, client(server) as model:
        await model.complete(ask())
        assert server.last_body["max_completion_tokens"] == 64
        assert "seed" not in server.last_body
        assert server.requests == 3
        await model.complete(ask())
        assert server.requests == 4  # remembered


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ("auto", "response_format"),
        ("json_schema", "response_format"),
        ("grammar", "grammar"),
        ("choice", "guided_choice"),
    ],
)
async def test_choices_are_constrained(how, field):
    choices = ('Say "Equal"', "Not Equal")
    async with LoopbackServer() as server, client(server, constrain=how) as model:
        text = (await model.complete(ask(choices=choices))).text
    assert field in server.last_body
    assert (orjson.loads(text)["verdict"] if field == "response_format" else text).replace("\\", "") in choices


async def test_anthropic_constrains_with_its_own_field():
    async with LoopbackServer(lambda body: "x") as server, client(server, api="anthropic") as model:
        await model.complete(ask(choices=("Equal", "Not Equal")))
    assert server.last_body["output_config"]["format"]["type"] == "json_schema"


async def test_auto_goes_without_a_schema_where_it_is_refused_and_remembers():
    async with LoopbackServer(lambda body: "Equal", refuse=("response_format",)) as server, client(server) as model:
        for _ in range(2):
            assert (await model.complete(ask(choices=("Equal", "Not Equal")))).text == "Equal"
        assert server.requests == 3
    async with LoopbackServer(refuse=("response_format",)) as server, client(server, constrain="json_schema") as model:
        with pytest.raises(errors.RequestRejected):
            await model.complete(ask(choices=("Equal", "Not Equal")))


def echo(body):
    return web.json_response({"error": {"message": f"\x1b[31mno: {KEY}\u202e {'y' * 900}"}}, status=echo.status)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 418, 429, 500, 529])
async def test_a_key_never_reaches_a_message(status):
    echo.status = status
    headers = {"X-Secret": "Basic $OPENAI_API_KEY"}
    async with LoopbackServer(echo) as server, client(server, headers=headers) as model:
        with pytest.raises(errors.EvoluteError) as caught:
            await model.complete(ask())
        shown = repr(model) + str(model.spec)
    error = caught.value
    said = "".join(traceback.format_exception(error)) + repr(error) + repr(error.args) + repr(vars(error)) + shown
    assert KEY not in said
    assert "[redacted]" in said
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert len(str(error)) < 600
    assert error.__context__ is None


async def test_a_key_echoed_in_a_200_never_reaches_a_message():
    with pytest.raises(errors.Malformed) as caught:
        await answer(web.Response(text=f"hello {KEY}"))
    assert KEY not in str(caught.value)


async def test_library_errors_are_not_carried_along():
    async with LoopbackServer(faults=Faults(reset=1.0)) as server, client(server) as model:
        with pytest.raises(errors.ConnectionLost) as caught:
            await model.complete(ask())
    assert caught.value.__context__ is None


async def test_no_key_is_needed_at_home_and_one_is_abroad(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    async with LoopbackServer(lambda body: "x") as server, client(server) as model:
        await model.complete(ask())
        assert "Authorization" not in server.last_headers
    with pytest.raises(errors.AuthenticationFailed, match="OPENAI_API_KEY is not set"):
        Http(ModelSpec(base_url="https://api.example.com/v1"))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "10.1.2.3", "192.168.0.9", "vllm", "box.local"])
def test_private_hosts(host):
    assert is_private(host)


@pytest.mark.parametrize("host", ["api.openai.com", "8.8.8.8", "2606:4700::1"])
def test_public_hosts(host):
    assert not is_private(host)


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x/v1", "http://", "http://h:port/v1", "http://[::1/v1"])
def test_a_wrong_url_is_an_input_error(url):
    with pytest.raises(errors.InputError, match="base_url"):
        Http(ModelSpec(base_url=url))


def test_a_password_in_the_url_is_refused_and_not_shown():
    for url in ("http://me:hunter2@localhost/v1", "http://localhost/v1?key=hunter2"):
        with pytest.raises(errors.InputError) as caught:
            Http(ModelSpec(base_url=url))
        assert "hunter2" not in str(caught.value)


def test_bad_keys_and_headers_are_refused_unshown(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk\n-é")
    with pytest.raises(errors.AuthenticationFailed, match="OPENAI_API_KEY"):
        Http(ModelSpec(base_url="http://localhost/v1"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(errors.InputError, match="NOT_THERE"):
        Http(ModelSpec(base_url="http://localhost/v1", headers={"X": "$NOT_THERE"}))


async def test_white_space_around_a_headers_value_is_taken_off(monkeypatch):
    monkeypatch.setenv("TOK", "planted-secret\r\n")
    async with LoopbackServer(lambda body: "x") as server, client(server, headers={"X-Team": "$TOK"}) as model:
        await model.complete(ask())
    assert server.last_headers["X-Team"] == "planted-secret"


@pytest.mark.parametrize("value", ["planted\nsecret", "planted\0secret", "planted\x7fsecret", "planted\udce9secret"])
def test_a_headers_value_that_http_forbids_is_refused_unshown(value):
    with pytest.raises(errors.InputError, match="X-Team") as caught:
        Http(ModelSpec(base_url="http://localhost/v1", headers={"X-Team": value}))
    assert "planted" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", ["", "X Team", "Authorization: Bearer planted", "X-Te\u00e4m", "X\n"])
def test_a_headers_name_that_http_forbids_is_refused(name):
    with pytest.raises(errors.InputError, match="a header's name") as caught:
        Http(ModelSpec(base_url="http://localhost/v1", headers={name: "planted"}))
    assert "planted" not in str(caught.value)
    assert caught.value.__context__ is None


@given(st.text(max_size=6), st.text(st.characters(exclude_characters="$"), max_size=6))
def test_the_client_takes_every_header_that_we_let_through(name, value):
    said = ""
    try:
        Http(ModelSpec(base_url="http://localhost/v1", headers={"X" + name: f"planted{value}"}))._open()
    except errors.InputError as error:
        said = str(error)
    assert "planted" not in said


async def test_text_that_is_not_unicode_is_rejected_before_it_is_sent():
    async with LoopbackServer() as server, client(server) as model:
        with pytest.raises(errors.RequestRejected):
            await model.complete(ask("\ud800"))
        assert server.requests == 0


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        (7, 7),
        (2**64 - 1, 2**53),
        (-3, 0),
        (12.0, 0),
        (float("nan"), 0),
        (float("inf"), 0),
        (True, 0),
        ("9", 0),
        (None, 0),
    ],
)
def test_token_counts_are_whole_and_bounded(said, counted):
    usage = {"prompt_tokens": said, "completion_tokens": said}
    details = {
        "prompt_tokens_details": {"cached_tokens": said},
        "completion_tokens_details": {"reasoning_tokens": said},
    }
    read = wire.decode("chat", chat("x") | {"usage": usage | details}, 0.0).usage
    assert read == Usage(counted, counted, counted, counted)
    kinds = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    message = {"content": [{"type": "text", "text": "x"}], "usage": dict.fromkeys(kinds, said)}
    read = wire.decode("anthropic", message, 0.0).usage
    assert read == Usage(min(3 * counted, 2**53), counted, 0, counted)
    assert type(read.prompt) is int


text = st.text(max_size=20)


@given(text, text, text)
def test_splitting_thinking_loses_nothing_outside_the_tags(before, thought, after):
    text, reasoning = wire.split_thinking(f"<think>{thought}</think>{after}", None)
    if "</think>" not in thought and "<think>" not in thought:
        assert text == after.lstrip()
        assert (reasoning or "") == thought.strip()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "text", "usage", "type"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(json_values, st.sampled_from(["chat", "anthropic"]))
def test_any_json_is_a_completion_or_a_plain_error(data, api):
    try:
        completion = wire.decode(api, data, 0.0)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        return
    assert completion.failure is not None or completion.text.strip()

"""`evolute serve` over real HTTP: the official client, ours, and clients that misbehave."""

import asyncio
import socket
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolute.errors import InputError, ModelNotFound, RequestRejected
from evolute.formats import find_format
from evolute.models.http import Http
from evolute.models.weights import LocalModel, find_model
from evolute.recipe import ModelSpec
from evolute.records import Message, Request

pytest.importorskip("torch")
openai = pytest.importorskip("openai")
httpx = pytest.importorskip("httpx")

from evolute.chat.launching import launch_line  # noqa: E402 - needs starlette, as what stands above says
from evolute.chat.serve_bodies import read_body  # noqa: E402
from evolute.chat.serving import Serving, serving  # noqa: E402

ASKED = [{"role": "user", "content": "Grüße aus 北京?"}]
GREEDY = {"model": "tiny", "messages": ASKED, "temperature": 0, "max_tokens": 24}


@asynccontextmanager
async def served(folder, **options):
    how = Serving(find_model(str(folder)), find_format(options.pop("format", "chat")), port=0, **options)
    async with serving(how) as url:
        yield url


def client(url, key="none"):
    return openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=60)


async def idle(url):
    """Waits until the engine has nothing to do."""
    health = url.removesuffix("/v1") + "/health"
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(60):
        said = (await http.get(health)).json()
        while said["running"] + said["waiting"]:  # each look is a call: nothing spins
            said = (await http.get(health)).json()


def generated(folder, ids, count):
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    asked = torch.tensor([ids])
    out = model.generate(asked, attention_mask=torch.ones_like(asked), do_sample=False, max_new_tokens=count)
    return out[0, len(ids) :].tolist()


async def test_the_official_client_is_answered_as_generate_answers(tiny_model, byte_tokenizer):
    prompt = byte_tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, return_dict=False)
    text = byte_tokenizer.decode(generated(tiny_model, prompt, 24), skip_special_tokens=True).rstrip("\ufffd")
    async with served(tiny_model) as url, client(url) as asking:
        assert [model.id async for model in asking.models.list()] == ["tiny"]
        whole = await asking.chat.completions.create(**GREEDY)
        assert whole.choices[0].message.content == text
        assert whole.choices[0].finish_reason == "length"
        assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (len(prompt), 24)
        chunks = [
            chunk
            async for chunk in await asking.chat.completions.create(
                **GREEDY, stream=True, stream_options={"include_usage": True}
            )
        ]
        said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(said) == text
        assert len([part for part in said if part]) > 3
        assert chunks[-2].choices[0].finish_reason == "length"
        assert chunks[-1].usage.total_tokens == len(prompt) + 24
        plain = await asking.completions.create(model="tiny", prompt=prompt, temperature=0, max_tokens=24)
        assert plain.choices[0].text == text
        raw = byte_tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, tokenize=False)
        texts = await asking.completions.create(model="tiny", prompt=[raw, "x"], temperature=0, max_tokens=24)
        assert texts.choices[0].text == text
        assert [choice.index for choice in texts.choices] == [0, 1]


async def test_the_synchronous_client_streams_as_well(tiny_model):
    def ask(url):
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60) as asking:
            return [chunk.choices[0].finish_reason for chunk in asking.chat.completions.create(**GREEDY, stream=True)]

    async with served(tiny_model) as url:
        assert (await asyncio.to_thread(ask, url))[-1] == "length"


async def test_n_answers_are_drawn_from_the_seed_and_differ(tiny_model):
    drawn = {**GREEDY, "temperature": 1.0, "seed": 5, "n": 3}
    async with served(tiny_model) as url, client(url) as asking:
        first, again, streamed = await asyncio.gather(
            asking.chat.completions.create(**drawn),
            asking.chat.completions.create(**drawn),
            asking.chat.completions.create(**drawn, stream=True),
        )
        texts = [choice.message.content for choice in first.choices]
        assert texts == [choice.message.content for choice in again.choices]
        assert len(set(texts)) == 3
        parts = ["", "", ""]
        async for chunk in streamed:
            parts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
        assert parts == texts


async def test_two_at_once_grow_together(tiny_model):
    async with served(tiny_model) as url, client(url) as asking:
        alone = [await asking.chat.completions.create(**GREEDY | {"max_tokens": 60 + n}) for n in range(2)]
        one, other = [
            await asking.chat.completions.create(**GREEDY | {"max_tokens": 60 + n}, stream=True) for n in (0, 1)
        ]
        texts = ["", ""]
        for _ in range(8):  # in turns, so that neither waits for the other's end
            for place, stream in enumerate((one, other)):
                texts[place] += (await anext(stream)).choices[0].delta.content or ""
        for place, stream in enumerate((one, other)):
            async for chunk in stream:
                texts[place] += chunk.choices[0].delta.content or ""
        assert texts == [said.choices[0].message.content for said in alone]


async def test_a_stop_word_is_not_shown_and_log_probabilities_are(tiny_model):
    async with served(tiny_model) as url, client(url) as asking:
        whole = (await asking.chat.completions.create(**GREEDY)).choices[0].message.content
        stop = whole[5:8]
        stopped = await asking.chat.completions.create(**GREEDY, stop=[stop], logprobs=True, top_logprobs=2)
        choice = stopped.choices[0]
        assert choice.message.content == whole[: whole.find(stop)]
        assert choice.finish_reason == "stop"
        assert len(choice.logprobs.content) == stopped.usage.completion_tokens
        assert len(choice.logprobs.content[0].top_logprobs) == 2


async def test_a_client_that_leaves_ends_its_answer(tiny_model):
    long = GREEDY | {"max_tokens": 450}
    async with served(tiny_model) as url, httpx.AsyncClient(trust_env=False, timeout=60) as http:
        streamed = http.stream("POST", f"{url}/chat/completions", json=long | {"stream": True})
        async with streamed as reply, aclosing(reply.aiter_lines()) as lines:
            await anext(lines)
        await idle(url)
        with pytest.raises(httpx.ReadTimeout):
            await http.post(f"{url}/chat/completions", json=long | {"n": 8}, timeout=httpx.Timeout(60, read=0.05))
        await idle(url)


async def test_our_own_client_gets_answers_and_learns_what_is_refused(tiny_model):
    async with served(tiny_model) as url:
        spec = ModelSpec(base_url=url, model="tiny")
        sampling = {"temperature": 0, "max_tokens": 8}
        async with Http(spec) as http:
            request = Request("judge", (Message("user", "Hi"),), b"", 3, sampling, ("Equal", "Not Equal"))
            done = await http.complete(request)
            assert done.usage.completion == 8
            assert done.finish == "length"
        async with Http(spec.model_copy(update={"model": "other"})) as http:
            with pytest.raises(ModelNotFound, match="tiny"):
                await http.complete(request)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 400, "JSON object"),
        ({"messages": []}, 400, "at least one"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "role must be"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "must be a text"),
        (GREEDY | {"model": "gpt-4"}, 404, "no model 'gpt-4'"),
        (GREEDY | {"temperature": "hot"}, 400, "temperature must be"),
        (GREEDY | {"n": 0.5}, 400, "n must"),
        (GREEDY | {"n": 10_000}, 400, "n must"),
        (GREEDY | {"response_format": {"type": "json_object"}}, 400, "response_format"),
        (GREEDY | {"messages": [{"role": "user", "content": "x" * 600}]}, 400, "context length of 512"),
        (GREEDY | {"messages": [*ASKED, *ASKED]}, 400, "alternating"),
    ],
)  # fmt: skip
async def test_bad_requests_are_told_in_openais_form(shared, body, status, said):
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    async with httpx.AsyncClient(trust_env=False) as http:
        reply = await http.post(f"{shared}/chat/completions", content=raw, headers={"content-type": "application/json"})
    assert reply.status_code == status
    assert said in reply.json()["error"]["message"]


async def test_a_web_page_cannot_ask(shared):
    async with httpx.AsyncClient(trust_env=False) as http:
        declared = await http.post(f"{shared}/chat/completions", content=b"{}", headers={"content-type": "text/plain"})
        assert declared.status_code == 415
        rebound = await http.post(f"{shared}/chat/completions", json=GREEDY, headers={"host": "evil.example"})
        assert rebound.status_code == 403
        listed = await http.get(f"{shared}/models", headers={"origin": "http://evil.example"})
        assert "access-control-allow-origin" not in listed.headers


@pytest.fixture
async def shared(tiny_model):
    async with served(tiny_model) as url:
        yield url


async def test_a_key_is_wanted_where_one_was_given(tiny_model):
    async with served(tiny_model, key="a-secret-key") as url:
        async with client(url, "a-secret-key") as right:
            assert (await right.chat.completions.create(**GREEDY)).choices
        async with client(url, "another") as wrong:
            with pytest.raises(openai.AuthenticationError):
                await wrong.chat.completions.create(**GREEDY)
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(url.removesuffix("/v1") + "/health")).json()["status"] == "ok"


async def test_others_are_served_only_with_a_key_and_a_taken_port_is_told(tiny_model):
    with pytest.raises(InputError, match="--api-key-env"):
        async with served(tiny_model, host="0.0.0.0"):
            pass
    with socket.create_server(("127.0.0.1", 0)) as taken:
        how = Serving(find_model(str(tiny_model)), find_format("chat"), port=taken.getsockname()[1])
        with pytest.raises(InputError, match=r"cannot listen at 127.0.0.1:\d+: .*in use"):
            async with serving(how):
                pass


async def test_a_saved_template_decides_and_a_named_format_replaces_it(tiny_model, byte_tokenizer, tmp_path):
    import shutil

    from evolute.formats.encoding import encode_prompt, install_template

    folder = tmp_path / "alpaca"
    shutil.copytree(tiny_model, folder)
    tokenizer = byte_tokenizer.__class__.from_pretrained(folder)
    install_template(tokenizer, find_format("alpaca"))
    tokenizer.save_pretrained(folder)
    wanted = encode_prompt(tokenizer, find_format("alpaca"), [Message("user", "Hi")])
    asked = {"model": "alpaca", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0, "max_tokens": 5}
    async with served(folder) as url, client(url) as asking:
        said = await asking.chat.completions.create(**asked)
    assert said.usage.prompt_tokens == len(wanted)
    assert len(wanted) > len(byte_tokenizer.apply_chat_template(asked["messages"], add_generation_prompt=True)) / 2
    async with served(tiny_model, format="alpaca") as url, client(url) as asking:
        named = await asking.chat.completions.create(**asked | {"model": "tiny"})
    assert named.usage.prompt_tokens == len(wanted)
    assert named.choices[0].message.content == said.choices[0].message.content


def test_an_engine_must_suit_the_model(tiny_model):
    how = Serving(find_model(str(tiny_model)), find_format("chat"), engine="llama.cpp")
    with pytest.raises(InputError, match=r"llama\.cpp serves \.gguf files"):
        _ = how.resolved_engine
    other = Serving(LocalModel(Path("x.gguf"), "x"), find_format("alpaca"))
    with pytest.raises(InputError, match="--engine transformers"):
        _ = other.resolved_engine


@pytest.mark.embedded
async def test_llama_cpp_serves_a_gguf(tmp_path):
    async with served("smollm2", slots=1, context=256) as url, client(url) as asking:
        said = await asking.chat.completions.create(model="any", messages=ASKED, max_tokens=4)
        assert said.choices[0].finish_reason == "length"
        async with httpx.AsyncClient(trust_env=False) as http:
            listed = await http.get(f"{url}/models", headers={"origin": "http://evil.example"})
        assert listed.headers.get("access-control-allow-origin") != "http://evil.example"
        assert listed.json()["data"][0]["id"] == "smollm2-135m-instruct"


def test_the_launch_lines_name_the_saved_template(tiny_model, tmp_path):
    line = launch_line(find_model(str(tiny_model)), "vllm", port=9, key_variable="KEY")
    assert line == (
        f"vllm serve {tiny_model} --served-model-name tiny --host 127.0.0.1 --port 9 "
        f'--chat-template {tiny_model}/chat_template.jinja --api-key "$KEY"'
    )
    assert launch_line(find_model(str(tiny_model)), "sglang", name="a b").startswith(
        f"python -m sglang.launch_server --model-path {tiny_model} --served-model-name 'a b'"
    )
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((tiny_model / name).read_bytes())
    with pytest.raises(InputError, match="no chat template"):
        launch_line(find_model(str(bare)), "vllm")
    with pytest.raises(InputError, match=r"not a \.gguf"):
        launch_line(find_model("smollm2"), "vllm")


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
ROWS = st.dictionaries(st.sampled_from(["role", "content", "type", "text"]), PLAIN | st.just("user"), max_size=3)
JSON = PLAIN | ROWS | st.lists(PLAIN | ROWS | st.lists(PLAIN, max_size=3), max_size=3)


@settings(max_examples=200, deadline=None)
@given(
    body=st.dictionaries(st.sampled_from(["messages", "prompt", "n", "stream", "stream_options", "model"]), JSON),
    chat=st.booleans(),
)
def test_any_json_is_read_or_refused(body, chat):
    try:
        raw = orjson.dumps(body)
    except TypeError:  # an integer beyond 64 bits
        return
    try:
        _, asked = read_body(raw, chat=chat)
    except RequestRejected:
        return
    assert asked.n * len(asked.prompts) >= 1

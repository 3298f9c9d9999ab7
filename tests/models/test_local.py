"""The transformers engine: the tokens of `generate`, whatever stands beside; stops, seeds, and leaving."""

import asyncio
import shutil
from contextlib import aclosing

import pytest

from evolute.errors import InputError, RequestRejected
from evolute.models.local_sampling import Sampling, read_sampling
from evolute.models.opening import open_endpoint
from evolute.recipe import ModelSpec
from evolute.records import Failure, Message, Request

torch = pytest.importorskip("torch")
PROMPTS = ("Hi", "What is the longest river of the world?", "Grüße aus 北京!", "a b c d e f g " * 6)


def asked(text, draw=0, **sampling):
    return Request("test", (Message("user", text),), b"", draw, {"max_tokens": 24, "temperature": 0, **sampling})


async def collected(local, prompt, **fields):
    return [piece async for piece in local.stream(prompt, local.sampling(fields))]


@pytest.fixture
async def local(tiny_model):
    async with open_endpoint(ModelSpec(api="local", model=str(tiny_model))) as opened:
        yield opened


def generated(folder, ids, count):
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.inference_mode():
        asked = torch.tensor([ids])
        out = model.generate(asked, attention_mask=torch.ones_like(asked), do_sample=False, max_new_tokens=count)
    return out[0, len(ids) :].tolist()


async def tokens_of(local, prompt, sampling, most=24):
    return [drawn.token async for drawn in local._engine.tokens(prompt, sampling, most, frozenset())]


async def test_greedy_tokens_are_those_of_generate_alone_together_and_joining_late(local, tiny_model):
    ids = [local.encode([Message("user", text)]) for text in PROMPTS]
    wanted = [generated(tiny_model, one, 24) for one in ids]
    greedy = Sampling(temperature=0)
    assert [await tokens_of(local, one, greedy) for one in ids] == wanted
    assert await asyncio.gather(*(tokens_of(local, one, greedy) for one in ids)) == wanted

    async def late(number):
        async with aclosing(local._engine.tokens(ids[0], greedy, 24, frozenset())) as first:
            for _ in range(3 * number):  # joins when the one before it has so many tokens
                await anext(first)
            return await tokens_of(local, ids[number], greedy)

    assert await asyncio.gather(*(late(number) for number in range(4))) == wanted


async def test_a_seed_gives_its_answer_whatever_else_is_asked(local):
    alone = [(await local.complete(asked(text, draw=n, temperature=1.0))).text for n, text in enumerate(PROMPTS)]
    beside = await asyncio.gather(
        *(local.complete(asked(text, draw=n, temperature=1.0)) for n, text in enumerate(PROMPTS)),
        *(local.complete(asked(text, draw=9, temperature=1.5)) for text in PROMPTS),
    )
    assert [one.text for one in beside[:4]] == alone
    assert (await local.complete(asked("Hi", draw=1, temperature=1.0))).text != alone[0]


async def test_a_completion_says_how_it_ended_and_what_it_took(local):
    done = await local.complete(asked("Hi"))
    assert done.failure is Failure.TRUNCATED
    assert done.finish == "length"
    assert done.usage.completion == 24
    assert done.usage.prompt == len(local.encode([Message("user", "Hi")]))
    assert done.model == "tiny"
    assert done.text


async def test_a_stop_string_over_several_tokens_is_never_shown(local):
    prompt = local.encode([Message("user", "Hi")])
    whole = "".join(piece.text for piece in await collected(local, prompt, temperature=0, max_tokens=40))
    place = next(n for n in range(8, 30) if whole.find(whole[n : n + 3]) == n)
    pieces = await collected(
        local, prompt, temperature=0, max_tokens=40, stop=["nowhere in it", whole[place : place + 3]]
    )
    assert "".join(piece.text for piece in pieces) == whole[:place]
    assert pieces[-1].finish == "stop"
    assert pieces[-1].tokens < 40


async def test_the_ending_token_ends_and_is_not_shown(tiny_model, tmp_path, byte_tokenizer):
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        model.lm_head.weight.zero_()  # all logits are nought, and the first token is the likeliest
    model.generation_config.eos_token_id = [0, byte_tokenizer.eos_token_id]
    model.save_pretrained(tmp_path / "ends")
    byte_tokenizer.save_pretrained(tmp_path / "ends")
    async with open_endpoint(ModelSpec(api="local", model=str(tmp_path / "ends"))) as local:
        (piece,) = await collected(local, [1, 2], temperature=0)
    assert (piece.text, piece.tokens, piece.finish) == ("", 1, "stop")


async def test_leaving_ends_the_work(local):
    async with aclosing(
        local.stream(local.encode([Message("user", "Hi")]), local.sampling({"max_tokens": 400}))
    ) as told:
        await anext(told)
        assert local.load == (1, 0)
    await tokens_of(local, [1, 2, 3], Sampling(temperature=0), 2)  # the step after is without it
    assert local.load[1] == 0
    assert len(local._engine._batch.rows) <= 1


async def test_more_than_the_slots_wait_their_turn(tiny_model):
    async with open_endpoint(ModelSpec(api="local", model=str(tiny_model))) as local:
        local._engine._slots = 2
        done = await asyncio.gather(*(local.complete(asked("Hi", draw=n)) for n in range(7)))
    assert len({one.text for one in done}) == 1


async def test_what_does_not_fit_is_refused(local):
    with pytest.raises(RequestRejected, match=r"the prompt has 7\d\d tokens.*context length of 512"):
        await local.complete(asked("too long " * 80))
    filled = await local.complete(asked("x" * 470, max_tokens=1000))
    assert filled.usage.prompt + filled.usage.completion == 512
    assert filled.failure is Failure.TRUNCATED


async def test_log_probabilities_are_those_of_the_model(local):
    prompt = local.encode([Message("user", "Hi")])
    piece = (await collected(local, prompt, temperature=0, max_tokens=1, logprobs=True, top_logprobs=2))[0]
    (told,) = piece.logprobs
    assert told["top_logprobs"][0]["logprob"] == pytest.approx(told["logprob"])
    assert told["logprob"] > told["top_logprobs"][1]["logprob"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"temperature": -1}, "temperature must be a number from 0 to 100, got -1"),
        ({"top_p": "x"}, "top_p must be a number"),
        ({"max_tokens": 0}, "max_tokens must be a whole number from 1"),
        ({"stop": [1]}, "stop must be a string or a list"),
        ({"tools": [{}]}, "tools=.* is not supported"),
        ({"frequency_penalty": 1.5}, "frequency_penalty=1.5 is not supported"),
        ({"top_logprobs": 3}, "needs logprobs"),
        ({"temprature": 1}, "unknown field 'temprature'"),
        ({"seed": True}, "seed must be a whole number"),
    ],
)
def test_impossible_fields_are_named(fields, said):
    with pytest.raises(RequestRejected, match=said):
        read_sampling(fields)


def test_null_is_as_if_it_were_not_there():
    assert read_sampling({"temperature": None, "stop": None, "logprobs": None}, Sampling(temperature=0.3)) == Sampling(
        temperature=0.3
    )
    assert read_sampling({"max_completion_tokens": 7}).max_tokens == 7


def test_a_models_name_is_its_files_content(tiny_model, tmp_path):
    here = ModelSpec(api="local", model=str(tiny_model)).identity
    moved = tmp_path / "elsewhere"
    shutil.copytree(tiny_model, moved)
    assert ModelSpec(api="local", model=str(moved)).identity == here
    (moved / "config.json").write_text((moved / "config.json").read_text() + "\n")
    assert ModelSpec(api="local", model=str(moved)).identity != here


async def test_what_is_no_model_is_told(tmp_path):
    with pytest.raises(InputError, match="not a model's folder"):
        async with open_endpoint(ModelSpec(api="local", model=str(tmp_path))):
            pass
    with pytest.raises(InputError, match=r"no such \.gguf"):
        async with open_endpoint(ModelSpec(api="local", model=str(tmp_path / "x.gguf"))):
            pass


async def test_a_format_named_in_the_sampling_writes_the_prompt(local):
    chat = await local.complete(asked("Hi"))
    plain = await local.complete(asked("Hi", format="wizardlm-7b"))
    assert plain.usage.prompt == len("Hi\n\n### Response:")
    assert chat.usage.prompt != plain.usage.prompt
    with pytest.raises(InputError, match="no prompt format"):
        await local.complete(asked("Hi", format="nope"))

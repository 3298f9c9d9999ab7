"""Choices end to end: resumed, told apart by their weights, asked of an endpoint; and GSM8K's answers."""

import asyncio
import json

import pytest

from evolute import api
from evolute.errors import InputError
from evolute.evaluate.choice.endpoint import gives_prompt, read_likelihood
from evolute.evaluate.choice.gsm8k import INVALID, ended, flexible, matches, strict
from evolute.models.loopback import LoopbackServer
from evolute.recipe import ModelSpec
from evolute.scores import Score


@pytest.fixture
def questions(tmp_path):
    """ARC in our own words: a folder with its two files."""
    folder = tmp_path / "data" / "arc_challenge"
    folder.mkdir(parents=True)
    for name, numbers in (("train", range(100, 103)), ("test", range(4))):
        rows = [
            {
                "id": f"Q{n}",
                "question": f"How much is {n} and {n}?",
                "choices": {"text": [str(2 * n), "a cat", "nothing at all"], "label": ["A", "B", "C"]},
                "answerKey": "ABC"[n % 3],
            }
            for n in numbers
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder.parent


def make_model(folder, seed):
    """A Llama of random weights with a tokenizer of bytes, as transformers writes them."""
    torch = pytest.importorskip("torch", reason="the extra `evaluate` is not installed")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = {letter: n for n, letter in enumerate(["<s>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(letters, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>").save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(letters), hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, initializer_range=0.5,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def test_a_local_model_is_scored_once_and_anew_when_its_weights_change(questions, tmp_path):
    model, out, said = make_model(tmp_path / "model", 0), tmp_path / "out", []
    options = {"data": questions, "out": out, "shots": 1, "device": "cpu", "say": said.append}
    first = api.evaluate_choices("arc-challenge", model, limit=2, **options)
    assert sum(line.startswith("opening") for line in said) == 1
    assert (first.score.n, first.scored) == (2, 6)
    assert "6 prompts are longer than the model's window" in first.score.notes[0]
    again = api.evaluate_choices("arc-challenge", model, limit=2, **options)
    assert sum(line.startswith("opening") for line in said) == 1, "nothing was left to score"
    assert again.score == first.score
    assert Score.from_json(json.loads((out / "results.json").read_text())["score"]).items == first.score.items
    whole = api.evaluate_choices("arc-challenge", model, **options)
    assert whole.score.n == 4
    rows = [json.loads(line) for line in (out / "choices.jsonl").read_text().splitlines()]
    make_model(tmp_path / "model", 1)
    changed = api.evaluate_choices("arc-challenge", model, **options)
    others = [json.loads(line) for line in (out / "choices.jsonl").read_text().splitlines()]
    assert changed.score.ran["model's hash"] != whole.score.ran["model's hash"]
    assert [row["filtered_resps"] for row in rows] != [row["filtered_resps"] for row in others]
    assert list(rows[0]["arguments"]) == ["gen_args_0", "gen_args_1", "gen_args_2"]
    with pytest.raises(InputError, match="shots 1, not 0"):
        api.evaluate_choices("arc-challenge", model, data=questions, out=out, shots=0)


def test_a_budget_of_memory_changes_no_number(questions, tmp_path):
    model = make_model(tmp_path / "model", 0)
    wide, narrow = (
        api.evaluate_choices("arc-challenge", model, data=questions, shots=1, device="cpu", batch_tokens=most)
        for most in (8192, 1)
    )
    assert wide.score.items == narrow.score.items


async def test_an_endpoint_is_asked_once_for_each_choice(questions, tmp_path):
    out = tmp_path / "out"
    async with LoopbackServer() as server:
        spec = ModelSpec(api="completions", base_url=server.base_url, model="m", api_key_env="")
        chosen = await asyncio.to_thread(api.evaluate_choices, "arc-challenge", spec, data=questions, out=out, shots=1)
        assert (server.requests, server.last_body["echo"]) == (12, True)
    assert (chosen.score.n, chosen.score.unscored, chosen.score.calls, chosen.stopped) == (4, 0, 12, "")
    again = await asyncio.to_thread(
        api.evaluate_choices, "arc-challenge", spec, data=questions, out=out, shots=1
    )  # the server is gone
    assert again.score.items == chosen.score.items


async def test_an_endpoint_that_tells_nothing_of_its_prompt_is_asked_but_once(questions, tmp_path):
    from aiohttp import web

    asked = []

    async def answer(request):
        asked.append(await request.json())
        said = {"text": "x", "index": 0, "finish_reason": "length", "logprobs": None}
        return web.json_response({"model": "m", "choices": [said], "usage": {"prompt_tokens": 1}})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    spec = ModelSpec(
        api="completions", base_url=f"http://127.0.0.1:{runner.addresses[0][1]}/v1", model="m", api_key_env=""
    )
    try:
        with pytest.raises(InputError, match=r"llama\.cpp's server do not"):
            await asyncio.to_thread(
                api.evaluate_choices, "arc-challenge", spec, data=questions, out=tmp_path / "out", shots=0
            )
    finally:
        await runner.cleanup()
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("missing", {}, "there is no such folder or .gguf file"),
        ("missing", {"batch_tokens": 0}, "--batch-tokens must be at least 1, got 0"),
        (ModelSpec(api="chat", base_url="http://127.0.0.1:1/v1", model="m"), {}, "give --api completions"),
        (ModelSpec(api="completions", base_url="http://127.0.0.1:1/v1", model="m"), {}, "give --out FOLDER"),
        (ModelSpec(api="completions", model="m"), {}, "where is the model 'm'"),
    ],
)
def test_what_cannot_be_is_told(questions, model, options, said):
    with pytest.raises(InputError, match=said):
        api.evaluate_choices("arc-challenge", model, data=questions, shots=0, **options)


def echoed(tokens, values):
    return json.dumps({"logprobs": {"tokens": tokens, "token_logprobs": values, "top_logprobs": None}})


def vllm(tokens):
    said = [
        {str(n): {"logprob": value, "rank": rank, "decoded_token": text}}
        for n, (text, value, rank) in enumerate(tokens)
    ]
    return json.dumps({"prompt_logprobs": [None, *said]})


def test_the_continuation_of_an_echoed_prompt_is_summed_and_nothing_else():
    pair = ("Q: ", " so it")
    told = echoed(["Q", ":", "  so", " it", " more"], [None, -9.0, -1.0, -2.0, -4.0])
    assert read_likelihood(pair, told).value == -3.0, "the space of the context is the choice's; the last was generated"
    begun = echoed(["<s>", "Q:", "  so", " it", "!"], [None, -9.0, -1.0, -2.5, -4.0])
    assert read_likelihood(pair, begun).value == -3.5
    plain = vllm([(":", -9.0, 1), ("  so", -1.0, 1), (" it", -2.0, 1)])
    assert (read_likelihood(pair, plain).value, read_likelihood(pair, plain).greedy) == (-3.0, True)
    assert not read_likelihood(pair, vllm([(":", -9.0, 1), ("  so", -1.0, 2), (" it", -2.0, 1)])).greedy


def test_a_reply_that_does_not_fit_is_unscored_with_its_reason():
    pair = ("Q:", " it")
    assert "joins" in read_likelihood(pair, echoed(["Q", ": it"], [None, -1.0])).why
    assert "not the text" in read_likelihood(pair, echoed(["Q", ":", " that"], [None, -1.0, -1.0])).why
    assert "no log-probability" in read_likelihood(pair, echoed(["Q:", " it"], [None, None])).why
    for broken in ("", "[]", "{}", '{"logprobs": 3}', '{"logprobs": {"tokens": [1], "token_logprobs": [1]}}'):
        assert read_likelihood(pair, broken).value is None
    assert not gives_prompt(json.dumps({"logprobs": {"tokens": ["x"], "token_logprobs": [-1.0]}}))
    assert gives_prompt(echoed(["Q", ": it"], [None, -1.0]))


def test_gsm8k_reads_the_number_strictly_and_flexibly():
    answer = "He sells 9 * 2 = $18.\n#### 1,018"
    assert matches(strict("So it is 3.\n#### 1018"), answer)
    assert matches(strict("#### 1,018."), answer)
    assert not matches(strict("It is $1,018."), answer)
    assert matches(flexible("First 20, then 5: it is $1,018."), answer)
    assert not matches(flexible("1018, no: 17"), answer)
    assert (strict("none"), flexible("none")) == (INVALID, INVALID)
    assert not matches(INVALID, answer)
    assert ended("#### 5\n\nQuestion: 7 + 7?\nAnswer: #### 14") == "#### 5\n\n"


async def test_gsm8k_asks_and_counts(tmp_path):
    rows = [{"question": f"What is {n} + 1?", "answer": f"It is {n + 1}.\n#### {n + 1}"} for n in range(6)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def rule(body):
        number = int(body["prompt"].rsplit("What is ", 1)[1].split()[0])
        return f"So {number + 1}.\n#### {number + 1}" if number % 2 else f"I say {number + 1}"

    async with LoopbackServer(rule) as server:
        spec = ModelSpec(api="completions", base_url=server.base_url, model="m", api_key_env="")
        chosen = await asyncio.to_thread(
            api.evaluate_choices, "gsm8k", spec, data=tmp_path, out=tmp_path / "out", shots=2
        )
        assert server.last_body["stop"] == ["Question:", "</s>", "<|im_end|>"]
    assert (chosen.score.measure.value, chosen.score.also["flexible match"].value) == (50, 100)
    assert "test split" in chosen.score.notes[0]
    with pytest.raises(InputError, match="serve the model"):
        await asyncio.to_thread(api.evaluate_choices, "gsm8k", "smollm2", data=tmp_path)

"""Conversations as tokens, on four small tokenizers of the kinds that models have, and on SmolLM2's."""

import json
import random

import pytest

transformers = pytest.importorskip("transformers", reason="needs the train extra")
from hypothesis import example, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers  # noqa: E402

from evolute.errors import InputError  # noqa: E402
from evolute.formats import FORMATS  # noqa: E402
from evolute.formats.encoding import encode_conversation, encode_prompt, ending_ids, install_template  # noqa: E402
from evolute.formats.format import bare  # noqa: E402
from evolute.models.weights import find_model, open_tokenizer  # noqa: E402
from evolute.records import Message  # noqa: E402

CORPUS = [
    "Below is an instruction that describes a task.\n\n### Instruction:\nHi there\n\n### Response:\nHello!\n",
    "USER: hi ASSISTANT: hello a b c :\n\n x ```python",
] * 20
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FORGETFUL = CHATML.replace("m['content']", "m['content'] if loop.last or m['role'] == 'user' else '…'")
"""As Qwen3's, it writes earlier answers otherwise."""
ANSWERS = [
    "Hello!", "\nfoo\n\n\nbar", "\n\n  x", " lead", "  two", "你好，世界", "مرحبا", "👩‍👩‍👧‍👦e\u0301",
    "</s> not the end", "<s>hi<|endoftext|><pad>", "x\n", "<unk>", "a </s>b\n<|im_end|>", "```python\nx\n```",
    "    indented",
]  # fmt: skip


def byte_level(pattern):
    """As GPT-2 and Llama 3 have it."""
    own = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    own.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    own.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500, min_frequency=1, special_tokens=["<|endoftext|>", "<pad>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    own.train_from_iterator(CORPUS, trainer)
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=own, eos_token="<|endoftext|>", pad_token="<pad>")
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>"], "eos_token": "<|im_end|>"})
    made.chat_template = CHATML
    return made


def sentence_piece(legacy):
    """As LLaMA and Llama 2 have it: a space is put before the text, or before each piece of it (legacy)."""
    own = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if legacy:
        own.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        own.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # no word of theirs holds a space
    else:
        own.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    own.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=600, special_tokens=specials, show_progress=False))
    own.pre_tokenizer = None if legacy else pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    spelt = json.loads(own.to_str())
    spelt["added_tokens"] = spelt["added_tokens"][:3]
    own = Tokenizer.from_str(json.dumps(spelt))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    own.decoder = decoders.Sequence(steps)
    own.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=own, eos_token="</s>", bos_token="<s>", unk_token="<unk>"
    )


def smollm2():
    return open_tokenizer(find_model("smollm2"))


KINDS = {
    "gpt2": lambda: byte_level(GPT2), "cl100k": lambda: byte_level(CL100K), "legacy": lambda: sentence_piece(True),
    "first": lambda: sentence_piece(False), "smollm2": smollm2,
}  # fmt: skip
MADE = {"template": sentence_piece(True)}  # whose chat template is changed
BASE = ("legacy", "first")
"""Base models' tokenizers, which have no template."""


def made(kind):
    if kind not in MADE:
        try:
            MADE[kind] = KINDS[kind]()
        except InputError as missing:
            pytest.skip(str(missing))
    return MADE[kind]


def said(*turns):
    return [Message("assistant" if number % 2 else "user", text) for number, text in enumerate(turns)]


def decoded(tokenizer, ids):
    return tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=False)


def conversations(format):
    for question in ("Hi there", "</s>", "Hi\n", "<|im_end|> 你好 👩‍👩‍👧‍👦"):
        yield from (said(question, answer) for answer in ANSWERS)
    if format.turns:
        for seed in range(12):
            draw = random.Random(seed)
            yield [Message("system", "Be kind.\n"), *said(*(draw.choice(ANSWERS) for _ in range(6)))]
        yield said(*["word " * 500, "Yes. " * 300] * 10)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS for name in FORMATS if name != "chat" or kind not in BASE]
)
def test_what_is_learned_is_what_will_be_asked(kind, name):
    tokenizer, format = made(kind), FORMATS[name]
    (end, *_) = ending_ids(tokenizer, format)
    for messages in conversations(format):
        for encoded in (found := encode_conversation(tokenizer, format, messages)):
            assert len(encoded.ids) == len(encoded.learned)
            assert (encoded.ids[-1], encoded.learned[-1]) == (end, True)
        asked = encode_prompt(tokenizer, format, messages[:-1])
        ids = found[-1].ids
        assert ids[: len(asked)] == asked
        assert all(found[-1].learned[len(asked) :])
        learned = sum(
            sum(bears and token == end for token, bears in zip(one.ids, one.learned, strict=True)) for one in found
        )
        assert learned == sum(message.role == "assistant" for message in messages)
        answer = decoded(tokenizer, ids)[len(decoded(tokenizer, asked)) :]
        assert answer.removesuffix(tokenizer.decode([end])).strip() == messages[-1].content.strip()
        if name in ("chat", "wizardcoder") and tokenizer.bos_token != "<s>":  # nothing is taken from code
            assert answer.removesuffix(tokenizer.decode([end])) == messages[-1].content


@pytest.mark.parametrize("kind", KINDS)
def test_harmless_text_is_tokenized_as_the_tokenizer_would(kind):
    tokenizer = made(kind)
    messages = said("Hi there", "Hello, 你好!", "And then?", "Nothing.")
    encoded = encode_conversation(tokenizer, FORMATS["vicuna-v1.1"], messages)
    end = tokenizer.eos_token
    prompt = FORMATS["vicuna-v1.1"].render(messages[:3], "", end)
    assert [one.ids for one in encoded] == [tokenizer(f"{prompt} Nothing.{end}")["input_ids"]]
    marked = [token for token, bears in zip(encoded[0].ids, encoded[0].learned, strict=True) if bears]
    assert decoded(tokenizer, marked).split() == f"Hello, 你好!{end} Nothing.{end}".split()


def test_alpacas_input_has_its_place_and_elsewhere_stands_below():
    tokenizer = made("gpt2")
    (found,) = encode_conversation(tokenizer, FORMATS["alpaca"], said("do", "done"), "this")
    assert "### Instruction:\ndo\n\n### Input:\nthis\n\n### Response:done<|im_end|>" in decoded(tokenizer, found.ids)
    (found,) = encode_conversation(tokenizer, FORMATS["chat"], said("do", "done"), "this")
    assert "user\ndo\n\nthis<|im_end|>\n" in decoded(tokenizer, found.ids)


def test_a_template_that_writes_earlier_answers_otherwise_gives_one_for_each():
    tokenizer = byte_level(GPT2)
    tokenizer.chat_template = FORGETFUL
    found = encode_conversation(tokenizer, FORMATS["chat"], said("a", "first", "b", "second"))
    learned = [
        decoded(tokenizer, [token for token, bears in zip(one.ids, one.learned, strict=True) if bears]) for one in found
    ]
    assert learned == ["first<|im_end|>", "second<|im_end|>"]
    assert "first" not in decoded(tokenizer, found[1].ids)
    assert encode_conversation(tokenizer, FORMATS["chat"], said("a", "first", "b", "second"), "", {1}) == found[1:]


@pytest.mark.parametrize("name", ["vicuna-v1.1", "chat"])
def test_answers_that_bear_no_loss_are_read_and_not_learned(name):
    tokenizer, messages = made("gpt2"), said("a", "first", "b", "second", "c", "third")
    (whole,) = encode_conversation(tokenizer, FORMATS[name], messages)
    (found,) = encode_conversation(tokenizer, FORMATS[name], messages, "", {1, 5})
    learned = [token for token, bears in zip(found.ids, found.learned, strict=True) if bears]
    assert decoded(tokenizer, learned).strip() == f"second{tokenizer.decode(ending_ids(tokenizer, FORMATS[name])[:1])}"
    assert found.ids == whole.ids[: len(found.ids)]
    assert "first" in decoded(tokenizer, found.ids)
    assert "third" not in decoded(tokenizer, found.ids)


text = st.text(st.characters(codec="utf-8"), max_size=30)


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from([name for name in FORMATS if name != "chat"]),
    turns=st.lists(text, min_size=5, max_size=5),
    system=text,
)
@example(name="vicuna-v1.1", turns=["{{ x }} {% y %}\n", " A ", "</s>", "\n", "q"], system="")
@example(name="alpaca", turns=["{# no comment #}", "", "", "", ""], system="'\"\\n")
def test_the_chat_template_writes_what_the_format_does(name, turns, system):
    tokenizer, format = made("template"), FORMATS[name]
    install_template(tokenizer, format)
    messages = said(*turns) if format.turns else said(turns[0])
    if format.system:
        messages = [Message("system", system), *messages]
    rows = [{"role": one.role, "content": one.content} for one in messages]
    written = tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=True)
    assert written == "<s>" + format.render(bare(messages), "", "</s>")


def test_a_saved_template_asks_as_it_was_trained(tmp_path):
    tokenizer = sentence_piece(False)
    install_template(tokenizer, FORMATS["vicuna-v1.1"])
    tokenizer.save_pretrained(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    rows = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}, {"role": "user", "content": "b"}]
    served = again.apply_chat_template(rows, add_generation_prompt=True, return_dict=False)
    assert list(served) == encode_prompt(again, FORMATS["vicuna-v1.1"], said("hi", "yo", "b"))
    assert served.count(again.bos_token_id) == 1


def test_what_cannot_be_written_is_refused():
    tokenizer = byte_level(GPT2)
    tokenizer.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(InputError, match="refuses this conversation: no system role"):
        encode_prompt(tokenizer, FORMATS["chat"], said("a"))
    tokenizer.chat_template = None
    with pytest.raises(InputError, match="no chat template"):
        encode_prompt(tokenizer, FORMATS["chat"], said("a"))
    with pytest.raises(InputError, match="for one turn only"):
        encode_conversation(tokenizer, FORMATS["wizardlm-7b"], said("a", "b", "c", "d"))
    with pytest.raises(InputError, match="must end with an answer"):
        encode_conversation(tokenizer, FORMATS["vicuna-v1.1"], said("a", "b", "c"))
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="no end token"):
        encode_conversation(tokenizer, FORMATS["vicuna-v1.1"], said("a", "b"))

"""GGUF files: llama.cpp reads the tokens that transformers reads, and goes on as it does. Tiny models."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
gguf = pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")

from llamacpp import TEXTS, first_difference, running, transformers_greedy, until  # noqa: E402
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers  # noqa: E402

from evolute.errors import InputError  # noqa: E402
from evolute.train.gguf_file import export_gguf  # noqa: E402

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
ENDS = {0, 2}  # llama.cpp takes <|endoftext|> for an end whatever the model says
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
LLAMA3 += r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
RULES = {
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    "smollm": pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ]),
    "smaug-bpe": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), BYTES]),
    "qwen2": pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3.replace("{1,3}", "")), "isolated"), BYTES,
    ]),
}  # fmt: skip


def byte_level(rule) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = rule, decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    )  # fmt: skip
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    tokenizer.add_tokens(["<tool>"])
    return tokenizer


def sentencepiece(complete: bool = True) -> Tokenizer:
    """As Llama's: merges of every way to join a token of two others, by rank."""
    words = ["▁", "e", "t", "h", "l", "o", "▁t", "he", "▁the", "ll", "el", "lo", "▁he", "hello", "▁hello", "ello", "▁▁"]
    words += [*"Hwrd,!W你好н", "你好", "hel", "th"]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *dict.fromkeys(words)]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    merges = []
    for piece in dict.fromkeys(words):
        cuts = [(piece[:n], piece[n:]) for n in range(1, len(piece))]
        known = [cut for cut in cuts if cut[0] in vocabulary and cut[1] in vocabulary]
        merges += known if complete else known[:1]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0),
    ])  # fmt: skip
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def write_model(folder, tokenizer: Tokenizer, *, rows: int | None = None, special=None, kind="Llama", **settings):
    torch.manual_seed(5)
    config = getattr(transformers, f"{kind}Config")(**{
        "vocab_size": rows or tokenizer.get_vocab_size(), "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.2,
        "max_position_embeddings": 512, "bos_token_id": None, "eos_token_id": 2, **settings,
    })  # fmt: skip
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    model.save_pretrained(folder)
    special = special or {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "unk_token": "<|endoftext|>"}
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    wrapped.chat_template = TEMPLATE
    wrapped.save_pretrained(folder)
    return model, transformers.AutoTokenizer.from_pretrained(folder)


def fields(path) -> dict:
    reader = gguf.GGUFReader(path)
    return {key: field.contents() for key, field in reader.fields.items()}


def assert_goes_on_alike(oracle, model, tokenizer, texts=TEXTS, count=24):
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        assert oracle.ids(text) == ids, text
    for text in ("Hello, world", "def f(x):", "hello the hello  hello " * 30):
        assert_goes_on(oracle, model, tokenizer(text)["input_ids"], count)


def assert_goes_on(oracle, model, ids, count):
    """Greedily alike; but where two tokens of a random model are as good as equal, either may be taken."""
    wanted = until(transformers_greedy(model, ids, count), ENDS)
    found = until(oracle.greedy(ids, count), ENDS)
    place = first_difference(wanted, found)
    if place is None:
        assert len(wanted) == len(found)
        return
    scores = model(torch.tensor([ids + wanted[:place]])).logits[0, -1]
    assert abs(scores[wanted[place]] - scores[found[place]]) < 0.02


@pytest.mark.parametrize("rule", list(RULES))
def test_byte_level_tokens_are_alike(tmp_path, rule):
    model, tokenizer = write_model(tmp_path / "m", byte_level(RULES[rule]), tie_word_embeddings=rule == "gpt-2")
    made = export_gguf(tmp_path / "m", tmp_path / "m.gguf", type="f32")
    said = fields(tmp_path / "m.gguf")
    assert said["tokenizer.ggml.pre"] == rule
    assert said["tokenizer.chat_template"] == TEMPLATE
    assert "llama-server --model" in made.launch[0]
    with running(tmp_path / "m.gguf") as oracle:
        marked = ["<|im_start|>user\nHi 12<|im_end|>\n", "a<tool>b <tool> c"]
        assert_goes_on_alike(oracle, model, tokenizer, TEXTS + marked)


def test_sentencepiece_with_bos_spare_rows_biases_and_llama3_rope(tmp_path):
    rope = {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }  # fmt: skip
    model, tokenizer = write_model(
        tmp_path / "m", sentencepiece(), rows=320, attention_bias=True, mlp_bias=True, rope_parameters=rope,
        special={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    )  # fmt: skip
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_(std=0.3)
    model.save_pretrained(tmp_path / "m")
    made = export_gguf(tmp_path / "m", tmp_path / "m.gguf", type="f32")
    assert made.notes == ()
    said = fields(tmp_path / "m.gguf")
    assert said["tokenizer.ggml.add_bos_token"] is True
    assert said["tokenizer.ggml.tokens"][-1] == "[PAD319]"
    assert "rope_freqs.weight" in {one.name for one in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    with running(tmp_path / "m.gguf") as oracle:
        assert oracle.ids("</s>") == tokenizer("</s>")["input_ids"]
        assert_goes_on_alike(oracle, model, tokenizer, [*TEXTS[:-1], "Hello</s>hello"])


def test_incomplete_merges_are_told(tmp_path):
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    write_model(tmp_path / "m", sentencepiece(complete=False), special=special)
    assert "rare words may be split otherwise" in export_gguf(tmp_path / "m", tmp_path / "m.gguf").notes[0]


@pytest.mark.parametrize(("kind", "most"), [("f16", 0.002), ("bf16", 0.01), ("q8_0", 0.02), ("q4_0", 0.3)])
def test_what_is_stored_is_near_the_weights(tmp_path, kind, most):
    model, _ = write_model(
        tmp_path / "m", byte_level(RULES["smollm"]), kind="Mistral", head_dim=32, sliding_window=None
    )
    export_gguf(tmp_path / "m", tmp_path / "m.gguf", type=kind)
    tensors = {one.name: one for one in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    for name, source in (("blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj"), ("output.weight", "lm_head")):
        stored = torch.tensor(gguf.dequantize(tensors[name].data, tensors[name].tensor_type))
        wanted = model.get_submodule(source).weight.detach()
        assert (stored - wanted).abs().max() <= most * wanted.abs().max()
    assert tensors["blk.0.attn_norm.weight"].tensor_type.name == "F32"
    with running(tmp_path / "m.gguf") as oracle:
        assert len(oracle.greedy([5, 6, 7], 8)) <= 8


def change(folder, file, **fields):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path / "m", byte_level(RULES["smollm"]))
    return tmp_path / "m"


@pytest.mark.parametrize(
    ("file", "said", "message"),
    [
        ("config.json", {"architectures": ["Qwen2ForCausalLM"]}, r"knows LlamaForCausalLM.*'Qwen2ForCausalLM'"),
        ("config.json", {"hidden_act": "gelu"}, r"hidden_act must be 'silu'.*'gelu'"),
        ("config.json", {"intermediate_size": 128}, r"shape \(96, 64\), and config.json says \(128, 64\)"),
        ("config.json", {"num_hidden_layers": 3}, r"'model.layers.2.*' is missing"),
        ("config.json", {"num_hidden_layers": 1}, r"'model.layers.1.*' is no tensor"),
        ("config.json", {"quantization_config": {"quant_method": "bitsandbytes"}}, "quantised already"),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}, r"none of llama.cpp's known.*Whitespace"),
        ("tokenizer.json", {"normalizer": {"type": "Lowercase"}}, r"normalises no text.*Lowercase"),
    ],
)
def test_what_cannot_be_exported_is_said_and_nothing_is_written(folder, tmp_path, file, said, message):
    change(folder, file, **said)
    with pytest.raises(InputError, match=message):
        export_gguf(folder, tmp_path / "m.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_weights_that_do_not_fit_are_said(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    good = load_file(folder / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    for value, kind, message in ((float("nan"), "f32", "NaN or infinity"), (1e6, "f16", "too large for float16")):
        bad = {**good, name: good[name].clone()}
        bad[name][0, 0] = value
        save_file(bad, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(InputError, match=message):
            export_gguf(folder, tmp_path / "m.gguf", type=kind)
        assert not (tmp_path / "m.gguf").exists()
    export_gguf(folder, tmp_path / "m.gguf", type="bf16")


def test_a_tokenizer_with_more_tokens_than_rows_is_refused(tmp_path):
    tokenizer = byte_level(RULES["smollm"])
    write_model(tmp_path / "m", tokenizer, rows=tokenizer.get_vocab_size() - 1)
    with pytest.raises(InputError, match=r"the token '<tool>'.*resize the model's embeddings"):
        export_gguf(tmp_path / "m", tmp_path / "m.gguf")


def test_a_file_of_another_kind_is_not_replaced(folder, tmp_path):
    (tmp_path / "mine.gguf").write_text("A file of mine")
    with pytest.raises(InputError, match="is a file of another kind, which would be lost"):
        export_gguf(folder, tmp_path / "mine.gguf")
    assert (tmp_path / "mine.gguf").read_text() == "A file of mine"


def test_other_names_and_types_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match=r"must end in \.gguf"):
        export_gguf(folder, tmp_path / "m.bin")
    with pytest.raises(InputError, match=r"--type must be one of .*'q2'"):
        export_gguf(folder, tmp_path / "m.gguf", type="q2")

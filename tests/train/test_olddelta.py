"""Deltas in floating point, made as the original made them, on a tiny Llama."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from evolute.errors import InputError  # noqa: E402
from evolute.train.delta import apply_delta, verify_delta  # noqa: E402
from evolute.train.shards import Weights  # noqa: E402


def llama(seed: int, vocabulary: int = 32):
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    return transformers.LlamaForCausalLM(config)


def resized(model):
    """One [PAD] more: `smart_tokenizer_and_embedding_resize` of the original."""
    before = len(model.get_input_embeddings().weight)
    model.resize_token_embeddings(before + 1, mean_resizing=False)
    for table in (model.get_input_embeddings().weight.data, model.get_output_embeddings().weight.data):
        table[-1:] = table[:-1].mean(dim=0, keepdim=True)
    return model


@pytest.fixture
def original(tmp_path):
    """Base, tuned and the delta that `make_diff` would save, in two shards and float16."""
    base, tuned = llama(1), resized(llama(1))
    with torch.no_grad():
        for weight in tuned.parameters():
            weight += 0.01 * torch.randn_like(weight)
    base.save_pretrained(tmp_path / "base")
    tuned.save_pretrained(tmp_path / "tuned")
    raw = resized(llama(1)).state_dict()
    delta = resized(llama(2))
    delta.load_state_dict({name: weight - raw[name] for name, weight in tuned.state_dict().items()})
    delta.half().save_pretrained(tmp_path / "delta", max_shard_size="6KB")
    (tmp_path / "delta" / "tokenizer_config.json").write_text("{}")
    return tmp_path


def test_it_is_applied_in_fp32_and_labelled_not_exact(original):
    assert len(list((original / "delta").glob("*.safetensors"))) > 1
    applied = apply_delta(original / "base", original / "delta", original / "out", dtype="float32")
    assert not applied.exact
    assert "mean of the base's rows" in " ".join(applied.notes)
    assert (original / "out" / "NOT-EXACT.md").read_text().startswith("# Not exact")
    assert (original / "out" / "tokenizer_config.json").exists()
    found = transformers.LlamaForCausalLM.from_pretrained(original / "out").state_dict()
    wanted = transformers.LlamaForCausalLM.from_pretrained(original / "tuned").state_dict()
    assert found.keys() == wanted.keys()
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, atol=2e-5, rtol=0)


def test_its_numbers_are_the_deltas_by_default(original):
    apply_delta(original / "base", original / "delta", original / "out")
    weights = Weights(original / "out")
    assert {weights.read(name).dtype for name in weights.where} == {torch.float16}


def test_a_whole_model_is_no_delta(original):
    with pytest.raises(InputError, match=r"looks like a whole model.*--arithmetic"):
        apply_delta(original / "base", original / "tuned", original / "out")
    assert not (original / "out").exists()
    assert apply_delta(original / "base", original / "tuned", original / "out", arithmetic=True).tensors


def test_another_base_and_verifying_are_refused(original):
    other = llama(1, vocabulary=40)
    other.save_pretrained(original / "other")
    with pytest.raises(InputError, match=r"has the shape \[33, 16\].*\[40, 16\].*another base"):
        apply_delta(original / "other", original / "delta", original / "out")
    with pytest.raises(InputError, match=r"no delta\.json"):
        verify_delta(original / "base", original / "delta")

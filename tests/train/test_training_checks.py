"""What is looked at before a training begins, so that hours are not spent on one that cannot end well."""

import importlib.util

import orjson
import pytest
from tinyllama import write_rows, write_tiny

from evolute.errors import InputError, RecipeError
from evolute.pipeline.training import plan, train

torch = pytest.importorskip("torch")

SETTINGS = {
    "learning_rate": 3e-3, "warmup": 0.0, "batch": 4, "micro_batch": 2, "max_length": 96, "precision": "float32",
    "gradient_checkpointing": False, "schedule": "constant", "epochs": 1, "samples": 2, "sample_tokens": 24,
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"report_to": "trackio"}, "report_to: trackio needs a package that is not installed"),
        ({"optimizer": "adamw_bnb_8bit"}, "optimizer: adamw_bnb_8bit needs .* pip install bitsandbytes"),
        ({"attention": "flash_attention_2"}, "attention: flash_attention_2 cannot be had"),
    ],
)
def test_a_package_that_is_missing_is_said_before_anything_is_written(settings, message, base, rows, tmp_path):
    package = {"report_to": "trackio", "optimizer": "bitsandbytes", "attention": "flash_attn"}[next(iter(settings))]
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    with pytest.raises(InputError, match=message):
        train(rows, out=tmp_path / "out", base=str(base), settings=SETTINGS | settings)
    assert not (tmp_path / "out").exists()


def test_devices_that_cannot_share_a_batch_are_told_how():
    from evolute.recipe.trainingfiles import resolve_training

    with pytest.raises(RecipeError, match="make it a multiple of 6"):
        resolve_training(None, SETTINGS).accumulation(3)


def other(base, folder, config):
    """The same tokenizer, with a model of another architecture."""
    import shutil

    from transformers import AutoModelForCausalLM

    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("*.safetensors", "*config.json"))
    shutil.copy(base / "tokenizer_config.json", folder)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def test_packing_is_refused_where_an_example_would_see_another(base, rows, tmp_path):
    """OPT, which WizardLM's script names first, and BLOOM heed no places in a pack."""
    from transformers import BloomConfig, OPTConfig

    opt = OPTConfig(
        vocab_size=82, hidden_size=32, ffn_dim=32, num_hidden_layers=1, num_attention_heads=2, word_embed_proj_dim=32
    )
    bloom = BloomConfig(vocab_size=82, hidden_size=32, n_layer=1, n_head=2)
    for name, config, attention in (("opt", opt, "sdpa"), ("bloom", bloom, "eager")):
        folder = other(base, tmp_path / name, config)
        settings = SETTINGS | {"packing": True, "attention": attention}
        with pytest.raises(InputError, match=rf"packing: in this architecture \({name}\) .* --set packing=false"):
            plan(rows, base=str(folder), settings=settings)
    plan(rows, base=str(base), settings=SETTINGS | {"packing": True})


def test_examples_beyond_what_the_base_was_made_for_are_told_of(base, rows, tmp_path):
    from transformers import OPTConfig

    long = {"instruction": "Q", "output": "a" * 600}
    (tmp_path / "long.jsonl").write_bytes(orjson.dumps(long) + b"\n")
    said = []
    plan(tmp_path / "long.jsonl", base=str(base), settings=SETTINGS | {"max_length": 2048}, say=said.append)
    assert any("and the base was made for 512" in line for line in said)
    opt = OPTConfig(
        vocab_size=82, hidden_size=32, ffn_dim=32, num_hidden_layers=1, num_attention_heads=2, word_embed_proj_dim=32,
        max_position_embeddings=64,
    )  # fmt: skip
    folder = other(base, tmp_path / "opt", opt)
    with pytest.raises(InputError, match="this base has places for 64: --set max_length=64"):
        plan(tmp_path / "long.jsonl", base=str(folder), settings=SETTINGS | {"max_length": 2048})
    # Answers to look at stay within it as well.
    done = train(rows, out=tmp_path / "out", base=str(folder), settings=SETTINGS | {"sample_tokens": 500}, max_steps=1)
    assert len(done.samples) == 2


def test_a_row_that_the_format_cannot_write_is_named_or_left_out(base, rows, tmp_path):
    settings = SETTINGS | {"format": "wizardlm-7b"}
    with pytest.raises(InputError, match=r"rows\.jsonl, line 1: .* for one turn only[^\n]*\n.*skip_bad"):
        plan(rows, base=str(base), settings=settings)
    with pytest.raises(InputError, match="none of the conversations can be written"):
        plan(rows, base=str(base), settings=settings | {"skip_bad": True})
    system = {"role": "system", "content": ""}  # says nothing: there is room for that in any format
    turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    with rows.open("ab") as file:
        file.write(orjson.dumps({"messages": [system, *turns]}) + b"\n")
    said = []
    plan(rows, base=str(base), settings=settings | {"skip_bad": True}, say=said.append)
    assert any("left out: 8 that cannot be written in this format, first" in line for line in said)
    assert any("1 examples to train on" in line for line in said)


def test_a_base_that_memory_cannot_hold_is_refused_before_it_is_read(rows, base, tmp_path):
    from transformers import LlamaConfig

    folder = tmp_path / "huge"
    folder.mkdir()
    LlamaConfig(hidden_size=1 << 18, intermediate_size=1 << 18, num_hidden_layers=1).save_pretrained(folder)
    (folder / "model.safetensors").write_bytes(b"not read")
    with pytest.raises(InputError, match=r"this training needs about [\d.]+ GiB .* GiB free"):
        train(rows, out=tmp_path / "out", base=str(folder), settings=SETTINGS)
    assert not (tmp_path / "out").exists()


def test_memory_that_the_base_itself_holds_is_not_asked_for_twice(base, rows, tmp_path, monkeypatch):
    """What is free is looked at before the base is there: the estimate counts its weights."""
    from evolute.pipeline import trainingrun

    order = []

    def spied(name, real):
        monkeypatch.setattr(trainingrun, name, lambda *args, **more: order.append(name) or real(*args, **more))

    spied("free_memory", trainingrun.free_memory)
    spied("open_base", trainingrun.open_base)
    plan(rows, base=str(base), settings=SETTINGS)
    assert order == ["free_memory", "open_base"]


def test_files_named_like_a_held_out_split_are_not_trained_on(tmp_path):
    from evolute.pipeline.conversing import read_conversations

    names = ("train.jsonl", "developers.jsonl", "evalanche.jsonl", "val.jsonl", "Test.jsonl", "dev_2.jsonl")
    for name in names:
        write_rows(tmp_path / name, 1)
    read = {one.where.rpartition(",")[0].rpartition("/")[2] for one in read_conversations(tmp_path)}
    assert read == {"train.jsonl", "developers.jsonl", "evalanche.jsonl"}

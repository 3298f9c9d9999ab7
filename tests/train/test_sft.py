"""Supervised fine-tuning of a tiny Llama: what it learns, what it must not see, and what it refuses."""

import importlib.util

import orjson
import pytest
from tinyllama import write_rows, write_tiny

from evolute.errors import EvoluteError, InputError, RecipeError
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


def opened(base, **settings):
    """A base and a recipe, as a training has them."""
    from evolute.formats import find_format
    from evolute.recipe.trainingfiles import resolve_training
    from evolute.train.opening import open_base

    recipe = resolve_training(None, SETTINGS | settings)
    return open_base(str(base), find_format(recipe.format), recipe), recipe


def encoded(base, recipe, rows):
    from evolute.formats import find_format
    from evolute.pipeline.trainingdata import read_corpus
    from evolute.train.examples import encode

    return encode(read_corpus(rows).conversations, base.tokenizer, find_format(recipe.format), recipe)


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_eight_rows_are_learned_by_heart_and_answers_stop(base, rows, tmp_path):
    said = []
    done = train(rows, out=tmp_path / "out", base=str(base), settings=SETTINGS | {"epochs": 100}, say=said.append)
    assert done.loss < 0.02
    assert done.stopped == len(done.samples) == 2
    assert done.samples[1].answer == "Yes, 1."
    assert done.warnings == ()
    lines = [orjson.loads(line) for line in (done.folder / "metrics.jsonl").read_bytes().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 201))
    assert any("lengths in tokens" in line for line in said)
    config = orjson.loads((done.folder / "generation_config.json").read_bytes())
    assert (config["eos_token_id"], config["pad_token_id"]) == (2, 1)
    assert orjson.loads((done.folder / "training.json").read_bytes())["finished"] is True
    assert {"README.md", "curve.png", "chat_template.jinja", "model.safetensors"} <= {
        path.name for path in done.folder.iterdir()
    }
    assert not [path for path in done.folder.rglob("*") if path.suffix in (".bin", ".pkl")]
    assert (done.folder / "model.safetensors").stat().st_mode & 0o777 == 0o644  # others may read it, too
    assert train(rows, out=tmp_path / "out", base=str(base), settings=SETTINGS | {"epochs": 100}).again


def test_what_the_user_says_teaches_nothing(base, rows):
    """The gradient is that of the answers' tokens alone; other labels than theirs have no say in it."""
    from evolute.train.examples import IGNORED

    opening, recipe = opened(base)
    example = encoded(opening, recipe, rows).kept[0]
    tokenizer = opening.tokenizer
    learned = [token for token, label in zip(example.ids, example.labels, strict=True) if label != IGNORED]
    assert tokenizer.decode(learned) == "It is aaa.<end>Yes, 0.<end>"
    ids, labels = torch.tensor([list(example.ids)]), torch.tensor([list(example.labels)])
    logits = opening.model(input_ids=ids).logits
    logits.retain_grad()
    opening.model.loss_function(logits=logits, labels=labels, vocab_size=logits.shape[-1]).backward()
    touched = logits.grad[0].abs().sum(-1) > 0
    expected = torch.tensor([label != IGNORED for label in example.labels[1:]] + [False])
    assert torch.equal(touched, expected)


def test_packed_rows_have_the_loss_and_gradient_of_single_ones(base, tmp_path):
    """Every example in a pack sees itself alone."""
    from evolute.train.metrics import Recorder
    from evolute.train.sft import make_trainer

    rows, measured = write_rows(tmp_path / "rows.jsonl", 4), {}
    for packing in (False, True):
        opening, recipe = opened(base, packing=packing, max_length=200, micro_batch=1, batch=4)
        kept = encoded(opening, recipe, rows).kept
        recorder = Recorder(tmp_path, 1, lambda _: None)
        trainer = make_trainer(opening, recipe, kept, [], tmp_path, recorder)
        batch = list(trainer.get_train_dataloader())
        tokens = torch.tensor(sum(one.learned for one in kept))
        trainer.model.train()
        loss = sum(trainer.compute_loss(trainer.model, dict(one), num_items_in_batch=tokens) for one in batch)
        loss.backward()
        measured[packing] = len(batch), loss.item(), trainer.model.model.embed_tokens.weight.grad.clone()
    assert measured[False][0] == 4
    assert measured[True][0] < 4
    assert measured[True][1] == pytest.approx(measured[False][1], rel=1e-5)
    torch.testing.assert_close(measured[True][2], measured[False][2], rtol=1e-4, atol=1e-6)


def test_merged_weights_say_what_the_adapter_says(base, rows, tmp_path):
    import peft

    out = train(rows, out=tmp_path / "out", base=str(base), settings=SETTINGS | {"method": "lora", "epochs": 5}).folder
    opening, _ = opened(base)
    merged, _ = opened(out)
    ids = torch.tensor([opening.tokenizer("What is 3?")["input_ids"]])
    with torch.no_grad():
        before = opening.model(ids).logits
        adapted = peft.PeftModel.from_pretrained(opening.model, out / "adapter").eval()(ids).logits
        after = merged.model(ids).logits
    assert (before - adapted).abs().max() > 0.1
    torch.testing.assert_close(after, adapted, rtol=1e-4, atol=1e-5)


def test_a_lineage_is_on_one_side_of_the_split(base, tmp_path):
    from evolute.train.examples import split

    paths = [write_rows(tmp_path / f"{n}.jsonl", 5, root=f"s{n}") for n in range(6)]
    whole = tmp_path / "all.jsonl"
    whole.write_bytes(b"".join(path.read_bytes() for path in paths))
    opening, recipe = opened(base)
    train_, held = split(encoded(opening, recipe, whole).kept, 0.3)
    assert len(held) == 10
    assert {one.group for one in train_} & {one.group for one in held} == set()
    opening, recipe = opened(base, validation_seed=4)
    assert {one.place for one in split(encoded(opening, recipe, whole).kept, 0.3)[1]} != {one.place for one in held}


def test_too_long_examples_are_told_of(base, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", 3)
    long = {"messages": [{"role": "user", "content": "Go"}, {"role": "assistant", "content": "a" * 100_000}]}
    with rows.open("ab") as file:
        file.write(orjson.dumps(long) + b"\n")
    said = []
    settings = SETTINGS | {"max_length": 80}
    plan(rows, base=str(base), settings=settings, say=said.append)
    assert any("dropped: 1 of 4 are longer than max_length (80)" in line for line in said)
    opening, recipe = opened(base, max_length=80, too_long="truncate")
    cut = encoded(opening, recipe, rows).kept[-1]
    assert len(cut.ids) == 80
    assert cut.labels[-1] == opening.tokenizer.convert_tokens_to_ids("a"), "no end is taught where the answer goes on"


def test_padding_is_not_what_ends_an_answer(tmp_path):
    opening, _ = opened(write_tiny(tmp_path / "one", pad="<end>"))
    assert opening.tokenizer.pad_token == "<pad>"
    assert len(opening.tokenizer) == opening.model.get_input_embeddings().weight.shape[0]
    assert "which ends answers" in opening.notes[0]


@pytest.mark.parametrize(
    ("making", "message"),
    [
        ({"chat": False}, "no chat template"),
        ({"more_tokens": ["[PAD]"]}, "tokens that the model has no embedding for"),
    ],
)
def test_a_base_that_cannot_be_trained_is_refused(making, message, rows, tmp_path):
    base = write_tiny(tmp_path / "bad", **making)
    with pytest.raises(InputError, match=message):
        train(rows, out=tmp_path / "out", base=str(base), settings=SETTINGS)
    assert not (tmp_path / "out").exists()


def test_neither_base_nor_recipe_names_tiny(rows, tmp_path):
    with pytest.raises(InputError, match=r"neither a base model nor a recipe .* --recipe tiny"):
        train(rows, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rat": 1}, "unknown field 'learning_rat'; did you mean 'learning_rate'"),
        ({"lora.rnk": 1}, "unknown field 'lora.rnk'; did you mean 'rank'"),
        ({"batch": 5}, "set micro_batch to a divisor"),
        ({"max_length": 0}, "max_length: .* got 0"),
    ],
)
def test_wrong_settings_are_named(settings, message, base, rows, tmp_path):
    with pytest.raises(RecipeError, match=message):
        train(rows, out=tmp_path / "out", base=str(base), settings=SETTINGS | settings)


def test_a_folder_of_another_training_is_left_alone(base, rows, tmp_path):
    out = tmp_path / "out"
    train(rows, out=out, base=str(base), settings=SETTINGS, max_steps=1)
    with pytest.raises(InputError, match=r"holds another training \(learning_rate 0.003, not 0.001\)"):
        train(rows, out=out, base=str(base), settings=SETTINGS | {"learning_rate": 1e-3}, max_steps=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(InputError, match="holds something that is no training"):
        train(rows, out=tmp_path / "mine", base=str(base), settings=SETTINGS)


def test_a_loss_that_cannot_be_stops_the_training(base, rows, tmp_path):
    from evolute.train.metrics import check_loss

    with pytest.raises(EvoluteError, match="the loss is nan"):
        check_loss(float("nan"), 1.0, 7)
    with pytest.raises(InputError, match="the loss is 0"):
        check_loss(0.0, 0.0, 1)
    check_loss(0.0, 0.0, 900)  # learned by heart


def test_answers_that_do_not_stop_are_told_of(base, rows, tmp_path):
    done = train(
        rows,
        out=tmp_path / "out",
        base=str(base),
        settings=SETTINGS | {"sample_tokens": 2, "learning_rate": 1e-9},
        max_steps=1,
    )
    assert done.stopped == 0
    assert "none of 2 answers stopped by itself" in done.warnings[0]
    assert "stopped by itself" in (done.folder / "README.md").read_text()


def test_the_validation_loss_is_that_of_a_token_however_it_is_batched(base, tmp_path):
    rows = [
        {"instruction": f"Q {n}", "output": "a" * 60 if n % 2 else "b"}  # long answers are easier, or harder
        for n in range(12)
    ]
    (tmp_path / "rows.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    found = []
    for number, more in enumerate(({"micro_batch": 1}, {"micro_batch": 4}, {"packing": True, "micro_batch": 1})):
        settings = SETTINGS | more | {"validation": 0.5, "samples": 0, "learning_rate": 1e-9}
        done = train(
            tmp_path / "rows.jsonl", out=tmp_path / str(number), base=str(base), settings=settings, max_steps=1
        )
        found.append(done.validation_loss)
    assert found[1:] == pytest.approx([found[0]] * 2, rel=1e-5)


def test_the_last_loss_is_that_of_the_last_step(base, rows, tmp_path):
    done = train(rows, out=tmp_path / "out", base=str(base), settings=SETTINGS | {"log_steps": 100}, max_steps=3)
    lines = [orjson.loads(line) for line in (done.folder / "metrics.jsonl").read_bytes().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 3]
    assert done.loss == lines[-1]["loss"]


def test_a_validation_loss_that_is_no_number_stops_the_training(tmp_path):
    from types import SimpleNamespace

    from evolute.train.metrics import Recorder

    state = SimpleNamespace(is_world_process_zero=True, global_step=7, epoch=1.0, max_steps=9)
    with pytest.raises(EvoluteError, match="step 7: the loss is nan"):
        Recorder(tmp_path, 1, lambda _: None).on_log(None, state, None, {"eval_loss": float("nan")})


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

"""Supervised fine-tuning of a tiny Llama: what it learns, what it must not see, and what it refuses."""

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


def test_a_chat_template_that_ends_no_answer_is_refused(rows, tmp_path):
    base = write_tiny(tmp_path / "endless")
    template = base / "chat_template.jinja"
    template.write_text(template.read_text().replace("<end>", " "))
    with pytest.raises(InputError, match="nothing could teach it to stop"):
        train(rows, out=tmp_path / "out", base=str(base), settings=SETTINGS)
    plan(rows, base=str(base), settings=SETTINGS | {"format": "vicuna-v1.1", "max_length": 300})


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
    recorder, nan = Recorder(tmp_path, 1, lambda _: None), float("nan")
    with pytest.raises(EvoluteError, match="step 7: the loss is nan"):
        recorder.on_log(SimpleNamespace(fp16=False), state, None, {"eval_loss": nan})
    overflown = {"loss": 1.0, "grad_norm": nan, "learning_rate": 0.1}
    with pytest.raises(EvoluteError, match="its gradient nan"):
        recorder.on_log(SimpleNamespace(fp16=False), state, None, overflown)
    recorder.on_log(SimpleNamespace(fp16=True), state, None, overflown)  # its step was left out, and training goes on

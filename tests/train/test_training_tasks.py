"""Preferences and evolvers, trained from their dataset to their folder."""

import orjson
import pytest
from tinyllama import write_tiny

from evolute import api
from evolute.errors import InputError
from evolute.pipeline.preferring import read_preferences
from evolute.pipeline.training import plan, train

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

SETTINGS = {
    "learning_rate": 3e-3, "warmup": 0.0, "batch": 4, "micro_batch": 4, "precision": "float32", "steps": 6,
    "gradient_checkpointing": False, "schedule": "constant", "samples": 1, "sample_tokens": 8,
}  # fmt: skip

FEW = {"max_length": 2048, "steps": 1, "batch": 1, "micro_batch": 1, "samples": 0}  # a letter is a token here


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def preferences(tmp_path):
    path = tmp_path / "pairs.jsonl"

    def turns(role, content):
        return [{"role": role, "content": content}]

    rows = [
        {"prompt": turns("user", f"Is {n} odd?"), "chosen": turns("assistant", "Yes."),
         "rejected": turns("assistant", "No, it is not."), "root": f"s1-{n}"}
        for n in range(8)
    ]  # fmt: skip
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def test_preferences_become_a_model(base, preferences, tmp_path, capsys):
    said = []
    settings = SETTINGS | {"max_length": 96, "validation": 0.25, "method": "lora", "learning_rate": 3e-2}
    done = train(preferences, out=tmp_path / "out", base=str(base), settings=settings, task="prefer", say=said.append)
    assert (done.steps, done.examples, done.held_out) == (6, 6, 2)
    assert capsys.readouterr().out == ""
    asked, better, worse = (len(text) for text in ("_Is 0 odd?__", "Yes._", "No, it is not._"))  # _: a control token
    assert (done.tokens, done.learned) == (6 * (2 * asked + better + worse), 6 * (better + worse))
    lines = [orjson.loads(line) for line in (done.folder / "metrics.jsonl").read_bytes().splitlines()]
    margins = [line["rewards/margins"] for line in lines if "rewards/margins" in line]
    assert margins[-1] > margins[0] + 0.05
    assert (done.folder / "model.safetensors").is_file()
    assert "as the preferences that it was shown would have it" in (done.folder / "README.md").read_text()
    assert "Why is the sky blue?<end><|assistant|>" in (done.folder / "README.md").read_text()
    assert any("the preferred answer is the longer one in 0 of 8 pairs" in line for line in said)
    again = train(preferences, out=tmp_path / "out", base=str(base), settings=settings, task="prefer")
    assert again.again


def test_targets_that_no_layer_has_are_named(base, preferences, tmp_path):
    settings = SETTINGS | {"max_length": 96, "method": "lora", "lora.targets": "nope"}
    with pytest.raises(InputError, match=r"lora\.targets: 'nope'"):
        train(preferences, out=tmp_path / "out", base=str(base), settings=settings, task="prefer")


def test_what_is_no_preference_names_its_line(preferences, tmp_path):
    with preferences.open("ab") as file:
        file.write(b'{"prompt": "p", "chosen": "a", "rejected": "a"}\n')
    with pytest.raises(InputError, match=r"pairs\.jsonl, line 9: chosen and rejected are the same"):
        read_preferences(preferences)
    with preferences.open("ab") as file:
        file.write(b"{broken\n")
    left_out = []
    assert len(read_preferences(preferences, left_out)) == 8
    assert ["line 9: chosen and" in left_out[0], "line 10: " in left_out[1], len(left_out)] == [True, True, 2]
    (tmp_path / "empty.jsonl").write_bytes(b"\n")
    with pytest.raises(InputError, match=r"empty\.jsonl"):
        read_preferences(tmp_path / "empty.jsonl")
    with pytest.raises(InputError, match="no such file"):
        read_preferences(tmp_path / "missing")


def test_a_preference_that_the_format_cannot_write_is_named_or_left_out(base, preferences, tmp_path):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    with preferences.open("ab") as file:
        file.write(orjson.dumps({"prompt": turns, "chosen": "d", "rejected": "e"}) + b"\n")
        file.write(b'{"prompt": "p", "chosen": "a", "rejected": "a"}\n')
    settings = SETTINGS | {"max_length": 96, "format": "wizardlm-7b"}
    with pytest.raises(InputError, match="line 10: chosen and rejected are the same"):
        plan(preferences, base=str(base), settings=settings, task="prefer")
    said = []
    plan(preferences, base=str(base), settings=settings | {"skip_bad": True}, task="prefer", say=said.append)
    assert any("9 pairs; 8 examples to train on" in line for line in said)
    assert any("left out: 1 rows that cannot be trained on" in line for line in said)
    assert any("left out: 1 that cannot be written in this format, first" in line for line in said)
    preferences.write_bytes(b"\n".join(preferences.read_bytes().splitlines()[:9]))
    with pytest.raises(InputError, match=r"pairs\.jsonl, line 9: .*one turn only"):
        plan(preferences, base=str(base), settings=settings, task="prefer")


def test_a_run_becomes_an_evolver(base, seeds_file, tmp_path):
    settings = {"models.default.api": "scripted", "models.default.model": "scripted", "evolve.respond": "never",
                "evolve.operations": {"deepen": 1.0}, "evolve.branches": 3}  # fmt: skip
    api.evolve(str(seeds_file(4)), out=tmp_path / "run", recipe="wizardlm", settings=settings)
    said = []
    done = train(tmp_path / "run", out=tmp_path / "out", base=str(base), settings=SETTINGS | FEW,
                 task="evolver", say=said.append)  # fmt: skip
    assert said[0].startswith("kept evolutions to learn from:")
    kept = [orjson.loads(line) for line in (tmp_path / "out" / "evolutions.jsonl").read_bytes().splitlines()]
    assert done.examples == len(kept) > 4
    card = (tmp_path / "out" / "README.md").read_text()
    assert "asked by `evolute evolve`" in card
    assert "| evolver | scripted |" in card
    # Its negatives can be trained on as they lie there.
    assert len(read_preferences(tmp_path / "out" / "pairs.jsonl")) > 0


def test_demonstrations_are_shown_and_not_learned(base, tmp_path, monkeypatch):
    from evolute.formats import find_format
    from evolute.pipeline import evolver
    from evolute.recipe.trainingfiles import resolve_training
    from evolute.records import Message
    from evolute.train.examples import IGNORED
    from evolute.train.opening import open_base

    turns = (Message("user", "a"), Message("assistant", "shown"), Message("user", "b"))
    found = evolver.EvolverSet(kept=[evolver.Evolution("i1-0", "s1-0", "deepen", turns, "learned")])
    monkeypatch.setattr(evolver, "evolver_set", lambda run: found)
    monkeypatch.setattr(evolver, "_teachers", lambda run: [])
    recipe = resolve_training(None, SETTINGS | {"base": str(base)})
    training = evolver.EvolverTraining(tmp_path, tmp_path / "out", recipe, lambda _: None)
    opened = open_base(str(base), find_format("chat"), recipe)
    (one,) = training.encode(opened).kept
    text = opened.tokenizer.decode([label for label in one.labels if label != IGNORED])
    assert "learned" in text
    assert "shown" not in text
    assert "shown" in opened.tokenizer.decode(list(one.ids))


def test_a_dry_run_counts_and_writes_nothing(base, preferences, tmp_path):
    said = []
    plan(preferences, base=str(base), settings=SETTINGS | {"max_length": 96}, task="prefer", say=said.append)
    assert any("8 pairs" in line for line in said)
    assert said[-1].startswith("a dry run: nothing was trained or written. It would be about ")
    assert not (tmp_path / "out").exists()

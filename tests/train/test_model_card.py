"""A model's card: valid for the hub, and deaf to what names and texts would like to do in it."""

import yaml

from evolute.train.card import ModelFacts, model_card

EVIL = "x`](http://evil)<script>alert(1)</script>\n---\nlicense: mit\n# Heading | cell $x$ \x1b[31m"


def front(card):
    assert card.startswith("---\n")
    return yaml.safe_load(card[4:].split("\n---\n", 1)[0])


def test_a_card_tells_where_a_model_comes_from() -> None:
    card = model_card(
        ModelFacts(
            "tuned", base="meta-llama/Llama-2-7b", base_hash="ab" * 16, format="vicuna-v1.1", version="1.2",
            prompt="A chat. USER: Hi ASSISTANT:", dataset="run", dataset_hash="cafe", rows=1200, held_out=60,
            left_out=[("too long", 3)], models=[("evolver", "gpt-x"), ("responder", "gpt-y")],
            figures=[("steps", "30"), ("loss", "1.23")], curve="curve.png", recipe_name="wizardlm-7b",
            recipe="batch: 64",
            limits=["2 of 4 answers did not stop"],
        )
    )  # fmt: skip
    meta = front(card)
    assert meta["base_model"] == "meta-llama/Llama-2-7b"
    assert meta["base_model_relation"] == "finetune"
    assert "license" not in meta
    assert "# license: yours to fill in" in card
    for told in (
        "all weights, after the recipe wizardlm-7b", "A chat. USER: Hi ASSISTANT:", "hash cafe", "| rows | 1,200 |",
        "| too long | 3 |", "| responder | gpt-y |", "| loss | 1.23 |", "(<curve.png>)", "2 of 4 answers", "batch: 64",
        "evolute chat path/to/this/folder",
    ):  # fmt: skip
        assert told in card


def test_the_hub_reads_it() -> None:
    import pytest

    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(model_card(ModelFacts("m", base="a/b", method="lora", merged=False, task="prefer"))).data
    assert (data.library_name, data.base_model, data.pipeline_tag) == ("peft", "a/b", "text-generation")
    assert data.tags == ["evolute", "evol-instruct", "dpo", "lora"]


def test_a_local_base_is_no_name_on_the_hub() -> None:
    assert "base_model" not in front(model_card(ModelFacts("m", base="my folder/base", dataset="../x")))


def test_texts_of_others_have_no_effect() -> None:
    facts = ModelFacts(
        EVIL, base=EVIL, base_hash=EVIL, version=EVIL, recipe_name=EVIL, recipe=f"```\n{EVIL}", format=EVIL,
        prompt=f"````\n{EVIL}", dataset=EVIL, dataset_hash=EVIL, rows=1, left_out=[(EVIL, 1)], models=[(EVIL, EVIL)],
        figures=[(EVIL, EVIL)], curve=EVIL, limits=[EVIL],
    )  # fmt: skip
    card = model_card(facts)
    assert front(card) == front(model_card(ModelFacts("m")))
    prose, inside = [], ""
    for line in card.split("\n---\n", 1)[1].splitlines():
        marks = len(line) - len(line.lstrip("`"))
        if marks >= 3 and (not inside or line == inside):
            inside = "" if inside else "`" * marks
        elif not inside:
            prose.append(line)
    assert not inside
    shown = "\n".join(prose)
    assert "<script>" not in shown
    assert "](http" not in shown
    assert "\x1b" not in card
    assert not any(line.startswith("# Heading") for line in prose)
    assert "license: mit" not in prose


def test_what_is_not_known_is_said() -> None:
    card = model_card(ModelFacts("m"))
    assert "a base model that is not stated" in card
    assert "The prompt format is not stated" in card
    assert "Who wrote it is not stated" in card


def test_an_evolver_is_run_by_evolving() -> None:
    card = model_card(ModelFacts("m", task="evolver"))
    assert "--set roles.evolver.model=mine" in card
    assert "evolute chat" not in card

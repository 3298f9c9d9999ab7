"""docs/train.md says what there is."""

from pathlib import Path

from evolute.recipe.explaining import as_markdown, explain_part
from evolute.recipe.training import TrainRecipe
from evolute.recipe.trainingfiles import resolve_training, train_recipes

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "train.md").read_text(encoding="utf-8")


def test_every_field_is_described_as_it_is():
    fields = explain_part(TrainRecipe)
    assert [field.name for field in fields if not field.description] == []
    assert as_markdown(fields) in PAGE


def test_every_recipe_is_sound_and_named():
    for name in train_recipes():
        recipe = resolve_training(name)
        assert recipe.name == name
        assert f"`{name}`" in PAGE
        assert recipe.accumulation() * recipe.micro_batch == recipe.batch

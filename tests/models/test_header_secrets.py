import traceback

import pydantic
import pytest

from evolute import recipe
from evolute.errors import RecipeError

SECRET = "sk-planted-77e2"


def resolved(headers):
    return recipe.resolve({"models": {"default": {"headers": headers}}}, "mine.yaml")


@pytest.mark.parametrize("name", ["Authorization", "authorization", "X-API-Key", "api-key", "COOKIE", " Cookie "])
def test_a_literal_secret_in_a_recipe_is_refused_and_not_shown(name):
    with pytest.raises(RecipeError) as caught:
        resolved({"X-Team": "a", name: f"Bearer {SECRET}"})
    said = str(caught.value)
    assert said.startswith("mine.yaml: models.default.headers: ")
    assert repr(name) in said
    assert "$NAME" in said
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("headers", [f"Authorization: {SECRET}", [SECRET], {"Authorization": [SECRET]}])
def test_headers_of_the_wrong_shape_are_not_shown(headers):
    with pytest.raises(RecipeError, match=r"models\.default\.headers") as caught:
        resolved(headers)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_model_made_in_python_does_not_show_it_either():
    with pytest.raises(pydantic.ValidationError, match="Authorization") as caught:
        recipe.ModelSpec(headers={"Authorization": SECRET})
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_named_variables_and_other_headers_are_taken():
    headers = {"Authorization": "Bearer $TOK", "x-api-key": "$TOK", "api-key": "", "X-Team": "a"}
    assert resolved(headers).models["default"].headers == headers


def test_a_copy_may_hold_a_key_of_this_process():
    spec = recipe.ModelSpec().model_copy(update={"headers": {"Authorization": SECRET}})
    assert spec.headers == {"Authorization": SECRET}

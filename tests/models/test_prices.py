import subprocess
import sys

import pytest

from evolute.models.prices import cost, unit_price
from evolute.recipe import ModelSpec, Price
from evolute.records import Usage


def test_the_recipes_own_price_comes_first():
    price = Price(input=1, output=2)
    assert unit_price(ModelSpec(model="gpt-4o-mini", base_url="https://api.openai.com/v1", price=price)) is price


@pytest.mark.parametrize("api", ["embedded", "scripted"])
def test_what_runs_here_in_process_is_free(api):
    assert unit_price(ModelSpec(api=api)) == Price(input=0, output=0)


def test_a_listed_model_has_its_price_for_ordinary_calls():
    price = unit_price(ModelSpec(model="gpt-4o-mini", base_url="https://api.openai.com/v1"))
    assert (price.input, price.output, price.cached) == pytest.approx((0.15, 0.6, 0.075))
    claude = unit_price(ModelSpec(api="anthropic", model="claude-sonnet-4-5", base_url="https://api.anthropic.com/v1"))
    assert (claude.input, claude.output) == pytest.approx((3, 15))  # not the dearer price of very long prompts


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("gpt-4o-mini", "http://localhost:8000/v1"),
        ("no-such-model", "https://api.openai.com/v1"),
        ("gpt-4o-mini", "https://llm.example.com/v1"),
    ],
)
def test_an_unknown_price_is_none(model, base_url):
    assert unit_price(ModelSpec(model=model, base_url=base_url)) is None
    assert cost(Usage(prompt=9), None) is None


def test_cached_tokens_cost_their_own_price():
    usage = Usage(prompt=1_000_000, completion=500_000, cached=400_000)
    assert cost(usage, Price(input=2, output=10)) == pytest.approx(7.0)
    assert cost(usage, Price(input=2, output=10, cached=0.5)) == pytest.approx(6.4)


def test_the_table_is_imported_only_when_wanted():
    code = "import sys, evolute.models.prices; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""What tokens cost: the recipe's price, else the table that comes with genai-prices. Nothing is fetched.

An unknown price is None, shown as unknown and never as 0.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from evolute.models.http import is_private
from evolute.recipe import ModelSpec, Price
from evolute.records import Usage

_SAMPLE = 1000  # tokens priced to learn the price of one: some models cost more beyond 128,000 in a call


def unit_price(spec: ModelSpec) -> Price | None:
    """US dollars per million tokens, or None where nobody can say.

    A model in this process (embedded, local, scripted) costs nothing. An endpoint on this machine or network costs
    what the recipe says, which is unknown if it says nothing.
    """
    if spec.price is not None:
        return spec.price
    if spec.api in ("embedded", "local", "scripted"):
        return Price(input=0, output=0)
    return _listed_price(spec.model, spec.base_url)


def cost(usage: Usage, price: Price | None, share: float = 1.0) -> float | None:
    """US dollars for these tokens at a share of the price; None where the price is unknown."""
    if price is None:
        return None
    cached = price.input if price.cached is None else price.cached
    whole = (usage.prompt - usage.cached) * price.input + usage.cached * cached + usage.completion * price.output
    return share * whole / 1e6


def batch_share(spec: ModelSpec, provider: str) -> float:
    """The share of the normal price that a call in a batch costs.

    Half, at OpenAI (https://platform.openai.com/docs/guides/batch) and at Anthropic
    (https://docs.anthropic.com/en/docs/build-with-claude/batch-processing), unless the recipe says otherwise; what is
    answered by hand costs what it costs.
    """
    if spec.batch is not None and spec.batch.discount is not None:
        return spec.batch.discount
    return 1.0 if provider == "files" else 0.5


def discounted(price: Price | None, share: float) -> Price | None:
    """A price at a share of it."""
    if price is None:
        return None
    cached = None if price.cached is None else share * price.cached
    return Price(input=share * price.input, output=share * price.output, cached=cached)


def _listed_price(model: str, base_url: str) -> Price | None:
    if is_private(urlsplit(base_url).hostname or ""):
        return None
    import genai_prices  # a third of a second: only when a price is wanted

    def price(**tokens: int) -> genai_prices.types.PriceCalculation:
        return genai_prices.calc_price(genai_prices.Usage(**tokens), model, provider_api_url=base_url)

    try:
        given = price(input_tokens=_SAMPLE)
        cached = price(input_tokens=_SAMPLE, cache_read_tokens=_SAMPLE)
        written = price(output_tokens=_SAMPLE)
    except LookupError:  # the provider or the model is not in the table
        return None
    scale = 1e6 / _SAMPLE
    return Price(
        input=float(given.input_price) * scale,
        output=float(written.output_price) * scale,
        cached=float(cached.input_price) * scale,
    )

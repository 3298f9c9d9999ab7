"""Which provider takes a model's batches, and the loopback server's switches for them."""

from dataclasses import fields

import pytest

from evolute.errors import AuthenticationFailed, InputError
from evolute.models.batching.opening import open_provider, provider_name
from evolute.models.loopback import BatchFaults, _arguments
from evolute.recipe import BatchSpec, ModelSpec

URL = "http://localhost:8000/v1"


@pytest.mark.parametrize(
    ("given", "provider"),
    [
        ({"base_url": URL}, "openai"),
        ({"base_url": URL, "api": "completions"}, "openai"),
        ({"base_url": URL, "api": "anthropic"}, "anthropic"),
        ({}, "files"),
        ({"base_url": URL, "batch": BatchSpec(provider="files")}, "files"),
        ({"base_url": URL, "batch": BatchSpec()}, "openai"),
    ],
)
async def test_the_provider_follows_from_the_model(given, provider, tmp_path):
    spec = ModelSpec(model="m", **given)
    assert provider_name(spec) == provider
    async with open_provider(spec, tmp_path) as opened:
        assert type(opened).__name__ == {"openai": "OpenAI", "anthropic": "Anthropic", "files": "File"}[provider] + (
            "Batches"
        )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"api": "scripted"}, "api is 'scripted'"),
        ({"api": "embedded"}, "api is 'embedded'"),
        ({"api": "completions"}, "answers chats alone"),
        ({"base_url": URL, "batch": BatchSpec(provider="anthropic")}, "'anthropic' does not go with api 'chat'"),
        ({"base_url": URL, "replicas": [URL + "2"]}, "leave out the model's replicas"),
        ({"batch": BatchSpec(provider="openai")}, "--base-url"),
    ],
)
async def test_a_model_without_batches_is_said(given, said, tmp_path):
    with pytest.raises(InputError, match=said):
        async with open_provider(ModelSpec(model="m", **given), tmp_path):
            pass


async def test_a_provider_on_the_internet_wants_a_key(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(AuthenticationFailed, match="OPENAI_API_KEY"):
        async with open_provider(ModelSpec(model="m", base_url="https://api.example.com/v1"), tmp_path):
            pass


def test_every_way_that_a_batch_goes_is_a_switch_of_the_loopback_server():
    given = ["--batch-seconds", "2.5", "--batch-fail", "0.1", "--batch-shuffle", "--batch-lose", "3"]
    options = _arguments().parse_args(given)
    made = BatchFaults(**{field.name: getattr(options, f"batch_{field.name}") for field in fields(BatchFaults)})
    assert made == BatchFaults(seconds=2.5, fail=0.1, shuffle=True, lose=3)

"""The model that answers, as its flags name it; for every command that asks one model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from evolute.pipeline.starting import ANTHROPIC
from evolute.recipe import ModelSpec

EMBEDDED = ModelSpec().model
"""The embedded model's name; the beginning of it will do."""
SLOTS = 16
"""Calls in flight that suit a model in this process."""


class Flags(Protocol):
    """What the flags say of the model; None where they say nothing."""

    @property
    def base_url(self) -> str | None:
        """`--base-url`."""

    @property
    def model(self) -> str | None:
        """`--model`."""

    @property
    def api(self) -> str | None:
        """`--api`."""

    @property
    def api_key_env(self) -> str | None:
        """`--api-key-env`."""

    @property
    def concurrency(self) -> int | None:
        """`--concurrency`."""


def model_settings(flags: Flags) -> dict[str, Any]:
    """The fields `model.…` that the flags stand for; None where they leave one as it is."""
    api, base_url, key = flags.api, flags.base_url, flags.api_key_env
    if api == "anthropic":
        key, base_url = key or "ANTHROPIC_API_KEY", base_url or ANTHROPIC
    if api is None and base_url is not None:
        api = "chat"
    if api is None and base_url is None and flags.model is not None and Path(flags.model).exists():
        api = "local"
    if api is None and base_url is None and flags.model is not None and EMBEDDED.startswith(flags.model):
        api = "embedded"
    if api in ("embedded", "local"):
        name = EMBEDDED if api == "embedded" and not (flags.model or "").endswith(".gguf") else flags.model
        return {"model.api": api, "model.model": name, "model.concurrency": flags.concurrency or SLOTS}
    return {
        "model.api": api,
        "model.base_url": base_url,
        "model.model": flags.model,
        "model.api_key_env": key,
        "model.concurrency": flags.concurrency,
    }

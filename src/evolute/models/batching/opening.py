"""From a recipe's model to the provider of its batches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from evolute.errors import InputError
from evolute.models.batching import BatchProvider
from evolute.models.opening import check_address
from evolute.recipe import ModelSpec


def provider_name(spec: ModelSpec) -> str:
    """Who takes the batches of `spec`: `openai`, `anthropic` or `files`.

    Left to itself (`auto`) it is `anthropic` for that API, `openai` for an endpoint, and `files` without an address.

    Raises:
        InputError: the model has no batches, or not that way.
    """
    if spec.api in ("embedded", "local", "scripted"):
        raise InputError(
            f"batches are for models behind an API, and the model's api is {spec.api!r}: leave out --batch"
        )
    if spec.replicas:
        raise InputError("batches go to one provider: leave out the model's replicas, or --batch")
    named = spec.batch.provider if spec.batch is not None else "auto"
    if named == "auto":
        named = "anthropic" if spec.api == "anthropic" else "openai" if spec.base_url else "files"
    if (named == "anthropic") != (spec.api == "anthropic"):
        raise InputError(f"batch.provider {named!r} does not go with api {spec.api!r}: set it to auto, or set api")
    if named == "files" and spec.api != "chat":
        raise InputError(f"`vllm run-batch` answers chats alone, and the model's api is {spec.api!r}: set it to chat")
    return named


@asynccontextmanager
async def open_provider(spec: ModelSpec, folder: Path) -> AsyncIterator[BatchProvider]:
    """Open the batch API that `spec` names; `folder` is where the files of requests are written.

    Raises:
        InputError: the model has no batches, or no address; or as `Http`.
        AuthenticationFailed: the key's variable is unset.
    """
    name = provider_name(spec)
    if name == "files":
        from evolute.models.batching.files import FileBatches

        yield FileBatches(spec, folder)
        return
    check_address(spec)
    from evolute.models.batching.client import BatchHttp  # an HTTP client: not for files

    async with BatchHttp(spec) as http:
        if name == "anthropic":
            from evolute.models.batching.anthropic import AnthropicBatches

            yield AnthropicBatches(http, spec, folder)
        else:
            from evolute.models.batching.openai import OpenAIBatches

            yield OpenAIBatches(http, spec)

"""From a recipe's model to something that answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from evolute.errors import InputError
from evolute.models import Model
from evolute.recipe import ModelSpec


@asynccontextmanager
async def open_endpoint(spec: ModelSpec) -> AsyncIterator[Model]:
    """Open the model that `spec` describes: one try per request, no pacing, no memory.

    Raises:
        InputError: the recipe gives no address for a model that is reached over HTTP.
        MissingExtra: the embedded model is not installed.
    """
    # Each way is imported where it is taken: the scripted model needs no HTTP client, and HTTP no llama.cpp.
    if spec.api == "scripted":
        from evolute.models.scripted import Scripted, evolve_script

        yield Scripted(evolve_script, latency=spec.latency)
    elif spec.api == "embedded":
        from evolute.models.embedded import Embedded

        async with Embedded(spec) as embedded:
            yield embedded
    else:
        if not spec.base_url:
            raise InputError(f"model {spec.model!r} has no address: give --base-url URL, or models.….base_url")
        from evolute.models.http import Http

        async with Http(spec) as http:
            yield http

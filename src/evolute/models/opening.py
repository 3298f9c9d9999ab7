"""From a recipe's model to something that answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from evolute.errors import InputError
from evolute.models import Model
from evolute.recipe import ModelSpec


def check_address(spec: ModelSpec) -> None:
    """Look that the recipe says where a model is that is reached over HTTP.

    Raises:
        InputError: it does not.
    """
    if not spec.base_url:
        raise InputError(
            "the recipe's model has no address: give --base-url URL and --model NAME, or set models.NAME.base_url and "
            ".model in the recipe (`evolute init` writes one)"
        )


@asynccontextmanager
async def open_endpoint(spec: ModelSpec) -> AsyncIterator[Model]:
    """Open the model that `spec` describes: one try per request, no pacing, no memory.

    Raises:
        InputError: the recipe gives no address for a model that is reached over HTTP, the embedded model is not
            installed, or a local one's files cannot be opened.
        MissingExtra: torch or transformers are not installed, and the model is a folder.
    """
    # Each way is imported where it is taken: the scripted model needs no HTTP client, and HTTP no llama.cpp.
    if spec.api == "scripted":
        from evolute.models.scripted import Scripted, evolve_script

        yield Scripted(evolve_script, latency=spec.latency)
    elif spec.api == "embedded":
        from evolute.models.embedded import Embedded

        async with Embedded(spec) as embedded:
            yield embedded
    elif spec.api == "local":
        from evolute.models.weights import find_model

        if Path(spec.model).suffix == ".gguf" or find_model(spec.model).path.suffix == ".gguf":
            from evolute.models.embedded import Embedded

            async with Embedded(spec) as embedded:
                yield embedded
        else:
            from evolute.models.local import Local

            async with Local(spec) as local:
                yield local
    else:
        check_address(spec)
        from evolute.models.http import Http

        async with Http(spec) as http:
            yield http

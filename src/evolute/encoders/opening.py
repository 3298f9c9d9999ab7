"""From an encoder's name in a recipe to the encoder."""

from __future__ import annotations

from collections.abc import Mapping

from evolute.encoders import Encoder
from evolute.encoders.endpoint import EndpointEncoder, VectorStore
from evolute.errors import InputError
from evolute.recipe import ModelSpec

STATIC = "static"
SENTENCE = "sentence-transformers:"


def open_encoder(name: str, models: Mapping[str, ModelSpec], store: VectorStore | None = None) -> Encoder:
    """The encoder that a recipe names.

    Args:
        name: `static` (the shipped one), `sentence-transformers:NAME_OR_PATH`, or one of `models`.
        models: the recipe's, by name; one with an OpenAI-compatible `/embeddings` endpoint can be an encoder.
        store: where an endpoint's vectors are remembered.

    Raises:
        InputError: there is none of that name, or it cannot be an encoder here.
        AuthenticationFailed: an endpoint's key is unset.
    """
    if name == STATIC:
        from evolute.encoders.static import shipped

        return shipped()
    if name.startswith(SENTENCE):
        from evolute.encoders.sentence import SentenceEncoder

        return SentenceEncoder(name.removeprefix(SENTENCE))
    if name in models:
        return EndpointEncoder(models[name], store)
    known = ", ".join(sorted(models)) or "none"
    raise InputError(
        f"there is no encoder {name!r}: write {STATIC!r}, '{SENTENCE}NAME_OR_PATH', or one of the recipe's models "
        f"(here: {known})"
    )

"""The trained model as a folder that any tool opens: safetensors, tokenizer, chat template, generation settings."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.formats import Format
from evolute.models.weights import LocalModel, open_files
from evolute.recipe.training import TrainRecipe
from evolute.train.opening import Base

ADAPTER = "adapter"
"""The folder, in a trained model's, that holds the adapter of LoRA and QLoRA."""


@contextmanager
def putting_into(out: Path) -> Iterator[Path]:
    """A folder to fill, whose files are put into `out` when the block ends well; what opens a model, at the very end.

    A folder without config.json is no model to anybody, so that none is taken for one before all of it is there.

    Raises:
        InputError: it cannot be written, or the disk is full.
    """
    partial = out / f".evolute-{secrets.token_hex(6)}.partial"
    try:
        partial.mkdir()
        yield partial
        for weights in partial.rglob("*.safetensors"):
            weights.chmod(0o644)  # safetensors lets only its owner read it
        for path in sorted(partial.iterdir(), key=lambda path: (path.name == "config.json", path.name)):
            target = out / path.name
            if target.is_dir():
                shutil.rmtree(target)
            path.rename(target)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def save_trained(
    model: Any,  # noqa: ANN401
    base: Base,
    format: Format,
    recipe: TrainRecipe,
    folder: Path,
    dtype: str,
    weights: dict[str, Any] | None = None,
) -> Any:  # noqa: ANN401
    """Write the model and its tokenizer, an adapter merged where the recipe says so; the model as it was written.

    Args:
        model: transformers' or peft's, as it came out of the training.
        base: what it was made of.
        format: becomes the tokenizer's chat template, and says where answers end.
        recipe: says the method.
        folder: an empty folder.
        dtype: in which the weights are written.
        weights: those of a model that was spread over devices, brought together; None: the model holds them.
    """
    import torch

    from evolute.formats.encoding import install_template

    install_template(base.tokenizer, format)
    base.tokenizer.save_pretrained(folder)
    if recipe.method != "full":
        model.save_pretrained(folder / ADAPTER, state_dict=weights)
        (folder / ADAPTER / "README.md").unlink(missing_ok=True)  # peft's, which is empty
        if not recipe.lora.merge:
            return model
        apart = recipe.method == "qlora" or weights is not None
        model, weights = (merged(model, base, folder / ADAPTER) if apart else model.merge_and_unload()), None
    _set_endings(model, base)
    kind = getattr(torch, dtype)
    if weights is None:
        model = model.to(kind)
        model.save_pretrained(folder)
        return model
    model.config.dtype = kind
    model.save_pretrained(folder, state_dict={name: tensor.to(kind) for name, tensor in weights.items()})
    return open_files(LocalModel(folder, folder.name), device=str(base.model.device), extra="train")[0]


def merged(model: Any, base: Base, adapter: Path) -> Any:  # noqa: ANN401
    """The base, opened anew, with the adapter added: added to four bits, most of it would be rounded away."""
    import peft

    dtype = "bfloat16" if getattr(model, "is_loaded_in_4bit", False) else str(model.dtype).removeprefix("torch.")
    whole, _ = open_files(base.found, dtype=dtype, device=str(model.device), extra="train")
    return peft.PeftModel.from_pretrained(whole, adapter).merge_and_unload()


def _set_endings(model: Any, base: Base) -> None:  # noqa: ANN401
    """Where generation stops is what the training taught, and nothing else that the base had."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    settings = inner.generation_config
    endings = base.endings[0] if len(base.endings) == 1 else base.endings
    settings.eos_token_id, settings.pad_token_id = endings, base.tokenizer.pad_token_id
    inner.config.get_text_config().eos_token_id = endings
    inner.config.get_text_config().use_cache = True
    if settings.temperature not in (None, 1.0) or settings.top_p not in (None, 1.0) or settings.top_k:
        settings.do_sample = True  # else transformers refuses to write them

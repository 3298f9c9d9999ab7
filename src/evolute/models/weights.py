"""A model's own files: found, named by what they hold, and opened with transformers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from evolute.errors import InputError, MissingExtra
from evolute.models.embedded import find_weights
from evolute.recipe import ModelSpec
from evolute.recipe.modelfiles import deciding_files, files_hash

_WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt")
DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model's files: a folder as transformers writes it, or one `.gguf`. `name` is what results call it."""

    path: Path
    name: str

    def identity(self) -> str:
        """A hash of weights, configuration and tokenizer: another content is another model, wherever it lies."""
        return files_hash(self.path)

    def files(self) -> list[Path]:
        """The files that decide what it says."""
        return deciding_files(self.path)


def find_model(name: str) -> LocalModel:
    """The model's files: a folder, a `.gguf` file, or `smollm2` for the embedded model's weights.

    Raises:
        InputError: they are not there, or are no model's.
    """
    if name and not Path(name).exists() and ModelSpec().model.startswith(name):
        return LocalModel(find_weights(), ModelSpec().model)
    path = Path(name)
    if path.is_file() and path.suffix == ".gguf":
        if not begins_as_gguf(path):
            raise InputError(f"{name}: not a GGUF file: it does not begin with the letters GGUF; was it copied whole?")
        return LocalModel(path, path.stem)
    if path.is_file():
        raise InputError(f"{name}: not a model: expected a .gguf file, or a folder as transformers writes it")
    if not path.is_dir():
        raise InputError(
            f"{name}: there is no such folder or .gguf file (to name a model behind an endpoint, give --base-url URL, "
            "too, where the command has that)"
        )
    if not (path / "config.json").is_file() or not any(one.suffix in _WEIGHTS for one in path.iterdir()):
        raise InputError(f"{name}: not a model's folder: it lacks config.json or the weights (.safetensors, .bin)")
    return LocalModel(path.resolve(), path.resolve().name)


def begins_as_gguf(path: Path) -> bool:
    """Whether a file begins as llama.cpp's files do (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def open_files(
    found: LocalModel, *, dtype: str = "auto", device: str | None = None, extra: str = "evaluate"
) -> tuple[Any, Any]:
    """The model (in evaluation mode, on its device) and its tokenizer, from its files alone.

    Nothing is downloaded, and no code of the model's own is run.

    Args:
        found: its files.
        dtype: of the numbers it computes with; "auto": as its files say, float32 for a `.gguf`.
        device: "cpu", "cuda", …; None: the first accelerator, or else the processor.
        extra: of Evolute's extras, the one to name where torch or transformers are missing.

    Raises:
        MissingExtra: torch or transformers are not installed.
        InputError: the files cannot be opened, or dtype or device is unknown.
    """
    if dtype not in DTYPES:
        raise InputError(f"--dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    try:
        import torch
        import transformers
    except ImportError:
        raise MissingExtra("a model's own files", extra) from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    where = _where(found)
    if found.path.suffix == ".gguf" and dtype == "auto":
        dtype = "float32"
    try:
        place = torch.device(device or (torch.accelerator.current_accelerator() or "cpu"))
    except RuntimeError:
        raise InputError(f"--device must be one that torch knows (cpu, cuda, mps, …), got {device!r}") from None
    try:
        with _no_bars(), _read_once():
            tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
            model = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=dtype).eval().to(place)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, AssertionError) as error:
        raise InputError(f"{found.path}: cannot be opened with transformers: {error}") from None
    return model, tokenizer


def open_tokenizer(found: LocalModel, *, extra: str = "train") -> Any:  # noqa: ANN401 - transformers' own
    """Its tokenizer alone; the arguments and what is raised are `open_files`'s."""
    try:
        import transformers
    except ImportError:
        raise MissingExtra("a model's own files", extra) from None
    try:
        with _no_bars(), _read_once():
            return transformers.AutoTokenizer.from_pretrained(**_where(found))
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, AssertionError) as error:
        raise InputError(f"{found.path}: its tokenizer cannot be opened with transformers: {error}") from None


def _where(found: LocalModel) -> dict[str, Any]:
    """The files as transformers is told of them."""
    if found.path.suffix != ".gguf":
        return {"local_files_only": True, "pretrained_model_name_or_path": str(found.path)}
    folder, file = str(found.path.parent), found.path.name
    return {"local_files_only": True, "pretrained_model_name_or_path": folder, "gguf_file": file}


@contextmanager
def _read_once() -> Iterator[None]:
    """With gguf's reader made quick: transformers reads a `.gguf` four times, a vocabulary through a slow array."""
    try:
        import gguf
        import numpy as np
    except ImportError:  # transformers says what is missing, where it is a `.gguf`
        yield
        return

    class Plain(gguf.GGUFReader):  # type: ignore[misc]
        data: Any

        def _get(self, offset: int, *more: Any, **named: Any) -> Any:  # noqa: ANN401
            if isinstance(self.data, np.memmap):
                self.data = self.data.view(np.ndarray)  # a memmap does its bookkeeping for each of a million slices
            return super()._get(offset, *more, **named)

    slow = gguf.GGUFReader
    gguf.GGUFReader = cache(Plain)
    try:
        yield
    finally:
        gguf.GGUFReader = slow


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without the bar of transformers' `.gguf` reader, which heeds neither its verbosity nor `disable_progress_bar`."""
    from transformers import modeling_gguf_pytorch_utils as reading

    shown = reading.tqdm
    reading.tqdm = partial(shown, disable=True)
    try:
        yield
    finally:
        reading.tqdm = shown

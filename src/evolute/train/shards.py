"""A model's tensors, read one at a time from its shards: what is in memory is what is looked at, not the model."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolute.errors import InputError, MissingExtra
from evolute.models.weights import find_model

_LISTS = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLES = ("model.safetensors", "pytorch_model.bin")
CARRIED = (".json", ".model", ".txt", ".jinja", ".tiktoken", ".md", ".png", ".jsonl")


class Weights:
    """The tensors of a model's folder as transformers writes it: safetensors, or `.bin` files, in one shard or many.

    A `.bin` is a pickle, and is read by `torch.load(weights_only=True)` alone: it cannot run code.

    Raises (in every method as well):
        InputError: the folder holds no such weights, or a shard is missing, damaged or cut off.
        MissingExtra: torch or safetensors are not installed.
    """

    def __init__(self, name: str | Path, what: str = "a model") -> None:
        try:
            import safetensors.torch  # noqa: F401
        except ImportError:
            raise MissingExtra("reading a model's weights", "train") from None
        found = find_model(str(name))
        if found.path.is_file():
            raise InputError(
                f"{name}: {what} must be a folder with safetensors: a .gguf holds other numbers than the weights that "
                "were trained (quantised, or with rows in another order)"
            )
        self.folder = found.path
        self._pickle: tuple[Path, Mapping[str, Any]] | None = None
        self.where = self._listed()
        """Each tensor's shard."""

    def shards(self) -> list[list[str]]:
        """The tensors' names, shard by shard."""
        files: dict[Path, list[str]] = {}
        for name, file in self.where.items():
            files.setdefault(file, []).append(name)
        return [files[file] for file in sorted(files)]

    def __contains__(self, name: str) -> bool:
        return name in self.where

    def read(self, name: str) -> Any:  # noqa: ANN401 - a torch.Tensor
        """One tensor. Its memory is the file's own, until it is changed."""
        file = self.where[name]
        if file.suffix == ".bin":
            return self._unpickled(file)[name]
        with _opened(file) as shard:
            try:
                return shard.get_tensor(name)
            except _errors() as error:
                raise _damaged(file, error) from None

    def carried(self) -> list[Path]:
        """The files that stand beside the weights: configuration, tokenizer, chat template, card."""
        return sorted(
            path
            for path in self.folder.iterdir()
            if path.is_file()
            and path.suffix in CARRIED
            and path.name not in (*_LISTS, "delta.json")
            and not path.name.startswith(".")
        )

    def config(self) -> dict[str, Any]:
        """`config.json`."""
        return read_json(self.folder / "config.json")

    def tied(self, name: str) -> str | None:
        """The tensor that stands for `name` where the output layer shares the input's embeddings, and is not stored."""
        source = "model.embed_tokens.weight"
        tied = name == "lm_head.weight" and self.config().get("tie_word_embeddings", False)
        return source if tied and source in self else None

    def _listed(self) -> dict[str, Path]:
        for index in _LISTS:
            if (self.folder / index).is_file():
                return self._from_index(self.folder / index)
        for single in _SINGLES:
            file = self.folder / single
            if file.is_file():
                return dict.fromkeys(self._names(file), file)
        adapter = (self.folder / "adapter_model.safetensors").is_file()
        raise InputError(
            f"{self.folder}: no model.safetensors and no pytorch_model.bin"
            + ("; it is an adapter (LoRA): merge it with its base first" if adapter else "")
        )

    def _from_index(self, index: Path) -> dict[str, Path]:
        shards = read_json(index).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(one, str) for one in shards.values()):
            raise InputError(f"{index}: `weight_map` must be an object of tensor names and files, got {shards!r:.80}")
        held: dict[str, set[str]] = {}
        for file in sorted(set(shards.values())):
            if Path(file).name != file or Path(file).suffix not in (".safetensors", ".bin"):
                raise InputError(f"{index}: a shard must be a .safetensors or .bin file beside it, got {file!r}")
            if not (self.folder / file).is_file():
                raise InputError(f"{self.folder / file}: this shard is missing ({index.name} names it); copy it again")
            held[file] = set(self._names(self.folder / file))
        for name, file in shards.items():
            if name not in held[file]:
                raise InputError(f"{self.folder / file}: the tensor {name!r} is not in it, though {index.name} says so")
        return {name: self.folder / file for name, file in shards.items()}

    def _names(self, file: Path) -> list[str]:
        if file.suffix == ".bin":
            return list(self._unpickled(file))
        with _opened(file) as shard:
            return list(shard.keys())

    def _unpickled(self, file: Path) -> Mapping[str, Any]:
        import torch

        kept = self._pickle
        if kept is None or kept[0] != file:
            try:
                tensors = torch.load(file, map_location="cpu", weights_only=True, mmap=_zipped(file))
            except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
                reason = str(error).splitlines()[0]
                raise InputError(
                    f"{file}: cannot be read as weights alone ({reason}); nothing else of a pickle is read, as it could"
                    " run code"
                ) from None
            if not isinstance(tensors, dict) or not all(isinstance(one, torch.Tensor) for one in tensors.values()):
                raise InputError(f"{file}: not a model's tensors by name")
            self._pickle = kept = file, tensors
        return kept[1]


def write_shard(tensors: Mapping[str, Any], path: Path) -> None:
    """Write tensors as one safetensors file, durably."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors lets only its owner read it
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def shard_names(count: int, stem: str = "model") -> list[str]:
    """The names that transformers gives `count` shards."""
    if count == 1:
        return [f"{stem}.safetensors"]
    return [f"{stem}-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]


def write_index(folder: Path, shards: Mapping[str, list[str]], size: int) -> None:
    """Say which tensor is in which shard, as transformers reads it; nothing where there is one shard."""
    if len(shards) == 1:
        return
    where = {name: file for file, names in shards.items() for name in names}
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(where.items()))}
    (folder / _LISTS[0]).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        InputError: there is none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: must be a JSON object, got {value!r:.80}")
    return value


def _opened(file: Path) -> Any:  # noqa: ANN401 - safetensors has no stubs that mypy follows
    """Open a shard for one reading: its pages leave the memory as soon as the tensors that were read do."""
    from safetensors import safe_open

    try:
        return safe_open(file, framework="pt")
    except _errors() as error:
        raise _damaged(file, error) from None


def _errors() -> tuple[type[Exception], ...]:
    from safetensors import SafetensorError

    return (SafetensorError, OSError)


def _damaged(file: Path, error: Exception) -> InputError:
    return InputError(f"{file}: damaged or cut off ({error}); copy or download it again")


def _zipped(file: Path) -> bool:
    """Whether torch can map it; files from before torch 1.6 it has to read whole."""
    with file.open("rb") as opened:
        return opened.read(2) == b"PK"

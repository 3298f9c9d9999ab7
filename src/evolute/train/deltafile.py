"""What a delta's folder says of itself: `delta.json`, checked, since it may come from anybody."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from evolute.errors import InputError
from evolute.files import new_file
from evolute.train.shards import CARRIED

NAME = "delta.json"
_SHAPE = list[int]


def _plain(name: str) -> str:
    if not name or Path(name).name != name or name.startswith(".") or "\\" in name or ":" in name:
        raise ValueError(f"{name!r} is not a file's plain name")
    return name


def _carried(name: str) -> str:
    if not _plain(name).endswith(CARRIED):
        raise ValueError(f"{name!r} is no file that a delta carries ({', '.join(CARRIED)})")
    return name


FileName = Annotated[str, AfterValidator(_plain)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Tensor(_Part):
    """A tensor as it must be: its type, shape and the hash of its bytes (BLAKE2b, 32 bytes, in hexadecimal)."""

    name: str
    dtype: str
    shape: _SHAPE
    digest: str


class Change(_Part):
    """How one tensor of the tuned model comes about."""

    tuned: Tensor
    base: Tensor | None = None
    """What it is the difference to; None: it is stored whole."""
    stored: bool = True
    """False: it equals the base's, and nothing is stored."""


class Shard(_Part):
    """One shard of the tuned model, and the delta's file for it; none where no tensor of it changed."""

    tuned: FileName
    file: FileName | None
    digest: str
    changes: list[Change]


class DeltaFile(_Part):
    """`delta.json`."""

    format: Literal["evolute-delta"] = "evolute-delta"
    version: Literal[1] = 1
    base: str
    """The base's name, for people."""
    arithmetic: str = "bits of tuned - bits of base (cast to tuned's dtype), as unsigned integers, wrapping around"
    dropped: list[str]
    """The base's tensors that the tuned model lacks."""
    files: dict[Annotated[str, AfterValidator(_carried)], str]
    """What is copied as it is, with its hash: configuration, tokenizer, chat template."""
    shards: list[Shard]

    def write(self, folder: Path) -> None:
        """Put it into the delta's folder."""
        with new_file(folder / NAME) as file:
            file.write(self.model_dump_json(indent=1).encode() + b"\n")


def read_delta(folder: Path) -> DeltaFile | None:
    """The delta's own description, its files checked against their hashes; None where the folder has none.

    Raises:
        InputError: it is damaged, of a newer version, or a file is missing, damaged or cut off.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        delta = DeltaFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(one) for one in first["loc"])
        raise InputError(
            f"{path}: {where}: {first['msg']}, got {first['input']!r:.80}; the delta is damaged, or a newer Evolute's"
        ) from None
    hashes = delta.files | {shard.file: shard.digest for shard in delta.shards if shard.file}
    for name, digest in hashes.items():
        check_file(folder / name, digest)
    return delta


def check_file(path: Path, digest: str) -> None:
    """Compare a file with its hash.

    Raises:
        InputError: it is missing, or other than it was.
    """
    if not path.is_file():
        raise InputError(f"{path}: this file of the delta is missing; copy or download it again")
    found = file_digest(path)
    if found != digest:
        raise InputError(
            f"{path}: damaged, cut off or changed: its BLAKE2b is {found[:16]}…, and {NAME} says {digest[:16]}…;"
            " copy or download it again"
        )


def file_digest(path: Path) -> str:
    """The hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()


def digest_of(tensor: Any) -> str:  # noqa: ANN401 - a torch.Tensor
    """The hash of a tensor's bytes."""
    import torch

    flat = tensor.contiguous().view(-1) if tensor.dim() else tensor.reshape(1)
    return hashlib.blake2b(memoryview(flat.view(torch.uint8).numpy()), digest_size=32).hexdigest()


def described(name: str, tensor: Any) -> Tensor:  # noqa: ANN401 - a torch.Tensor
    """The tensor as `delta.json` describes it."""
    return Tensor(name=name, dtype=dtype_name(tensor), shape=list(tensor.shape), digest=digest_of(tensor))


def dtype_name(tensor: Any) -> str:  # noqa: ANN401 - a torch.Tensor
    """Such as `bfloat16`."""
    return str(tensor.dtype).removeprefix("torch.")

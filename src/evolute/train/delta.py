"""Delta weights: a tuned model as what differs from its base, without loss.

The WizardLM repository published its 7B model as tuned - base in floating point (`src/weight_diff_wizard.py`), which
needs both models in memory in fp32 (122 GB for 13B, its issue #91), does not give the tuned weights back exactly, and
whose checksum is commented out. Here the difference is one of bit patterns: both tensors' bytes read as unsigned
integers of the same width, subtracted with wrap-around. base + delta is then tuned, bit for bit, NaN and -0 as well.
One shard is in memory at a time.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.files import replacing_folder
from evolute.train.deltafile import Change, DeltaFile, Shard, Tensor, described, dtype_name, file_digest, read_delta
from evolute.train.shards import Weights, shard_names, write_index, write_shard

_SAMPLE = 1 << 18
"""Bytes of a tensor that are compressed, to say what a compressed delta would take."""


@dataclass(frozen=True, slots=True)
class Made:
    """A delta as it was made. Sizes in bytes, of tensors alone; `compressible`: the share that zlib leaves of it."""

    folder: Path
    tensors: int
    unchanged: int
    whole: int
    cast: int
    dropped: int
    size: int
    tuned_size: int
    compressible: float | None


@dataclass(frozen=True, slots=True)
class Applied:
    """A tuned model as it was recovered. `exact`: each tensor has the hash that it had when the delta was made."""

    folder: Path
    tensors: int
    exact: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verified:
    """What was compared: tensors of the base, files of the delta, tensors of the tuned model."""

    base: int
    files: int
    tuned: int


def make_delta(base: str | Path, tuned: str | Path, out: Path) -> Made:
    """Write the delta of two models' folders.

    A tensor that only `tuned` has is stored whole; so are rows that it has more of than the base (a vocabulary resized
    from 32000 to 32001). An equal one is not stored. Where the number types differ, the base's is cast to the tuned
    model's first (to nearest, ties to even; NaN as zero), in making as in applying. An output layer that the base ties
    to its embeddings is compared with these.

    Args:
        base: the folder of the model that was trained.
        tuned: the folder of what came of it.
        out: the delta's folder, which must not exist or be empty.

    Raises:
        InputError: a folder holds no such weights, a shard is damaged, or `out` is taken.
        MissingExtra: torch is not installed.
    """
    old, new = Weights(base, "the base"), Weights(tuned, "the tuned model")
    tally = _Tally()
    with _new_folder(out) as folder:
        files = _copy(new.carried(), folder)
        shards = []
        groups = new.shards()
        for group, name, file in zip(groups, shard_names(len(groups)), shard_names(len(groups), "delta"), strict=True):
            stored: dict[str, Any] = {}
            changes = [_change(old, new, one, stored, tally) for one in group]
            if stored:
                write_shard(stored, folder / file)
            digest = file_digest(folder / file) if stored else ""
            shards.append(Shard(tuned=name, file=file if stored else None, digest=digest, changes=changes))
        dropped = sorted(set(old.where) - set(new.where))
        DeltaFile(base=old.folder.name, dropped=dropped, files=files, shards=shards).write(folder)
    return tally.made(out, len(dropped))


def apply_delta(
    base: str | Path, delta: str | Path, out: Path, *, arithmetic: bool = False, dtype: str | None = None
) -> Applied:
    """Recover the tuned model from its base and the delta.

    Before anything is written, the delta's files and every tensor of the base that is used are compared with their
    hashes; afterwards every tensor of the result.

    Args:
        base: the folder of the model that was trained.
        delta: a delta that `make_delta` wrote; or a floating-point one, as the WizardLM and Vicuna repositories
            published them, which is recognised by having no `delta.json` and is not exact.
        out: the tuned model's folder, which must not exist or be empty.
        arithmetic: the delta is a floating-point one, although it looks like a whole model.
        dtype: for a floating-point delta, the numbers to write ("float32", "float16", "bfloat16"); None: the delta's.

    Raises:
        InputError: the delta is for another base (named with the first tensor that differs), or damaged, or `out` is
            taken.
        MissingExtra: torch is not installed.
    """
    folder = _delta_folder(delta)
    made = read_delta(folder)
    old = Weights(base, "the base")
    if made is None:
        from evolute.train.olddelta import apply_arithmetic

        with _new_folder(out) as target:
            count, notes = apply_arithmetic(old, Weights(folder, "the delta"), target, said=arithmetic, dtype=dtype)
        return Applied(out, count, exact=False, notes=notes)
    if arithmetic or dtype:
        raise InputError(
            f"{folder}: a delta of Evolute's own, and exact: --arithmetic and --dtype are for those in floating point"
        )
    _check_base(old, made)
    with _new_folder(out) as target:
        _copy([folder / name for name in made.files], target)
        size = 0
        for shard in made.shards:
            tensors = dict(_recovered(old, folder, shard))
            size += sum(tensor.nbytes for tensor in tensors.values())
            write_shard(tensors, target / shard.tuned)
        write_index(target, {shard.tuned: [one.tuned.name for one in shard.changes] for shard in made.shards}, size)
    return Applied(out, sum(len(shard.changes) for shard in made.shards), exact=True)


def verify_delta(base: str | Path, delta: str | Path, tuned: str | Path | None = None) -> Verified:
    """Compare base, delta and tuned model with the hashes that the delta holds; nothing is written.

    Without `tuned` the tuned tensors are computed, one shard at a time.

    Raises:
        InputError: something differs; the message names the first tensor or file.
        MissingExtra: torch is not installed.
    """
    folder = _delta_folder(delta)
    made = read_delta(folder)
    if made is None:
        raise InputError(
            f"{folder}: no delta.json: a delta in floating point holds nothing that it could be verified by"
        )
    old = Weights(base, "the base")
    used = _check_base(old, made)
    new = Weights(tuned, "the tuned model") if tuned is not None else None
    count = 0
    for shard in made.shards:
        if new is None:
            count += sum(1 for _ in _recovered(old, folder, shard))
            continue
        for change in shard.changes:
            _check(new, change.tuned, "this is not the tuned model that the delta was made of")
            count += 1
    if new is not None and (
        more := sorted(set(new.where) - {one.tuned.name for s in made.shards for one in s.changes})
    ):
        raise InputError(f"{new.folder}: {more[0]!r} is not in the tuned model that the delta was made of")
    return Verified(used, len(made.files) + sum(shard.file is not None for shard in made.shards), count)


class _Tally:
    """Sums over the tensors of a delta."""

    def __init__(self) -> None:
        self.tensors = self.unchanged = self.whole = self.cast = self.size = self.tuned_size = 0
        self._sampled = self._packed = 0

    def add(self, change: Change, cast: bool, tuned: Any, delta: Any) -> None:  # noqa: ANN401 - tensors
        self.tensors += 1
        self.unchanged += not change.stored
        self.whole += change.base is None
        self.cast += cast
        self.tuned_size += tuned.nbytes
        if change.stored:
            self.size += delta.nbytes
            self._pack(delta)

    def _pack(self, delta: Any) -> None:  # noqa: ANN401 - a tensor
        """Compress a sample, the high bytes apart from the low ones: what of a small difference is zero is the high."""
        width = delta.element_size()
        sample = delta.reshape(-1)[: _SAMPLE // width].numpy().tobytes()
        self._sampled += len(sample)
        self._packed += sum(len(zlib.compress(sample[byte::width], 1)) for byte in range(width))

    def made(self, folder: Path, dropped: int) -> Made:
        share = min(1.0, self._packed / self._sampled) if self._sampled else None
        counts = self.tensors, self.unchanged, self.whole, self.cast
        return Made(folder, *counts, dropped, self.size, self.tuned_size, share)


def _change(old: Weights, new: Weights, name: str, stored: dict[str, Any], tally: _Tally) -> Change:
    tuned = new.read(name)
    source = name if name in old else old.tied(name)
    base = old.read(source) if source else None
    if base is None or source is None or not _comparable(base, tuned):
        delta, change, cast = _bits(tuned).clone(), Change(tuned=described(name, tuned)), False
    else:
        delta, cast = _difference(tuned, base), base.dtype != tuned.dtype
        same = tuple(base.shape) == tuple(tuned.shape) and not delta.numpy().any()
        change = Change(tuned=described(name, tuned), base=described(source, base), stored=not same)
    if change.stored:
        stored[name] = delta
    tally.add(change, cast, tuned, delta)
    return change


def _recovered(old: Weights, folder: Path, shard: Shard) -> Iterator[tuple[str, Any]]:
    """The tuned tensors of a shard, each compared with its hash."""
    from safetensors.torch import load_file

    stored = load_file(folder / shard.file) if shard.file else {}
    for change in shard.changes:
        tensor = _restored(old, stored.pop(change.tuned.name, None), change, folder)
        found = described(change.tuned.name, tensor)
        if found != change.tuned:
            raise InputError(
                f"{folder}: the tensor {change.tuned.name!r} does not come out as it was when the delta was made;"
                " this delta is damaged"
            )
        yield change.tuned.name, tensor


def _restored(old: Weights, delta: Any, change: Change, folder: Path) -> Any:  # noqa: ANN401 - tensors
    import torch

    kind = getattr(torch, change.tuned.dtype, None)
    base = old.read(change.base.name) if change.base else None
    unfit = (delta is None) == change.stored or not isinstance(kind, torch.dtype) or (base is None and delta is None)
    if unfit or (delta is not None and delta.element_size() != getattr(kind, "itemsize", 0)):
        raise InputError(f"{folder}: delta.json and the delta's tensor {change.tuned.name!r} do not fit: it is damaged")
    if delta is None:
        return _cast(base, kind)
    if base is not None:
        start = _flat(_cast(base, kind))
        common = min(start.size, delta.numel())
        whole = delta.numpy().reshape(-1)
        whole[:common] += start[:common]
    return delta.view(kind)


def _difference(tuned: Any, base: Any) -> Any:  # noqa: ANN401 - tensors
    """The bits of `tuned` less those of `base`; rows that only `tuned` has stay as they are."""
    delta = _bits(tuned).clone()
    whole, start = delta.numpy().reshape(-1), _flat(_cast(base, tuned.dtype))
    common = min(start.size, whole.size)
    whole[:common] -= start[:common]
    return delta


def _cast(tensor: Any, kind: Any) -> Any:  # noqa: ANN401 - a tensor and a torch.dtype
    """As `kind`. NaN becomes zero in a cast: which NaN it would become depends on the processor."""
    return tensor if tensor.dtype == kind else tensor.masked_fill(tensor.isnan(), 0).to(kind)


def _bits(tensor: Any) -> Any:  # noqa: ANN401 - a tensor
    import torch

    unsigned = {1: torch.uint8, 2: torch.uint16, 4: torch.uint32, 8: torch.uint64}
    return tensor.contiguous().view(unsigned[tensor.element_size()])


def _flat(tensor: Any) -> Any:  # noqa: ANN401 - a tensor, and its bits as a numpy array
    return _bits(tensor).numpy().reshape(-1)


def _comparable(base: Any, tuned: Any) -> bool:  # noqa: ANN401 - tensors
    """Whether their rows are alike, and the base's numbers can be cast where that is needed."""
    if base.dim() != tuned.dim() or base.shape[1:] != tuned.shape[1:]:
        return False
    return bool(base.dtype == tuned.dtype or (base.is_floating_point() and tuned.is_floating_point()))


def _check_base(old: Weights, made: DeltaFile) -> int:
    """Compare what is used of the base with its hashes; how many tensors that are."""
    used = {one.base.name: one.base for shard in made.shards for one in shard.changes if one.base}
    for tensor in used.values():
        _check(old, tensor, f"this delta is for another base ({made.base!r}); nothing was written")
    return len(used)


def _check(weights: Weights, wanted: Tensor, meaning: str) -> None:
    if wanted.name not in weights:
        raise InputError(f"{weights.folder}: it lacks the tensor {wanted.name!r}: {meaning}")
    tensor = weights.read(wanted.name)
    for what, found, expected in (
        ("type", dtype_name(tensor), wanted.dtype),
        ("shape", list(tensor.shape), wanted.shape),
    ):
        if found != expected:
            raise InputError(
                f"{weights.folder}: the tensor {wanted.name!r} differs: its {what} is {found}, not {expected}:"
                f" {meaning}"
            )
    if described(wanted.name, tensor) != wanted:
        raise InputError(f"{weights.folder}: the tensor {wanted.name!r} differs in its numbers: {meaning}")


def _delta_folder(delta: str | Path) -> Path:
    folder = Path(delta)
    if not folder.is_dir():
        raise InputError(f"{delta}: there is no such folder; a delta is a folder with delta.json")
    return folder.resolve()


def _copy(files: list[Path], folder: Path) -> dict[str, str]:
    for file in files:
        shutil.copyfile(file, folder / file.name)
    return {file.name: file_digest(folder / file.name) for file in files}


def _new_folder(out: Path) -> AbstractContextManager[Path]:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists already; name a folder that does not, or an empty one")
    return replacing_folder(out, _taken)


def _taken(folder: Path) -> str:
    return f"something appeared in {folder} meanwhile"

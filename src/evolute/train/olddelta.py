"""Deltas in floating point, as the WizardLM and Vicuna repositories published them: read, and never written.

tuned = base + delta, computed in float32 tensor by tensor (`recover` in nlpxucan/WizardLM
`src/weight_diff_wizard.py`; lm-sys/FastChat `fastchat/model/apply_delta.py`). Where the tuned vocabulary is larger (one
[PAD]: 32000 to 32001), the base's new rows are the mean of its rows, as `smart_tokenizer_and_embedding_resize` of
tatsu-lab/stanford_alpaca makes them. Rounding is part of this arithmetic, so that the result is not exact.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.train.shards import Weights, read_json, shard_names, write_index, write_shard

NOTE = "NOT-EXACT.md"
DTYPES = ("float32", "float16", "bfloat16")
_VOCABULARY = ("embed_tokens.weight", "lm_head.weight")
_COMPUTED = "rotary_emb.inv_freq"
"""A buffer that older transformers saved with the weights, and that follows from the configuration."""
_A_WHOLE_MODEL = 0.5
"""Share of the base that a delta's embeddings may hold: near 0 in a difference, near 1 in a tuned model itself."""


def apply_arithmetic(
    old: Weights, delta: Weights, out: Path, *, said: bool = False, dtype: str | None = None
) -> tuple[int, tuple[str, ...]]:
    """Fill the folder `out` with base + delta; how many tensors, and what the user has to know.

    Args:
        old: the base.
        delta: the difference, in floating point.
        out: a folder, to which a note is added that says that this is not exact.
        said: that it is a delta was said by the user, and is not doubted.
        dtype: the numbers to write; None: the delta's.

    Raises:
        InputError: a tensor fits none of the base's, the delta looks like a whole model, or dtype is unknown.
    """
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"--dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    sources = {name: _source(old, delta, name) for name in delta.where if not name.endswith(_COMPUTED)}
    if not said:
        _doubt(old, delta, sources)
    for file in delta.carried():
        shutil.copyfile(file, out / file.name)
    if dtype is not None:
        _say_dtype(out / "config.json", dtype)
    groups = [kept for group in delta.shards() if (kept := [name for name in group if name in sources])]
    written, size = {}, 0
    for file_name, group in zip(shard_names(len(groups)), groups, strict=True):
        tensors = {name: _sum(old.read(sources[name]), delta.read(name), dtype) for name in group}
        write_shard(tensors, out / file_name)
        written[file_name] = group
        size += sum(tensor.nbytes for tensor in tensors.values())
    write_index(out, written, size)
    notes = _notes(old, delta, sources)
    (out / NOTE).write_text(f"# Not exact\n\n{' '.join(notes)}\n", encoding="utf-8")
    return len(sources), notes


def _source(old: Weights, delta: Weights, name: str) -> str:
    """The base's tensor that `name` is the difference to."""
    source = name if name in old else old.tied(name)
    if source is None:
        raise InputError(
            f"{delta.folder}: the base {old.folder.name!r} has no tensor {name!r}: a delta for another base"
        )
    base, change = list(old.read(source).shape), list(delta.read(name).shape)
    larger = len(base) == 2 and name.endswith(_VOCABULARY) and change[1:] == base[1:] and change[0] > base[0]
    if base != change and not larger:
        raise InputError(
            f"{delta.folder}: the tensor {name!r} has the shape {change}, and that of the base {old.folder.name!r}"
            f" {base}: a delta for another base"
        )
    return source


def _doubt(old: Weights, delta: Weights, sources: dict[str, str]) -> None:
    """Refuse what is no difference but a tuned model: added to its base, it would be nonsense that loads."""
    for name in sources:
        if name.endswith(_VOCABULARY[0]):
            base, change = old.read(sources[name]).float(), delta.read(name).float()
            share = float((base * change[: len(base)]).sum() / (base * base).sum().clamp(min=1e-30))
            if share > _A_WHOLE_MODEL:
                raise InputError(
                    f"{delta.folder}: no delta.json, and its embeddings hold {share:.0%} of the base's: it looks like a"
                    " whole model, not like a delta. If it is a delta in floating point, say --arithmetic"
                )


def _sum(base: Any, delta: Any, dtype: str | None) -> Any:  # noqa: ANN401 - tensors
    import torch

    total = delta.to(torch.float32, copy=True)
    total[: len(base)] += base.float()
    if len(base) < len(delta):
        total[len(base) :] += base.float().mean(dim=0, keepdim=True)
    return total.to(getattr(torch, dtype) if dtype else delta.dtype)


def _say_dtype(config: Path, dtype: str) -> None:
    """Have transformers open the numbers as they are."""
    said = read_json(config)
    said["torch_dtype" if "torch_dtype" in said else "dtype"] = dtype
    config.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def _notes(old: Weights, delta: Weights, sources: dict[str, str]) -> tuple[str, ...]:
    resized = [name for name, source in sources.items() if len(delta.read(name)) > len(old.read(source))]
    notes = [
        f"These weights are {old.folder.name} + {delta.folder.name}, added in float32: close to the tuned model, not"
        " equal to it.",
        "The delta holds no checksum: whether the base is the right one could not be checked but by its shapes.",
    ]
    if resized:
        name = resized[0]
        more = len(delta.read(name)) - len(old.read(sources[name]))
        notes.append(f"The vocabulary grew by {more}: the new rows were taken relative to the mean of the base's rows.")
    if dropped := len(delta.where) - len(sources):
        notes.append(f"{dropped} buffers that follow from the configuration ({_COMPUTED}) were left out.")
    return tuple(notes)

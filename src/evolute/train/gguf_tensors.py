"""A Llama's tensors as llama.cpp names and orders them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gguf
import numpy as np
import torch
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from evolute.errors import InputError
from evolute.train.shards import Weights

ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM")
_QUANTISED = {"f16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "q4_0": "Q4_0", "f32": "F32"}
_COMPUTED = "rotary_emb.inv_freq"


@dataclass(frozen=True, slots=True)
class Planned:
    """A tensor of the file: its name in it, the model's name for it, its shape and how its numbers are stored."""

    name: str
    source: str
    shape: tuple[int, ...]
    kind: gguf.GGMLQuantizationType
    heads: int = 0
    """Of queries or keys, whose rows change places; 0: the rows stay."""


def read_config(weights: Weights) -> Any:  # noqa: ANN401 - transformers.LlamaConfig or MistralConfig
    """The model's configuration, of an architecture that can be exported.

    Raises:
        InputError: it is another, or has what llama.cpp's Llama has not.
    """
    said = weights.config()
    names = said.get("architectures") or ["none"]
    if names[0] not in ARCHITECTURES:
        raise InputError(f"{weights.folder}: GGUF export knows {' and '.join(ARCHITECTURES)}, and this is {names[0]!r}")
    if said.get("quantization_config"):
        raise InputError(f"{weights.folder}: its weights are quantised already; export the model they were made from")
    try:
        config = transformers.AutoConfig.from_pretrained(weights.folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{weights.folder}/config.json: {error}") from None
    rope = config.rope_parameters
    for field, found, known in (
        ("hidden_act", config.hidden_act, ("silu",)),
        ("rope_type", rope.get("rope_type", "default"), ("default", "linear", "llama3")),
        ("partial_rotary_factor", rope.get("partial_rotary_factor") or 1.0, (1.0,)),
    ):
        if found not in known:
            raise InputError(
                f"{weights.folder}/config.json: {field} must be {' or '.join(map(repr, known))} for a GGUF file, got"
                f" {found!r}"
            )
    return config


def plan(weights: Weights, config: Any, type: str) -> list[Planned]:  # noqa: ANN401 - a transformers configuration
    """Every tensor of the file, in its order.

    Matrices are stored as `type` says; vectors (norms, biases) in float32, as llama.cpp has them. With q4_0 the
    embeddings and the output layer are stored as q8_0 (llama.cpp's own quantiser keeps them finer as well); rows that
    are no multiple of 32 numbers, as f16.

    Raises:
        InputError: a tensor that the configuration asks for is missing or of another shape, or one is left over.
    """
    with torch.device("meta"):
        wanted = {
            name: tuple(one.shape)
            for name, one in transformers.AutoModelForCausalLM.from_config(config).state_dict().items()
        }
    if config.tie_word_embeddings:
        wanted.pop("lm_head.weight")
    spare = {"lm_head.weight"} if config.tie_word_embeddings else set()
    left = [name for name in weights.where if name not in wanted and name not in spare and not name.endswith(_COMPUTED)]
    if left:
        raise InputError(f"{weights.folder}: {left[0]!r} is no tensor of {config.architectures[0]}")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    planned = []
    for source, shape in wanted.items():
        if source not in weights:
            raise InputError(f"{weights.folder}: the tensor {source!r} is missing")
        if (found := tuple(weights.read(source).shape)) != shape:
            raise InputError(f"{weights.folder}: {source!r} has the shape {found}, and config.json says {shape}")
        name = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise InputError(f"{weights.folder}: {source!r} has no place in a Llama's GGUF file")
        planned.append(Planned(name, source, shape, _kind(name, shape, type), _heads(source, config)))
    return planned


def read_tensor(weights: Weights, one: Planned) -> Any:  # noqa: ANN401 - a numpy array of bytes or numbers
    """The tensor's numbers as they are stored in the file.

    Raises:
        InputError: a number is not finite, or too large for float16.
    """
    numbers = weights.read(one.source).float().numpy()
    if not np.isfinite(numbers).all():
        raise InputError(f"{weights.folder}: {one.source!r} holds NaN or infinity; the training went wrong")
    if one.heads:
        numbers = _permuted(numbers, one.heads)
    if one.kind == gguf.GGMLQuantizationType.F16 and np.abs(numbers).max(initial=0) > np.finfo(np.float16).max:
        raise InputError(f"{weights.folder}: {one.source!r} holds numbers too large for float16: use --type bf16")
    return gguf.quantize(np.ascontiguousarray(numbers), one.kind)


def rope_factors(config: Any) -> Any:  # noqa: ANN401 - a transformers configuration; a numpy array or None
    """What Llama 3.1's rope scaling divides each frequency by, as transformers computes it; None without it."""
    rope = config.rope_parameters
    if rope.get("rope_type") != "llama3":
        return None
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    width = head_width(config)
    plain = 1.0 / (rope["rope_theta"] ** (torch.arange(0, width, 2, dtype=torch.float32) / width))
    return (plain / scaled).float().numpy()


def head_width(config: Any) -> int:  # noqa: ANN401 - a transformers configuration
    """Numbers of a head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def stored_bytes(one: Planned) -> int:
    """What the tensor takes in the file."""
    block, size = gguf.GGML_QUANT_SIZES[one.kind]
    return math.prod(one.shape) // int(block) * int(size)


def _kind(name: str, shape: tuple[int, ...], type: str) -> gguf.GGMLQuantizationType:
    if len(shape) == 1:
        return gguf.GGMLQuantizationType.F32
    if type == "q4_0" and name in ("token_embd.weight", "output.weight"):
        type = "q8_0"
    kind = gguf.GGMLQuantizationType[_QUANTISED[type]]
    return kind if shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] == 0 else gguf.GGMLQuantizationType.F16


def _heads(source: str, config: Any) -> int:  # noqa: ANN401 - a transformers configuration
    if ".q_proj." in source:
        return int(config.num_attention_heads)
    return int(config.num_key_value_heads) if ".k_proj." in source else 0


def _permuted(numbers: Any, heads: int) -> Any:  # noqa: ANN401 - numpy arrays
    """The rows of each head as llama.cpp rotates them: neighbours in pairs, where transformers pairs the halves.

    From `LlamaModel.permute` of llama.cpp's `convert_hf_to_gguf.py`.
    """
    half = numbers.shape[0] // heads // 2
    return numbers.reshape(heads, 2, half, *numbers.shape[1:]).swapaxes(1, 2).reshape(numbers.shape)

"""How much memory a training needs, said before it begins, from the model's configuration alone."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from evolute.errors import InputError

Method = Literal["full", "lora", "qlora"]
Sharding = Literal["none", "fsdp2", "zero3"]

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_NF4 = 0.5 + 0.127 / 8
"""Bytes of a parameter in NF4 with double quantisation: four bits, and 0.127 bits of constants (QLoRA,
arXiv:2305.14314, §3)."""
STATES = {"adafactor": 0.01, "adamw_bnb_8bit": 2.0, "paged_adamw_8bit": 2.0}
"""Bytes of the optimizer for a trained parameter, where it is not AdamW: two moments of one byte, or (Adafactor,
arXiv:1804.04235) their row and column sums."""
_GATHERED_LAYERS = 2
"""Layers that are whole on each device at a time under sharding: the one at work, and the next, fetched ahead."""
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Load:
    """What decides how much memory a training takes.

    Args:
        method: the whole model (`full`), a LoRA adapter on it, or one on a model in four bits (`qlora`).
        weights: the type in which weights are held; with `qlora`, those that are not in four bits.
        compute: the type in which it computes; where it differs from `weights`, under autocast.
        length: tokens of a sequence, the longest there is (packed: of the pack).
        rows: sequences in a micro-batch on one device.
        checkpointing: gradient checkpointing.
        tiled_head: the loss never holds all logits at once, as with TRL.
        rank: LoRA's rank, on every linear layer but the head.
        sharding: whether weights, gradients and optimizer are spread over devices.
        shards: the devices.
        states: bytes of the optimizer for a trained parameter; None: AdamW's two moments in the parameter's own type
            (torch.optim.AdamW), with ZeRO-3 its two moments and the weights, in fp32 (ZeRO, arXiv:1910.02054, §3.1).
        pairs: preference pairs: each is two sequences, and a full fine-tuning holds the reference model as well.
    """

    method: Method = "full"
    weights: str = "float32"
    compute: str = "bfloat16"
    length: int = 2048
    rows: int = 1
    checkpointing: bool = True
    tiled_head: bool = True
    rank: int = 16
    sharding: Sharding = "none"
    shards: int = 1
    states: float | None = None
    pairs: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on each device at the peak of a step. `activations` is None where the architecture hides them."""

    weights: int
    gradients: int
    optimizer: int
    gathered: int
    reference: int
    activations: int | None

    @property
    def total(self) -> int:
        """All that is known of."""
        return sum(getattr(self, part.name) or 0 for part in fields(self))

    def __str__(self) -> str:
        """One line, in GiB, the parts in brackets."""
        parts = [f"{part.name} {_gib(size)}" for part in fields(self) if (size := getattr(self, part.name))]
        if self.activations is None:
            parts.append("activations unknown for this architecture")
        return f"{_gib(self.total)} GiB ({', '.join(parts)})"


def estimate_memory(config: Any, load: Load) -> Memory:  # noqa: ANN401 - transformers' own
    """The memory of a training on one device, without weights and without that device.

    Weights, gradients and optimizer are counted; activations are found by a step without data (`train/dryrun.py`).
    What the CUDA context and a fragmented allocator take comes on top, as does what the process holds already.

    Args:
        config: the model's transformers configuration.
        load: what is trained, and how.

    Raises:
        InputError: transformers cannot make a causal language model of this configuration.
    """
    import torch

    from evolute.train.dryrun import activations

    model = _skeleton(config)
    whole, linear, largest, outer = _counts(model)
    del model
    base = _BYTES[load.weights]
    adapter = _adapter_parameters(config, load.rank) if load.method != "full" else 0
    trained, grain = (adapter, 4) if adapter else (whole, base)  # peft holds adapters in fp32
    held = (whole - linear) * base + round(linear * _NF4) if load.method == "qlora" else whole * base
    states = load.states if load.states is not None else 2 * grain
    master = load.sharding == "zero3"
    if master:
        held, states = held // (base // 2), 12 if load.states is None else load.states
    shards = load.shards if load.sharding != "none" else 1
    gathered = (outer + _GATHERED_LAYERS * largest) * _BYTES[load.compute] if shards > 1 else 0
    compute = getattr(torch, load.compute)
    working = activations(
        config,
        # What is gathered is gathered in the type of computing; four bits are unpacked to it.
        weights=compute if shards > 1 or load.method == "qlora" else getattr(torch, load.weights),
        compute=compute,
        rows=load.rows * (2 if load.pairs else 1),
        length=load.length,
        checkpointing=load.checkpointing,
        tiled_head=load.tiled_head or load.pairs,
        adapt=None if load.method == "full" else _lora(load.rank),
    )
    return Memory(
        weights=(held + adapter * grain) // shards,
        gradients=trained * (2 if master else grain) // shards,
        optimizer=round(trained * states) // shards,
        gathered=gathered,
        reference=held // shards if load.pairs and load.method == "full" else 0,
        activations=working,
    )


def free_memory(device: str) -> int | None:
    """Bytes that are free: on the GPU (`cuda`, `cuda:1`), else in the machine or this container; None: not known."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text("ascii"))
    except OSError:
        return None
    machine = int(found[1]) * 1024 if found else None
    return min((room for room in (machine, _container_room()) if room is not None), default=None)


def check_memory(config: Any, load: Load, device: str, free: int | None = None) -> Memory:  # noqa: ANN401
    """The estimate, where it fits what is free: now, or (`free`) before the model was there.

    Raises:
        InputError: it does not fit; the message says by how much, and what each remedy would come to.
    """
    memory = estimate_memory(config, load)
    free = free_memory(device) if free is None else free
    if free is None or memory.total <= free:
        return memory
    remedies = "; ".join(
        f"{name}: {_gib(other.total)} GiB{'' if other.total <= free else ', still too much'}"
        for name, change in _remedies(load)
        if (other := estimate_memory(config, replace(load, **change))).total < memory.total
    )
    raise InputError(
        f"this training needs about {memory} and {device} has {_gib(free)} GiB free. What would change it: "
        f"{remedies or 'nothing short of a smaller model'}"
    )


def _remedies(load: Load) -> list[tuple[str, dict[str, Any]]]:
    """Settings that take less, the least painful first, each with what it changes."""
    found: list[tuple[str, dict[str, Any]]] = []
    if load.rows > 1:
        found.append(("a micro-batch of 1, with more accumulation", {"rows": 1}))
    if not load.checkpointing:
        found.append(("gradient checkpointing", {"checkpointing": True}))
    if load.method == "full" and load.weights == "float32":
        found.append(("weights in bfloat16", {"weights": "bfloat16"}))
    if load.method == "full":
        found.append(("method lora on bfloat16", {"method": "lora", "weights": "bfloat16"}))
    if load.method != "qlora":
        found.append(("method qlora (CUDA)", {"method": "qlora", "weights": "bfloat16"}))
    if load.sharding == "none":
        found.append(("FSDP2 over 8 GPUs, each", {"sharding": "fsdp2", "shards": 8}))
    if load.length > 1024:
        found.append((f"sequences of {load.length // 2} tokens", {"length": load.length // 2}))
    return found


def _skeleton(config: Any) -> Any:  # noqa: ANN401
    """The model with its shapes alone."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config)
    except (ValueError, KeyError, ImportError, AttributeError) as error:
        raise InputError(f"no causal language model can be made of this configuration: {error}") from None


def _counts(model: Any) -> tuple[int, int, int, int]:  # noqa: ANN401
    """Parameters: all, those that QLoRA quantises, those of the largest layer, and those in no layer."""
    import torch

    head = model.get_output_embeddings()
    layers = [part for part in model.modules() if part.__class__.__name__ in (model._no_split_modules or ())]
    sizes = [sum(one.numel() for one in part.parameters()) for part in layers]
    linear = sum(
        part.weight.numel() for part in model.modules() if isinstance(part, torch.nn.Linear) and part is not head
    )
    whole = sum(one.numel() for one in model.parameters())
    return whole, linear, max(sizes, default=whole), whole - sum(sizes)


def _lora(rank: int) -> Any:  # noqa: ANN401
    def adapt(model: Any) -> Any:  # noqa: ANN401
        from peft import LoraConfig, get_peft_model

        return get_peft_model(model, LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM"))

    return adapt


def _adapter_parameters(config: Any, rank: int) -> int:  # noqa: ANN401
    import torch

    with warnings.catch_warnings(), torch.device("meta"):  # else the adapter's own numbers would be drawn
        warnings.simplefilter("ignore")  # peft asks transformers in a way that it will give up
        model = _lora(rank)(_skeleton(config))
    return sum(one.numel() for one in model.parameters() if one.requires_grad)


def _container_room() -> int | None:
    """What cgroup v2 leaves this container; None without a limit. File pages can be had back, so they do not count."""
    try:
        limit = (_CGROUP / "memory.max").read_text("ascii").strip()
        used = int((_CGROUP / "memory.current").read_text("ascii"))
        pages = re.search(r"^file (\d+)$", (_CGROUP / "memory.stat").read_text("ascii"), re.MULTILINE)
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used + (int(pages[1]) if pages else 0))


def _gib(size: int) -> str:
    gib: float = size / 2**30
    return f"{gib:.1f}" if gib >= 0.95 else f"{gib:.2g}"

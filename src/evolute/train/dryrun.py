"""What a training step holds in memory at its peak, found by taking the step on tensors that have no data.

PyTorch's fake tensors go through the model's own code, know every shape and type, and hold nothing; so a model of any
size and make can be tried in seconds, without its weights. (The method of `torch.distributed._tools.mem_tracker`.)
"""

from __future__ import annotations

import copy
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_DEPTHS = (2, 4)
"""Layers of the two models that are tried; what each further layer takes is their difference, over two."""
_TILE_ROWS = 1024
"""Rows of logits that a tiled head holds at once: TRL's (`trl/trainer/utils.py`, _CHUNKED_LOGPROB_CHUNK_SIZE)."""

Adapt = Callable[[Any], Any]


class _Live(TorchDispatchMode):  # type: ignore[misc]  # mypy does not follow into torch
    """Counts the bytes of all storages made while it is on, and the most there were at one time."""

    def __init__(self, known: Iterator[torch.Tensor]) -> None:
        super().__init__()
        self._sizes: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._now = self.peak = 0
        for tensor in known:
            self._sizes[tensor.untyped_storage()] = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor) and (storage := one.untyped_storage()) not in self._sizes:
                self._sizes[storage] = size = storage.nbytes()
                self._now += size
                self.peak = max(self.peak, self._now)
                weakref.finalize(storage, self._gone, size)
        return made

    def release(self, tensor: torch.Tensor) -> None:
        """Count a storage no more: a gradient, which is counted apart."""
        if size := self._sizes.get(tensor.untyped_storage(), 0):
            self._sizes[tensor.untyped_storage()] = 0
            self._now -= size
            weakref.finalize(tensor.untyped_storage(), self._gone, -size)  # takes back what its end will subtract

    def _gone(self, size: int) -> None:
        self._now -= size


def activations(
    config: Any,  # noqa: ANN401 - transformers' own
    *,
    weights: torch.dtype,
    compute: torch.dtype,
    rows: int,
    length: int,
    checkpointing: bool,
    tiled_head: bool,
    adapt: Adapt | None = None,
) -> int | None:
    """Bytes at the peak of one step beside weights, gradients and optimizer: activations, logits, casts, scratch.

    Args:
        config: the model's configuration.
        weights: in which its weights are held.
        compute: in which it computes; where it differs from `weights`, under autocast.
        rows: sequences in a micro-batch.
        length: tokens of each.
        checkpointing: whether activations inside a layer are computed again for the backward pass.
        tiled_head: whether the loss is computed without ever holding all logits, as TRL does.
        adapt: what makes the model trainable otherwise than as a whole (LoRA).

    Returns:
        The bytes; None where this architecture cannot be run without data (a mixture that routes by value, say).
    """

    def peak(layers: int) -> int:
        tried = copy.deepcopy(config)
        _shorten(tried, layers)
        return _peak(tried, weights, compute, (rows, length), checkpointing, tiled_head, adapt)

    depth: int = config.get_text_config().num_hidden_layers
    try:
        if depth <= _DEPTHS[1]:
            return peak(depth)
        few, more = map(peak, _DEPTHS)
    except (RuntimeError, NotImplementedError, ValueError, TypeError, AttributeError, IndexError):
        return None  # each is how some model's code meets a tensor without data
    return int(few + (more - few) * (depth - _DEPTHS[0]) // (_DEPTHS[1] - _DEPTHS[0]))


def _shorten(config: Any, layers: int) -> None:  # noqa: ANN401
    text = config.get_text_config()
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]


def _peak(
    config: Any,  # noqa: ANN401
    weights: torch.dtype,
    compute: torch.dtype,
    shape: tuple[int, int],
    checkpointing: bool,
    tiled_head: bool,
    adapt: Adapt | None,
) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _shapes_of(config, weights, checkpointing, adapt)
        with FakeTensorMode():
            return _step(model, weights, compute, shape, tiled_head)


def _step(model: Any, weights: torch.dtype, compute: torch.dtype, shape: tuple[int, int], tiled_head: bool) -> int:  # noqa: ANN401
    _without_data(model)
    ids = torch.zeros(shape, dtype=torch.long)
    live = _Live(iter([*model.parameters(), *model.buffers(), ids]))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(lambda one: live.release(one.grad))
    with live, _autocast(weights, compute):
        loss = _tiled_loss(model, ids) if tiled_head else model(input_ids=ids, labels=ids).loss
    with live:
        loss.backward()
    tile = 2 * 4 * min(_TILE_ROWS, shape[0] * shape[1]) * model.config.get_text_config().vocab_size
    return int(live.peak + tile * tiled_head)


def _without_data(model: Any) -> None:  # noqa: ANN401
    """Put tensors of the mode that is on in the place of all others; what was one tensor stays one."""
    made: dict[int, torch.Tensor] = {}

    def other(tensor: torch.Tensor | None) -> torch.Tensor | None:
        if tensor is not None and id(tensor) not in made:
            empty = torch.empty(tensor.shape, dtype=tensor.dtype)
            is_parameter = isinstance(tensor, torch.nn.Parameter)
            made[id(tensor)] = torch.nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
        return None if tensor is None else made[id(tensor)]

    replaced = []  # kept to the end, so that no id stands for two of them
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            replaced += tensors.values()
            for name, tensor in tensors.items():
                tensors[name] = other(tensor)


def _shapes_of(config: Any, weights: torch.dtype, checkpointing: bool, adapt: Adapt | None) -> Any:  # noqa: ANN401
    from transformers import AutoModelForCausalLM

    config.use_cache = False
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=weights)
        model = model if adapt is None else adapt(model)
    model.train()
    if checkpointing:
        # It draws no random numbers here, and their state is no fake tensor.
        model.gradient_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
        model.enable_input_require_grads()
    return model


def _tiled_loss(model: Any, ids: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    """Some scalar of the last hidden states, from which the whole model below the head is run back through."""
    backbone = model.get_base_model().base_model if hasattr(model, "get_base_model") else model.base_model
    hidden: torch.Tensor = backbone(input_ids=ids).last_hidden_state
    return hidden.sum()


@contextmanager
def _autocast(weights: torch.dtype, compute: torch.dtype) -> Iterator[None]:
    with nullcontext() if weights == compute else torch.autocast("cpu", dtype=compute):
        yield

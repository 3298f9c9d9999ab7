"""Answers that grow together: one pass through the model gives each its next token, and others may join at any step.

`transformers` has two ways to batch, and neither serves here: `generate` finishes a batch before it begins another and
draws all rows from one generator, and its continuous batching, on a processor, made a third of the tokens/s of
`generate` (SmolLM2, 16 rows) and has no seed of a row's own. The model, its cache, its masks and the filters of
sampling are transformers'; this module pads, joins and parts rows.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import (
    DynamicCache,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from evolute.models.local_sampling import Sampling

_ATTENDS = frozenset({"full_attention", "sliding_attention", "chunked_attention"})


@dataclass(slots=True, eq=False)
class Row:
    """One answer that grows: the prompt's tokens, how it is drawn, and what it has so far."""

    prompt: list[int]
    sampling: Sampling
    made: list[int] = field(default_factory=list)
    generator: torch.Generator = field(default_factory=torch.Generator)

    def __post_init__(self) -> None:
        if self.sampling.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(self.sampling.seed % 2**64)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A row's next token; its log-probability and the likeliest tokens', where they were asked for."""

    token: int
    logprob: float = 0.0
    top: tuple[tuple[int, float], ...] = ()


class Batch:
    """Rows in one cache, the shorter ones padded on the left.

    What stands beside a row changes the order of float additions, and nothing else: each row has a generator of its
    own, and its draws are made from its own logits, in float32 on the processor.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - transformers' own
        self._model = model
        self._accepts = frozenset(inspect.signature(model.forward).parameters)
        self.rows: list[Row] = []
        self._lengths: list[int] = []
        self._cache: Any = None
        kinds = getattr(model.config.get_text_config(decoder=True), "layer_types", None)
        self.joins = not getattr(model, "_is_stateful", False) and set(kinds or ()) <= _ATTENDS
        """Whether rows may share a cache: not where layers keep a running state (Mamba), which knows no padding."""

    def step(self, joining: list[Row]) -> list[Drawn]:
        """Let rows join, and draw the next token of each; in the order of `rows` after it."""
        with torch.inference_mode():
            return self._step(joining)

    def _step(self, joining: list[Row]) -> list[Drawn]:
        logits = []
        if self.rows:
            last = torch.tensor([[row.made[-1]] for row in self.rows], device=self._model.device)
            self._lengths = [length + 1 for length in self._lengths]
            logits.append(self._forward(last, self._lengths, self._cache))
        if joining:
            logits.append(self._join(joining))
        scores = torch.cat(logits).float()
        likeliest = scores.argmax(-1).tolist()
        drawn = [_draw(row, scores[n], likeliest[n]) for n, row in enumerate(self.rows)]
        for row, one in zip(self.rows, drawn, strict=True):
            row.made.append(one.token)
        return drawn

    def keep(self, rows: list[Row]) -> None:
        """Go on with these rows alone, in the order in which they stand."""
        places = [n for n, row in enumerate(self.rows) if row in rows]
        if len(places) == len(self.rows):
            return
        self.rows = [self.rows[n] for n in places]
        self._lengths = [self._lengths[n] for n in places]
        if not places:
            self._cache = None
            return
        self._cache.batch_select_indices(torch.tensor(places, device=self._model.device))
        width = max(self._lengths)
        for layer in self._cache.layers if self.joins else ():
            layer.keys, layer.values = layer.keys[..., -width:, :], layer.values[..., -width:, :]

    def _join(self, rows: list[Row]) -> torch.Tensor:
        """Read the prompts, and put them beside what there is."""
        lengths = [len(row.prompt) for row in rows]
        width = max(lengths)
        ids = torch.tensor([[0] * (width - len(row.prompt)) + row.prompt for row in rows], device=self._model.device)
        # Without a configuration the cache keeps every token, also where a window slides: rows can then be shifted.
        cache = DynamicCache() if self.joins else DynamicCache(config=self._model.config)
        logits = self._forward(ids, lengths, cache)
        self._cache = cache if self._cache is None else _beside(self._cache, cache)
        self.rows, self._lengths = self.rows + rows, self._lengths + lengths
        return logits

    def _forward(self, ids: torch.Tensor, lengths: list[int], cache: Any) -> torch.Tensor:  # noqa: ANN401
        """The logits of each row's last token; `lengths` count the tokens up to it, padding left out."""
        width = cache.get_seq_length() + ids.shape[1]
        ends = torch.tensor(lengths, device=ids.device)[:, None]
        places = torch.arange(width, device=ids.device)[None] - (width - ends)  # negative: padding
        given = {
            "attention_mask": (places >= 0).long(),
            "position_ids": places[:, -ids.shape[1] :].clamp(min=0),
            "logits_to_keep": 1,
        }
        known = {name: value for name, value in given.items() if name in self._accepts}
        out = self._model(input_ids=ids, past_key_values=cache, use_cache=True, return_dict=True, **known)
        last: torch.Tensor = out.logits[:, -1]
        return last


def _beside(one: Any, other: Any) -> Any:  # noqa: ANN401
    """The rows of two caches as one, the shorter padded on the left."""
    width = max(one.get_seq_length(), other.get_seq_length())

    def widened(state: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(state, (0, 0, width - state.shape[-2], 0))

    pairs = zip(one.layers, other.layers, strict=True)
    return DynamicCache([
        (torch.cat([widened(a.keys), widened(b.keys)]), torch.cat([widened(a.values), widened(b.values)]))
        for a, b in pairs
    ])  # fmt: skip


def _draw(row: Row, scores: torch.Tensor, likeliest: int) -> Drawn:
    asked = row.sampling
    token = likeliest
    if asked.temperature > 0 or asked.repetition_penalty != 1:
        token = _sampled(row, scores.cpu())
    if asked.top_logprobs is None:
        return Drawn(token)
    told = scores.log_softmax(-1)
    values, places = told.topk(min(asked.top_logprobs, len(told)))
    return Drawn(token, told[token].item(), tuple(zip(places.tolist(), values.tolist(), strict=True)))


def _sampled(row: Row, scores: torch.Tensor) -> int:
    """A token drawn as `generate` would: the same filters in the same order, with the row's own generator."""
    asked = row.sampling
    seen, left = torch.tensor([row.prompt + row.made]), scores[None]
    if asked.repetition_penalty != 1:
        left = RepetitionPenaltyLogitsProcessor(asked.repetition_penalty)(seen, left)
    if asked.temperature == 0:
        return int(left.argmax())
    left = TemperatureLogitsWarper(asked.temperature)(seen, left)
    if asked.top_k:
        left = TopKLogitsWarper(asked.top_k)(seen, left)
    if asked.top_p < 1:
        left = TopPLogitsWarper(asked.top_p)(seen, left)
    if asked.min_p:
        left = MinPLogitsWarper(asked.min_p)(seen, left)
    return int(torch.multinomial(left.softmax(-1), 1, generator=row.generator))

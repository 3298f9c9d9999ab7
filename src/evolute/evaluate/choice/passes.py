"""Passes through a transformers model: with key-value caches that rows share, and logits only where they are wanted."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from evolute.evaluate.choice.prefixes import Tokens

if TYPE_CHECKING:
    import torch

Found = tuple[float, bool]
"""The log-likelihood of some tokens, and whether each of them was the likeliest."""


class Passes:
    """A causal language model of transformers, in evaluation mode on its device.

    The model's own forward is called; only what goes into its output embeddings is cut down to the wanted positions, so
    that scales and caps that a model puts on its logits hold.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - any causal language model
        self._model = model
        self.put_in = 0
        """Tokens put through the model so far, without padding."""

    @property
    def vocabulary(self) -> int:
        """How many logits a position has."""
        return int(self._model.get_output_embeddings().weight.shape[0])

    def begin(self, tokens: Tokens, before: Any = None) -> Any:  # noqa: ANN401 - a transformers cache
        """The cache of tokens behind those of the cache `before`, which stays as it is."""
        from transformers import DynamicCache

        cache = _rows_of(before, 1) if before is not None else DynamicCache(config=self._model.config)
        self._logits([tokens], cache, [])
        return cache

    def score(
        self,
        rows: Sequence[Tokens],
        wanted: Sequence[Sequence[Tokens]],
        cache: Any = None,  # noqa: ANN401
    ) -> list[list[Found]]:
        """Put rows through the model, and score for each the token sequences that may end it.

        Args:
            rows: what is put in, behind the cache's tokens.
            wanted: for each row, continuations: the last so many positions of the row predict its tokens.
            cache: of what stands before all rows; it stays as it is.
        """
        places: dict[tuple[int, int], int] = {}
        asked: list[tuple[int, int]] = []
        for number, (row, continuations) in enumerate(zip(rows, wanted, strict=True)):
            for tokens in continuations:
                first = len(row) - len(tokens)
                asked += [
                    (places.setdefault((number, first + at), len(places)), token) for at, token in enumerate(tokens)
                ]
        logits = self._logits(rows, _rows_of(cache, len(rows)) if cache is not None else None, list(places))
        found = iter(_picked(logits, asked))
        return [[_summed([next(found) for _ in tokens]) for tokens in continuations] for continuations in wanted]

    def _logits(self, rows: Sequence[Tokens], cache: Any, places: Sequence[tuple[int, int]]) -> torch.Tensor:  # noqa: ANN401
        """Logits at places (row, column) alone. Shorter rows are filled on the right, where nothing looks back."""
        import torch

        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=self._model.device)
        self.put_in += sum(map(len, rows))
        # The harness scores without gradients, too; inference mode would forbid caches to be written anew.
        with torch.no_grad(), self._only(places):
            out = self._model(input_ids=ids, past_key_values=cache, use_cache=cache is not None)
        logits: torch.Tensor = out.logits[0]
        if len(logits) != len(places):
            raise RuntimeError(f"{type(self._model).__name__}: its logits do not come from its output embeddings")
        return logits

    @contextmanager
    def _only(self, places: Sequence[tuple[int, int]]) -> Iterator[None]:
        import torch

        def choose(module: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:  # noqa: ANN401 - torch's hook
            states = given[0]
            index = torch.tensor(places, dtype=torch.long, device=states.device).reshape(-1, 2)
            return (states[index[:, 0], index[:, 1]].unsqueeze(0), *given[1:])

        hook = self._model.get_output_embeddings().register_forward_pre_hook(choose)
        try:
            yield
        finally:
            hook.remove()


def can_reuse(model: Any) -> bool:  # noqa: ANN401 - any causal language model
    """Whether the model's cache keeps every token in every layer, and gives what a plain pass gives; this is tried.

    Windows that slide, recurrent states and caches of a model's own do not; such a model is scored without reuse.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    passes = Passes(model)
    few = min(passes.vocabulary, 1000)
    tokens = tuple((7 * number * number + 3) % few for number in range(24))
    wanted = [[tokens[-4:]], [tokens[-5:-1]]]
    rows = [tokens[:-1], tokens[:-2]]
    try:
        cache = passes.begin(tokens[:12])
        if not isinstance(cache, DynamicCache) or any(type(layer) is not DynamicLayer for layer in cache.layers):
            return False
        if not cache.layers or any(layer.get_seq_length() != 12 for layer in cache.layers):
            return False
        reused = passes.score([row[12:] for row in rows], wanted, cache)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return False  # a cache of another make
    plain = passes.score(rows, wanted)
    near = 0.01 if str(model.dtype).endswith("float32") else 0.5  # half precision has three digits, or two
    return all(abs(one[0][0] - other[0][0]) < near for one, other in zip(plain, reused, strict=True))


def _rows_of(cache: Any, count: int) -> Any:  # noqa: ANN401 - a transformers cache
    """A cache that goes on from another in so many rows, without a copy: torch copies when it grows."""
    grown = copy.copy(cache)
    grown.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in grown.layers:
        layer.keys = layer.keys.expand(count, *layer.keys.shape[1:])
        layer.values = layer.values.expand(count, *layer.values.shape[1:])
    return grown


def _picked(logits: torch.Tensor, asked: Sequence[tuple[int, int]]) -> Iterator[Found]:
    """The log-probability of each token asked for, and whether it was the likeliest."""
    import torch

    if not asked:
        return
    index = torch.tensor(asked, dtype=torch.long, device=logits.device)
    logits = logits.float()
    values = logits[index[:, 0], index[:, 1]] - logits.logsumexp(-1)[index[:, 0]]
    likeliest = logits.argmax(-1)[index[:, 0]] == index[:, 1]
    yield from zip(values.tolist(), likeliest.tolist(), strict=True)


def _summed(found: Sequence[Found]) -> Found:
    return sum(value for value, _ in found), all(greedy for _, greedy in found)

"""Log-likelihoods of continuations under a transformers model, with each shared beginning computed once.

The harness puts context and choice through the model for every choice, and makes logits of every token. Here the
beginnings that sequences share (a subject's examples, a question before its choices) are a tree of key-value caches,
and only those positions get logits whose next token is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolute.evaluate.choice.encoding import Encoded, Pair, encode_pairs
from evolute.evaluate.choice.passes import Found, Passes, can_reuse
from evolute.evaluate.choice.prefixes import Leaf, Node, Tokens, grow

BATCH_TOKENS = 8192
"""Tokens that are in memory at once, those of caches and padding included."""
_LOGITS = 64 * 2**20
"""Logits that are in memory at once."""
_PLANNED = 1024
"""Pairs that are planned together."""
Wanted = Mapping[Tokens, Sequence[Tokens]]
"""What may follow: for each sequence that is put in, the continuations that its end predicts."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """What a continuation came to.

    Args:
        value: the natural logarithm of its probability after the context, or None where it is unscored.
        greedy: whether every token of it is the likeliest.
        cut: tokens of the context that the model's window had no room for.
        why: why it is unscored.
    """

    value: float | None
    greedy: bool = False
    cut: int = 0
    why: str = ""


class Scorer:
    """Scores continuations under a causal language model of transformers.

    Args:
        model: on its device, in evaluation mode.
        encode: its tokenizer, for many texts at once, with its special tokens.
        window: the most tokens that it takes.
        beginning: the token that stands for an empty context.
        batch_tokens: tokens in memory at once; a single sequence may be longer.
        reuse: whether shared beginnings are computed once; None: if the model's cache allows it, which is tried.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - any causal language model
        encode: Callable[[list[str]], list[list[int]]],
        window: int,
        *,
        beginning: int = 0,
        batch_tokens: int = BATCH_TOKENS,
        reuse: bool | None = None,
    ) -> None:
        self.passes = Passes(model)
        self.reuse = can_reuse(model) if reuse is None else reuse
        self._encode, self._window, self._beginning = encode, window, beginning
        self._batch_tokens = batch_tokens
        self._positions = max(1, _LOGITS // self.passes.vocabulary)

    def score(self, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, Likelihood]]:
        """The log-likelihood of each pair, as it is found: not in their order, and equal ones once."""
        different = list(dict.fromkeys(pairs))
        for begin in range(0, len(different), _PLANNED):
            yield from self._some(different[begin : begin + _PLANNED])

    def _some(self, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, Likelihood]]:
        by_input: dict[Tokens, list[tuple[Pair, Encoded]]] = {}
        for pair, encoded in zip(pairs, encode_pairs(pairs, self._encode, self._window, self._beginning), strict=True):
            if encoded.why:
                yield pair, Likelihood(None, why=encoded.why)
            else:
                by_input.setdefault(encoded.tokens[:-1], []).append((pair, encoded))
        wanted = {put: [one.tokens[-one.count :] for _, one in ones] for put, ones in by_input.items()}
        for put, found in self.score_tokens(wanted):
            for (pair, encoded), (value, greedy) in zip(by_input[put], found, strict=True):
                yield pair, Likelihood(value, greedy, encoded.cut)

    def score_tokens(self, wanted: Wanted) -> Iterator[tuple[Tokens, list[Found]]]:
        """As `score`, for sequences that are tokens already."""
        leaves = [Leaf(put, len(put) - max(map(len, continuations))) for put, continuations in wanted.items()]
        yield from self._walk(grow(leaves) if self.reuse else Node(leaves=leaves), wanted, 0, None)

    def _walk(self, node: Node, wanted: Wanted, depth: int, cache: Any) -> Iterator[tuple[Tokens, list[Found]]]:  # noqa: ANN401
        if node.shared:
            cache = self.passes.begin(node.shared, cache)
            depth += len(node.shared)
        for batch in self._batches(node.leaves, wanted):
            rows = [leaf.tokens[depth:] for leaf in batch]
            found = self.passes.score(rows, [wanted[leaf.tokens] for leaf in batch], cache)
            yield from zip([leaf.tokens for leaf in batch], found, strict=True)
        for child in node.nodes:
            yield from self._walk(child, wanted, depth, cache)

    def _batches(self, leaves: Sequence[Leaf], wanted: Wanted) -> Iterator[list[Leaf]]:
        """Leaves of like length together, the longest first: what is too much for memory is so at once."""
        batch: list[Leaf] = []
        positions = 0
        for leaf in sorted(leaves, key=lambda leaf: -len(leaf.tokens)):
            more = sum(map(len, wanted[leaf.tokens]))
            longest = len((batch or [leaf])[0].tokens)
            if batch and ((len(batch) + 1) * longest > self._batch_tokens or positions + more > self._positions):
                yield batch
                batch, positions = [], 0
            batch.append(leaf)
            positions += more
        if batch:
            yield batch

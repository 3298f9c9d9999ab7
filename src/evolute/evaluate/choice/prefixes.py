"""What sequences of tokens share at their beginning, as a tree: each node is computed once, for all below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Tokens = tuple[int, ...]
LEAST = 16
"""Tokens that a shared beginning must have to be computed apart; a pass over fewer costs more than it saves."""
WORTH = 64
"""Tokens that it must save, over all that share it."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A sequence; of it, what stands before `free` may be computed with others."""

    tokens: Tokens
    free: int


@dataclass(slots=True)
class Node:
    """Sequences that begin alike: `shared` is what they share behind what they share with the nodes above."""

    shared: Tokens = ()
    leaves: list[Leaf] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)


def grow(leaves: Sequence[Leaf]) -> Node:
    """The tree of sequences, no two of them equal. Whatever shares too little hangs on the node above."""
    root = Node()
    if leaves:
        ordered = sorted(leaves, key=lambda leaf: leaf.tokens)
        common = [_common(*pair) for pair in pairwise(ordered)]
        _hang(root, 0, ordered, common)
    return root


def computed(node: Node, depth: int = 0) -> int:
    """Tokens that are put through the model for a tree, without padding."""
    depth += len(node.shared)
    below = sum(len(leaf.tokens) - depth for leaf in node.leaves) + sum(computed(child, depth) for child in node.nodes)
    return len(node.shared) + below


def _hang(node: Node, depth: int, leaves: Sequence[Leaf], common: Sequence[int]) -> None:
    """Hang leaves, which share `depth` tokens with the node, on it; `common` is what neighbours share."""
    if len(leaves) == 1:
        node.leaves.append(leaves[0])
        return
    shared = min(common)
    if shared - depth >= LEAST and (shared - depth) * (len(leaves) - 1) >= WORTH:
        child = Node(leaves[0].tokens[depth:shared])
        node.nodes.append(child)
        node, depth = child, shared
    begin = 0
    for end in [*(number for number, length in enumerate(common) if length == shared), len(leaves) - 1]:
        _hang(node, depth, leaves[begin : end + 1], common[begin:end])
        begin = end + 1


def _common(one: Leaf, other: Leaf) -> int:
    """How many tokens two leaves share, of those that may be shared."""
    most = min(one.free, other.free)
    for number, (mine, theirs) in enumerate(zip(one.tokens[:most], other.tokens[:most], strict=True)):
        if mine != theirs:
            return number
    return most

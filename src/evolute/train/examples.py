"""Conversations as tokens: counted, those that are too long seen to, split by lineage, packed."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from evolute.errors import InputError
from evolute.formats import Format
from evolute.recipe.training import TrainRecipe
from evolute.records import tagged_hash
from evolute.train.conversations import SKIP, Conversation

IGNORED = -100
"""The label of a token that bears no loss (PyTorch's cross-entropy)."""
_ALL = 2**64


@dataclass(frozen=True, slots=True)
class Example:
    """One row for the trainer: tokens, and which of them bear loss; `group` decides on which side of a split it is."""

    ids: array[int]
    labels: array[int]
    group: int
    place: int

    @property
    def tokens(self) -> int:
        """How many tokens it has."""
        return len(self.ids)

    @property
    def learned(self) -> int:
        """How many tokens bear loss."""
        return sum(label != IGNORED for label in self.labels)


@dataclass(slots=True)
class Examples:
    """The examples of a dataset, and what became of the rest.

    `lengths` are the tokens of every example, those dropped among them; `place` in an example is its conversation's
    number.
    """

    kept: list[Example] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    conversations: int = 0
    dropped: int = 0
    truncated: int = 0
    unlearned: int = 0
    unwritten: list[str] = field(default_factory=list)
    """Why the format, or the base's chat template, cannot write a conversation, and where it is."""

    @property
    def tokens(self) -> int:
        """Tokens of the examples that are kept."""
        return sum(one.tokens for one in self.kept)

    @property
    def learned(self) -> int:
        """Tokens of theirs that bear loss."""
        return sum(one.learned for one in self.kept)

    def left_out(self) -> list[tuple[str, int]]:
        """(why, examples): what is not trained on as it stands."""
        return [
            ("longer than max_length: dropped", self.dropped),
            ("longer than max_length: cut", self.truncated),
            ("no answer within max_length: dropped", self.unlearned),
            ("not to be written in the format: dropped", len(self.unwritten)),
        ]

    def describe(self, max_length: int, *, may_cut: bool = True) -> Iterator[str]:
        """What one wants to know before the training: how long the examples are, and which are left out."""
        if not self.lengths:
            return
        if self.unwritten:
            yield f"left out: {len(self.unwritten):,} that cannot be written in this format, first {self.unwritten[0]}"
        ranked = sorted(self.lengths)
        at = {share: ranked[min(len(ranked) - 1, int(share * len(ranked)))] for share in (0.5, 0.9, 0.99)}
        yield (
            f"lengths in tokens: half have up to {at[0.5]:,}, 90 % {at[0.9]:,}, 99 % {at[0.99]:,}; the longest "
            f"{ranked[-1]:,}"
        )
        if self.dropped:
            yield (
                f"dropped: {self.dropped:,} of {len(ranked):,} are longer than max_length ({max_length:,}); "
                + ("--set too_long=truncate cuts them, " if may_cut else "")
                + "--set max_length=N takes longer ones"
            )
        if self.truncated:
            yield f"cut: {self.truncated:,} of {len(ranked):,} are longer than max_length ({max_length:,})"
        if self.unlearned:
            yield f"dropped: {self.unlearned:,} have no token of an answer within max_length ({max_length:,})"


def encode(
    conversations: Iterable[Conversation],
    tokenizer: Any,  # noqa: ANN401
    format: Format,
    recipe: TrainRecipe,
) -> Examples:
    """All conversations as examples, each with the group that it must not be parted from in a split.

    That is its lineage where its root is known, and else whatever begins with the same question.

    Raises:
        InputError: there are none, or none has anything to learn; or (without `skip_bad`) the format has no room for
            one: a system prompt, several turns.
    """
    from evolute.formats.encoding import encode_conversation

    found = Examples()
    for number, conversation in enumerate(conversations):
        found.conversations += 1
        group = _group(conversation, recipe.validation_seed)
        try:
            written = encode_conversation(
                tokenizer, format, conversation.messages, conversation.given, conversation.unlearned
            )
        except InputError as error:
            found.unwritten.append(f"{conversation.where}: {error}")
            if recipe.skip_bad:
                continue
            raise InputError(f"{found.unwritten[0]}\nTake another format, or leave such rows out: {SKIP}") from None
        for encoded in written:
            _take(found, encoded.ids, encoded.learned, group, number, recipe)
    if not found.conversations:
        raise InputError("the dataset holds no conversations to train on")
    if not found.lengths:
        raise InputError(f"none of the conversations can be written in this format: {found.unwritten[0]}")
    if not found.kept:
        raise InputError(
            f"none of the {len(found.lengths):,} examples can be trained on: {found.dropped:,} are longer than "
            f"max_length ({recipe.max_length:,}), and {found.unlearned:,} have no answer within it. "
            f"Set max_length higher (the shortest has {min(found.lengths):,} tokens), or --set too_long=truncate"
        )
    return found


def _take(
    found: Examples, ids: Sequence[int], learned: Sequence[bool], group: int, place: int, recipe: TrainRecipe
) -> None:
    found.lengths.append(len(ids))
    most = recipe.max_length
    if too_long := len(ids) > most:
        if recipe.too_long == "drop":
            found.dropped += 1
            return
        ids, learned = ids[:most], learned[:most]
    if not any(learned[1:]):  # nothing comes before the first token to tell it from
        found.unlearned += 1
        return
    found.truncated += too_long
    labels = (token if bears else IGNORED for token, bears in zip(ids, learned, strict=True))
    found.kept.append(Example(array("i", ids), array("i", labels), group, place))


def _group(conversation: Conversation, seed: int) -> int:
    asked = next((turn.content for turn in conversation.messages if turn.role == "user"), "")
    key = ("root", conversation.root) if conversation.root else ("prompt", asked)
    return int.from_bytes(tagged_hash("train-split-1", seed, *key)[:8], "big")


def split(examples: Sequence[Example], share: float) -> tuple[list[Example], list[Example]]:
    """Examples to train on, and those held out: whole groups, those of the smallest hashes, about that share of them.

    At least one group is held out where a share is asked for.

    Raises:
        InputError: nothing would be left to train on.
    """
    groups = sorted({one.group for one in examples})
    held = max(1, round(share * len(groups))) if share else 0
    if held >= len(groups):
        raise InputError(
            f"validation: {share} of {len(groups):,} lineages leaves none to train on: give more data, or set it to 0"
        )
    out = set(groups[:held])
    return [one for one in examples if one.group not in out], [one for one in examples if one.group in out]


def as_dataset(examples: Sequence[Example], *, pack: int = 0, seed: int = 0) -> Any:  # noqa: ANN401 - datasets' own
    """The rows as TRL takes them: `input_ids` and `labels`; packed, `seq_lengths` as well.

    Packing is TRL's best-fit decreasing (Ding et al. 2024, arXiv:2404.10830): no example is cut, and rows are filled
    as far as they go.

    Args:
        examples: the rows.
        pack: tokens of a packed row; 0: not packed.
        seed: shuffles the examples before they are packed.
    """
    import datasets
    import numpy as np

    table = {
        "input_ids": [np.frombuffer(one.ids, dtype=np.int32) for one in examples],
        "labels": [np.frombuffer(one.labels, dtype=np.int32) for one in examples],
    }
    rows = datasets.Dataset.from_dict(table)
    if not pack:
        return rows
    from trl import pack_dataset

    return pack_dataset(rows.shuffle(seed=seed), pack, "bfd")

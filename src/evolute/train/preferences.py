"""Preference pairs to train on: two answers to the same prompt as tokens, and TRL's DPOTrainer for them.

Direct Preference Optimization (Rafailov et al. 2023, arXiv:2305.18290). Prompt and answers are encoded as in supervised
fine-tuning, token for token; what TRL would make of texts itself is not asked for.
"""

from __future__ import annotations

import copy
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.formats import Format
from evolute.recipe.training import TrainRecipe
from evolute.records import Message, tagged_hash
from evolute.train.conversations import SKIP

_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Preferred:
    """Two answers to the last of `messages`, the first one better. `where` says where it was read."""

    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    where: str = ""
    root: str = ""
    """The seed that it descends from, where that is known."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A preference as tokens. Both answers hold what ends them, and bear the loss as a whole."""

    prompt: array[int]
    chosen: array[int]
    rejected: array[int]
    group: int
    place: int

    @property
    def ids(self) -> array[int]:
        """The longer of its two sequences."""
        return self.prompt + max(self.chosen, self.rejected, key=len)

    @property
    def tokens(self) -> int:
        """How many tokens its two sequences have."""
        return 2 * len(self.prompt) + self.learned

    @property
    def learned(self) -> int:
        """Tokens that bear loss."""
        return len(self.chosen) + len(self.rejected)


@dataclass(slots=True)
class Pairs:
    """The pairs of a dataset, and what became of the rest. `lengths` are of the longer sequence of every pair."""

    kept: list[Pair] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    conversations: int = 0
    same: int = 0
    unwritten: list[str] = field(default_factory=list)
    """Why the format, or the base's chat template, cannot write a prompt, and where it is."""
    dropped: int = 0
    truncated: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of both sequences of every pair that is kept."""
        return sum(one.tokens for one in self.kept)

    @property
    def learned(self) -> int:
        """Tokens of theirs that bear loss."""
        return sum(one.learned for one in self.kept)

    def left_out(self) -> list[tuple[str, int]]:
        """(why, pairs): what is not trained on as it stands."""
        return [
            ("longer than max_length: dropped", self.dropped),
            ("longer than max_length: cut", self.truncated),
            ("the same tokens in both answers: dropped", self.same),
            ("not to be written in the format: dropped", len(self.unwritten)),
        ]

    def describe(self, max_length: int, *, may_cut: bool = True) -> Iterator[str]:
        """What one wants to know before the training: how long the pairs are, and which are left out."""
        if not self.lengths:
            return
        if self.unwritten:
            yield f"left out: {len(self.unwritten):,} that cannot be written in this format, first {self.unwritten[0]}"
        ranked = sorted(self.lengths)
        half, most = ranked[len(ranked) // 2], ranked[-1]
        yield f"lengths in tokens, prompt and the longer answer: half have up to {half:,}, the longest {most:,}"
        longer = sum(len(pair.chosen) > len(pair.rejected) for pair in self.kept)
        yield (
            f"the preferred answer is the longer one in {longer:,} of {len(self.kept):,} pairs"
            + (": length alone may be what is learned" if longer > 0.8 * len(self.kept) else "")
        )
        if self.dropped:
            yield f"dropped: {self.dropped:,} of {len(ranked):,} are longer than max_length ({max_length:,})"
        if self.truncated:
            yield f"cut: {self.truncated:,} of {len(ranked):,} are longer than max_length ({max_length:,})"
        if self.same:
            yield f"dropped: {self.same:,} of {len(ranked):,} have the same tokens in both answers"


def as_preferred(row: Mapping[str, Any], where: str) -> Preferred:
    """A row of `evolute export --format preference` or `preference-text`, or of any file in those shapes of TRL's.

    Raises:
        InputError: prompt or an answer is missing or empty, of another shape, or both answers are the same.
    """
    missing = [name for name in ("prompt", "chosen", "rejected") if not row.get(name)]
    if missing:
        raise InputError(
            f"{where}: no {missing[0]!r}: a preference has prompt, chosen and rejected, as "
            "`evolute export RUN FILE --format preference` writes them"
        )
    prompt, chosen, rejected = row["prompt"], row["chosen"], row["rejected"]
    if isinstance(prompt, str):
        # The plain form ends the prompt with an empty line, for TRL joins the texts; the format has its own there.
        messages: tuple[Message, ...] = (Message("user", prompt.removesuffix("\n\n")),)
    else:
        messages = _turns(prompt, "prompt", where)
    if not messages or messages[-1].role != "user":
        raise InputError(f"{where}: the prompt must end with the user's turn")
    pair = Preferred(
        messages, _answer(chosen, "chosen", where), _answer(rejected, "rejected", where), where,
        str(row.get("root") or ""),
    )  # fmt: skip
    if pair.chosen == pair.rejected:
        raise InputError(f"{where}: chosen and rejected are the same text, which prefers nothing; leave it out")
    return pair


def _turns(value: object, name: str, where: str) -> tuple[Message, ...]:
    if not isinstance(value, list):
        raise InputError(f"{where}: {name!r} is neither a text nor a list of turns")
    found = []
    for turn in value:
        role, content = (turn.get("role"), turn.get("content")) if isinstance(turn, dict) else (None, None)
        if role not in _ROLES or not isinstance(content, str):
            raise InputError(f"{where}: {name!r} has a turn without a role ({', '.join(_ROLES)}) and a text: {turn!r}")
        found.append(Message(role, content))
    return tuple(found)


def _answer(value: object, name: str, where: str) -> str:
    if isinstance(value, str):
        text = value
    else:
        turns = _turns(value, name, where)
        if len(turns) != 1 or turns[0].role != "assistant":
            raise InputError(
                f"{where}: {name!r} must be one turn of the assistant's, not {len(turns)}: put what both answers "
                "begin with into the prompt"
            )
        text = turns[0].content
    if not text.strip():
        raise InputError(f"{where}: {name!r} is empty")
    return text


def encode_pairs(
    preferences: Iterable[Preferred],
    tokenizer: Any,  # noqa: ANN401 - transformers' own
    format: Format,
    recipe: TrainRecipe,
) -> Pairs:
    """All preferences as tokens; those that are too long are dropped or cut, as the recipe says.

    Raises:
        InputError: there are none, or none can be trained on; or (without `skip_bad`) the format has no room for one.
    """
    found = Pairs()
    for number, one in enumerate(preferences):
        found.conversations += 1
        try:
            sides = [_encode(tokenizer, format, one, answer) for answer in (one.chosen, one.rejected)]
            prompt = sides[0][0]
            if prompt != sides[1][0]:
                raise InputError("the format writes this prompt otherwise for each answer")
        except InputError as error:
            found.unwritten.append(f"{one.where}: {error}")
            if recipe.skip_bad:
                continue
            raise InputError(f"{found.unwritten[0]}\nTake another format, or leave such rows out: {SKIP}") from None
        group = _group(one, recipe.validation_seed)
        _take(found, prompt, [answer for _, answer in sides], group, number, recipe)
    if not found.conversations:
        raise InputError("the dataset holds no preferences to train on")
    if not found.lengths:
        raise InputError(f"none of the preferences can be written in this format: {found.unwritten[0]}")
    if not found.kept:
        raise InputError(
            f"none of the {len(found.lengths):,} preferences can be trained on: {found.dropped:,} are longer than "
            f"max_length ({recipe.max_length:,}), and {found.same:,} have the same tokens in both answers"
        )
    return found


def _encode(tokenizer: Any, format: Format, one: Preferred, answer: str) -> tuple[list[int], list[int]]:  # noqa: ANN401
    """The prompt's tokens, and those of the answer with what ends it: the last that supervised tuning learns from."""
    from evolute.formats.encoding import encode_conversation

    encoded = encode_conversation(tokenizer, format, (*one.messages, Message("assistant", answer)))[-1]
    end = len(encoded.ids)
    while end and not encoded.learned[end - 1]:
        end -= 1
    start = end
    while start and encoded.learned[start - 1]:
        start -= 1
    return encoded.ids[:start], encoded.ids[start:end]


def _take(
    found: Pairs, prompt: list[int], answers: list[list[int]], group: int, place: int, recipe: TrainRecipe
) -> None:
    longest = len(prompt) + max(map(len, answers))
    found.lengths.append(longest)
    room = recipe.max_length - len(prompt)
    if longest > recipe.max_length:
        if recipe.too_long == "drop" or room < 1:
            found.dropped += 1
            return
        answers = [answer[:room] for answer in answers]
    if answers[0] == answers[1]:
        found.same += 1
        return
    found.truncated += longest > recipe.max_length
    chosen, rejected = (array("i", answer) for answer in answers)
    found.kept.append(Pair(array("i", prompt), chosen, rejected, group, place))


def _group(one: Preferred, seed: int) -> int:
    """What stays on one side of a split: pairs of one seed; without a seed, those of one prompt."""
    root = one.root or "\0".join(message.content for message in one.messages)
    return int.from_bytes(tagged_hash("train-split-1", seed, root)[:8], "big")


def make_preference_trainer(
    base: Any,  # noqa: ANN401 - evolute.train.opening.Base
    recipe: TrainRecipe,
    train: Sequence[Pair],
    held_out: Sequence[Pair],
    out: Path,
    callbacks: Sequence[Any] = (),
    *,
    device: str = "cpu",
    devices: int = 1,
) -> Any:  # noqa: ANN401 - TRL's DPOTrainer
    """A trainer for these pairs, ready for `train()`.

    The reference is where the model began: with an adapter the base beneath it, else a copy of the model.

    Args:
        base: the model and its tokenizer (`evolute.train.opening.open_base`), without an adapter.
        recipe: what is asked for; `preference` has what is DPO's own.
        train: pairs to train on.
        held_out: those of the validation; may be none.
        out: the training's folder.
        callbacks: transformers' callbacks; rewards, margins and accuracies are among what they are told.
        device: where it computes.
        devices: how many devices share a step.

    Raises:
        InputError: no layer has a name among the adapter's targets.
    """
    from transformers import PrinterCallback
    from trl import DPOConfig

    from evolute.train.arguments import training_arguments
    from evolute.train.opening import adapter_config

    common = training_arguments(recipe, out, device=device, rows=len(train), devices=devices, evaluates=bool(held_out))
    arguments = DPOConfig(**common, beta=recipe.preference.beta, loss_type=[recipe.preference.loss], max_length=None)
    adapter = adapter_config(recipe)
    try:
        trainer = _trainer()(
            model=base.model,
            # TRL would look for another copy by the model's name, which may be that of something on the hub.
            ref_model=copy.deepcopy(base.model) if adapter is None else None,
            args=arguments,
            train_dataset=_dataset(train),
            eval_dataset=_dataset(held_out) if held_out else None,
            processing_class=base.tokenizer,
            peft_config=adapter,
            callbacks=list(callbacks),
        )
    except ValueError as error:
        if adapter is None:
            raise
        raise InputError(f"lora.targets: {recipe.lora.targets!r}: {error}") from None
    trainer.remove_callback(PrinterCallback)
    return trainer


def _trainer() -> Any:  # noqa: ANN401
    from trl import DPOTrainer

    class Trainer(DPOTrainer):  # type: ignore[misc]
        """TRL's, for pairs that are tokens already, and without the card that it writes beside each checkpoint."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:  # noqa: ANN401
            return dataset

        def create_model_card(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
            """Nothing."""

    return Trainer


def _dataset(pairs: Sequence[Pair]) -> Any:  # noqa: ANN401 - datasets' own
    import datasets

    return datasets.Dataset.from_dict({
        "prompt_ids": [pair.prompt.tolist() for pair in pairs],
        "chosen_ids": [pair.chosen.tolist() for pair in pairs],
        "rejected_ids": [pair.rejected.tolist() for pair in pairs],
    })  # fmt: skip

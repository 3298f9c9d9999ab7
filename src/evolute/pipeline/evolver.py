"""What an evolver of one's own is trained on: what the evolver of a run was asked, and which of its answers were kept.

A kept evolution is a conversation: the messages that `evolute evolve` sent for that operation and parent, to the letter
(the lineage is walked again, as in a replay), and the instruction as it was kept. So whatever learns it can take the
evolver's place in a recipe without any change. A dropped one is its negative: with a kept one of the very same messages
it makes a preference pair.
"""

from __future__ import annotations

import heapq
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from evolute.errors import InputError
from evolute.evolve.session import Craft
from evolute.evolve.walking import Walk, walk
from evolute.files import replacing
from evolute.ledger import CandidateRow, Reader
from evolute.ledger.rows import instruction_name, seed_name
from evolute.operations import Operation
from evolute.pipeline.reading import dataset
from evolute.pipeline.summary import run_recipe
from evolute.pipeline.trainingdata import Corpus, digest_of
from evolute.pipeline.trainingrun import Training
from evolute.recipe import Recipe
from evolute.records import Message, Reason, tagged_hash
from evolute.text import clean_instruction
from evolute.train.conversations import Conversation
from evolute.train.examples import IGNORED, Examples, encode
from evolute.train.opening import Base

KEPT_FILE = "evolutions.jsonl"
PAIRS_FILE = "pairs.jsonl"

# Not the evolver's doing, or cut off before its end: no example of what not to write.
_BLAMELESS = frozenset({
    Reason.NULL, Reason.EMPTY, Reason.TRUNCATED, Reason.FILTERED, Reason.REJECTED, Reason.JUDGE_UNPARSABLE,
    Reason.RESPONSE_NULL, Reason.RESPONSE_EMPTY, Reason.RESPONSE_TRUNCATED, Reason.RESPONSE_FILTERED,
    Reason.RESPONSE_REJECTED, Reason.RESPONSE_CONTENT_FREE, Reason.RESPONSE_BOILERPLATE, Reason.RESPONSE_LANGUAGE,
    Reason.CODE_MISSING, Reason.NOT_PYTHON, Reason.TESTS_MISSING, Reason.TESTS_FAILED, Reason.TESTS_WEAK,
    Reason.DUPLICATE, Reason.NEAR_DUPLICATE, Reason.SEMANTIC_DUPLICATE, Reason.CONTAMINATED,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Evolution:
    """One answer of the evolver: what it was asked (the user's turn last), and what is to be learned or shunned."""

    id: str
    root: str
    operation: str
    messages: tuple[Message, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class EvolverPair:
    """A kept and a dropped answer to the same messages."""

    kept: Evolution
    dropped: Evolution
    reason: str


@dataclass(slots=True)
class EvolverSet:
    """The training set of an evolver, and what is not in it."""

    kept: list[Evolution] = field(default_factory=list)
    pairs: list[EvolverPair] = field(default_factory=list)
    unpaired: Counter[str] = field(default_factory=Counter)
    """Dropped ones without a kept one to the same messages, by reason."""
    blameless: Counter[str] = field(default_factory=Counter)
    """Dropped ones that show nothing wrong with the evolver's answer, by reason."""
    left_out: int = 0
    """Kept ones that balance or selection left out."""

    def describe(self) -> Iterator[str]:
        """What one wants to know before the training."""
        by_operation = Counter(one.operation for one in self.kept)
        counted = ", ".join(f"{name} {count:,}" for name, count in sorted(by_operation.items()))
        yield f"kept evolutions to learn from: {len(self.kept):,} ({counted})"
        if self.left_out:
            yield f"left out by selection or balance: {self.left_out:,}"
        yield f"preference pairs (a kept and a dropped answer to the same prompt): {len(self.pairs):,}"
        for what, reasons in (
            ("without a kept counterpart", self.unpaired),
            ("not the evolver's doing", self.blameless),
        ):
            if reasons:
                told = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
                yield f"dropped evolutions {what}: {reasons.total():,} ({told})"


def evolver_set(
    run: str | Path,
    *,
    balance: bool = False,
    most: int | None = None,
    selected: bool = True,
    seed: int = 0,
) -> EvolverSet:
    """The training set of an evolver, from a run's ledger; nothing is asked of any model.

    Args:
        run: the run's folder; it may be read-only, or still be written.
        balance: no operation has more examples than the rarest that was ever kept.
        most: no operation has more examples than this.
        selected: only instructions that `select` kept, where the run was selected.
        seed: decides which ones stay under `balance` and `most`.

    Raises:
        InputError: there is no run, or it holds no kept evolution, or its selection is stale.
        LedgerError: its ledger cannot be read, or was written under other rules.
    """
    folder = Path(run)
    chosen, kept = _chosen(folder, balance, most, selected, seed)
    if not kept:
        raise InputError(f"{run} holds no kept evolution: an evolver has nothing to learn from it")
    recipe, found = run_recipe(folder), EvolverSet()
    with Reader(folder) as reader:
        reader.hold()
        craft = Craft.restored(reader)
        for walked in walk(reader, recipe):
            _add(found, reader, walked, _Asked(recipe, craft, walked), chosen)
    found.left_out = kept - len(found.kept)
    return found


def write_evolver_set(found: EvolverSet, folder: Path) -> tuple[Path, Path | None]:
    """Write it as files that any trainer reads: conversations (`messages`), and TRL's preference form.

    Returns:
        The two files; None for the second where there is no pair.

    Raises:
        InputError: the folder is not there, or cannot be written.
    """
    kept = folder / KEPT_FILE
    _write(kept, (_labels(one) | {"messages": _turns((*one.messages, _said(one)))} for one in found.kept))
    if not found.pairs:
        return kept, None
    _write(folder / PAIRS_FILE, map(_as_preference, found.pairs))
    return kept, folder / PAIRS_FILE


def _chosen(run: Path, balance: bool, most: int | None, selected: bool, seed: int) -> tuple[frozenset[str], int]:
    """The ids that are to be learned from, and how many kept evolutions the run has in all."""
    ranked: dict[str, list[tuple[bytes, str]]] = defaultdict(list)
    for row in dataset(run, seeds=False, selected=selected):
        ranked[row.operation].append((tagged_hash("evolver-1", seed, row.id), row.id))
    with Reader(run) as reader:
        tally = reader.tally()
    kept = sum(count for (round_, _, reason), count in tally.items() if round_ and not reason)
    limit = min(map(len, ranked.values()), default=0) if balance else None
    limits = [bound for bound in (limit, most) if bound is not None]
    if not limits:
        return frozenset(name for rows in ranked.values() for _, name in rows), kept
    least = (heapq.nsmallest(min(limits), rows) for rows in ranked.values())
    return frozenset(name for rows in least for _, name in rows), kept


class _Asked:
    """What the evolver was asked for the candidates of one lineage."""

    def __init__(self, recipe: Recipe, craft: Craft, walked: Walk) -> None:
        self._operations: Mapping[str, Operation] = craft.operations
        self._demonstrations, self._walked = recipe.evolve.demonstrations, walked
        self._texts = {row.id: row.instruction or "" for row in walked.rows} | {walked.seed.id: walked.seed.text}

    def parent(self, row: CandidateRow) -> str:
        return self._texts[row.parent]

    def messages(self, row: CandidateRow) -> tuple[Message, ...]:
        return self._walked.asked[row.evolve_call or b""].messages

    def answer(self, row: CandidateRow) -> str:
        """The kept instruction in the form that the prompt's own demonstrations have, which the run's rules read."""
        operation = self._operations[row.operation]
        return operation.answer(row.instruction or "", demonstrations=self._demonstrations)


def _add(found: EvolverSet, reader: Reader, walked: Walk, asked: _Asked, chosen: frozenset[str]) -> None:
    """What one lineage adds; a pair is always of one lineage, for its prompt shows the parent."""
    kept: dict[tuple[Message, ...], list[Evolution]] = defaultdict(list)
    dropped: list[tuple[Evolution, str]] = []
    for row in walked.rows:
        if row.evolve_call is None or row.evolve_call not in walked.asked:
            continue
        if row.reason in _BLAMELESS:
            found.blameless[row.reason] += 1
            continue
        one = _evolution(reader, walked, row, asked)
        if row.reason:
            dropped.append((one, row.reason))
        elif one.id in chosen and clean_instruction(one.answer, parent=asked.parent(row)) == row.instruction:
            kept[one.messages].append(one)
    found.kept += [one for ones in kept.values() for one in ones]
    for one, reason in dropped:
        if counterparts := kept.get(one.messages):
            found.pairs.append(EvolverPair(counterparts[0], one, reason))
        else:
            found.unpaired[reason] += 1


def _evolution(reader: Reader, walked: Walk, row: CandidateRow, asked: _Asked) -> Evolution:
    """A kept one's answer is the instruction as it was kept, cleaned; a dropped one's, all that the model said."""
    said = "" if row.reason else asked.answer(row)
    if row.reason and row.evolve_call is not None and (completion := reader.completion(row.evolve_call)) is not None:
        said = completion.text or ""
    return Evolution(
        instruction_name(row.id), seed_name(walked.seed.id), row.operation, asked.messages(row), said
    )  # fmt: skip


def _said(one: Evolution) -> Message:
    return Message("assistant", one.answer)


def _labels(one: Evolution) -> dict[str, object]:
    return {"id": one.id, "root": one.root, "operation": one.operation}


def _turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": one.role, "content": one.content} for one in messages]


def _as_preference(pair: EvolverPair) -> dict[str, object]:
    return _labels(pair.kept) | {
        "prompt": _turns(pair.kept.messages),
        "chosen": _turns([_said(pair.kept)]),
        "rejected": _turns([_said(pair.dropped)]),
        "reason": pair.reason,
    }


def _write(path: Path, rows: Iterator[dict[str, object]]) -> None:
    with replacing(path) as file:
        for row in rows:
            file.write(orjson.dumps(row) + b"\n")


class EvolverTraining(Training):
    """A training of an evolver: the dataset is a run, whose kept evolutions are the conversations.

    The set is written into the training's folder, too: `evolute train --task prefer` takes its preference pairs.
    """

    task = "evolver"
    may_cut = False

    def read(self, dataset: Path) -> Corpus:
        """The kept evolutions, each with the lineage that it is of."""
        self.evolutions = evolver_set(dataset)
        for line in self.evolutions.describe():
            self.say(line)
        said = [
            Conversation((*one.messages, _said(one)), "", f"{dataset}, {one.id}", one.root)
            for one in self.evolutions.kept
        ]
        return Corpus(dataset, dataset.resolve().name, said, digest_of(said), models=_teachers(dataset))

    def encode(self, base: Base) -> Examples:
        """It as tokens, of which the last answer is learned: those before it are the operation's demonstrations.

        What is too long is dropped whatever the recipe says, for a rewrite that was cut off teaches not to end.
        """
        recipe = self.recipe.model_copy(update={"too_long": "drop"})
        examples = encode(self.corpus.conversations, base.tokenizer, self.format, recipe)
        for one in examples.kept:
            _learn_last(one.labels)
        return examples

    def trainer(self, base: Base, train: Sequence[Any], held_out: Sequence[Any], recorder: Any) -> Any:  # noqa: ANN401
        """As with answers; the set lies beside the model from here on."""
        if self.main:
            write_evolver_set(self.evolutions, self.out)
        return super().trainer(base, train, held_out, recorder)


def _teachers(run: Path) -> list[tuple[str, str]]:
    """Who evolved, and who judged what was kept, by role."""
    rows = ((row.evolver, row.judge) for row in dataset(run, seeds=False))
    named = ((role, name) for pair in rows for role, name in zip(("evolver", "judge"), pair, strict=True) if name)
    return list(dict.fromkeys(named))


def _learn_last(labels: array[int]) -> None:
    """Leave the last stretch of labels that bear loss, and no other."""
    end = next(place for place in range(len(labels), 0, -1) if labels[place - 1] != IGNORED)
    start = next((place for place in range(end, 0, -1) if labels[place - 1] == IGNORED), 0)
    labels[:start] = array(labels.typecode, [IGNORED]) * start

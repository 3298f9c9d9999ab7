"""What a proof trains on and what it holds out: lineages split by root, pools in a drawn order, arms of equal size."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from evolute.recipe.proving import Arms, HeldOut
from evolute.records import Message, Row, tagged_hash
from evolute.text.words import normalised

SEEDS, EVOLVED = "seeds", "evolved"


@dataclass(frozen=True, slots=True)
class Split:
    """The rows of a run, by whether their root is trained on; `left_out` counts rows that are on neither side, by why.

    `roots` and `held_roots` count lineages.
    """

    train: Sequence[Row]
    held: Sequence[Row]
    roots: int
    held_roots: int
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pool:
    """Rows of one kind in the order in which they are drawn, so that a smaller arm is part of a larger one."""

    name: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Example:
    """A row with the responder's answer, as it is trained on or held out; `tokens` in the base's own, all of it."""

    row: Row
    messages: tuple[Message, ...]
    """The prompt; the answer comes behind it."""
    answer: str
    tokens: int

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The prompt and its answer."""
        return (*self.messages, Message("assistant", self.answer))


@dataclass(frozen=True, slots=True)
class Arm:
    """What one model is trained on. The name says the pool and how many: those two say which examples."""

    name: str
    pool: str
    examples: Sequence[Example]

    @property
    def tokens(self) -> int:
        """Tokens of all its examples, prompts included; each is seen once an epoch."""
        return sum(one.tokens for one in self.examples)


@dataclass(frozen=True, slots=True)
class Versus:
    """Two arms that are compared: `one` has what evolution made, `other` the seeds. `equal` names what is equal.

    The verdict rests on those that are `main`.
    """

    name: str
    one: str
    other: str
    equal: str
    main: bool = True


def prompt_of(row: Row) -> tuple[Message, ...]:
    """What stood before the instruction, and the instruction with its input."""
    before = (Message("system", row.system),) if row.system else ()
    return (*before, *row.history, Message("user", row.asked))


def split_rows(rows: Iterable[Row], held_out: HeldOut, seed: int, contaminated: Collection[str] = ()) -> Split:
    """Hold out whole lineages, drawn by the seed.

    Args:
        rows: the run's.
        held_out: how many.
        seed: the draw's.
        contaminated: ids of rows that share a passage with a benchmark: they are not trained on.

    A held-out row with the words of one that is trained on is no held-out row, and is left out.
    """
    found = list(rows)
    drawn = sorted({row.root for row in found}, key=lambda root: tagged_hash("held-out-1", seed, root))
    count = min(held_out.most, max(1, round(held_out.share * len(drawn))), len(drawn))
    held_roots = set(drawn[:count])
    train = [row for row in found if row.root not in held_roots and row.id not in contaminated]
    known = {_words(row) for row in train}
    held = [row for row in found if row.root in held_roots]
    new = [row for row in held if _words(row) not in known]
    left_out = {
        "share a passage with a benchmark": sum(row.id in contaminated for row in found if row.root not in held_roots),
        "held out, with the words of one that is trained on": len(held) - len(new),
    }
    return Split(train, new, len(drawn), count, {why: number for why, number in left_out.items() if number})


def _words(row: Row) -> str:
    return normalised(row.prompt) or row.prompt.strip()


def pools_of(rows: Sequence[Row], arms: Arms, seed: int) -> dict[str, Pool]:
    """The seeds, the evolved rows, and as asked for each round alone and all without each operation."""
    drawn = sorted(rows, key=lambda row: tagged_hash("drawn-1", seed, row.id))
    evolved = [row for row in drawn if row.round]
    pools = {
        SEEDS: [row for row in drawn if not row.round],
        EVOLVED: drawn if arms.evolved_has_seeds else evolved,
    }
    if arms.rounds:
        for round_ in sorted({row.round for row in evolved}):
            pools[f"round {round_}"] = [row for row in evolved if row.round == round_]
    if arms.operations:
        behind = _operations_behind(rows)
        for operation in sorted({row.operation for row in evolved}):
            pools[f"without {operation}"] = [row for row in evolved if operation not in behind[row.id]]
    return {name: Pool(name, found) for name, found in pools.items() if found}


def _operations_behind(rows: Sequence[Row]) -> dict[str, frozenset[str]]:
    """By row: its operation, and those of the rows that it was evolved from."""
    behind: dict[str, frozenset[str]] = {}
    for row in sorted(rows, key=lambda row: row.round):
        behind[row.id] = behind.get(row.parent, frozenset()) | ({row.operation} if row.operation else frozenset())
    return behind


def usable(pool: Pool, examples: Mapping[str, Example], most: int | None = None) -> list[Example]:
    """The pool's rows with a usable answer, in order, the first so many."""
    found = [examples[row.id] for row in pool.rows if row.id in examples]
    return found[:most]


def missing(pool: Pool, examples: Mapping[str, Example], asked: Collection[str], wanted: int) -> list[Row]:
    """The rows to be answered next, so that so many of the pool's are usable; none once they are, or all are asked."""
    short = wanted - len(usable(pool, examples, wanted))
    left = [row for row in pool.rows if row.id not in asked]
    return left[:short] if short > 0 else []


def arms_of(
    pools: Mapping[str, Pool], examples: Mapping[str, Example], most: int | None
) -> tuple[dict[str, Arm], list[Versus]]:
    """The arms by name, and which are compared.

    Equal examples: the first n of both pools. Equal tokens: of those n, as many of each as hold the tokens of the side
    that has fewer; so only the side with longer texts loses examples. Smaller arms are parts of larger ones, and an arm
    that would be the same twice is one.
    """
    held = {name: usable(pool, examples, most) for name, pool in pools.items()}
    n = min(len(held[SEEDS]), len(held[EVOLVED]))
    arms: dict[str, Arm] = {}

    def arm(pool: str, count: int) -> str:
        name = f"{pool} ({count:,})"
        arms[name] = Arm(name, pool, held[pool][:count])
        return name

    def holding(pool: str) -> str:
        return arm(pool, _until(held[pool][:n], tokens))

    tokens = min(sum(one.tokens for one in held[name][:n]) for name in (SEEDS, EVOLVED))
    found = [
        Versus("equal examples", arm(EVOLVED, n), arm(SEEDS, n), "examples"),
        Versus("equal tokens", holding(EVOLVED), holding(SEEDS), "tokens"),
    ]
    parts = [name for name in pools if name not in (SEEDS, EVOLVED)]
    if parts:
        fewest = min(n, *(len(held[name]) for name in parts))
        found += [Versus(name, arm(name, fewest), arm(SEEDS, fewest), "examples", main=False) for name in parts]
    return arms, found


def _until(examples: Sequence[Example], tokens: int) -> int:
    """How many of the first examples come nearest to so many tokens; at least one."""
    best, total, nearest = 1, 0, float("inf")
    for count, example in enumerate(examples, 1):
        total += example.tokens
        if abs(total - tokens) < nearest:
            best, nearest = count, abs(total - tokens)
    return best

"""One pass over a run's rows: lengths, roots, a stratified sample, and the rows that stand out.

Memory does not grow with the texts: what is kept of every row is its round and two lengths.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from evolute.records import Row
from evolute.report.roots import Root, root_of
from evolute.report.sampling import Lowest, draw
from evolute.report.withheld import shown
from evolute.text.words import count_words, words

STANDING_OUT = 3
"""Rows shown of each kind that stands out."""
LONG_ENOUGH = 50
"""Words from which a text is looked through for repetition."""
_RUN = 4  # words in a row


@dataclass(frozen=True, slots=True)
class Sampled:
    """A row of the sample: its number in the dataset, its round, its instruction, and what may be shown of that."""

    number: int
    round: int
    id: str
    instruction: str
    shown: str


@dataclass(frozen=True, slots=True)
class StandingOut:
    """A row that is the extreme of something, with its measure in words (`612 words`)."""

    row: Row
    measure: str


@dataclass(slots=True)
class Survey:
    """What a pass over the rows found.

    `rounds` has a round per row, in the rows' order; lengths are in words, by round; `kept_rows` are the rows that were
    asked for, by their numbers.
    """

    rounds: array[int] = field(default_factory=lambda: array("B"))
    instruction_words: dict[int, array[int]] = field(default_factory=dict)
    response_words: dict[int, array[int]] = field(default_factory=dict)
    roots: Counter[Root] = field(default_factory=Counter)
    sample: list[Sampled] = field(default_factory=list)
    standing_out: dict[str, list[StandingOut]] = field(default_factory=dict)
    kept_rows: dict[int, Row] = field(default_factory=dict)
    hidden_roots: set[str] = field(default_factory=set)
    """The seeds' ids of the lineages that have a hidden row."""

    @property
    def by_round(self) -> Counter[int]:
        """Rows of each round."""
        return Counter(self.rounds)


def survey(
    rows: Iterable[Row],
    shares: Mapping[int, int],
    *,
    seed: int = 0,
    wanted: Collection[int] = (),
    hidden: Mapping[int, str] = MappingProxyType({}),
) -> Survey:
    """Look at every row once.

    Args:
        rows: the dataset in its order.
        shares: how many rows to draw from each round (see `sampling.allocate`).
        seed: of the sample.
        wanted: numbers of rows to keep, to be shown.
        hidden: numbers of rows that are measured and never shown, with why (see `withheld`): wherever they are kept,
            a placeholder stands for their texts.
    """
    found = Survey()
    drawn = {round_: Lowest[Sampled](share) for round_, share in shares.items()}
    extremes = _Extremes()
    for number, row in enumerate(rows):
        found.rounds.append(row.round)
        asked, answered = _lengths(found, row)
        open_ = shown(row, number, hidden)
        extremes.look(row, open_, asked, answered)
        if root := root_of(row.instruction):
            found.roots[root if open_ is row else Root(root.verb, "")] += 1
        if (stratum := drawn.get(row.round)) and stratum.admits(key := draw(seed, row.id)):
            stratum.add(key, Sampled(number, row.round, row.id, row.instruction, open_.instruction))
        if number in wanted:
            found.kept_rows[number] = open_
        if open_ is not row:
            found.hidden_roots.add(row.root)
    found.sample = [row for _, stratum in sorted(drawn.items()) for row in stratum.values()]
    found.standing_out = extremes.found()
    return found


def _lengths(found: Survey, row: Row) -> tuple[int, int]:
    asked = count_words(row.instruction)
    found.instruction_words.setdefault(row.round, array("I")).append(asked)
    answered = 0
    if row.response is not None:
        answered = count_words(row.response)
        found.response_words.setdefault(row.round, array("I")).append(answered)
    return asked, answered


class _Extremes:
    """The rows that are the longest, the shortest, the most repetitive. Seeds' instructions are the user's own."""

    def __init__(self) -> None:
        self._kinds = {
            "Longest instructions": Lowest[StandingOut](STANDING_OUT),
            "Longest responses": Lowest[StandingOut](STANDING_OUT),
            "Shortest responses": Lowest[StandingOut](STANDING_OUT),
            "Most repetitive instructions": Lowest[StandingOut](STANDING_OUT),
            "Most repetitive responses": Lowest[StandingOut](STANDING_OUT),
        }

    def look(self, row: Row, open_: Row, asked: int, answered: int) -> None:
        """Measure `row`, and keep what may be shown of it."""
        if row.round:
            self._offer("Longest instructions", -asked, open_, f"{asked:,} words")
            if asked >= LONG_ENOUGH:
                self._repetition("Most repetitive instructions", open_, row.instruction)
        if row.response is not None:
            self._offer("Longest responses", -answered, open_, f"{answered:,} words")
            self._offer("Shortest responses", answered, open_, f"{answered:,} word{'s' * (answered != 1)}")
            if answered >= LONG_ENOUGH:
                self._repetition("Most repetitive responses", open_, row.response)

    def _offer(self, kind: str, key: float, row: Row, measure: str) -> None:
        if self._kinds[kind].admits(key):
            self._kinds[kind].add(key, StandingOut(row, measure))

    def _repetition(self, kind: str, row: Row, text: str) -> None:
        # Distinct words bound distinct runs from below, and counting them is a fourth of the work.
        found = words(text)
        runs = len(found) - _RUN + 1
        bound = 1 - (len(set(found)) - _RUN + 1) / runs if runs > 0 else 0.0
        if self._kinds[kind].admits(-bound) and (share := repeated(text)):
            self._offer(kind, -share, row, f"{share:.0%} of its runs of {_RUN} words were there before")

    def found(self) -> dict[str, list[StandingOut]]:
        return {kind: kept for kind, lowest in self._kinds.items() if (kept := lowest.values())}


def repeated(text: str) -> float:
    """The share of a text's runs of four words that it had already (0: it never repeats itself)."""
    found = words(text)
    runs = len(found) - _RUN + 1
    if runs < 1:
        return 0.0
    distinct = len(set(zip(found, found[1:], found[2:], found[3:], strict=False)))
    return 1 - distinct / runs

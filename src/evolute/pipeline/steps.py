"""Which steps a recipe's selection takes, in their order: cheap before dear, single rows before pairs of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from evolute.ledger import GradeRow, Ledger, LedgerVectors, Reader, SelectionReader
from evolute.pipeline.measuring import Rows, Step, Texts
from evolute.recipe import Recipe, Select
from evolute.records import Reason, Row
from evolute.select.findings import Hit, Hits

if TYPE_CHECKING:  # numpy and what stands on it are loaded when a step is taken
    from evolute.encoders import Encoder
    from evolute.select.contamination import Meanings
    from evolute.text.contamination import Corpora

NEAR_FLOOR = 0.7
SEMANTIC_FLOOR = 0.8
"""Likeness from which pairs are recorded: thresholds above can be looked at again without measuring anew."""
MEANT_FLOOR = 0.85
CONTAMINATION_FLOOR = 8
MEANT_AT_ONCE = 16_384
VERSION = 1
"""Raised when a step comes to measure something else; quality has its own."""
TOKEN_MARKS = ("prompt-tokens", "response-tokens")


class Tools:
    """What several steps need, opened when the first of them needs it."""

    def __init__(self, recipe: Recipe, ledger: Ledger | None) -> None:
        self.recipe = recipe
        self._ledger = ledger
        self.names: list[str] = []
        self.unread_elsewhere = 0
        """Texts that the encoder could not read in other processes."""

    @cached_property
    def encoder(self) -> Encoder:
        """The recipe's encoder; an endpoint's vectors are remembered in the ledger."""
        from evolute.encoders.opening import open_encoder

        name = self.recipe.select.duplicates.encoder
        store = LedgerVectors(self._ledger) if self._ledger is not None else None
        return open_encoder(name, self.recipe.models, store)

    @cached_property
    def corpora(self) -> Corpora:
        """The benchmarks that ship, and the recipe's."""
        from evolute.text.contamination import load_corpora, shipped_corpora
        from evolute.text.corpora import SHIPPED

        more = self.recipe.select.contamination.corpora
        return load_corpora((*SHIPPED, *more)) if more else shipped_corpora()

    @cached_property
    def meanings(self) -> Meanings:
        """The benchmarks' items as vectors of the encoder."""
        from evolute.select.contamination import Meanings

        return Meanings.of(self.corpora, self.encoder)

    @property
    def encoder_name(self) -> str:
        """The encoder that was used; empty where none was needed."""
        return self.encoder.name if "encoder" in self.__dict__ else ""

    @property
    def asks(self) -> bool:
        """Whether the encoder is an endpoint."""
        return self.recipe.select.duplicates.encoder in self.recipe.models

    @property
    def unread(self) -> int:
        """Texts that the shipped encoder could not read, of those that it was given."""
        here = int(getattr(self.encoder, "unread", 0)) if self.encoder_name else 0
        return here + self.unread_elsewhere

    def corpora_note(self) -> dict[str, Any]:
        """The corpora that were checked, and those known that were not."""
        if self.recipe.select.contamination.check == "ignore":
            from evolute.text.corpora import KNOWN

            return {"checked": [], "not_checked": [benchmark.title for benchmark in KNOWN.values()]}
        checked = [
            {
                "name": corpus.name, "title": corpus.title, "license": corpus.license, "source": corpus.source,
                "items": corpus.items, "checkable": corpus.checkable, "digest": corpus.digest,
            }
            for corpus in self.corpora.checked
        ]  # fmt: skip
        note: dict[str, Any] = {"checked": checked, "not_checked": self.corpora.not_checked}
        if self.recipe.select.contamination.semantic is not None:
            note["compared_in_meaning"] = list(self.meanings.compared)
        return note


class Meant:
    """Compares the instructions of rows with benchmarks' items in meaning, many rows at a time."""

    def __init__(self, tools: Tools, floor: float) -> None:
        self._tools = tools
        self._floor = floor
        self._texts: list[str] = []
        self._hits: list[Hit] = []
        self._count = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Look at the next rows."""
        self._texts += [row.asked for row in rows]
        if len(self._texts) >= MEANT_AT_ONCE:
            self._compare()

    def found(self) -> Hits:
        """The nearest item of each row that has one."""
        self._compare()
        return Hits(self._count, self._hits)

    def marks(self) -> Mapping[str, Iterable[GradeRow]]:
        """None."""
        return {}

    def _compare(self) -> None:
        from evolute.select.contamination import semantic_contamination

        found = semantic_contamination(self._texts, self._tools.meanings, self._floor)
        self._hits += [replace(hit, row=hit.row + self._count) for hit in found.hits]
        self._count += len(self._texts)
        self._texts = []


class Tokens:
    """Counts tokens, as marks: `over_budget` compares them with a budget."""

    def __init__(self, tokenizer: str) -> None:
        from evolute.select.lengths import TokenLengths

        self._lengths = TokenLengths(tokenizer, budget=1)

    def add(self, rows: Sequence[Row]) -> None:
        """Count the next rows."""
        self._lengths.add(rows)

    def found(self) -> Hits:
        """No hits yet: `over_budget` makes them."""
        return Hits(len(self._lengths.lengths[0]), [])

    def marks(self) -> Mapping[str, Iterable[GradeRow]]:
        """The tokens of each prompt and each response."""
        return {
            kind: (GradeRow(row, count, "", None) for row, count in enumerate(lengths.tolist()))
            for kind, lengths in zip(TOKEN_MARKS, self._lengths.lengths, strict=True)
        }


def over_budget(reader: Reader, budget: int, count: int) -> Hits:
    """The rows with more tokens than the budget, by the counts in the ledger."""
    selection = SelectionReader(reader)
    pairs = zip(*(selection.grades(kind) for kind in TOKEN_MARKS), strict=True)
    hits = [
        Hit(prompt.row, Reason.TOO_MANY_TOKENS, total, {"prompt": prompt.value, "response": response.value})
        for prompt, response in pairs
        if (total := (prompt.value or 0) + (response.value or 0)) > budget
    ]
    return Hits(count, hits)


def check_tools(recipe: Recipe) -> None:
    """Open what selecting will need, as far as that costs nothing, so that a fault is found before the evolution.

    Raises:
        InputError: a corpus, a tokenizer or an encoder is not there, or cannot be read.
        MissingExtra: a package is missing.
    """
    select, tools = recipe.select, Tools(recipe, None)
    if select.contamination.check != "ignore":
        _ = tools.corpora
    if select.encodes:
        _ = tools.encoder
    if select.tokens.tokenizer:
        from evolute.select.lengths import load_tokenizer

        load_tokenizer(select.tokens.tokenizer)


def steps_of(select: Select, tools: Tools) -> Sequence[Step]:
    """The steps, in the order in which they decide."""
    steps = [*_on_rows(select, tools), *_on_pairs(select, tools)]
    tools.names[:] = [step.name for step in steps]
    return steps


def _on_rows(select: Select, tools: Tools) -> list[Step]:
    from evolute.select.contamination import Contamination
    from evolute.select.quality import VERSION as QUALITY_VERSION
    from evolute.select.quality import Quality

    steps = [Step("quality", {"version": QUALITY_VERSION}, lambda: Rows(Quality()))]
    if select.contamination.check != "ignore":
        digests = [corpus.digest for corpus in tools.corpora.checked]
        steps.append(
            Step(
                "contamination",
                {"corpora": digests, "floor": CONTAMINATION_FLOOR, "version": VERSION},
                lambda: Rows(Contamination(tools.corpora, CONTAMINATION_FLOOR)),
            )
        )
        if (semantic := select.contamination.semantic) is not None:
            least = min(MEANT_FLOOR, semantic)
            decides = {"corpora": digests, "floor": least, "encoder": tools.encoder.identity}
            steps.append(Step("semantic-contamination", decides, lambda: Meant(tools, least), asks=tools.asks))
    if select.tokens.tokenizer:
        tokenizer = select.tokens.tokenizer
        steps.append(Step("tokens", {"tokenizer": tokenizer, "version": VERSION}, lambda: Tokens(tokenizer)))
    return steps


def _on_pairs(select: Select, tools: Tools) -> list[Step]:
    from evolute.select.duplicates import ExactDuplicates, NearDuplicates
    from evolute.select.semantic import SemanticDuplicates

    duplicates, steps = select.duplicates, []
    if duplicates.exact:
        steps.append(Step("duplicates", {"version": VERSION}, lambda: Texts(ExactDuplicates())))
    if duplicates.near is not None:
        floor = min(NEAR_FLOOR, duplicates.near)
        steps.append(
            Step(
                "near-duplicates",
                {"floor": floor, "version": VERSION},
                lambda: Texts(NearDuplicates(floor)),
                apart=True,
            )
        )
    if duplicates.semantic is not None:
        least = min(SEMANTIC_FLOOR, duplicates.semantic)
        decides = {"floor": least, "encoder": tools.encoder.identity}
        steps.append(
            Step(
                "semantic-duplicates",
                decides,
                lambda: Texts(SemanticDuplicates(tools.encoder, least)),
                apart=True,
                asks=tools.asks,
            )
        )
    return steps

"""The answers of a proof: one responder for the seeds and for what was evolved from them, each answer paid for once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.evolve.budget import Budget, Limits
from evolute.ledger import Ledger
from evolute.models.prices import cost, unit_price
from evolute.pipeline.evolving import Watch
from evolute.pipeline.generating import Question, Sampling, generate, standing
from evolute.pipeline.provencoding import Encoding
from evolute.pipeline.provpools import Example, prompt_of
from evolute.pipeline.stopping import INTERRUPTED, in_loop
from evolute.recipe.proving import Proving
from evolute.records import Completion, Message, Row, Usage

ROLE = "responder"


@dataclass(frozen=True, slots=True)
class Spent:
    """What answers took: calls, tokens of prompts and completions, and US dollars (None where unknown)."""

    calls: int = 0
    tokens: int = 0
    cost: float | None = 0.0

    def __add__(self, other: Spent) -> Spent:
        """Both together."""
        total = None if self.cost is None or other.cost is None else self.cost + other.cost
        return Spent(self.calls + other.calls, self.tokens + other.tokens, total)


@dataclass(slots=True)
class Answered:
    """What has been answered so far: usable examples by the row's id, why others are not, what each took.

    `stopped` says why not all that was wanted could be had.
    """

    examples: dict[str, Example] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    spent: dict[str, Spent] = field(default_factory=dict)
    stopped: str = ""

    @property
    def asked(self) -> set[str]:
        """The ids of the rows that have an answer, usable or not."""
        return {*self.examples, *self.unusable}

    @property
    def why(self) -> dict[str, int]:
        """Unusable answers by reason."""
        return dict(Counter(self.unusable.values()).most_common())

    def spent_on(self, examples: Sequence[Example]) -> Spent:
        """What the answers of these examples took."""
        return sum((self.spent[one.row.id] for one in examples), Spent())


class Answering:
    """Has the responder answer rows, and makes examples of the answers that the training can use."""

    def __init__(self, proving: Proving, folder: Path, limits: Limits, watch: Watch | None) -> None:
        """`folder` gets the ledger of the answers; `limits` bound them."""
        self._responder, self._folder = proving.responder, folder
        self._sampling = Sampling(proving.responder.sampling, proving.seed)
        self._limits, self._watch = limits, watch
        self.cost: float | None = 0.0
        """What the ledger's answers have cost, in US dollars; None where nobody knows."""
        self.encoding = Encoding.of(proving)

    def more(self, rows: Sequence[Row], answered: Answered) -> None:
        """Have these rows answered, too, and add them to what is.

        Raises:
            EndpointError, LedgerError: it cannot go on; what was answered is recorded.
        """
        asked = [Question(row.id, self._prompt(row)) for row in rows]
        spec = self._responder.model
        with Ledger(self._folder) as ledger:
            budget = Budget(self._limits, standing(ledger.reader, {ROLE: spec}, len(asked)))
            answers = in_loop(
                lambda: generate(ledger, spec, asked, 1, self._sampling, budget, self._watch, role=ROLE),
                lambda: budget.close(INTERRUPTED),
            )
        self.cost = budget.progress.cost
        answered.stopped = answers.stopped
        if answers.left and not answers.stopped:
            answered.stopped = f"{answers.left:,} answers could not be had ({answers.why_left})"
        for row in rows:
            if said := answers.said.get((row.id, 0)):
                self._take(row, said[-1], answered)

    def _prompt(self, row: Row) -> tuple[Message, ...]:
        prompt = prompt_of(row)
        if self._responder.system and prompt[0].role != "system":
            return (Message("system", self._responder.system), *prompt)
        return prompt

    def _take(self, row: Row, said: Completion, answered: Answered) -> None:
        price = unit_price(self._responder.model)
        usage = Usage(said.usage.prompt, said.usage.completion, cached=said.usage.cached)
        answered.spent[row.id] = Spent(1, usage.prompt + usage.completion, cost(usage, price))
        if said.failure is not None or not (said.text or "").strip():
            answered.unusable[row.id] = said.failure.value if said.failure is not None else "empty"
            return
        example = Example(row, prompt_of(row), said.text or "", 0)
        try:
            tokens = self.encoding.tokens(example)
        except InputError as error:  # the format has no room for earlier turns, say
            answered.unusable[row.id] = str(error)
            return
        if tokens > self.encoding.longest:
            answered.unusable[row.id] = f"longer than {self.encoding.longest:,} tokens"
            return
        answered.examples[row.id] = Example(row, example.messages, example.answer, tokens)


def evolution_spent(totals: Sequence[Any], prices: Mapping[str, Any]) -> Spent:
    """What evolving took, its own answers left out: a ledger's totals of evolver and judge."""
    return sum(
        (
            Spent(part.calls, usage.prompt + usage.completion, cost(usage, prices.get(part.model), part.share))
            for part in totals
            if part.role in ("evolver", "judge")
            for usage in [Usage(part.prompt_tokens, part.completion_tokens, cached=part.cached_tokens)]
        ),
        Spent(),
    )

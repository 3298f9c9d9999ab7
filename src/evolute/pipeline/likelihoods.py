"""Log-likelihoods of continuations, each had once: from a model's files, or from an endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import orjson

from evolute.errors import InputError
from evolute.evaluate.choice.encoding import Pair, split
from evolute.evaluate.choice.endpoint import SAMPLING, UNABLE, gives_prompt, read_likelihood
from evolute.evaluate.choice.loading import open_model
from evolute.evaluate.choice.scorer import Likelihood, Scorer
from evolute.evolve.budget import Budget, Limits
from evolute.evolve.progress import Progress
from evolute.ledger import Ledger
from evolute.models.weights import LocalModel
from evolute.pipeline.evolving import Watch
from evolute.pipeline.generating import Answers, Sampling, generate, standing
from evolute.pipeline.generating import Question as Asked
from evolute.pipeline.stopping import INTERRUPTED, in_loop, stop_clock, stop_signals
from evolute.recipe import ModelSpec
from evolute.records import Message, tagged_hash

ROLE = "scored"
"""The role under which the ledger lists an endpoint's calls."""


@dataclass(slots=True)
class Found:
    """What was found of `wanted`: continuations with what they came to, or answers (then only their `count`).

    `ran` is what was run, `notes` what a reader must know, `stopped` why not all was asked.
    """

    model: str
    wanted: int
    likelihoods: dict[Pair, Likelihood] = field(default_factory=dict)
    count: int = 0
    ran: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    stopped: str = ""
    cost: float | None = None
    calls: int = 0


def score_locally(
    local: LocalModel,
    pairs: Sequence[Pair],
    ledger: Ledger | None,
    limits: Limits,
    batch_tokens: int,
    dtype: str,
    device: str | None,
    watch: Watch | None,
    say: Callable[[str], None],
) -> Found:
    """Score what the ledger does not hold; the model is opened only if there is such.

    Raises:
        InputError, MissingExtra: the model cannot be opened.
        LedgerError: the ledger cannot be written.
    """
    kept = _Kept(local.identity(), dtype, ledger)
    found = Found(local.name, len(pairs), {pair: one for pair in pairs if (one := kept.recall(pair)) is not None})
    left = [pair for pair in pairs if pair not in found.likelihoods]
    progress = Progress(seeds_done=len(pairs) - len(left), seeds_total=len(pairs), cost=0.0)
    budget = Budget(limits, progress)
    if left:
        say(f"opening {local.path}")
        opened = open_model(local, dtype=dtype, device=device)
        scorer = Scorer(
            opened.model, opened.encode, opened.window, beginning=opened.beginning, batch_tokens=batch_tokens
        )
        if not scorer.reuse:
            say("this model's cache does not keep every token: each choice is put through it with its whole prompt")
        in_loop(lambda: _score(scorer, left, found, kept, budget, watch), lambda: budget.close(INTERRUPTED))
    found.count, found.stopped, found.cost = len(found.likelihoods), budget.why, 0.0
    found.ran = {"backend": "evolute", "model's hash": kept.identity, **dict(_versions())}
    if cut := sum(one.cut > 0 for one in found.likelihoods.values()):
        found.notes = [f"{cut:,} prompts are longer than the model's window, and lost their left ends"]
    return found


async def _score(
    scorer: Scorer, pairs: Sequence[Pair], found: Found, kept: _Kept, budget: Budget, watch: Watch | None
) -> None:
    """Score, record and count, until all is done or the budget closes."""
    scored = scorer.score(pairs)
    recording: set[asyncio.Task[None]] = set()
    budget.progress.note = "scoring choices"
    with ExitStack() as stack:
        stack.enter_context(stop_signals(budget))
        stack.enter_context(stop_clock(budget, budget.limits.minutes))
        if watch is not None:
            stack.enter_context(watch(budget.progress, lambda: None))
        try:
            while not budget.why and (one := await asyncio.to_thread(next, scored, None)) is not None:
                pair, likelihood = one
                found.likelihoods[pair] = likelihood
                budget.progress.seeds_done += 1
                recording.add(task := asyncio.create_task(kept.record(pair, likelihood)))
                task.add_done_callback(recording.discard)
        finally:
            await asyncio.gather(*recording)


class _Kept:
    """The log-likelihoods that a ledger holds, by model, number format and text; without a ledger, none."""

    def __init__(self, identity: str, dtype: str, ledger: Ledger | None) -> None:
        self.identity = identity
        self._dtype, self._ledger = dtype, ledger

    def recall(self, pair: Pair) -> Likelihood | None:
        if self._ledger is None or (told := self._ledger.reader.recall_execution(self._key(pair))) is None:
            return None
        return Likelihood(**orjson.loads(told))

    async def record(self, pair: Pair, likelihood: Likelihood) -> None:
        if self._ledger is not None:
            await self._ledger.record_execution(self._key(pair), orjson.dumps(asdict(likelihood)).decode())

    def _key(self, pair: Pair) -> bytes:
        return tagged_hash("choice-1", self.identity, self._dtype, *pair)


def _versions() -> Iterator[tuple[str, str]]:
    for name in ("torch", "transformers"):
        try:
            yield name, version(name)
        except PackageNotFoundError:
            return


def ask_endpoint(spec: ModelSpec, pairs: Sequence[Pair], ledger: Ledger, limits: Limits, watch: Watch | None) -> Found:
    """Have an endpoint tell the log-probabilities of each prompt with its choice; one call each, paid for once.

    One is asked alone first, so that an endpoint that tells none is not asked for all of them.

    Raises:
        InputError: the endpoint tells none.
        EndpointError, LedgerError: it cannot go on; what was answered is recorded.
    """
    texts = {pair: "".join(split(*pair)) for pair in pairs}
    asked = [Asked(text, (Message("user", text),)) for text in dict.fromkeys(texts.values())]
    budget = Budget(limits, standing(ledger.reader, {ROLE: spec}, len(asked)))

    async def answer() -> Answers:
        first = await generate(ledger, spec, asked[:1], 1, Sampling(SAMPLING), budget, role=ROLE)
        told = [one.logprobs for said in first.said.values() for one in said]
        if told and not gives_prompt(told[0]):
            raise InputError(f"{spec.base_url}: {spec.model} {UNABLE}")
        if first.stopped:
            return first
        budget.progress.seeds_done = 0
        return await generate(ledger, spec, asked, 1, Sampling(SAMPLING), budget, watch, role=ROLE)

    answers = in_loop(answer, lambda: budget.close(INTERRUPTED))
    told = {text: said[0].logprobs for (text, _), said in answers.said.items() if said}
    likelihoods = {pair: read_likelihood(pair, told[text]) for pair, text in texts.items() if text in told}
    stopped = answers.stopped
    if answers.left and not stopped:
        stopped = f"{answers.left:,} of {len(asked):,} calls failed ({answers.why_left})"
    progress = budget.progress
    return Found(
        spec.model, len(pairs), likelihoods, len(likelihoods), {"backend": "endpoint", **SAMPLING},
        stopped=stopped, cost=progress.cost, calls=progress.calls,
    )  # fmt: skip

"""GSM8K: have a model write its answers, and match their numbers."""

from __future__ import annotations

from evolute.evaluate.choice.gsm8k import ANSWER_TOKENS, STOPS, ended, flexible, matches, strict
from evolute.evaluate.choice.metrics import Marked
from evolute.evaluate.choice.tasks import Question, Task
from evolute.evolve.budget import Budget, Limits
from evolute.ledger import Ledger
from evolute.pipeline.evolving import Watch
from evolute.pipeline.generating import ROLE, Answers, Sampling, generate, standing
from evolute.pipeline.generating import Question as Asked
from evolute.pipeline.likelihoods import Found
from evolute.pipeline.stopping import INTERRUPTED, in_loop
from evolute.recipe import ModelSpec
from evolute.records import Message

SAMPLING = {"temperature": 0.0, "max_tokens": ANSWER_TOKENS, "stop": list(STOPS)}
"""Greedy, up to the next question."""


def answer_gsm8k(
    task: Task, spec: ModelSpec, ledger: Ledger, limits: Limits, watch: Watch | None
) -> tuple[list[Marked], Found]:
    """Each question answered once, with its examples before it in one message, and marked.

    Raises:
        EndpointError, LedgerError: it cannot go on; what was answered is recorded.
    """
    asked = [Asked(question.id, (Message("user", question.context),)) for question in task.questions]
    budget = Budget(limits, standing(ledger.reader, {ROLE: spec}, len(asked)))
    answers = in_loop(
        lambda: generate(ledger, spec, asked, 1, Sampling(SAMPLING), budget, watch),
        lambda: budget.close(INTERRUPTED),
    )
    stopped = answers.stopped
    if answers.left and not stopped:
        stopped = f"{answers.left:,} of {len(asked):,} answers could not be had ({answers.why_left})"
    progress = budget.progress
    found = Found(
        spec.model, len(asked), count=answers.count, ran={"backend": "generation", **SAMPLING}, stopped=stopped,
        cost=progress.cost, calls=progress.calls,
    )  # fmt: skip
    return [_marked(question, answers) for question in task.questions], found


def _marked(question: Question, answers: Answers) -> Marked:
    """An answer without a number is wrong; one that could not be had is unscored."""
    texts = answers.texts(question.id)
    if not texts or not texts[0]:
        said = answers.said.get((question.id, 0), [])
        return Marked(question, why=f"no answer: {said[0].failure}" if said else "no answer")
    text, gold = ended(texts[0]), question.document.answer
    return Marked(
        question,
        {"exact match": float(matches(strict(text), gold)), "flexible match": float(matches(flexible(text), gold))},
    )

"""One seed's evolution, as in Evol-Instruct (WizardLM, arXiv:2304.12244, §3).

A lineage depends on nothing but its seed, the recipe, the operations and what the models answer. Every random choice
is a hash of (run seed, parent, round, slot, attempt), so the same answers always give the same lineage.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from evolute.evolve.seen import Seen
from evolute.evolve.verifying import Verifying
from evolute.ledger import CandidateRow
from evolute.ledger.rows import instruction_name
from evolute.models import Model
from evolute.operations import Judge, Operation, choose
from evolute.recipe import Recipe
from evolute.records import Completion, Finding, Message, Reason, Request, Seed, tagged_hash
from evolute.text import (
    check_instruction,
    check_response,
    clean_instruction,
    failure_reason,
    parse_verdict,
    printable,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Role:
    """A model in a role: what it is asked with."""

    name: str
    model: Model
    identity: bytes
    sampling: Mapping[str, Any]
    system: str = ""

    def request(self, messages: tuple[Message, ...], draw: int, choices: tuple[str, ...] = ()) -> Request:
        """A request in this role."""
        if self.system and messages[0].role != "system":
            messages = (Message("system", self.system), *messages)
        return Request(self.name, messages, self.identity, draw, self.sampling, choices)


@dataclass(frozen=True, slots=True)
class Setting:
    """All that lineages have in common.

    `emit` takes each verdict, and whether the text is its call's verbatim. `contamination` finds what a child shares
    with a benchmark, `seen` knows what other lineages kept; None: not looked for. `verifying` verifies answers; None:
    it is not done. `at_once` grows branches side by side; a replay, which waits for nothing, does without.
    """

    recipe: Recipe
    operations: Mapping[str, Operation]
    weights: Mapping[str, float]
    equality: Judge
    evolver: Role
    judge: Role
    responder: Role
    emit: Callable[[CandidateRow, bool], None]
    contamination: Callable[[str], Finding | None] | None = None
    seen: Seen | None = None
    verifying: Verifying | None = None
    at_once: bool = True


@dataclass(slots=True)
class Draft:
    """A candidate on its way to its verdict. For the seed itself (round 0) there is no operation and no evolve call."""

    seed: int
    round: int
    slot: int
    attempt: int
    parent: bytes
    operation: Operation | None = None
    evolve_call: bytes | None = None
    judge_call: bytes | None = None
    respond_call: bytes | None = None
    instruction: str | None = None
    verification: str = ""

    id: bytes = field(init=False)
    """Hash of the parent and the call; the seed has its own."""

    def __post_init__(self) -> None:
        called = self.evolve_call
        self.id = self.parent if called is None else tagged_hash("instruction-1", self.parent, called)

    @property
    def text(self) -> str:
        """The instruction; empty where none was found."""
        return self.instruction or ""

    def row(self, finding: Finding | None) -> CandidateRow:
        """The verdict as it is recorded."""
        operation = self.operation
        return CandidateRow(
            self.seed, self.round, self.slot, self.attempt, self.id, self.parent,
            operation.name if operation else "", operation.hash if operation else None,
            self.instruction if operation else None,
            finding.reason.value if finding else "",
            orjson.dumps(dict(finding.evidence)).decode() if finding else "",
            self.evolve_call, self.judge_call, self.respond_call, self.verification,
        )  # fmt: skip


class Node:
    """An instruction that stands: the parent of the next round. `ancestors` are the texts above it, the seed first."""

    __slots__ = ("ancestors", "draft", "id", "text", "verbatim")

    def __init__(self, draft: Draft, ancestors: tuple[str, ...] = (), verbatim: bool = False) -> None:
        self.draft = draft
        self.id = draft.id
        self.text = draft.text
        self.ancestors = ancestors
        self.verbatim = verbatim


class Lineage:
    """Grows one seed through the recipe's rounds."""

    def __init__(self, setting: Setting, position: int, seed: Seed) -> None:
        self._setting = setting
        self._evolve = setting.recipe.evolve
        self._rules = setting.recipe.rules
        self._position = position
        self._seed = seed

    async def grow(self) -> None:
        """Run every round; each verdict is emitted as soon as it is reached.

        Raises:
            CallFailed: a call failed after all its retries; the lineage can be taken up again.
            EndpointError, LedgerError: the run cannot go on.
        """
        root = Draft(self._position, 0, 0, 0, self._seed.id, instruction=self._seed.text)
        await self._answer_seed(root)
        frontier = [Node(root)]
        for round_ in range(1, self._evolve.rounds + 1):
            grown = await self._all([self._children(parent, round_, index) for index, parent in enumerate(frontier)])
            # A parent whose children were all dropped goes on unchanged (the paper); else they take its place.
            frontier = [node for parent, kept in zip(frontier, grown, strict=True) for node in kept or [parent]]
        if self._evolve.respond == "last":
            await self._all([self._answer_last(node) for node in frontier if node.draft.round])

    async def _children(self, parent: Node, round_: int, index: int) -> list[Node]:
        branches = self._evolve.branches
        if branches == 1:  # nearly always: without the detour
            child = await self._child(parent, round_, index)
            return [] if child is None else [child]
        slots = range(index * branches, (index + 1) * branches)
        grown = await self._all([self._child(parent, round_, slot) for slot in slots])
        return [node for node in grown if node is not None]

    async def _child(self, parent: Node, round_: int, slot: int) -> Node | None:
        """The first kept child among `attempts` operations, each tried once."""
        left = {name: weight for name, weight in self._setting.weights.items() if weight > 0}
        for attempt in range(min(self._evolve.attempts, len(left))):
            key = self._hash("choice-1", parent.id, round_, slot, attempt)
            operation = choose(self._setting.operations, left, key)
            del left[operation.name]
            child = await self._attempt(parent, operation, round_, slot, attempt)
            if child is not None:
                return child
        return None

    async def _attempt(self, parent: Node, operation: Operation, round_: int, slot: int, attempt: int) -> Node | None:
        setting, seed = self._setting, self._seed
        draw = self._draw("evolver", parent.id, round_, slot, attempt, 0)
        messages = operation.messages(
            parent.text, system=seed.system, history=seed.history, draw=draw,
            demonstrations=self._evolve.demonstrations,
        )  # fmt: skip
        request = setting.evolver.request(messages, draw)
        completion = await setting.evolver.model.complete(request)
        draft = Draft(self._position, round_, slot, attempt, parent.id, operation, request.key)
        finding = self._read(completion, draft, parent)
        if finding is None and self._evolve.judge:
            finding = await self._judge(draft, parent)
        if finding is None and setting.seen is not None:
            finding = setting.seen.find((self._position, round_, slot, attempt), draft.id, draft.text)
        if finding is None and self._evolve.respond == "every":
            finding = await self._respond(draft)
        verbatim = completion.text == draft.instruction
        setting.emit(draft.row(finding), verbatim)
        if finding is None and setting.seen is not None:
            setting.seen.keep(instruction_name(draft.id), draft.text)
        return None if finding else Node(draft, (*parent.ancestors, parent.text), verbatim)

    def _read(self, completion: Completion, draft: Draft, parent: Node) -> Finding | None:
        """Take the instruction from the evolver's completion, and look at it with the cheap rules."""
        if completion.failure is not None or completion.text is None:
            return _failed(completion, response=False)
        text = clean_instruction(completion.text, parent=parent.text)
        if isinstance(text, Finding):
            return text
        draft.instruction = text
        family = draft.operation.family if draft.operation else ""
        finding = check_instruction(
            text, parent=parent.text, ancestors=parent.ancestors, family=family, rules=self._rules
        )
        if finding is None and self._setting.contamination is not None:
            finding = self._setting.contamination(text)
        return finding

    async def _judge(self, draft: Draft, parent: Node) -> Finding | None:
        """The paper's rule 1; a reply that is no verdict gets one more draw."""
        setting, seed = self._setting, self._seed
        messages = setting.equality.messages(parent.text, draft.text, system=seed.system, history=seed.history)
        replies = []
        for sample in (0, 1):
            draw = sample
            if setting.judge.sampling.get("temperature", 1):
                draw = self._draw("judge", parent.id, draft.round, draft.slot, draft.attempt, sample)
            request = setting.judge.request(messages, draw, setting.equality.choices)
            completion = await setting.judge.model.complete(request)
            draft.judge_call = request.key
            if completion.failure is not None or completion.text is None:
                replies.append(f"({completion.failure})")
                continue
            replies.append(printable(completion.text[:200]))
            verdict = parse_verdict(completion.text, setting.equality.choices)
            if verdict is not None:
                equal = verdict == setting.equality.choices[0]
                return Finding(Reason.NO_INFORMATION_GAIN, {"judge": replies[-1]}) if equal else None
        return Finding(Reason.JUDGE_UNPARSABLE, {"judge": replies})

    async def _respond(self, draft: Draft) -> Finding | None:
        """Answer an instruction, in its conversation, and look at the answer (the paper's rules 2 and 3)."""
        setting, seed = self._setting, self._seed
        system = (Message("system", seed.system),) if seed.system else ()
        draw = self._draw("responder", draft.parent, draft.round, draft.slot, draft.attempt, 0)
        messages = (*system, *seed.history, Message("user", draft.text))
        request = setting.responder.request(messages, draw)
        completion = await setting.responder.model.complete(request)
        draft.respond_call = request.key
        if completion.failure is not None or completion.text is None:
            return _failed(completion, response=True)
        finding = check_response(completion.text, instruction=draft.text, rules=self._rules)
        if finding is None and setting.verifying is not None:
            finding = await self._verify(setting.verifying, draft, request.key, messages, completion.text)
        return finding

    async def _verify(
        self, verifying: Verifying, draft: Draft, key: bytes, messages: tuple[Message, ...], answer: str
    ) -> Finding | None:
        """Verify an answer; one that a repair brought takes its place."""
        responder = self._setting.responder

        async def ask(messages: tuple[Message, ...], turn: int) -> tuple[bytes, Completion]:
            draw = self._draw("verifier", draft.parent, draft.round, draft.slot, draft.attempt, turn)
            request = responder.request(messages, draw)
            return request.key, await responder.model.complete(request)

        verified = await verifying.verify(self._seed, messages, key, answer, ask)
        if verified.finding is None and verified.answer != answer:
            broken = check_response(verified.answer, instruction=draft.text, rules=self._rules)
            verified = verified if broken is None else verified.refused(key, broken)
        draft.respond_call, draft.verification = verified.call, verified.text
        return verified.finding if verifying.rules.unverified == "drop" else None

    async def _answer_last(self, node: Node) -> None:
        finding = await self._respond(node.draft)
        self._setting.emit(node.draft.row(finding), node.verbatim)

    async def _answer_seed(self, draft: Draft) -> None:
        wanted = {"keep": False, "missing": not self._seed.response, "regenerate": True}[self._evolve.seed_responses]
        finding = None
        if wanted and self._evolve.respond != "never":
            finding = await self._respond(draft)
        self._setting.emit(draft.row(finding), False)

    async def _all(self, growing: list[Coroutine[Any, Any, T]]) -> list[T]:
        """Await all, let every one end (its calls are paid for), then raise the first error."""
        if len(growing) == 1:
            return [await growing[0]]
        if self._setting.at_once:
            results = await asyncio.gather(*growing, return_exceptions=True)
        else:
            results = [await _outcome(one) for one in growing]
        ended = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            ended.append(result)
        return ended

    def _hash(self, tag: str, *place: bytes | str | int) -> bytes:
        return tagged_hash(tag, self._setting.recipe.seed, *place)

    def _draw(self, role: str, parent: bytes, round_: int, slot: int, attempt: int, sample: int) -> int:
        """The number of a sample: 63 bits, so that it fits every integer on its way."""
        return int.from_bytes(self._hash("draw-1", role, parent, round_, slot, attempt, sample)[:8], "big") >> 1


def _failed(completion: Completion, *, response: bool) -> Finding:
    failure = completion.failure
    if failure is None:
        raise ValueError("a completion without text must carry its failure")
    said = {"finish": completion.finish, "text": printable((completion.text or "")[-200:])}
    if completion.detail:
        said["detail"] = printable(completion.detail[:300])
    return Finding(failure_reason(failure, response=response), said)


async def _outcome(one: Coroutine[Any, Any, T]) -> T | Exception:
    try:
        return await one
    except Exception as error:  # noqa: BLE001 - raised by who awaits them all
        return error

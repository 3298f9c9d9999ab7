"""One session of a run: the models it asks, what may be spent, and the lineages it grows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from evolute.errors import InputError, LedgerError, Stopped
from evolute.evolve.budget import Budget, Metered
from evolute.evolve.engine import Engine
from evolute.evolve.lineage import Lineage, Role, Setting
from evolute.evolve.seen import Remembered, Seen
from evolute.evolve.verifying import Verifying
from evolute.ledger import CandidateRow, Executions, Ledger, Reader
from evolute.ledger.batches import BatchBook
from evolute.models import Model, Pacer
from evolute.models.balancing import TRIES, Balanced
from evolute.models.batching.batched import check_elsewhere, open_batched
from evolute.models.opening import open_endpoint
from evolute.models.pacing import Paced
from evolute.models.prices import unit_price
from evolute.models.recording import Recalled, Recorded
from evolute.operations import (
    Judge,
    Operation,
    Verifier,
    load_judge,
    load_operations,
    load_verifiers,
    restore,
    restore_judge,
    restore_verifier,
    weigh,
)
from evolute.recipe import EVOLVING_ROLES, ModelSpec, Price, Recipe
from evolute.records import Finding, Seed, tagged_hash
from evolute.sandbox import Limits, Sandbox
from evolute.text import RULES_VERSION


@dataclass(frozen=True, slots=True)
class Craft:
    """The operations that a recipe draws from, with their weights, its judge of equality, and what asks for tests."""

    operations: Mapping[str, Operation]
    weights: Mapping[str, float]
    equality: Judge
    verifiers: Mapping[str, Verifier] = field(default_factory=dict)

    @classmethod
    def of(cls, recipe: Recipe) -> Craft:
        """Load what the recipe names, from the package and the recipe's folders.

        Raises:
            InputError: an operation, a family or a folder does not exist, or nothing is left to draw from.
        """
        folders = [Path(folder) for folder in recipe.evolve.operation_folders]
        known = load_operations(folders)
        weights = weigh(known, recipe.evolve.operations, recipe.evolve.families)
        verifiers = load_verifiers(folders) if recipe.verify.answers else {}
        return cls({name: known[name] for name in weights}, weights, load_judge("equality", folders), verifiers)

    @classmethod
    def restored(cls, reader: Reader) -> Craft:
        """As the run last used it, from the texts in its ledger.

        Raises:
            LedgerError: the run has not begun, or its verdicts were reached by other rules than this Evolute's.
        """
        used = orjson.loads(reader.meta("craft") or "{}")
        if used.get("rules") != RULES_VERSION:
            raise LedgerError(
                f"the verdicts in {reader.run} were reached by version {used.get('rules')} of the rules, and this "
                f"Evolute has version {RULES_VERSION}: `evolute evolve --out {reader.run}` reaches them anew, from the "
                "recorded calls"
            )
        operations = {
            name: restore(name, family, reader.template(bytes.fromhex(digest)) or "")
            for name, (family, digest, _) in used["operations"].items()
        }
        weights = {name: weight for name, (_, _, weight) in used["operations"].items()}
        verifiers = {
            name: restore_verifier(name, reader.template(bytes.fromhex(digest)) or "")
            for name, digest in used.get("verifiers", {}).items()
        }
        equality = restore_judge("equality", reader.template(bytes.fromhex(used["equality"])) or "")
        return cls(operations, weights, equality, verifiers)

    def note(self) -> str:
        """What `restored` needs to know besides the texts."""
        operations = {n: (op.family, op.hash.hex(), self.weights[n]) for n, op in self.operations.items()}
        known: dict[str, Any] = {
            "operations": operations, "equality": self.equality.hash.hex(), "rules": RULES_VERSION,
        }  # fmt: skip
        if self.verifiers:
            known["verifiers"] = {name: verifier.hash.hex() for name, verifier in self.verifiers.items()}
        return orjson.dumps(known).decode()

    def fingerprint(self, recipe: Recipe) -> bytes:
        """Hash of all that decides the data: the recipe's part of it, weights, and the texts."""
        return recipe.fingerprint(self.note().encode())


def role_identity(recipe: Recipe, name: str) -> bytes:
    """What, besides messages and draw, decides a role's answers."""
    role, spec = recipe.spec(name)
    return tagged_hash("asked-1", spec.identity, orjson.dumps(role.sampling, option=orjson.OPT_SORT_KEYS))


def make_setting(
    recipe: Recipe,
    craft: Craft,
    models: Mapping[str, Model],
    emit: Callable[[CandidateRow, bool], None],
    seen: Seen | None,
    verifying: Verifying | None = None,
) -> Setting:
    """What the lineages of this recipe have in common; `models` by their names in the recipe."""

    def role(name: str) -> Role:
        return make_role(recipe, name, models[recipe.spec(name)[0].model])

    return Setting(
        recipe,
        craft.operations,
        craft.weights,
        craft.equality,
        evolver=role("evolver"),
        judge=role("judge"),
        responder=role("responder"),
        emit=emit,
        contamination=_contamination(recipe.rules.contamination),
        seen=seen if recipe.evolve.duplicates else None,
        verifying=verifying,
    )


def make_verifying(
    recipe: Recipe, craft: Craft, executions: Executions, sandbox: Sandbox | None = None
) -> Verifying | None:
    """How the recipe wants answers verified, if it does; without a sandbox, by what was recorded."""
    return Verifying(recipe.verify, craft.verifiers, executions, sandbox) if recipe.verify.answers else None


def _contamination(words: int | None) -> Callable[[str], Finding | None] | None:
    """The rule against sharing so many words with a shipped benchmark."""
    if words is None:
        return None
    from evolute.text.contamination import check_contamination, shipped_corpora  # numpy, which a run may do without

    corpora = shipped_corpora()
    return lambda text: check_contamination(text, corpora, words)


async def open_recorded(
    stack: AsyncExitStack, ledger: Ledger, spec: ModelSpec, budget: Budget
) -> tuple[Recalled, Pacer]:
    """Open a model as a run asks it: recalled, paced, metered, recorded; `stack` closes it.

    Where the recipe names replicas, calls are balanced over the endpoints, each of which is paced for itself. Where it
    has calls wait for batches, these stand in the pacer's place.

    Raises:
        InputError: the budget bounds the cost, and the model's price is unknown; or batches of the model are waiting,
            and would not be fetched.
    """
    price: Price | None = unit_price(spec)
    if price is None and budget.limits.cost is not None:
        raise InputError(
            f"--max-cost needs a price, and none is known for {spec.model!r}: give it with "
            "--set 'models.default.price={input: DOLLARS, output: DOLLARS}' (per million tokens)"
        )
    if spec.batch is not None:
        batched = await stack.enter_async_context(open_batched(ledger, spec, budget, price))
        return Recalled(batched, ledger), batched
    check_elsewhere(BatchBook(ledger, spec.identity, ""), ledger.run)
    places = spec.places
    failed_tries: dict[bytes, int] = {}
    renewals = []
    for place in places:
        endpoint = await stack.enter_async_context(open_endpoint(place))
        metered = Metered(Recorded(endpoint, ledger, spec.model, failed_tries), budget, price)
        quick = place if len(places) == 1 else place.model_copy(update={"retries": min(place.retries, TRIES - 1)})
        renewals.append(partial(Paced, metered, quick))
    pacer = renewals[0]() if len(renewals) == 1 else Balanced(renewals, rounds=spec.retries + 1)
    return Recalled(pacer, ledger), pacer


def make_role(recipe: Recipe, name: str, model: Model) -> Role:
    """A role of the recipe, played by `model`."""
    spec, _ = recipe.spec(name)
    return Role(name, model, role_identity(recipe, name), spec.sampling, spec.system)


def introduce(ledger: Ledger, recipe: Recipe, craft: Craft) -> None:
    """Record the models that a recipe's roles ask and the texts that it uses, which calls and candidates name."""
    for role in EVOLVING_ROLES:
        ledger.add_model(role, role_identity(recipe, role), recipe.spec(role)[1].model)
    for operation in craft.operations.values():
        ledger.add_template(operation.hash, operation.name, operation.text)
    ledger.add_template(craft.equality.hash, "equality", craft.equality.text)
    for verifier in craft.verifiers.values():
        ledger.add_template(verifier.hash, verifier.name, verifier.text)


class Session:
    """Opens the recipe's models over a ledger and grows lineages on them; an async context manager."""

    def __init__(self, ledger: Ledger, recipe: Recipe, craft: Craft, budget: Budget) -> None:
        self.ledger = ledger
        self.recipe = recipe
        self.craft = craft
        self.budget = budget
        self.pacers: list[Pacer] = []
        self._recalled: list[Recalled] = []
        self._stack = AsyncExitStack()
        self._seen = Remembered(ledger.reader) if recipe.evolve.duplicates else None
        self._engine = Engine(self._grow, ledger, budget, self._window)

    async def __aenter__(self) -> Session:
        try:
            await self._begin()
        except BaseException:
            await self._stack.aclose()  # a model that is open already must not stay open
            raise
        return self

    async def _begin(self) -> None:
        recipe = self.recipe
        sandbox = None
        if recipe.verify.answers:  # what cannot be run here is found out before anything is paid for
            sandbox = await self._stack.enter_async_context(Sandbox(limits=Limits(seconds=recipe.verify.seconds)))
        models: dict[str, Model] = {}
        for name in self.models_used:
            models[name] = await self._open(recipe.models[name])
        for role in EVOLVING_ROLES:  # a role that is never asked still needs a place to stand
            models.setdefault(recipe.spec(role)[0].model, next(iter(models.values())))
        introduce(self.ledger, recipe, self.craft)
        verifying = make_verifying(recipe, self.craft, Executions(self.ledger.reader, self.ledger), sandbox)
        self._setting = make_setting(recipe, self.craft, models, self._emit, self._seen, verifying)
        self.budget.on_close.append(self._closing)

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def run(self, feed: AsyncIterator[tuple[int, Seed]]) -> None:
        """Grow the lineages of all seeds that the feed brings."""
        await self._engine.run(feed)

    @property
    def models_used(self) -> list[str]:
        """The recipe's names of the models that are asked, in the order of `pacers`."""
        return sorted({self.recipe.spec(role)[0].model for role in self._roles_used()})

    def refresh(self) -> None:
        """Bring the counters that the pacers keep into the progress."""
        progress = self.budget.progress
        progress.limit = sum(pacer.limit for pacer in self.pacers)
        progress.recalled = sum(recalled.recalled for recalled in self._recalled)
        progress.retries.clear()
        for pacer in self.pacers:
            progress.retries.update(pacer.retries)

    def _roles_used(self) -> Sequence[str]:
        evolve = self.recipe.evolve
        used = ["evolver"]
        used += ["judge"] if evolve.judge else []
        used += ["responder"] if evolve.respond != "never" else []
        return used

    async def _open(self, spec: ModelSpec) -> Model:
        recalled, pacer = await open_recorded(self._stack, self.ledger, spec, self.budget)
        pacer.changed = self._engine.room
        self.pacers.append(pacer)
        self._recalled.append(recalled)
        return recalled

    def _window(self) -> int:
        """Twice what is in flight: then lineages take turns, and none is left alone at the end.

        Where a bound may stop the run before its end, only what is in flight: a few finished lineages are worth more
        than many begun.
        """
        limits = self.budget.limits
        bounded = any((limits.calls, limits.cost, limits.tokens, limits.minutes))
        return (1 if bounded else 2) * sum(pacer.limit for pacer in self.pacers)

    async def _grow(self, position: int, seed: Seed) -> None:
        if self._seen is not None:
            self._seen.keep_seed(seed)
        await Lineage(self._setting, position, seed).grow()

    def _emit(self, row: CandidateRow, verbatim: bool) -> None:
        self.ledger.judge(row, verbatim=verbatim)
        progress = self.budget.progress
        if row.round == 0:
            return
        if self.recipe.evolve.respond == "last" and row.respond_call is not None:
            progress.kept -= 1  # its second verdict, now with its answer
        if row.reason:
            progress.dropped[row.reason] += 1
        else:
            progress.kept += 1
            progress.last = row.instruction or ""

    def _closing(self, why: str) -> None:
        self._engine.room.set()
        for pacer in self.pacers:
            pacer.stop(Stopped(why))

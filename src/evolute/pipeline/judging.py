"""How well a judge judges: its verdicts on pairs of ours whose right verdict is known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import orjson

from evolute.evolve.lineage import Role
from evolute.evolve.session import role_identity
from evolute.operations import EQUALITY_PAIRS, load_judge
from evolute.pipeline.evolving import open_model
from evolute.pipeline.stopping import in_loop
from evolute.recipe import Recipe
from evolute.text import parse_verdict


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many verdicts were right, of all pairs and of the equal ones; `unparsable` replies were no verdict."""

    pairs: int
    agreed: int
    unparsable: int
    equal_pairs: int
    equal_agreed: int

    @property
    def sentence(self) -> str:
        """In words, with what a coin would reach."""
        other, other_agreed = self.pairs - self.equal_pairs, self.agreed - self.equal_agreed
        return (
            f"the judge agrees on {self.agreed} of {self.pairs} pairs "
            f"({self.equal_agreed} of {self.equal_pairs} equal ones, {other_agreed} of {other} others; "
            f"{self.unparsable} replies were no verdict; guessing agrees on about {self.pairs // 2})"
        )


def judge_agreement(recipe: Recipe) -> Agreement:
    """Ask the recipe's judge about each of the shipped pairs; its calls are not recorded.

    Raises:
        EndpointError: the judge cannot be asked.
    """
    return in_loop(lambda: _judge(recipe), lambda: None)


async def _judge(recipe: Recipe) -> Agreement:
    equality = load_judge()
    part, spec = recipe.spec("judge")
    pairs = [orjson.loads(line) for line in EQUALITY_PAIRS.read_bytes().splitlines()]
    async with open_model(spec) as model:
        role = Role("judge", model, role_identity(recipe, "judge"), part.sampling, part.system)
        asked = [role.request(equality.messages(p["first"], p["second"]), 0, equality.choices) for p in pairs]
        replies = await asyncio.gather(*(model.complete(request) for request in asked))
    verdicts = [parse_verdict(reply.text or "", equality.choices) for reply in replies]
    right = [verdict == pair["verdict"] for verdict, pair in zip(verdicts, pairs, strict=True)]
    equal = [pair["verdict"] == equality.choices[0] for pair in pairs]
    return Agreement(
        pairs=len(pairs),
        agreed=sum(right),
        unparsable=verdicts.count(None),
        equal_pairs=sum(equal),
        equal_agreed=sum(r for r, e in zip(right, equal, strict=True) if e),
    )

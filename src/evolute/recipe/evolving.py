"""The parts of a recipe that say how instructions evolve and what eliminates them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from evolute.recipe.models import Part
from evolute.recipe.stopping import Stop


class Rules(Part):
    """Thresholds of the eliminator's rules; docs/elimination.md says what each rule looks at."""

    min_words: int = Field(default=3, ge=0)
    """Fewer words than this is `too-short`."""
    max_words: int = Field(default=1000, ge=1)
    """More words than this is `too-long`."""
    max_characters: int = Field(default=20_000, ge=1)
    """More characters than this is `too-long`, too."""
    unchanged: float = Field(default=0.95, ge=0, le=1)
    """Likeness to the parent (0 to 1) at which a child counts as `unchanged`."""
    like_ancestor: float = Field(default=0.9, ge=0, le=1)
    """Likeness to an ancestor other than the parent at which a child is dropped."""
    refusal_words: int = Field(default=80, ge=0)
    """A response that says "sorry" in fewer words than this is a refusal (the paper's rule 2)."""
    language: bool = True
    """Drop a child whose language differs from its seed's."""
    contamination: int | None = Field(default=13, ge=8)
    """Drop a child that shares so many consecutive words with a shipped benchmark, before its answer is paid for;
    null: do not look."""


class Evolve(Part):
    """The loop: how instructions are rewritten, judged and answered."""

    rounds: int = Field(default=4, ge=0, le=64)
    """How often each instruction is rewritten; a rewriting that is kept is what the next round rewrites."""
    branches: int = Field(default=1, ge=1, le=16)
    """Children per parent in each round."""
    attempts: int = Field(default=1, ge=1, le=16)
    """Operations tried for one child in one round before its parent goes on unchanged."""
    operations: dict[str, Annotated[float, Field(ge=0)] | None] = Field(default_factory=dict)
    """Which operations to draw from, with their weights (null: the file's own). Empty: the family `families` names."""
    families: tuple[str, ...] = ("in-depth", "in-breadth")
    """The families drawn from where `operations` is empty."""
    operation_folders: tuple[str, ...] = ()
    """Folders with operations of your own; one with the name of a shipped one takes its place."""
    demonstrations: bool = False
    """Send each operation's demonstrations as earlier turns: small models need them."""
    judge: bool = True
    """Ask the judge whether a child says more than its parent (the paper's rule 1)."""
    respond: Literal["every", "last", "never"] = "every"
    """Which instructions are answered: each kept one, only each lineage's last, or none."""
    duplicates: bool = False
    """Drop a child equal to one that another lineage has kept, before its answer is paid for. Which of two comes first
    depends on timing, so two runs may differ; a run's own replay does not."""
    seed_responses: Literal["keep", "missing", "regenerate"] = "missing"
    """Seeds' own answers: keep what is there, answer those without one, or answer all anew."""
    stop: Stop | None = None
    """Evol Stop: after each round all lineages wait, and a score says whether to go on; null: no lineage waits."""

    @model_validator(mode="after")
    def _stops_with_answers(self) -> Evolve:
        if self.stop is not None and self.respond == "last":
            raise ValueError("respond is 'last', but evolve.stop scores each round's rows: write `every`, or `never`")
        return self

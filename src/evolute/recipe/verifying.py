"""The part of a recipe that says whether answers are verified, and what happens to those that cannot be."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from evolute.recipe.models import Part


class Verify(Part):
    """Verified answers: Python code is run, in the sandbox, on tests that the responder writes apart from it."""

    answers: bool = False
    """Verify the responder's answers; needs the sandbox."""
    unverified: Literal["keep", "drop"] = "keep"
    """What happens to a row whose answer could not be verified, one without Python code among them: it is kept, and
    marked, or dropped."""
    repairs: int = Field(default=2, ge=0, le=8)
    """How often solution or tests are written again, with the error shown, before an answer counts as unverified."""
    mutants: int = Field(default=12, ge=1, le=200)
    """The most mutants of a solution that its tests are run on."""
    mutation_score: float = Field(default=0.5, ge=0, le=1)
    """The share of these that the tests must reject. Some do what the solution does, so nothing can reject them."""
    seconds: float = Field(default=10.0, gt=0, le=600)
    """What a solution's tests may take."""

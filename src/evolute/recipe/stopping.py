"""The part of a recipe that says when evolution stops before its last round: Evol Stop (WizardCoder, §3.2)."""

from __future__ import annotations

import shlex

from pydantic import Field, field_validator

from evolute.recipe.models import Part

PLACEHOLDERS = ("dataset", "round", "run")


class Stop(Part):
    """A barrier between rounds, at which a score on a development set says whether to go on (docs/code.md)."""

    command: str = Field(min_length=1)
    """Run after each round, without a shell: trains on `{dataset}` (the rows so far, Alpaca's fields) and prints a
    score at its end, a number or JSON with `score` or `pass@1`. `{round}` and `{run}` may stand in it as well."""
    tolerance: float = Field(default=0.0, ge=0)
    """A score that is lower than the best by no more than this has not fallen."""
    patience: int = Field(default=1, ge=1, le=64)
    """Evolution stops after so many rounds in a row whose score has fallen; the paper's stops after one."""
    seeds: bool = False
    """Score the seeds alone before the first round, so that this round can be rolled back, too."""
    seconds: float = Field(default=86_400.0, gt=0)
    """A command that takes longer is stopped, and so is the run, which can be resumed."""

    @field_validator("command")
    @classmethod
    def _names_the_dataset(cls, command: str) -> str:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise ValueError(f"cannot be split into words ({error}): look at its quotation marks") from None
        if not any("{dataset}" in word for word in words[1:]):
            raise ValueError("has no argument {dataset}, where the rows to train on are: write `./score.sh {dataset}`")
        return command

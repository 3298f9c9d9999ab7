"""What an evaluation is: the one file in its folder that says what was asked of whom and how it was scored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from evolute.errors import InputError
from evolute.evaluate.code.extraction import RULES
from evolute.evaluate.code.prompts import default_prompt
from evolute.evaluate.code.results import KS
from evolute.pipeline.settings import check_address, read_settings, validated, write_settings
from evolute.pipeline.summary import EVALUATION
from evolute.recipe import ModelSpec, assign
from evolute.recipe.models import Part

Benchmark = Literal["humaneval", "humaneval-plus", "mbpp", "mbpp-plus"]

SAMPLED = {"temperature": 0.2, "top_p": 0.95}
"""How several answers are drawn where nothing else is said (as WizardCoder, arXiv:2306.08568, drew them)."""

_ASKING_FIELDS = ("prompt", "system", "n", "temperature", "top_p", "answer_tokens", "seed")
"""Fields that say how a model is asked."""
_SCORING_FIELDS = frozenset({"data", "version", "split", "n", "limit", "extract", "k"})
"""Fields that say how much is asked and how it is scored: they may change while the answers stay."""


class Evaluation(Part):
    """An evaluation, every field resolved."""

    benchmark: Benchmark
    """Which problems."""
    data: str = ""
    """Where they are read from; empty: an installed package."""
    version: str | None = None
    """Which of several versions in a folder."""
    split: str | None = None
    """Of MBPP: which of its splits."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first so many problems."""
    samples: str = ""
    """A file of samples; empty: `model` answers."""
    model: ModelSpec | None = None
    """Who answers."""
    prompt: str = ""
    """How it is asked, by name; empty: as the API suggests."""
    system: str = ""
    """A system prompt."""
    n: int = Field(default=1, ge=1)
    """Answers to each problem."""
    temperature: float | None = Field(default=0.0, ge=0)
    """0: greedy; null: not sent, so that the endpoint's own holds."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Draw only from the likeliest tokens that together have this probability; null: not sent."""
    answer_tokens: int = Field(default=1024, ge=1)
    """The most tokens of one answer."""
    seed: int = 0
    """From which every draw follows."""
    extract: str = ""
    """How code is found in a sample, by name; empty: as the sample or the prompt suggests."""
    k: tuple[int, ...] = KS
    """For which k pass@k is told."""

    @field_validator("k")
    @classmethod
    def _k_counts(cls, k: tuple[int, ...]) -> tuple[int, ...]:
        if not k or min(k) < 1:
            raise ValueError(f"k must be one or more numbers from 1, got {list(k)}")
        return tuple(sorted(set(k)))

    @field_validator("extract")
    @classmethod
    def _is_rule(cls, extract: str) -> str:
        if extract and extract not in RULES:
            raise ValueError(f"no extraction {extract!r}; there are {', '.join(RULES)}")
        return extract

    @model_validator(mode="after")
    def _is_whole(self) -> Evaluation:
        if self.model is None and not self.samples:
            raise ValueError("nothing to score: give a file of samples (--samples FILE) or a model (--model NAME)")
        if self.model is not None and self.samples:
            raise ValueError("samples and a model: give one of them")
        if self.samples and (idle := [name for name in _ASKING_FIELDS if getattr(self, name) != _default(name)]):
            raise ValueError(f"{', '.join(idle)}: says how a model is asked, and a file of samples asks none")
        if self.model is not None and self.n > 1 and self.temperature == 0:
            raise ValueError(f"n is {self.n} at temperature 0, where every answer is the same: give a temperature")
        if self.model is not None and self.k != KS and max(self.k) > self.n:
            raise ValueError(
                f"pass@{max(self.k)} needs at least {max(self.k)} answers to each problem, and n is {self.n}"
            )
        return self

    def decisive(self) -> dict[str, Any]:
        """The fields that decide the answers; those that stay the same while an evaluation goes on."""
        fields = self.model_dump(mode="json", exclude=set(_SCORING_FIELDS) | {"model"})
        return fields | {
            f"model.{name}": value for name, value in (self.model.decisive() if self.model else {}).items()
        }

    def sampling(self) -> dict[str, Any]:
        """The sampling fields of every request."""
        named = {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.answer_tokens}
        return {name: value for name, value in named.items() if value is not None}


def _default(name: str) -> object:
    return Evaluation.model_fields[name].default


def resolve_evaluation(settings: Mapping[str, Any], folder: Path | None = None) -> tuple[Evaluation, Evaluation | None]:
    """The evaluation that settings by dotted path describe, on top of what the folder holds; and that, if it holds one.

    Args:
        settings: `{"benchmark": "humaneval", "model.model": NAME, …}`.
        folder: an evaluation that may be there already.

    Raises:
        InputError: a field is unknown or has an impossible value.
    """
    before = read_settings(Evaluation, folder / EVALUATION) if folder is not None else None
    fields = before.model_dump(mode="json") if before is not None else {}
    if fields.get("model") is None:
        fields.pop("model", None)
    for path, value in settings.items():
        assign(fields, path.split("."), value)
    if fields.get("n", 1) != 1:
        fields = {**SAMPLED, **fields}
    if (model := fields.get("model")) and model.get("base_url") and not model.get("model"):
        raise InputError("an endpoint needs a model: give --model NAME (`evolute models check URL` lists them)")
    evaluation = _with_prompt(validated(Evaluation, fields, "evaluate"))
    if evaluation.model is not None:
        check_address(evaluation.model)
    return evaluation, before


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write it into its folder.

    Raises:
        InputError: it cannot be written.
    """
    heading = "This evaluation as it was resolved. The same command, or `evolute evaluate` with --out alone, goes on."
    write_settings(evaluation, folder / EVALUATION, heading)


def _with_prompt(evaluation: Evaluation) -> Evaluation:
    if evaluation.model is None or evaluation.prompt:
        return evaluation
    return evaluation.model_copy(update={"prompt": default_prompt(evaluation.model.api)})

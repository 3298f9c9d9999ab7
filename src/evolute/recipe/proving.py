"""The recipe of a proof: whether training on the evolved set is better than training on its seeds."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from evolute.errors import RecipeError
from evolute.recipe.files import assign, complaint, load
from evolute.recipe.models import ModelSpec, Part

LOSS = "held-out-loss"
"""The measure that is always taken: the loss on held-out answers, where lineages are the items."""
_FOLDER = resources.files("evolute") / "recipes" / "prove"


class Evolution(Part):
    """What to evolve first, where there is no finished run."""

    recipe: str = "wizardlm"
    """An evolution's recipe: a shipped one's name, or a file."""
    seeds: tuple[str, ...] = ()
    """The seeds' files; `demo` stands for the twenty that ship."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Single fields of that recipe by dotted path, `{"models.default.api": "scripted"}`."""


class Responder(Part):
    """Who answers all instructions, of both sides, anew."""

    model: ModelSpec = ModelSpec()
    """The model; its answers are what is trained on."""
    temperature: float | None = Field(default=0.7, ge=0)
    """How freely it draws its words; null: not sent."""
    top_p: float | None = Field(default=0.9, gt=0, le=1)
    """Draw only from the likeliest tokens that together have this probability; null: not sent."""
    max_tokens: int = Field(default=2048, ge=1)
    """The most tokens of one answer; one that is cut off is not trained on."""
    system: str = ""
    """A system prompt for rows that bring none; it is not trained on."""

    @property
    def sampling(self) -> dict[str, Any]:
        """The request's sampling fields."""
        named = {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens}
        return {name: value for name, value in named.items() if value is not None}


class Training(Part):
    """How every arm is trained: all in one way, from the same base."""

    recipe: str = "modern-8b"
    """A training recipe: a shipped one's name, or a file."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Single fields of it by dotted path, `{"epochs": 2}`."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Each arm is trained once with each of these seeds; several show how much training itself varies."""

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} has one twice: each training needs a seed of its own")
        for name in ("seed", "steps", "validation"):
            if name in self.settings:
                raise ValueError(
                    f"settings.{name} is the proof's own: " + {
                        "seed": "give training.seeds",
                        "steps": "a fixed number of steps shows unequal arms unequal shares of their data; set epochs",
                        "validation": "held-out lineages are left out of all arms already",
                    }[name]
                )  # fmt: skip
        return self


class Arms(Part):
    """What is trained besides the seeds and the evolved set."""

    examples: int | None = Field(default=None, ge=2)
    """The most examples of an arm; null: as many as both sides have."""
    evolved_has_seeds: bool = False
    """Draw the evolved arm from all rounds and the seeds (as WizardLM's 70k were), instead of from evolved rows."""
    rounds: bool = False
    """Also an arm of each round alone, against as many seeds."""
    operations: bool = False
    """Also an arm without each operation (and without what was evolved from its results), against as many seeds."""


class HeldOut(Part):
    """The lineages that are not trained on."""

    share: float = Field(default=0.1, gt=0, lt=1)
    """The share of root seeds that is held out, with all that was evolved from them."""
    most: int = Field(default=500, ge=2)
    """No more roots than this."""


class Evaluation(Part):
    """What the trained models are evaluated on, besides the loss on held-out answers."""

    suite: tuple[str, ...] = ()
    """Names of suites or benchmarks (docs/evaluate.md); none: the held-out loss alone."""
    main: str = LOSS
    """The one measure that the sentence rests on: `held-out-loss`, or a benchmark of the suite."""
    data: str = ""
    """The folder of the benchmarks' data."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first so many questions of each benchmark."""
    judge: ModelSpec | None = None
    """Who judges."""
    against: ModelSpec | None = None
    """Whose answers a judge is shown beside each model's (quick, vicuna, wizardlm); null: the base's."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Further settings of judged benchmarks by dotted path, `{"answer_tokens": 512}`."""


class Proving(Part):
    """Everything that decides a proof."""

    name: str = "proof"
    """The proof's name, the page's title."""
    out: str = ""
    """The proof's folder; empty: `runs/` and the name."""
    demonstration: bool = False
    """Mark the page as a demonstration of the procedure, which is no evidence: models too small, items too few."""
    seed: int = Field(default=0, ge=0)
    """Decides what is held out, which examples are drawn, and the bootstrap."""
    run: str = ""
    """The folder of a finished run; empty: `evolution` is run first."""
    evolution: Evolution | None = None
    """What to evolve, where there is no run."""
    responder: Responder = Responder()
    base: str = ""
    """The base model: a folder as transformers writes it, a `.gguf` file, or `smollm2`."""
    training: Training = Training()
    arms: Arms = Arms()
    held_out: HeldOut = HeldOut()
    contamination: bool = True
    """Train on no row that shares 13 words in a row with an item of the benchmarks that Evolute knows."""
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not self.base:
            raise ValueError("base: which model is trained? Give a folder as transformers writes it, or smollm2")
        if bool(self.run) == (self.evolution is not None):
            raise ValueError("what is proved? Give run (a finished run's folder) or evolution, and not both")
        if self.evolution is not None and not self.evolution.seeds:
            raise ValueError("evolution.seeds names no file of seeds (demo stands for those that ship)")
        return self

    @property
    def folder(self) -> Path:
        """Where it goes, unless told otherwise: `out`, else `runs/` and the name."""
        return Path(self.out or Path("runs") / self.name)

    def decisive(self) -> dict[str, Any]:
        """What stays the same while a proof goes on: the rule is declared before there are results."""
        fields = self.model_dump(mode="json", exclude={"name", "out", "responder", "evaluation", "demonstration"})
        fields |= {f"responder.{name}": value for name, value in self.responder.sampling.items()}
        fields |= {f"responder.model.{name}": value for name, value in self.responder.model.decisive().items()}
        return fields | {"responder.system": self.responder.system, "evaluation.main": self.evaluation.main}


def proof_recipes() -> list[str]:
    """The names of the recipes of proofs inside the package."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _FOLDER.iterdir() if entry.name.endswith(".yaml"))


def resolve_proof(recipe: str | Path, settings: Mapping[str, Any] | None = None) -> Proving:
    """A proof's recipe by its name or file, with single fields changed.

    Raises:
        RecipeError: there is no such recipe, or it has unknown fields or impossible values: all of them are named.
    """
    fields = _read(recipe)
    for path, value in (settings or {}).items():
        assign(fields, path.split("."), value)
    try:
        return Proving.model_validate(fields)
    except ValidationError as error:
        said = [complaint(str(recipe), dict(problem)) for problem in error.errors() if not _unknown(problem)]
        said += [_unknown_told(str(recipe), problem) for problem in error.errors() if _unknown(problem)]
        raise RecipeError("\n".join(said)) from None


def _read(recipe: str | Path) -> dict[str, Any]:
    if Path(recipe).is_file():
        return load(recipe)
    if str(recipe) in proof_recipes():
        fields: dict[str, Any] = yaml.safe_load((_FOLDER / f"{recipe}.yaml").read_text(encoding="utf-8"))
        return fields
    near = difflib.get_close_matches(str(recipe), proof_recipes(), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise RecipeError(f"no recipe {str(recipe)!r} of a proof: {hint}give a YAML file, or {', '.join(proof_recipes())}")


def _unknown(problem: Mapping[str, Any]) -> bool:
    return bool(problem["type"] == "extra_forbidden")


def _unknown_told(source: str, problem: Mapping[str, Any]) -> str:
    kind: Any = Proving
    *groups, name = [str(step) for step in problem["loc"]]
    for group in groups:
        found = kind.model_fields[group].annotation if group in getattr(kind, "model_fields", {}) else None
        kind = next((one for one in (found, *getattr(found, "__args__", ())) if hasattr(one, "model_fields")), None)
    known = list(kind.model_fields) if kind is not None else []
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    remedy = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return f"{source}: unknown field {'.'.join([*groups, name])!r}; {remedy}"

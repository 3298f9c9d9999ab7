"""The recipe: one typed, validated YAML file that says everything that decides a dataset.

A recipe is resolved from a shipped one or a file, then the run's own when it is resumed, then `--set` and the flags.
`fingerprint` hashes what decides the data; the knobs that do not are listed in `RUNTIME_FIELDS`, and nowhere else.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from evolute.errors import RecipeError
from evolute.records import tagged_hash

# Fields of a model that change how fast or how dearly an answer comes, never which answer: left out of every id.
RUNTIME_FIELDS = frozenset({
    "base_url", "api_key_env", "headers", "concurrency", "requests_per_minute", "tokens_per_minute",
    "connect_timeout", "read_timeout", "total_timeout", "retries", "constrain", "price", "latency",
})  # fmt: skip

_SECRET_HEADERS = frozenset({"authorization", "x-api-key", "api-key", "cookie"})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)  # it may hold a secret


class Price(_Part):
    """US dollars per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached: float | None = Field(default=None, ge=0)


class ModelSpec(_Part):
    """One model at one endpoint."""

    api: Literal["chat", "completions", "anthropic", "embedded", "scripted"] = "chat"
    """How to talk to it: an OpenAI-compatible endpoint (`chat`, or plain `completions`), Anthropic's Messages API,
    the `embedded` SmolLM2, or the offline `scripted` model."""
    model: str = "smollm2-135m-instruct"
    """The model's name, as the endpoint knows it."""
    base_url: str = ""
    """Where the endpoint is, up to and including its version: `http://localhost:8000/v1`."""
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; the key itself never stands in a recipe."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Extra HTTP headers. `$NAME` in a value is read from the environment when the call is made. Those that
    carry secrets (`Authorization`, `x-api-key`, `api-key`, `Cookie`) must hold one: recipes are copied into runs."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Extra fields for the request's body (`{"chat_template_kwargs": {"enable_thinking": false}}`)."""
    send_seed: bool = True
    """Send a seed drawn from the run's, so that an endpoint that honours it gives the same answer again."""
    constrain: Literal["auto", "json_schema", "grammar", "choice", "none"] = "auto"
    """How the endpoint holds the judge to its two verdicts: a JSON schema, a llama.cpp grammar, vLLM's choice, or not
    at all. `auto` tries a JSON schema and goes without where it is refused."""
    concurrency: int | None = Field(default=None, ge=1)
    """At most so many calls in flight. Unset: adaptive from 8 up to 256; set: starts there, and still backs off."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    connect_timeout: float = Field(default=10.0, gt=0)
    read_timeout: float = Field(default=300.0, gt=0)
    total_timeout: float = Field(default=600.0, gt=0)
    retries: int = Field(default=8, ge=0)
    price: Price | None = None
    """Overrides the price table. Without either, costs are shown as unknown."""
    latency: float = Field(default=0.0, ge=0)
    """Seconds that a scripted model takes to answer."""

    @field_validator("headers")
    @classmethod
    def _secrets_stay_outside(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if name.strip().lower() in _SECRET_HEADERS and value.strip() and not re.search(r"\$\w", value):
                raise ValueError(
                    f"the header {name!r} holds a secret as it is, which would be copied into every run. "
                    f"Write $NAME in its value, and put the secret into the environment variable NAME"
                )
        return headers

    @property
    def identity(self) -> bytes:
        """Hash of what, besides the sampling, decides this model's answers."""
        return tagged_hash("model-1", orjson.dumps(_without_runtime(self), option=orjson.OPT_SORT_KEYS))


class RoleSpec(_Part):
    """Who plays a role, and how it samples. Unset (null) parameters are not sent."""

    model: str = "default"
    """A name under `models`."""
    temperature: float | None = 1.0
    top_p: float | None = 0.9
    max_tokens: int | None = Field(default=2048, ge=1)
    system: str = ""
    """A system prompt for this role. A seed's own system prompt is shown to the model as well."""
    extra_body: dict[str, Any] = Field(default_factory=dict)

    @property
    def sampling(self) -> dict[str, Any]:
        """The request's sampling fields."""
        named = {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens}
        return {name: value for name, value in named.items() if value is not None} | self.extra_body


class Roles(_Part):
    """The three roles. The evolver's and the responder's sampling are the paper's (WizardLM, §3)."""

    evolver: RoleSpec = RoleSpec()
    judge: RoleSpec = RoleSpec(temperature=0.0, top_p=None, max_tokens=32)
    responder: RoleSpec = RoleSpec()


class Rules(_Part):
    """Thresholds of the eliminator's rules; docs/elimination.md says what each rule looks at."""

    min_words: int = Field(default=3, ge=0)
    """Fewer words than this is `too-short`."""
    max_words: int = Field(default=1000, ge=1)
    """More words than this is `too-long`."""
    max_characters: int = Field(default=20_000, ge=1)
    unchanged: float = Field(default=0.95, ge=0, le=1)
    """Likeness to the parent (0 to 1) at which a child counts as `unchanged`."""
    like_ancestor: float = Field(default=0.9, ge=0, le=1)
    """Likeness to an ancestor other than the parent at which a child is dropped."""
    refusal_words: int = Field(default=80, ge=0)
    """A response that says "sorry" in fewer words than this is a refusal (the paper's rule 2)."""
    language: bool = True
    """Drop a child whose language differs from its seed's."""


class Evolve(_Part):
    """The loop."""

    rounds: int = Field(default=4, ge=0, le=64)
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
    seed_responses: Literal["keep", "missing", "regenerate"] = "missing"
    """Seeds' own answers: keep what is there, answer those without one, or answer all anew."""


class Recipe(_Part):
    """Everything that decides a run."""

    name: str = "wizardlm"
    seed: int = 0
    """The run seed: every random choice is a hash of it and of the place in the lineage."""
    models: dict[str, ModelSpec] = Field(default_factory=lambda: {"default": ModelSpec()})
    roles: Roles = Roles()
    evolve: Evolve = Evolve()
    rules: Rules = Rules()

    @model_validator(mode="after")
    def _roles_name_models(self) -> Recipe:
        for role in ("evolver", "judge", "responder"):
            name = getattr(self.roles, role).model
            if name not in self.models:
                raise ValueError(f"roles.{role}.model is {name!r}, but models has only {sorted(self.models)}")
        return self

    def spec(self, role: str) -> tuple[RoleSpec, ModelSpec]:
        """The role's sampling and the model that plays it."""
        part: RoleSpec = getattr(self.roles, role)
        return part, self.models[part.model]

    def to_yaml(self) -> str:
        """The recipe as a file, every field resolved."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def fingerprint(self, *more: bytes) -> bytes:
        """Hash of all that decides the data: this recipe without `RUNTIME_FIELDS`, and `more` (the operations')."""
        # Where operations lie does not matter: their texts' hashes are among `more`.
        data = self.model_dump(mode="json", exclude={"name": True, "models": True, "evolve": {"operation_folders"}})
        data["models"] = {name: _without_runtime(spec) for name, spec in sorted(self.models.items())}
        return tagged_hash("recipe-1", orjson.dumps(data, option=orjson.OPT_SORT_KEYS), *more)


def _without_runtime(spec: ModelSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude=set(RUNTIME_FIELDS))


def shipped() -> list[str]:
    """The names of the recipes inside the package."""
    folder = resources.files("evolute") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def recipe_text(name: str) -> str:
    """A shipped recipe's file.

    Raises:
        RecipeError: there is none of that name.
    """
    if name not in shipped():
        near = difflib.get_close_matches(name, shipped(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise RecipeError(f"no recipe {name!r}: {hint}give a YAML file, or one of {', '.join(shipped())}")
    return (resources.files("evolute") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")


def load(name_or_path: str | Path) -> dict[str, Any]:
    """Read a recipe's fields from a file, or from the package when it is a shipped recipe's name.

    Raises:
        RecipeError: there is no such recipe, or it is not YAML with fields.
    """
    path = Path(name_or_path)
    text = path.read_text(encoding="utf-8-sig") if path.is_file() else recipe_text(str(name_or_path))
    try:
        fields = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{name_or_path}: not valid YAML: {error}") from None
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise RecipeError(f"{name_or_path}: a recipe is a mapping of fields, not {type(fields).__name__}")
    return fields


def parse_assignment(text: str) -> tuple[str, Any]:
    """Read `evolve.rounds=3` into its dotted path and its value, which is YAML.

    Raises:
        RecipeError: there is no `=`, or no field before it.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise RecipeError(f"--set wants FIELD=VALUE (evolve.rounds=3), got {text!r}")
    try:
        return path.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        return path.strip(), value


def assign(fields: dict[str, Any], path: Sequence[str], value: Any) -> None:  # noqa: ANN401 - YAML's own type
    """Set the field at a path, making the mappings on the way.

    Raises:
        RecipeError: the path leads through a field that holds no fields.
    """
    for name in path[:-1]:
        inner = fields.setdefault(name, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"{'.'.join(path)}: {name!r} is not a group of fields")
        fields = inner
    fields[path[-1]] = value


def resolve(fields: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """Validate fields into a recipe.

    Raises:
        RecipeError: names each wrong field, its value, and the nearest known name for an unknown one.
    """
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        raise RecipeError("\n".join(_explain(source, dict(problem)) for problem in error.errors())) from None


def _explain(source: str, problem: dict[str, Any]) -> str:
    where = [str(step) for step in problem["loc"]]
    name = ".".join(where) or "recipe"
    if problem["type"] == "extra_forbidden":
        known = _fields_beside(where)
        near = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.5)
        remedy = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"{source}: unknown field {name!r}; {remedy}"
    if problem["type"] == "value_error":
        return f"{source}: {name + ': ' if where else ''}{problem['ctx']['error']}"
    if where[2:3] == ["headers"]:  # models.NAME.headers: the value may be a secret
        return f"{source}: {name}: {problem['msg']}"
    return f"{source}: {name}: {problem['msg']}, got {problem['input']!r}"


def _fields_beside(where: list[str]) -> list[str]:
    """The names allowed where an unknown field was found."""
    model: Any = Recipe
    for step in where[:-1]:
        if isinstance(model, type) and issubclass(model, BaseModel) and step in model.model_fields:
            model = model.model_fields[step].annotation
            if getattr(model, "__origin__", None) is dict:
                model = model.__args__[1]
    if isinstance(model, type) and issubclass(model, BaseModel):
        return list(model.model_fields)
    return []

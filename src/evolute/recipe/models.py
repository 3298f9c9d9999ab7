"""The parts of a recipe that say who answers: models at endpoints, and the roles that they play."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from evolute.recipe.modelfiles import files_hash
from evolute.records import tagged_hash

# Fields of a model that change how fast or how dearly an answer comes, never which answer: left out of every id.
RUNTIME_FIELDS = frozenset({
    "base_url", "replicas", "api_key_env", "headers", "concurrency", "requests_per_minute", "tokens_per_minute",
    "connect_timeout", "read_timeout", "total_timeout", "retries", "constrain", "price", "latency", "batch",
})  # fmt: skip

_SECRET_HEADERS = frozenset({"authorization", "x-api-key", "api-key", "cookie"})


class Part(BaseModel):
    """A group of fields; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)  # it may hold a secret


class Price(Part):
    """US dollars per million tokens."""

    input: float = Field(ge=0)
    """US dollars per million tokens of prompts."""
    output: float = Field(ge=0)
    """US dollars per million tokens of completions, reasoning among them."""
    cached: float | None = Field(default=None, ge=0)
    """US dollars per million tokens of prompts that the endpoint had in its cache; null: as `input`."""


class BatchSpec(Part):
    """How calls wait for a provider's batch API instead of being made one by one; `true` stands for all defaults."""

    provider: Literal["auto", "openai", "anthropic", "files"] = "auto"
    """Who takes the batches: OpenAI's Batch API or one like it, Anthropic's Message Batches, or `files` that you answer
    by hand with `vllm run-batch`. `auto`: `anthropic` for that api, `openai` for an endpoint, `files` without one."""
    size: int = Field(default=10_000, ge=1)
    """The most requests of a batch; the provider's limit is kept as well."""
    bytes: int | None = Field(default=None, ge=1)
    """The most bytes of a batch; null: the provider's limit."""
    seconds: float = Field(default=30.0, ge=0)
    """A batch that is not full is submitted once its first request is this old."""
    lineages: int = Field(default=20_000, ge=2)
    """About so many lineages may wait at once: this bounds memory."""
    hours: float = Field(default=26.0, gt=0)
    """A batch that has not ended after so many hours is cancelled, and what it left unanswered is asked again."""
    discount: float | None = Field(default=None, ge=0, le=1)
    """The share of the normal price that a call in a batch costs; null: 0.5 at a provider, 1 for `files`."""

    @model_validator(mode="before")
    @classmethod
    def _switched_on(cls, given: object) -> object:
        return {} if given is True else given


class ModelSpec(Part):
    """One model at one endpoint."""

    api: Literal["chat", "completions", "anthropic", "embedded", "local", "scripted"] = "chat"
    """How to talk to it: an OpenAI-compatible endpoint (`chat`, or plain `completions`), Anthropic's Messages API,
    the `embedded` SmolLM2, a `local` model's own files, or the offline `scripted` model."""
    model: str = "smollm2-135m-instruct"
    """The model's name, as the endpoint knows it; of a `local` one the folder as transformers writes it, or a `.gguf`
    file (for `embedded` a `.gguf` file, too). What is recorded of those is kept by a hash of their contents."""
    base_url: str = ""
    """Where the endpoint is, up to and including its version: `http://localhost:8000/v1`."""
    replicas: tuple[str, ...] = ()
    """Further endpoints that serve the same model, with the same API and key. Each call goes to the one with the most
    room; one that fails is passed for a while. `concurrency` and the rates hold for each of them."""
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
    """No more calls than this begin in a minute; null: what the endpoint says of its limits."""
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """No more tokens than this in a minute, of prompts and completions; null: what the endpoint says."""
    connect_timeout: float = Field(default=10.0, gt=0)
    """Seconds to wait for a connection."""
    read_timeout: float = Field(default=300.0, gt=0)
    """Seconds to wait for the next bytes of an answer."""
    total_timeout: float = Field(default=600.0, gt=0)
    """Seconds that one call may take, from its beginning to the answer's end."""
    retries: int = Field(default=8, ge=0)
    """How often a call that failed in passing is made again before its lineage is left over."""
    price: Price | None = None
    """Overrides the price table. Without either, costs are shown as unknown."""
    latency: float = Field(default=0.0, ge=0)
    """Seconds that a scripted model takes to answer."""
    batch: BatchSpec | None = None
    """Have calls answered in a provider's batches, at half the price and within a day (docs/batches.md); null: one by
    one, at once."""

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

    @model_validator(mode="after")
    def _replicas_have_addresses(self) -> ModelSpec:
        if not self.replicas:
            return self
        if self.api in ("embedded", "local", "scripted"):
            raise ValueError(f"replicas are endpoints reached over HTTP, and api is {self.api!r}: leave them out")
        named = [self.base_url, *self.replicas]
        if "" in named or len(set(named)) < len(named):
            raise ValueError(f"base_url and replicas must be different addresses, got {named!r}")
        return self

    @property
    def places(self) -> list[ModelSpec]:
        """This model at each of its endpoints; itself alone where it has no replicas."""
        urls = (self.base_url, *self.replicas)
        return [self.model_copy(update={"base_url": url, "replicas": ()}) for url in urls]

    def decisive(self) -> dict[str, Any]:
        """The fields that decide an answer; a local model's files stand there by their hash, wherever they lie."""
        fields = self.model_dump(mode="json", exclude=set(RUNTIME_FIELDS))
        if self.api in ("local", "embedded") and Path(self.model).exists():
            fields["model"] = f"files {files_hash(Path(self.model))}"
        return fields

    @property
    def identity(self) -> bytes:
        """Hash of what, besides the sampling, decides this model's answers."""
        return tagged_hash("model-1", orjson.dumps(self.decisive(), option=orjson.OPT_SORT_KEYS))


class RoleSpec(Part):
    """Who plays a role, and how it samples. Unset (null) parameters are not sent."""

    model: str = "default"
    """A name under `models`."""
    temperature: float | None = 1.0
    """How freely the model draws its words; 0: the likeliest each time."""
    top_p: float | None = 0.9
    """Draw only from the likeliest words that together have this probability."""
    max_tokens: int | None = Field(default=2048, ge=1)
    """The most tokens of one answer; a longer one is cut off, and dropped as truncated."""
    system: str = ""
    """A system prompt for this role. A seed's own system prompt is shown to the model as well."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Extra fields for the body of this role's requests."""

    @property
    def sampling(self) -> dict[str, Any]:
        """The request's sampling fields."""
        named = {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens}
        return {name: value for name, value in named.items() if value is not None} | self.extra_body


class Roles(Part):
    """The roles. The evolver's and the responder's sampling are the paper's (WizardLM, §3)."""

    evolver: RoleSpec = RoleSpec()
    """Rewrites instructions."""
    judge: RoleSpec = RoleSpec(temperature=0.0, top_p=None, max_tokens=32)
    """Says whether a rewritten instruction says more than its parent."""
    responder: RoleSpec = RoleSpec()
    """Answers instructions."""
    grader: RoleSpec = RoleSpec(temperature=0.0, top_p=None, max_tokens=256)
    """Marks rows that are done (`select.grade`); it has no say in the evolution."""

"""The parts of a recipe that say where seeds are read, which rows are selected, and what is written.

None of them has a say in the evolution: changing them takes no verdict back and repeats no call.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from evolute.recipe.models import Part
from evolute.records import Reason

Share = Annotated[float, Field(gt=0, le=1)]
Measure = Literal["drop", "flag", "ignore"]


class Source(Part):
    """Where seeds come from, for `evolute run`; the names are those of `evolute evolve`'s options."""

    files: tuple[str, ...] = ()
    """Files, folders or names of hub datasets; relative to where the command is given."""
    column: str | None = None
    """The column that holds the instruction; unset: found by its name."""
    where: tuple[str, ...] = ()
    """Only rows where these hold: `category=math`."""
    limit: int | None = Field(default=None, ge=1)
    """The first N seeds."""
    sample: int | None = Field(default=None, ge=1)
    """N seeds at random, the same ones each time."""
    sample_seed: int = 0
    """Another sample."""
    every_turn: bool = False
    """Each user turn of a conversation is a seed of its own."""
    skip_bad: bool = False
    """Set bad rows aside in RUN/bad-rows.jsonl, with the reason."""
    split: str = "train"
    """The split of a dataset on the hub."""


class Duplicates(Part):
    """Rows that say again what an earlier row says; the earlier one, in seed order, stays."""

    exact: bool = True
    """Drop rows whose prompt is an earlier one's, up to case, punctuation and layout."""
    near: Share | None = 0.8
    """Drop rows whose words overlap an earlier one's by this Jaccard index; null: do not look."""
    semantic: Share | None = None
    """Drop rows whose vector's cosine with an earlier one's is at least this; null: do not look."""
    encoder: str = "static"
    """Who makes the vectors: `static` (shipped, offline), a name under `models` (an OpenAI-compatible `/embeddings`
    endpoint), or `sentence-transformers:NAME_OR_PATH`."""
    within_lineage: bool = False
    """Compare a row with its own ancestors and siblings, too, for near and semantic likeness. They are alike by
    design, and the evolution has already dropped what says nothing new."""


class Contamination(Part):
    """Rows that share text with a benchmark on which the trained model would be measured."""

    check: Measure = "drop"
    """What happens to a row that overlaps: dropped, flagged, or not looked for."""
    words: int = Field(default=13, ge=8)
    """Consecutive words that count as an overlap: 13 (GPT-3, appendix C) or 8 are usual."""
    corpora: tuple[str, ...] = ()
    """More corpora than those shipped: `NAME=PATH` of a benchmark's file (`arc=PATH`, `alpaca_eval=PATH`,
    `wizardlm=PATH`, or any name of yours)."""
    semantic: Share | None = None
    """Flag rows whose vector's cosine with a corpus item's is at least this; null: do not look."""


class Quality(Part):
    """What the rules for rows look for (docs/select.md); a reason in neither list is not acted upon."""

    drop: tuple[Reason, ...] = (
        Reason.RESPONSE_REFUSAL,
        Reason.RESPONSE_TRUNCATED,
        Reason.RESPONSE_EMPTY,
        Reason.RESPONSE_CONTENT_FREE,
        Reason.RESPONSE_BOILERPLATE,
        Reason.REPETITION,
        Reason.SCAFFOLD_LEAK,
    )
    """Reasons for which a row is dropped."""
    flag: tuple[Reason, ...] = (Reason.RESPONSE_LANGUAGE, Reason.FORMAT_MISSING, Reason.PERSONAL_DATA, Reason.SECRET)
    """Reasons that are noted on a row, which stays."""

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if both := sorted(set(self.drop) & set(self.flag)):
            raise ValueError(f"{both[0].value!r} is in both drop and flag: keep one")
        return self


class Tokens(Part):
    """Lengths as a model will see them."""

    tokenizer: str = ""
    """A `tokenizer.json`, a folder that holds one, or a name on the hub. Empty: tokens are not counted."""
    budget: int = Field(default=2048, ge=1)
    """The most tokens that a row, prompt and response, may have (the paper trained with 2048)."""
    over: Measure = "drop"
    """What happens to a row over the budget."""


class Grade(Part):
    """What the model in the role `grader` is asked about rows that have passed all else."""

    difficulty: bool = False
    """Each row's difficulty, 1 to 10 (WizardLM, section 4.3)."""
    sample: int | None = Field(default=None, ge=1)
    """Grade only so many rows of each round, drawn by hash (the paper graded 600); null: all."""
    siblings: bool = False
    """Complexity and quality, 1 to 6, of all rows of a lineage ranked in one prompt (Deita)."""
    band: tuple[float, float] | None = None
    """Keep only rows with a difficulty from the first number to the second."""
    responses: int = Field(default=1, ge=1, le=8)
    """Responses per row. From 2 up the responder is asked again, and the grader ranks them: preference pairs."""

    @property
    def asks(self) -> bool:
        """Whether anything is asked of a model."""
        return self.difficulty or self.siblings or self.responses > 1

    @model_validator(mode="after")
    def _band_needs_grades(self) -> Self:
        if self.band is not None and (not self.difficulty or self.sample is not None):
            raise ValueError(f"band {list(self.band)} needs every row's difficulty: set difficulty true, sample null")
        if self.band is not None and self.band[0] > self.band[1]:
            raise ValueError(f"band: {self.band[0]} is more than {self.band[1]}: the lower number comes first")
        return self


class Mixture(Part):
    """Which of the rows that passed make the dataset."""

    rows: int | None = Field(default=None, ge=1)
    """So many rows (the paper: 70,000 of all rounds and the seeds); null: all."""
    by: Literal["uniform", "round", "operation", "difficulty", "cluster", "coverage"] = "uniform"
    """Drawn evenly from all rows; evenly over rounds, operations, difficulty bands or 20 clusters; or greedily, each
    next row the farthest from those chosen (`coverage`)."""
    quotas: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """So many rows of a group named by `by` (`{0: 1000, 1: 5000}` of rounds 0 and 1); below 1, that share of `rows`.
    Groups not named share what is left of `rows` evenly."""
    seed: int = 0
    """Another draw."""

    @field_validator("quotas", mode="before")
    @classmethod
    def _names_are_text(cls, quotas: object) -> object:
        return {str(name): value for name, value in quotas.items()} if isinstance(quotas, dict) else quotas

    @field_validator("quotas")
    @classmethod
    def _rows_or_a_share(cls, quotas: dict[str, float]) -> dict[str, float]:
        for name, quota in quotas.items():
            if quota >= 1 and not quota.is_integer():
                raise ValueError(f"{name!r} has {quota!r}: give a whole number of rows, or a share below 1")
        return quotas

    @model_validator(mode="after")
    def _quotas_have_groups(self) -> Self:
        if self.quotas and self.by in ("uniform", "coverage"):
            raise ValueError(f"quotas need groups: set by to round, operation, difficulty or cluster, not {self.by!r}")
        if self.by != "uniform" and self.rows is None and not self.quotas:
            needed = "rows" if self.by == "coverage" else "rows or quotas"
            raise ValueError(f"by: {self.by} needs {needed}, for without them all rows are kept")
        return self


class Select(Part):
    """Which rows one would sign for."""

    seeds: bool = True
    """Keep the seeds themselves (round 0) in the dataset."""
    duplicates: Duplicates = Duplicates()
    contamination: Contamination = Contamination()
    quality: Quality = Quality()
    tokens: Tokens = Tokens()
    grade: Grade = Grade()
    mixture: Mixture = Mixture()

    @property
    def encodes(self) -> bool:
        """Whether anything needs vectors of the rows."""
        wanted = (self.duplicates.semantic, self.contamination.semantic)
        return any(value is not None for value in wanted) or self.mixture.by in ("cluster", "coverage")


class Export(Part):
    """What `evolute run` writes, and what the card says of it."""

    format: Literal["alpaca", "sharegpt", "messages", "prompt-completion"] = "messages"
    """The shape of the rows (docs/export.md)."""
    container: Literal["jsonl", "parquet"] = "jsonl"
    """What the files are."""
    shards: int = Field(default=1, ge=1)
    """Files of training rows."""
    validation: float = Field(default=0.0, ge=0, lt=1)
    """The share of lineages (by root seed, so that none is on both sides) set aside for validation."""
    license: str = ""
    """The dataset's license, as the hub names it (`apache-2.0`); empty: the card says that it is not stated."""
    seed_license: str = ""
    """The license of the seeds, for the card."""
    model_terms: dict[str, str] = Field(default_factory=dict)
    """What the terms of each model say of its outputs, by its name, for the card; you must look them up."""

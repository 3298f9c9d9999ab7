"""The recipe as a whole."""

from __future__ import annotations

import re
from pathlib import Path, PureWindowsPath
from typing import Any

import orjson
import yaml
from pydantic import Field, model_validator

from evolute.recipe.evolving import Evolve, Rules
from evolute.recipe.models import ModelSpec, Part, Roles, RoleSpec
from evolute.recipe.selecting import Export, Select, Source
from evolute.recipe.verifying import Verify
from evolute.records import tagged_hash

_FILE = re.compile(r"\.(jsonl?|ndjson|csv|tsv|txt|parquet|gz)(::|$)")
EVOLVING_ROLES = ("evolver", "judge", "responder")


class Recipe(Part):
    """Everything that decides a run."""

    name: str = "wizardlm"
    """The recipe's name, for whoever looks at the run."""
    out: str = ""
    """The run's folder, for `evolute run`; empty: `runs/` and the recipe's name."""
    seed: int = 0
    """The run seed: every random choice is a hash of it and of the place in the lineage."""
    models: dict[str, ModelSpec] = Field(default_factory=lambda: {"default": ModelSpec()})
    """Models at endpoints, by names of your choice; roles name them. One called `default` plays every role that names
    no other, and is the one that `--base-url` and `--model` are about."""
    roles: Roles = Roles()
    evolve: Evolve = Evolve()
    rules: Rules = Rules()
    verify: Verify = Verify()
    seeds: Source = Source()
    select: Select = Select()
    export: Export = Export()

    @model_validator(mode="after")
    def _roles_name_models(self) -> Recipe:
        for role in (*EVOLVING_ROLES, "grader"):
            name = getattr(self.roles, role).model
            if name not in self.models:
                raise ValueError(f"roles.{role}.model is {name!r}, but models has only {sorted(self.models)}")
        return self

    @model_validator(mode="after")
    def _what_is_verified_is_answered(self) -> Recipe:
        if self.verify.answers and self.evolve.respond == "never":
            raise ValueError("verify.answers is true, but evolve.respond is 'never': set it to 'every' or 'last'")
        return self

    def spec(self, role: str) -> tuple[RoleSpec, ModelSpec]:
        """The role's sampling and the model that plays it."""
        part: RoleSpec = getattr(self.roles, role)
        return part, self.models[part.model]

    @property
    def folder(self) -> Path:
        """Where `evolute run` puts the run: `out`, else `runs/` and the recipe's name."""
        return Path(self.out or Path("runs") / self.name)

    def up_to(self, rounds: int) -> Recipe:
        """This recipe with no more than so many rounds."""
        fewer = self.evolve.model_copy(update={"rounds": min(rounds, self.evolve.rounds)})
        return self.model_copy(update={"evolve": fewer})

    def to_yaml(self) -> str:
        """The recipe as a file, every field resolved."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def to_public_yaml(self) -> str:
        """The recipe without what only its owner needs: addresses, keys' names, headers, folders."""
        private: dict[str, Any] = {
            "out": True,
            "models": True,
            "seeds": {"files"},
            "evolve": {"operation_folders", "stop"},
        }
        data = self.model_dump(mode="json", exclude=private)
        data["models"] = {name: spec.decisive() for name, spec in self.models.items()}
        select = data["select"]
        select["contamination"]["corpora"] = [_without_folder(name) for name in self.select.contamination.corpora]
        select["tokens"]["tokenizer"] = _without_folder(self.select.tokens.tokenizer)
        select["duplicates"]["encoder"] = _without_folder(self.select.duplicates.encoder)
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)

    def fingerprint(self, *more: bytes) -> bytes:
        """Hash of all that decides the evolution, and of `more` (the operations' texts).

        Left out: `RUNTIME_FIELDS`, and all that comes before or after the evolution.
        """
        # Where operations lie does not matter: their texts' hashes are among `more`. Evol Stop chooses among rounds,
        # and no verdict depends on it.
        kept: dict[str, Any] = {"seed": True, "evolve": True, "rules": True, "roles": set(EVOLVING_ROLES)}
        if self.verify.answers:  # a recipe without it stays the one that it was before there was such a thing
            kept["verify"] = True
        data = self.model_dump(mode="json", include=kept, exclude={"evolve": {"operation_folders", "stop"}})
        used = sorted({getattr(self.roles, role).model for role in EVOLVING_ROLES})
        data["models"] = {name: self.models[name].decisive() for name in used}
        return tagged_hash("recipe-1", orjson.dumps(data, option=orjson.OPT_SORT_KEYS), *more)


def _without_folder(name: str) -> str:
    """A name in which a local path, if there is one, has lost its folders; `hf:OWNER/NAME` and `OWNER/NAME` stay."""
    before, value = re.fullmatch(r"((?:\w[\w-]*=|sentence-transformers:)?)(.*)", name, re.DOTALL).groups()  # type: ignore[union-attr]
    local = re.match(r"[./~\\]|[A-Za-z]:[\\/]", value) or value.count("/") > 1 or _FILE.search(value)
    return before + (PureWindowsPath(value).name if local and not value.startswith("hf:") else value)

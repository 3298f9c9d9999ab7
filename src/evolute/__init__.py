"""Evolute: seeds in, a dataset worth training on out.

    import evolute
    evolute.evolve("seeds.jsonl", out="run", settings={"models.default.base_url": URL, "models.default.model": NAME})
    evolute.export("run", "messages", "train.jsonl")

The stages are functions; names are imported when they are first used, so that `import evolute` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evolute.errors import EvoluteError as EvoluteError
    from evolute.evolve.budget import Limits as Limits
    from evolute.pipeline import Check as Check
    from evolute.pipeline import Summary as Summary
    from evolute.pipeline import dataset as dataset
    from evolute.pipeline import evolve as evolve
    from evolute.pipeline import export as export
    from evolute.pipeline import plan as plan
    from evolute.pipeline import replay as replay
    from evolute.pipeline import resolve_recipe as resolve_recipe
    from evolute.pipeline import status as status
    from evolute.pipeline import verify as verify
    from evolute.recipe import Recipe as Recipe
    from evolute.records import Row as Row
    from evolute.records import Seed as Seed
    from evolute.seeds import SeedOptions as SeedOptions

__version__ = "0.1.0"

_HOMES = {
    "Check": "pipeline", "EvoluteError": "errors", "Limits": "evolve.budget", "Recipe": "recipe", "Row": "records",
    "Seed": "records", "SeedOptions": "seeds", "Summary": "pipeline", "dataset": "pipeline", "evolve": "pipeline",
    "export": "pipeline", "plan": "pipeline", "replay": "pipeline", "resolve_recipe": "pipeline",
    "status": "pipeline", "verify": "pipeline",
}  # fmt: skip

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the exported names
    if name not in _HOMES:
        raise AttributeError(f"module 'evolute' has no attribute {name!r}")
    return getattr(importlib.import_module(f"evolute.{_HOMES[name]}"), name)

"""The Python API: the stages as functions, in a script or a notebook.

    from evolute import api

    api.evolve("seeds.jsonl", out="run", settings={"models.default.base_url": URL, "models.default.model": NAME})
    api.export("run", "messages", "train.jsonl")

It stands in a module of its own because the stages are packages, too: `evolute.evolve` cannot be both.
"""

from evolute.errors import EvoluteError
from evolute.evolve.budget import Limits
from evolute.evolve.planning import Estimate
from evolute.pipeline.checking import Check, replay, verify
from evolute.pipeline.choices import evaluate_choices
from evolute.pipeline.comparing import Comparison, compare
from evolute.pipeline.evaluating import evaluate_code
from evolute.pipeline.evolving import evolve, resolve_recipe
from evolute.pipeline.judged import evaluate_judged
from evolute.pipeline.merging import Merged, merge
from evolute.pipeline.planning import plan
from evolute.pipeline.proving import Proved, prove
from evolute.pipeline.publishing import preferences, publish_folder
from evolute.pipeline.reading import dataset, export, status
from evolute.pipeline.reporting import report
from evolute.pipeline.responding import Responded, respond
from evolute.pipeline.running import Ran, run
from evolute.pipeline.selected import Selected
from evolute.pipeline.selecting import select
from evolute.pipeline.summary import Summary
from evolute.recipe import Recipe
from evolute.records import Row, Seed
from evolute.seeds import SeedOptions
from evolute.train.delta import Applied, Made, Verified, apply_delta, make_delta, verify_delta
from evolute.train.gguf_file import Exported, export_gguf

__all__ = [
    "Applied",
    "Check",
    "Comparison",
    "Estimate",
    "EvoluteError",
    "Exported",
    "Limits",
    "Made",
    "Merged",
    "Proved",
    "Ran",
    "Recipe",
    "Responded",
    "Row",
    "Seed",
    "SeedOptions",
    "Selected",
    "Summary",
    "Verified",
    "apply_delta",
    "compare",
    "dataset",
    "evaluate_choices",
    "evaluate_code",
    "evaluate_judged",
    "evolve",
    "export",
    "export_gguf",
    "make_delta",
    "merge",
    "plan",
    "preferences",
    "prove",
    "publish_folder",
    "replay",
    "report",
    "resolve_recipe",
    "respond",
    "run",
    "select",
    "status",
    "verify",
    "verify_delta",
]

"""The stages in order: what the commands and the Python API call."""

from evolute.pipeline.checking import Check, replay, verify
from evolute.pipeline.evolving import DATASET, evolve, open_model, resolve_recipe
from evolute.pipeline.planning import plan
from evolute.pipeline.reading import dataset, export, status
from evolute.pipeline.stopping import INTERRUPTED
from evolute.pipeline.summary import Summary, run_recipe

__all__ = [
    "DATASET",
    "INTERRUPTED",
    "Check",
    "Summary",
    "dataset",
    "evolve",
    "export",
    "open_model",
    "plan",
    "replay",
    "resolve_recipe",
    "run_recipe",
    "status",
    "verify",
]

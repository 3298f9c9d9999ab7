"""The stages in order: what the commands and the Python API call."""

from evolute.pipeline.checking import Check, replay, verify
from evolute.pipeline.comparing import Comparison, compare
from evolute.pipeline.evolving import DATASET, evolve, open_model, resolve_recipe
from evolute.pipeline.merging import Merged, merge
from evolute.pipeline.planning import plan
from evolute.pipeline.publishing import DATASET_FOLDER, card_facts, preferences, publish_folder
from evolute.pipeline.reading import dataset, export, status
from evolute.pipeline.reporting import report
from evolute.pipeline.running import Ran, run
from evolute.pipeline.selected import Selected
from evolute.pipeline.selecting import select
from evolute.pipeline.stopping import INTERRUPTED
from evolute.pipeline.summary import Summary, run_recipe

__all__ = [
    "DATASET",
    "DATASET_FOLDER",
    "INTERRUPTED",
    "Check",
    "Comparison",
    "Merged",
    "Ran",
    "Selected",
    "Summary",
    "card_facts",
    "compare",
    "dataset",
    "evolve",
    "export",
    "merge",
    "open_model",
    "plan",
    "preferences",
    "publish_folder",
    "replay",
    "report",
    "resolve_recipe",
    "run",
    "run_recipe",
    "select",
    "status",
    "verify",
]

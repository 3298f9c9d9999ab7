"""The recipe: one typed, validated YAML file that says everything that decides a dataset.

A recipe is resolved from a shipped one or a file, then the run's own when it is resumed, then `--set` and the flags.
`Recipe.fingerprint` hashes what decides the evolution; the knobs that do not are listed in `RUNTIME_FIELDS`, and
nowhere else.
"""

from evolute.recipe.evolving import Evolve, Rules
from evolute.recipe.files import assign, load, parse_assignment, recipe_text, resolve, shipped
from evolute.recipe.models import RUNTIME_FIELDS, BatchSpec, ModelSpec, Price, Roles, RoleSpec
from evolute.recipe.selecting import Export, Select, Source
from evolute.recipe.verifying import Verify
from evolute.recipe.whole import EVOLVING_ROLES, Recipe

__all__ = [
    "EVOLVING_ROLES",
    "RUNTIME_FIELDS",
    "BatchSpec",
    "Evolve",
    "Export",
    "ModelSpec",
    "Price",
    "Recipe",
    "RoleSpec",
    "Roles",
    "Rules",
    "Select",
    "Source",
    "Verify",
    "assign",
    "load",
    "parse_assignment",
    "recipe_text",
    "resolve",
    "shipped",
]

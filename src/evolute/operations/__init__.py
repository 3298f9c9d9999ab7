"""Operations: the ways to rewrite an instruction, each a Markdown file; and the judge, which is one as well."""

from evolute.operations.files import Demonstration
from evolute.operations.library import EQUALITY_PAIRS, choose, load_judge, load_operations, weigh
from evolute.operations.prompts import Judge, Operation, restore, restore_judge

__all__ = [
    "EQUALITY_PAIRS",
    "Demonstration",
    "Judge",
    "Operation",
    "choose",
    "load_judge",
    "load_operations",
    "restore",
    "restore_judge",
    "weigh",
]

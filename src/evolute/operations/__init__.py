"""Operations: the ways to rewrite an instruction, each a Markdown file; so are the judge and the graders."""

from evolute.operations.files import Demonstration
from evolute.operations.library import EQUALITY_PAIRS, choose, load_grader, load_judge, load_operations, weigh
from evolute.operations.prompts import Grader, Judge, Operation, restore, restore_judge

__all__ = [
    "EQUALITY_PAIRS",
    "Demonstration",
    "Grader",
    "Judge",
    "Operation",
    "choose",
    "load_grader",
    "load_judge",
    "load_operations",
    "restore",
    "restore_judge",
    "weigh",
]

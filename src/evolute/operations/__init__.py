"""Operations: the ways to rewrite an instruction, each a Markdown file; so are the judge and the graders."""

from evolute.operations.files import Demonstration
from evolute.operations.library import (
    EQUALITY_PAIRS,
    choose,
    load_grader,
    load_judge,
    load_operations,
    load_verifiers,
    weigh,
)
from evolute.operations.prompts import Grader, Judge, Operation, Verifier, restore, restore_judge, restore_verifier

__all__ = [
    "EQUALITY_PAIRS",
    "Demonstration",
    "Grader",
    "Judge",
    "Operation",
    "Verifier",
    "choose",
    "load_grader",
    "load_judge",
    "load_operations",
    "load_verifiers",
    "restore",
    "restore_judge",
    "restore_verifier",
    "weigh",
]

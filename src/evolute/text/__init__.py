"""Text: the eliminator's cheap rules, the judge's verdict, and text made safe to show. No model is called here."""

from evolute.text.cleaning import clean_instruction
from evolute.text.instructions import check_instruction
from evolute.text.printing import printable
from evolute.text.responses import check_response, failure_reason
from evolute.text.verdicts import parse_verdict

RULES_VERSION = 3
"""Raised with every change by which a rule can come to another verdict: a ledger notes it, and a run that is resumed
under another version reaches its verdicts anew."""

__all__ = [
    "RULES_VERSION",
    "check_instruction",
    "check_response",
    "clean_instruction",
    "failure_reason",
    "parse_verdict",
    "printable",
]

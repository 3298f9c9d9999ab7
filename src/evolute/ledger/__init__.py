"""A run's memory: every call and every verdict, in one SQLite file, the moment it happens.

`Ledger` is the run's one writer; `Reader` reads a run at any time, also while another process writes it.
"""

from evolute.ledger.executions import Executions
from evolute.ledger.reader import LEDGER, Reader
from evolute.ledger.rows import CallRow, CandidateRow, FindingRow, GradeRow, SampleRow, Totals
from evolute.ledger.selection import LedgerVectors, SelectionReader, SelectionWriter
from evolute.ledger.store import Ledger

__all__ = [
    "LEDGER",
    "CallRow",
    "CandidateRow",
    "Executions",
    "FindingRow",
    "GradeRow",
    "Ledger",
    "LedgerVectors",
    "Reader",
    "SampleRow",
    "SelectionReader",
    "SelectionWriter",
    "Totals",
]

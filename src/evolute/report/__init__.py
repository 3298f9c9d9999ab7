"""The report: one page, and its figures as files, of how a dataset came to be and what is in it."""

from evolute.report.facts import Facts, OperationUse, RoleUse
from evolute.report.writing import write_report

__all__ = ["Facts", "OperationUse", "RoleUse", "write_report"]

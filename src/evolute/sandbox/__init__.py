"""Run programs that models wrote, shut in: docs/sandbox.md says what holds and how it was tried."""

from evolute.sandbox.inside.values import Uncrossable
from evolute.sandbox.outcomes import Limits, Outcome, Ran, Returned, Tested
from evolute.sandbox.pool import Sandbox

__all__ = ["Limits", "Outcome", "Ran", "Returned", "Sandbox", "Tested", "Uncrossable"]

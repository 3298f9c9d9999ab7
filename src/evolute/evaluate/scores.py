"""What any evaluation comes to; see `evolute.scores`."""

from evolute.scores import COVERAGE, Item, Measure, Outcome, Part, Score

__all__ = ["COVERAGE", "Item", "Measure", "Outcome", "Part", "Score"]

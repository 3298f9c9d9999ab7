"""Verified answers: does a solution pass tests, and do these tests reject programs that are wrong?"""

from evolute.verify.solutions import Solution, find_solution, find_tests, signatures
from evolute.verify.trials import Trial, trial_key, try_solution
from evolute.verify.words import in_words

__all__ = ["Solution", "Trial", "find_solution", "find_tests", "in_words", "signatures", "trial_key", "try_solution"]

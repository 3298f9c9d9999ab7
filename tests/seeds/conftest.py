"""Hypothesis on a shared machine: the same examples each time, and no clock."""

from hypothesis import settings

settings.register_profile("evolute", deadline=None, derandomize=True)
settings.load_profile("evolute")

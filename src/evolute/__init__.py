"""Evolute: seeds in, a dataset worth training on out."""

__version__ = "0.1.0"

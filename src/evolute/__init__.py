"""Evolute: seeds in, a dataset worth training on out. The command is `evolute`; the Python API is `evolute.api`."""

__version__ = "0.1.0"

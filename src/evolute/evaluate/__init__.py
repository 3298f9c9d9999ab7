"""Benchmarks: what a model is asked, how its answers are scored, and with how much doubt."""

"""Benchmarks that a judge scores: what judges say read, and what it comes to."""

"""Evaluate a model's code: problems, samples, extraction, scores."""

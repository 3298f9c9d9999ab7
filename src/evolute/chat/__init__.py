"""Talking to a model: in the terminal, over an OpenAI-compatible endpoint, in a web page."""

"""Prompt formats: how a conversation becomes the text that a model was trained to go on from. One declaration each."""

from evolute.formats.declared import ALPACA, ALPACA_INPUT, FORMATS
from evolute.formats.finding import find_format
from evolute.formats.format import Format

__all__ = ["ALPACA", "ALPACA_INPUT", "FORMATS", "Format", "find_format"]

"""Take from an evolver's completion what is safely not part of the instruction; say so where it is not safe."""

from __future__ import annotations

import re

from evolute.records import Finding, Reason
from evolute.text import lexicon
from evolute.text.codetasks import code_spans
from evolute.text.words import normalised

_QUOTES = (('"', '"'), ("“", "”"), ("«", "»"), ("„", "“"), ("「", "」"), ("`", "`"), ("**", "**"))
# A fence around the whole; one that names a programming language holds code, which is the instruction's own.
_FENCE = re.compile(r"(```+|~~~+)[ \t]*+(?:text|txt|plain|plaintext|markdown|md|prompt)?[ \t]*+\n(.*?)\n?\1", re.DOTALL)
_GIVEN = re.compile(r"[\s#*]*given\s+prompt[\s#*]*[:：]?", re.IGNORECASE)
_REWRITTEN = re.compile(r"\n(?:[^\S\n]|[#*])*+(?:rewritten|created)\s+prompt[\s#*]*[:：]?\s*", re.IGNORECASE)
_EDGES = " \t\r\n\ufeff\u200b"


def clean_instruction(text: str, *, parent: str = "") -> str | Finding:
    """The instruction in an evolver's completion, or what keeps it from being one.

    Stripped, as often as it occurs: a repeated output marker or heading at the start, a line that hands the prompt over
    ("Sure! Here is the rewritten prompt:"), quotation marks or a code fence around the whole, and a trailing comment on
    the rewriting. What the parent has itself is the instruction's own and stays. Cleaning a clean text changes nothing.

    A `Finding` is `empty` (nothing is left) or `commentary` (the text speaks about the prompt; its evidence is how it
    begins).
    """
    before, text = "", text.strip(_EDGES)
    while text != before:
        before = text
        text = _unwrap(_without_echo(_without_frame(text, parent), parent), parent).strip(_EDGES)
    if not text:
        return Finding(Reason.EMPTY)
    if (talk := lexicon.COMMENTARY.match(text)) and not lexicon.COMMENTARY.match(parent):
        return Finding(Reason.COMMENTARY, {"words": [talk[0].strip()], "start": text[:120]})
    return text


def _without_frame(text: str, parent: str) -> str:
    """Without what stands before and after the prompt."""
    before = ""
    while text != before:  # here rather than in the caller, which would search all of a looping text for each marker
        before = text
        for pattern in (lexicon.MARKER, lexicon.PREAMBLE):
            # An empty rest means that the phrase was all there is: then it is left for the rules to judge.
            if (match := pattern.match(text)) and match.end() < len(text) and not pattern.match(parent):
                text = text[match.end() :]
    return text if (end := _trailer(text, parent)) is None else text[:end].rstrip()


def _trailer(text: str, parent: str) -> int | None:
    """Where a comment on the rewriting begins. Inside a code block there is none: "Note:" is the code's own there."""
    match = lexicon.TRAILER.search(text)
    if match is None or lexicon.TRAILER.search(parent):
        return None
    for start, end in code_spans(text):
        if match is not None and start <= match.start() < end:
            match = lexicon.TRAILER.search(text, end)
    return match.start() or None if match else None


def _without_echo(text: str, parent: str) -> str:
    """Without a copy of the parent under its own marker, followed by the output marker."""
    given = _GIVEN.match(text)
    marker = _REWRITTEN.search(text) if given else None
    if not given or not marker or normalised(text[given.end() : marker.start()]) != normalised(parent):
        return text
    return text[marker.end() :]


def _unwrap(text: str, parent: str) -> str:
    """Without quotation marks or a fence around the whole."""
    if (fence := _FENCE.fullmatch(text)) and fence[1] not in fence[2] and not _FENCE.fullmatch(parent.strip()):
        return fence[2]
    for left, right in _QUOTES:
        if text.startswith(left) and text.endswith(right) and len(text) > len(left) + len(right):
            inner = text[len(left) : -len(right)]
            # `"Foo" and "bar"` begins and ends with a quotation mark, but is not wrapped in them.
            if left not in inner and right not in inner and not parent.strip().startswith(left):
                return inner
    return text

"""The eliminator's rules for programming tasks (the family `code`): what other instructions need not be asked.

Nothing is run here. They are to be right rather than complete: a sound task must pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from evolute.records import Finding, Reason
from evolute.text.code import Block, fenced_blocks, looks_like_python, parsed
from evolute.text.proglang import languages
from evolute.text.words import count_words, normalised

FEWEST_WORDS = 3
"""Words outside all code with which a text can ask for something."""
FEWEST_LINES = 3
"""Lines that a block of the parent's has before it is looked for in the child."""

_FENCED = re.compile(r"^[ \t]*+(```+|~~~+)[^\n]*+(?:\n.*?(?:^[ \t]*+\1[`~]*+[ \t]*+$|\Z)|\Z)", re.MULTILINE | re.DOTALL)
_CODE_LINE = re.compile(
    r"\s*+(?:[{}\])]|@\w|\#include\b|<[/?!\w]"
    r"|(?:(?:async\s+)?def|class|from|import|return|for|while|if|elif|else|try|except|finally|with|public|private|static|void|int"
    r"|double|char|bool|const|let|var|function|func|fn|using|package|print|assert|raise|SELECT|INSERT|UPDATE|CREATE)\b"
    r"(?:[^.!?\n]*+[({\[:;=\])}\"',]|.*[({:;\])}])?\s*+$"
    r"|.*[;{}]\s*+$|[\w.\[\]'\"*, ]+?\s?[-+*/%|&]?=[^=].*$|[\w.]+\(.*\)\s*+$)"
)
_SENTENCE = re.compile(  # four words with nothing between them but spaces, of which the first is none of a language's
    r"\W*+(?!(?:def|class|from|import|return|public|private|protected|static|void|const|let|var|using|package|select"
    r"|insert|create|delete|update|with|for|if|int|double|float|bool|char|string|unsigned|long)\b)"
    r"[^\W\d_]+(?:[ ][\w'’,#+.\-]+){3}",
)
_COMMENT = re.compile(r"\s*+(?:#(?!include)|//|/?\*|--\s)")
_UNFINISHED = re.compile(
    r"\b(?:TODO|FIXME|NotImplemented\w*|your code here)\b|^\s*+(?:pass|\.\.\.)\s*+$", re.I | re.MULTILINE
)
_THING = r"(?:file|image|screenshot|picture|photo|document|pdf|spreadsheet|dataset|notebook|archive|zip|code|script)s?"
_ATTACHED = re.compile(
    rf"\bthe\s+(?:attached|enclosed|uploaded)\s+(?:\w+\s+){{0,2}}?{_THING}\b"
    rf"|\b{_THING}\s+(?:(?:is|are|that\s+(?:is|are|I(?:['’]ve|\s+have)))\s+)?(?:attached|uploaded)\s+(?:below|above|here|to\s+this)\b"
    r"|\b(?:see|in|from|of|shown\s+in)\s+the\s+(?:attachment|(?:screenshot|picture|photo|image|figure|diagram|video)\s+(?:below|above|attached))\b"
    r"|\b(?:at|from|in|see|visit|follow|open|click|behind|under)\s+(?:this|the\s+following|the\s+(?:provided|above|below))\s+"
    r"(?:link|url|repository|repo|web\s?page|website|notebook|video|gist)\b(?!\s+(?:that|which|pattern|format|class))"
    r"|\bthe\s+linked\s+(?:\w+\s+)?(?:file|page|repository|code|notebook)\b",
    re.IGNORECASE,
)
_MISSING_SIGNS = ("attach", "enclosed", "upload", "below", "above", "following", "provided", "linked", "this ")
"""Each match of `_ATTACHED` and of `_SPEAKS_OF_CODE` holds one of these; looking for them first is much cheaper."""
_OF_CODE = r"(?:code|snippet|function|program|script|method|class|implementation|query)"
_SPEAKS_OF_CODE = re.compile(
    rf"\b(?:the|this)\s+(?:following|(?:below|above)(?:\s+given)?|provided)\s+(?:\w+\s+){{0,3}}?(?:code|snippet|implementation)\b"
    rf"|\b(?:code|snippet|implementation|{_OF_CODE}\s+given)\s+(?:(?:is\s+)?(?:shown|given|provided)\s+)?(?:below|above)\b"
    rf"|\b(?:fix|debug|correct|refactor|optimi[sz]e|explain|complete|review)\s+(?:the|this)\s+following\s+(?:\w+\s+){{0,2}}?{_OF_CODE}\b",
    re.IGNORECASE,
)
_LINK = re.compile(r"\b(?:https?://|www\.)\w", re.IGNORECASE)
_ANY_CODE = re.compile(r"`[^`\n]+`|\w\(|[{};]|(?<![<>!=])==?(?!>)|\$\s|<[/\w]|\bSELECT\b")
_ELIDED = re.compile(
    r"^[ \t]*+(?:(?:#|//|--|/\*|<!--)[ \t]*+)?"
    r"(?:(?:\.\.\.|…)[ \t]*+(?:(?:the\s+)?(?:rest|remaining|other|existing)\b.*)?"
    r"|(?:the\s+)?(?:rest|remainder)\s+of\s+(?:the\s+|your\s+)?(?:code|function|program|class)\b.*|(?:existing|same)\s+code\b.*)"
    r"(?:\*/|-->)?[ \t]*+$",
    re.IGNORECASE | re.MULTILINE,
)


def outside_code(text: str) -> str:
    """The text without its fenced blocks."""
    return _FENCED.sub("", text) if "```" in text or "~~~" in text else text


def code_spans(text: str) -> list[tuple[int, int]]:
    """Where the fenced blocks of a text begin and end."""
    return [match.span() for match in _FENCED.finditer(text)] if "```" in text or "~~~" in text else []


def check_code_task(text: str, *, parent: str, ancestors: Sequence[str] = ()) -> Finding | None:
    """What is wrong with a rewritten programming task, or None.

    `code-only`: code and nothing that asks for anything. `answered`: the parent, with code and no other word.
    `material-missing`: it asks for a file, a link, a picture or code that is not there. `code-cut`: a block is not
    closed, or one of the parent's was cut off or left out. `programming-language`: another one than was asked for.
    What the parent has itself is not held against its child.
    """
    blocks, before = fenced_blocks(text), fenced_blocks(parent)
    return (
        _cut(text, parent, blocks, before)
        or _code_only(text, parent, blocks)
        or _solved(text, parent, blocks, before)
        or _missing(text, parent, blocks)
        or _switched(text, parent, ancestors)
    )


def compared(text: str, parent: str) -> tuple[str, str]:
    """What of both is to be compared: the words around the code where the fenced code is the same, else all."""
    mine = [block.code for block in fenced_blocks(text)]
    if mine and mine == [block.code for block in fenced_blocks(parent)]:
        around, before = outside_code(text), outside_code(parent)
        if count_words(around) >= FEWEST_WORDS and count_words(before) >= FEWEST_WORDS:
            return around, before
    return text, parent


def _cut(text: str, parent: str, blocks: Sequence[Block], before: Sequence[Block]) -> Finding | None:
    unclosed = blocks and not blocks[-1].closed and not blocks[-1].code.rstrip().endswith(("```", "~~~"))
    if unclosed and all(block.closed for block in before):
        return Finding(Reason.CODE_CUT, {"sign": "unclosed fence", "code": blocks[-1].code[-120:]})
    elided = _ELIDED.search("\n".join(block.code for block in blocks))
    if elided and not _ELIDED.search(parent):
        return Finding(Reason.CODE_CUT, {"sign": "elided", "code": elided[0].strip()[:120]})
    for block in before:
        wanted = _lines(block.code)
        if len(wanted) >= FEWEST_LINES and (cut := _cut_block(wanted, text, blocks)):
            return cut
    return None


def _cut_block(wanted: list[str], text: str, blocks: Sequence[Block]) -> Finding | None:
    for block in blocks:
        found = _lines(block.code)
        if len(found) < len(wanted) and found == wanted[: len(found)]:
            return Finding(Reason.CODE_CUT, {"sign": "cut off", "lines": len(found), "of": len(wanted)})
    if not blocks and _SPEAKS_OF_CODE.search(text):
        there = set(_lines(text))
        if not any(line in there for line in wanted):
            return Finding(Reason.CODE_CUT, {"sign": "left out", "lines": 0, "of": len(wanted)})
    return None


def _lines(code: str) -> list[str]:
    """The lines that hold something, without the white space around them: a list may nest a block deeper."""
    return [line.strip() for line in code.splitlines() if line.strip()]


def _code_only(text: str, parent: str, blocks: Sequence[Block]) -> Finding | None:
    if not _is_code_only(text, blocks) or _is_code_only(parent, fenced_blocks(parent)):
        return None
    return Finding(Reason.CODE_ONLY, {"start": text[:120]})


def _is_code_only(text: str, blocks: Sequence[Block]) -> bool:
    """Whether there is finished code and no request: neither words around it nor anything in it left to do."""
    if blocks and count_words(outside_code(text)) >= FEWEST_WORDS:
        return False
    if not blocks and (_SENTENCE.match(text) or not _CODE_LINE.match(text.lstrip().partition("\n")[0][:400])):
        return False
    code = "\n".join(block.code for block in blocks) if blocks else text
    if not blocks and any(count_words(line) >= FEWEST_WORDS for line in _prose_lines(code)):
        return False
    return bool(code.strip()) and not _UNFINISHED.search(code) and not _asks_inside(code)


def _prose_lines(code: str) -> Iterator[str]:
    """The lines that are neither code nor comments; what Python's parser takes is code as a whole."""
    if looks_like_python(code) and parsed(code) is not None:
        return
    for line in code.split("\n"):
        if not _COMMENT.match(line) and not _CODE_LINE.match(line[:400]):
            yield line


def _asks_inside(code: str) -> bool:
    """Whether code holds comments alone, or a function with nothing but its docstring: that is what is asked for."""
    tree = parsed(code)
    if tree is None:
        return all(_COMMENT.match(line) for line in _lines(code))
    stub = re.compile(r"def\s[^\n]*:\s*\n\s*(?:'''|\"\"\").*?(?:'''|\"\"\")\s*(?=\Z|\n\S)", re.DOTALL)
    return not tree.body or stub.search(code) is not None


def _solved(text: str, parent: str, blocks: Sequence[Block], before: Sequence[Block]) -> Finding | None:
    """The parent word for word, and code below it: somebody solved the task instead of rewriting it."""
    if len(blocks) <= len(before) or normalised(outside_code(text)) != normalised(outside_code(parent)):
        return None
    return Finding(Reason.ANSWERED, {"sign": "parent and code", "words": blocks[-1].code[:120]})


def _missing(text: str, parent: str, blocks: Sequence[Block]) -> Finding | None:
    prose = outside_code(text)
    lower = prose.lower()
    if not any(sign in lower for sign in _MISSING_SIGNS):
        return None
    if (found := _ATTACHED.search(prose)) and not _ATTACHED.search(parent) and not _LINK.search(text):
        return Finding(Reason.MATERIAL_MISSING, {"words": [found[0]]})
    if blocks or not (found := _SPEAKS_OF_CODE.search(prose)) or _SPEAKS_OF_CODE.search(parent):
        return None
    if _ANY_CODE.search(prose) or "\n" in prose[found.end() :].strip():
        return None
    return Finding(Reason.MATERIAL_MISSING, {"words": [found[0]]})


def _switched(text: str, parent: str, ancestors: Sequence[str]) -> Finding | None:
    """A task keeps the language of the nearest task above it that speaks of one."""
    now = languages(text)
    if not now:
        return None
    wanted = next((found for above in (parent, *reversed(ancestors)) if (found := languages(above))), frozenset[str]())
    if not wanted or now & wanted:
        return None
    return Finding(Reason.PROGRAMMING_LANGUAGE, {"from": sorted(wanted), "to": sorted(now)})

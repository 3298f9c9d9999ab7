"""Formats that an instruction asks for and its answer lacks: only plain cases, for a miss costs less than a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from evolute.records import Finding, Reason
from evolute.select.exchange import Exchange, holds

Check = Callable[[Exchange], Mapping[str, Any] | None]

_NUMBERS = {"three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_ABOUT_CODE = re.compile(
    r"\b(?:function|script|program|code|class|api|schema|parse[rs]?|endpoint|application|library|query|sql|html|python"
    r"|javascript|java|what\s+is|explain|difference|validate)\b"
)
_JSON = re.compile(
    r"\b(?:in|as|into|using|return|output|produce|respond\s+with|reply\s+with)\s+(?:an?\s+|valid\s+|the\s+following\s+|only\s+|your\s+\w+\s+in\s+)*"
    r"json\b(?:\s+(?:format|object|array|list))?"
)
_TABLE = re.compile(
    r"\b(?:in|as|into)\s+(?:an?\s+)?(?:\w+\s+)?(?:table|tabular)\s*(?:format|form)?\b(?!\s+of\s+contents)|\bmarkdown\s+table\b"
)
_NO_TABLE = re.compile(
    r"\b(?:periodic|sql|database|html|pivot|hash|lookup|symbol|dinner|dining|coffee|a|this|the)\s+table\s+(?:named|called|with)|\b(?:rows?|records?|columns?|insert|update|fields?|data\s?base|mysql)\b"
    r"|\b(?:periodic|database|dinner|dining|the|this|each|css|sql|hash)\s+table\b"
)
_IS_TABLE = re.compile(r"\|.*\||\t|<t[rd]\b|<table|[│┃]|\S {2,}+\S.*  \S|^[^,\n]+(?:,[^,\n]+){1,}$", re.MULTILINE)
_LISTS = re.compile(
    r"\b(?:in|as|into|using|with|use|give|make|create|provide|write|list)\s+(?:\w+\s+){0,3}?(?:(?P<numbered>numbered\s+list)"
    r"|bullet(?:ed)?[\s-]+(?:points?|lists?|form(?:at)?)|bullets)\b"
)
_GIVEN_LIST = re.compile(r"\b(?:given|following|these|this|from|below|above|of)\s+(?:\w+\s+){0,2}?(?:bullet|numbered)")
_ITEM = re.compile(r"^[ \t>*_#]*(?:[-*•–+·◦▪]|\(?(?:\d+|[a-zA-Z]|[ivx]+)[.):])\s*\S|<li\b", re.MULTILINE)
_WRITE_CODE = re.compile(
    r"\b(?:write|implement|create|develop)\s+(?:me\s+)?(?:an?\s+|the\s+)?(?P<of>(?:[\w+#]+\s+){0,2}?)(?:function|program|script|code)\b(?!\s+used)"
)
_PROGRAMS = re.compile(
    r"\b(?:python|java(?:script)?|c\+\+|c#|ruby|golang|rust|php|sql|array|string|integer|number|numbers|algorithm|recursi\w+|recursion|input|output"
    r"|returns?|sort\w*|linked|binary|list|loop|files?|compute|calculate)(?![\w+#])"
)
_NO_CODE = re.compile(
    r"\b(?:pseudo-?code|given|excel|bash|shell|unix|linux|command|movie|film|play|scene|monologue|dialogue|speech|video|podcast|radio"
    r"|tv|fitness|workout|exercise|training|course|welfare|loyalty|reward|marketing|mentor\w*|dress|building|ethics|describe|outline|explain|can\s+you\s+write\s+code)\b"
)
_IS_CODE = re.compile(
    r"```|[{};=$<>]|\w\(|#!|\b(?:def|select|print|echo|end)\b|^\s*(?:#|//|import|if)\b", re.MULTILINE | re.IGNORECASE
)
_YES_NO = re.compile(
    r"\b(?:answer|respond|reply)\s+(?:with\s+|by\s+|only\s+|just\s+|simply\s+|either\s+|in\s+)*[\"'“]?(?P<one>yes|true)[\"'”]?\s*(?:or|/)\s*[\"'“]?(?:no|false)\b"
)
_YES = re.compile(r"\b(?:yes|no|not|true|false|nope|yeah|cannot|isn't|doesn't|\w+n't|correct|incorrect|[yntf])\b")
_LIMIT = re.compile(
    r"\b(?:in\s+)?(?:fewer\s+than|less\s+than|under|at\s+most|no\s+more\s+than|not\s+more\s+than|a\s+maximum\s+of|up\s+to|within|max(?:imum)?)\s+"
    r"(?P<before>\d{1,4}(?:,\d{3})?)\s+words\b|\bin\s+(?P<after>\d{1,4})\s+words\s+or\s+(?:less|fewer)\b"
)
_PARTS = re.compile(
    r"\b(?:each|every|per|title|headline|paragraphs?|sentences?|sections?|summary\s+of\s+each|then|followed)\b"
)
_COUNT = re.compile(
    rf"\b(?:list|give(?:\s+me)?|name|provide|suggest|generate|come\s+up\s+with|write(?:\s+down)?|brainstorm|recommend)\s+(?:me\s+)?(?:at\s+least\s+|the\s+top\s+|top\s+)?"
    rf"(?P<count>[3-9]|1\d|20|{'|'.join(_NUMBERS)})\s+(?:\w+\s+){{0,3}}?"
    r"(?:ideas|examples|ways|reasons|tips|names|steps|items|suggestions|benefits|advantages|questions|facts|things|books|movies|titles|headlines|words|countries|strategies|recipes|activities|topics|points|sentences)\b"
)
_ORDINAL = re.compile(r"^[ \t>*_#]*(\d{1,3})[.):]\s*\S", re.MULTILINE)
_PROGRAM_SIGNS = ("program", "script", "function", "code")
_SIGNS = (
    "json", "tab", "bullet", "number", "words", " or no", "/no", " or false",
    *_PROGRAM_SIGNS,
    *(str(digit) for digit in range(10)), *_NUMBERS,
)  # fmt: skip
TOLERANCE = 1.1
"""Counting words differs by tool: an answer is over its limit when it is a tenth over."""


def missing_format(exchange: Exchange) -> Finding | None:
    """The first format that the instruction itself asks for and that the answer plainly lacks, or None.

    What stands in quotation marks, in code, or in the text given to work on asks for nothing.
    """
    if not holds(exchange.instruction_lower, _SIGNS):
        return None
    for check in (_json, _table, _list, _code, _items, _length, _yes_or_no):
        if evidence := check(exchange):
            return Finding(Reason.FORMAT_MISSING, evidence) if exchange.english else None
    return None


def _asked(found: re.Match[str] | None, wanted: str, **more: Any) -> Mapping[str, Any] | None:  # noqa: ANN401
    return {"wanted": wanted, "words": " ".join(found[0].split()), **more} if found else None


def _json(exchange: Exchange) -> Mapping[str, Any] | None:
    if "json" not in exchange.request or _ABOUT_CODE.search(exchange.request):
        return None
    has = ("{" in exchange.response and "}" in exchange.response) or "[" in exchange.response
    return None if has else _asked(_JSON.search(exchange.request), "JSON")


def _table(exchange: Exchange) -> Mapping[str, Any] | None:
    request = exchange.request
    if (
        ("table" not in request and "tabular" not in request)
        or _NO_TABLE.search(request)
        or _ABOUT_CODE.search(request)
    ):
        return None
    if len(_IS_TABLE.findall(exchange.response)) >= 2:
        return None
    return _asked(_TABLE.search(request), "a table")


def _list(exchange: Exchange) -> Mapping[str, Any] | None:
    request = exchange.request
    if ("bullet" not in request and "numbered" not in request) or _ITEM.search(exchange.response):
        return None
    # A list whose markers were lost is a list still.
    if exchange.response.count("\n") >= 2 or _GIVEN_LIST.search(request) or not (found := _LISTS.search(request)):
        return None
    return _asked(found, "a numbered list" if found["numbered"] else "a bulleted list")


def _code(exchange: Exchange) -> Mapping[str, Any] | None:
    found = _WRITE_CODE.search(exchange.request) if holds(exchange.request, _PROGRAM_SIGNS) else None
    if not found or _NO_CODE.search(exchange.request) or not _PROGRAMS.search(exchange.request):
        return None
    return None if _IS_CODE.search(exchange.response) else _asked(found, "code")


def _items(exchange: Exchange) -> Mapping[str, Any] | None:
    found = _COUNT.search(exchange.request)
    if not found or _COUNT.search(exchange.request, found.end()):
        return None
    wanted = _NUMBERS.get(found["count"]) or int(found["count"])
    numbers = [int(number) for number in _ORDINAL.findall(exchange.response)]
    # Only a list that counts itself, once, from 1, tells how many items it has.
    if len(numbers) < 2 or numbers != list(range(1, len(numbers) + 1)) or len(numbers) >= wanted:
        return None
    return _asked(found, f"{wanted} items", got=len(numbers))


def _length(exchange: Exchange) -> Mapping[str, Any] | None:
    found = _LIMIT.search(exchange.request) if "words" in exchange.request else None
    if not found or _PARTS.search(exchange.request):
        return None
    limit = int((found["before"] or found["after"]).replace(",", ""))
    count = len(exchange.response.split())
    return _asked(found, f"at most {limit} words", got=count) if count > TOLERANCE * limit else None


def _yes_or_no(exchange: Exchange) -> Mapping[str, Any] | None:
    found = _YES_NO.search(exchange.request) if holds(exchange.request, ("yes", "true")) else None
    return None if not found or _YES.search(exchange.lower) else _asked(found, "yes or no")

"""AlpacaEval's ranking lists, out of what a judge wrote."""

from __future__ import annotations

import ast
import re
import warnings

_LIST = re.compile(r"\[[^\[\]]*\]")
_LONGEST = 2_000
"""Signs of a list; a longer one is none, and is not parsed."""


def listed_ranks(text: str, *, whole: bool) -> dict[str, int] | None:
    """The rank of each model in a Python list of {"model": …, "rank": …}; none where several lists say other things.

    Args:
        text: what the judge said.
        whole: only where the text is the list and nothing else.
    """
    found = [text.strip()] if whole else _LIST.findall(text)
    lists = [ranks for one in found if (ranks := _ranks(one)) is not None]
    return lists[0] if lists and all(ranks == lists[0] for ranks in lists) else None


def _ranks(text: str) -> dict[str, int] | None:
    if len(text) > _LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a judge's invalid escapes are not the user's concern
            said = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if not isinstance(said, list) or not said or not all(isinstance(one, dict) for one in said):
        return None
    ranks: dict[str, int] = {}
    for one in said:
        model, rank = one.get("model"), one.get("rank")
        if isinstance(model, str) and type(rank) is int and ranks.setdefault(model, rank) != rank:
            return None
    return ranks or None

"""The eliminator's cheap rules for an evolved instruction, in their order: the first that finds something decides.

They run on every child before the judge or an answer is paid for, so a sound instruction must pass and a rule must cost
microseconds. What they cannot see is the judge's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from evolute.recipe import Rules
from evolute.records import Finding, Reason
from evolute.text import lexicon
from evolute.text.codetasks import check_code_task, compared, outside_code
from evolute.text.language import changed_language, is_english
from evolute.text.words import count_words, likeness, vocabulary, words

_DATA = re.compile(r"[<>{}|=\[\]$`_]|\t|  ")
# A parent that speaks of input may get that input from its child.
_INPUTS = frozenset(
    """following given below attached provided text article paragraph passage sentence sentences story table data code
    email review list poem document conversation dialogue""".split()  # noqa: SIM905 - a list of words reads as one
)
_SPEAKS_OF_INPUT = _INPUTS | {"this", "these"}
INPUT_LOST = 0.7
"""An input of which more than this share of words is missing has been left out."""


def check_instruction(
    text: str, *, parent: str, ancestors: Sequence[str] = (), family: str = "in-depth", rules: Rules
) -> Finding | None:
    """What is wrong with a cleaned instruction, or None.

    `ancestors` are the instructions above the parent, the seed first; `family` is the operation's, and `code` has rules
    of its own. Thresholds are in `rules`; docs/elimination.md says what each reason means and what its evidence holds.
    """
    root = ancestors[0] if ancestors else parent
    coding = family == "code"
    return (
        (Finding(Reason.EMPTY) if not text.strip() else None)
        or _leak(text, parent)
        or _refusal(text, parent)
        or _answered(text, parent, family)
        or _length(text, outside_code(text) if coding else text, rules)
        or (check_code_task(text, parent=parent, ancestors=ancestors) if coding else None)
        or _likeness(text, parent, ancestors, rules, coding)
        or _input_lost(text, parent, family)
        or _language(text, parent, root, rules)
    )


def _leak(text: str, parent: str) -> Finding | None:
    if not _holds(text, lexicon.SCAFFOLD_SIGNS):
        return None
    own = parent.casefold()
    leaked = {match.casefold() for match in lexicon.SCAFFOLD.findall(text)}
    leaked = {words for words in leaked if words not in own}
    return Finding(Reason.SCAFFOLD_LEAK, {"words": sorted(leaked)}) if leaked else None


def _refusal(text: str, parent: str) -> Finding | None:
    found = lexicon.REFUSAL.match(text)
    if found and not lexicon.REFUSAL.match(parent):
        return Finding(Reason.REFUSAL, {"words": [found[0].strip()]})
    found = lexicon.AS_AN_AI.search(text) if _holds(text, lexicon.AS_AN_AI_SIGNS) else None
    if found and found[0].strip().casefold() not in parent.casefold():
        return Finding(Reason.REFUSAL, {"words": [found[0].strip()]})
    return None


def _holds(text: str, signs: Sequence[str]) -> bool:
    lower = text.lower()
    return any(sign in lower for sign in signs)


def _answered(text: str, parent: str, family: str) -> Finding | None:
    if (reply := lexicon.REPLY.match(text)) and not lexicon.REPLY.match(parent):
        return _answer("reply", reply[0])
    if (block := lexicon.ANSWER_BLOCK.search(text)) and not lexicon.ANSWER_BLOCK.search(parent):
        return _answer("answer block", block[0])
    if family != "in-breadth" and text.startswith(parent) and _is_answer(text[len(parent) :], parent):
        return _answer("parent and answer", text[len(parent) :])
    question, gap, rest = text.partition("\n\n")
    if gap and question.endswith("?") and "\n" not in parent and _is_answer(gap + rest, question):
        return _answer("question and answer", rest)
    if not asks(text) and not _DATA.search(text) and asks(parent) and _would_ask(text):
        return _answer("asks nothing", text)
    return None


def _answer(sign: str, words: str) -> Finding:
    return Finding(Reason.ANSWERED, {"sign": sign, "words": words.strip()[:120]})


def _is_answer(rest: str, parent: str) -> bool:
    """Whether what follows a copy of the parent answers it: a paragraph that asks nothing and is no input for it."""
    if not rest.lstrip(" .?!:").startswith("\n") or not vocabulary(parent).isdisjoint(_SPEAKS_OF_INPUT):
        return False
    return len(words(rest)) >= 12 and is_english(rest) and not asks(rest) and not _DATA.search(rest)


def asks(text: str) -> bool:
    """Whether a text asks for something: a question mark, or the ways in which English asks."""
    return bool(lexicon.ASKS_AT_ONCE.match(text) or "?" in text or lexicon.ASKS_LATER.search(text))


def _would_ask(text: str) -> bool:
    """Whether `asks` would see it if this text asked: it is English prose, or a list."""
    if lexicon.LIST_ITEM.match(text):
        return text.isascii()
    return text[:1].isupper() and is_english(text)


def _length(text: str, prose: str, rules: Rules) -> Finding | None:
    """Few words are counted in all of the text, many in its `prose`: long code is not wordiness."""
    count = count_words(text)
    if count < rules.min_words:
        return Finding(Reason.TOO_SHORT, {"words": count, "limit": rules.min_words})
    if prose is not text:
        count = count_words(prose)
    if count > rules.max_words:
        return Finding(Reason.TOO_LONG, {"words": count, "limit": rules.max_words})
    if len(text) > rules.max_characters:
        return Finding(Reason.TOO_LONG, {"characters": len(text), "limit": rules.max_characters})
    return None


def _likeness(text: str, parent: str, ancestors: Iterable[str], rules: Rules, coding: bool) -> Finding | None:
    mine, other = compared(text, parent) if coding else (text, parent)
    score = likeness(mine, other, rules.unchanged)
    if score is None and vocabulary(mine) <= vocabulary(other):
        # Nothing was added, so something was left out: mostly the parent's input.
        counts = {"words": len(words(mine)), "parent_words": len(words(other)), "new_words": 0}
        return Finding(Reason.UNCHANGED, counts)
    if score is not None:
        return Finding(Reason.UNCHANGED, {"score": round(score, 4), "limit": rules.unchanged})
    for ancestor in ancestors:
        score = likeness(*(compared(text, ancestor) if coding else (text, ancestor)), rules.like_ancestor)
        if score is not None:
            evidence = {"score": round(score, 4), "limit": rules.like_ancestor, "ancestor": ancestor[:120]}
            return Finding(Reason.LIKE_ANCESTOR, evidence)
    return None


def _input_lost(text: str, parent: str, family: str) -> Finding | None:
    """An in-depth or code child that speaks of an input which stood below its parent, and has left it out."""
    task, gap, given = parent.partition("\n\n")
    if family not in ("in-depth", "code") or not gap or vocabulary(text).isdisjoint(_INPUTS):
        return None
    wanted = vocabulary(given) - vocabulary(task)
    lost = wanted - vocabulary(text)
    if len(wanted) < 3 or len(lost) <= INPUT_LOST * len(wanted):
        return None
    return Finding(Reason.INPUT_LOST, {"lost": len(lost), "of": len(wanted), "words": sorted(lost)[:8]})


def _language(text: str, parent: str, root: str, rules: Rules) -> Finding | None:
    moved = changed_language(text, parent, root) if rules.language else None
    return Finding(Reason.LANGUAGE_CHANGED, moved) if moved else None

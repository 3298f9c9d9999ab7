"""Answers that are none, or speak as a machine: refusals, boilerplate, leaked prompts, another language."""

from __future__ import annotations

import re

from evolute.recipe import Rules
from evolute.records import Finding, Reason
from evolute.select.exchange import Exchange, holds
from evolute.text import check_response, lexicon
from evolute.text.language import changed_language

_RULES = Rules()
_DO = (
    r"(?:be\s+able\s+to\s+)?(?:assist|help|fulfil\w*|comply|provide|create|generate|answer|do\s+(?:that|this)|complete|engage"
    r"|support|access|browse|determine|predict|discuss|perform|view|open|recommend|offer|share|respond|process|translate"
    r"|display|execute|participate|write|produce|accurately|directly|physically)\b"
)
# Models loop, so what may stand before a refusal must not match itself in two ways: each match would double the next.
_GREETS = r"(?:(?:oh|unfortunately|well|hello|hi)\W++)*+"
_REFUSES = re.compile(
    rf"\W*+{_GREETS}(?:thank\s+you[^.!\n]{{0,60}}\W++{_GREETS})?"
    rf"(?:as\s+an?\s+(?:ai|(?:large\s+)?language)\b[^,.\n]{{0,30}}\W++{_GREETS})?(?:"
    rf"i\s+(?:can(?:['’]t|not|\s+not)|could\s?n['’]?o?t|won['’]t|will\s+not)\s+{_DO}"
    rf"|i(?:['’]m|\s+am)\s+(?:unable|not\s+(?:able|capable|comfortable|allowed|permitted))\s+(?:to\s+|of\s+|with\s+)"
    r"|i\s+(?:do\s+not|don['’]t)\s+(?:have\s+(?:the\s+(?:ability|capability)|access\s+to)|feel\s+comfortable)\b"
    r"|i\s+(?:must|have\s+to|will\s+have\s+to|need\s+to)\s+(?:respectfully\s+)?decline\b|i\s+(?:respectfully\s+)?decline\s+to\b"
    r"|(?:it\s+is|it['’]s|that\s+is)\s+not\s+(?:possible|appropriate|ethical)\s+for\s+me\s+to\b"
    r"|this\s+(?:request|content|prompt)\s+(?:violates|goes\s+against)\b)",
    re.IGNORECASE,
)
# "As an AI language model, I" may go on with an answer: that is boilerplate.
_MACHINE_SPEAKS = re.compile(r"\W*(?:well\W+)?as\s+an?\s[^,]*,\s*i(?:['’]m)?\s*", re.IGNORECASE)
# Words that have content, for nearly every text: without them, the rules look closer.
_WORDS = re.compile(r"[^\W\d_]{6}")
_SORRY = re.compile(r"\bsorry\b", re.IGNORECASE)
# Comfort, regret and manners are no refusals, and neither is what somebody is quoted with.
_KIND = re.compile(
    r"[\"“][^\"”\n]{0,400}[\"”]"
    r"|\bsorry\s+(?:to\s+(?:hear|learn|see|read)|you\b|(?:that\s+)?you(?:['’]re|\s+are|\s+have|r)\b|(?:for|about)\s+(?:your|the|any|this|that|my|our)\b)",
    re.IGNORECASE,
)
_CORRECTS = re.compile(r"(?:my\s+apologies|i\s+apologi[sz]e)\s+for\s+(?:the|any|my|that|this)\b", re.IGNORECASE)
# Where somebody else may speak, "I cannot write another line" is no refusal.
_OTHERS_SPEAK = re.compile(
    r"\b(?:poem|song|lyrics|story|letter|e-?mails?|dialogue|monologue|speech|script|scene|diary|haiku|apolog\w+)\b"
)
# Each match of `_BOILERPLATE` holds one of these, or "my" and one of the others.
_OF_A_MACHINE = (
    " ai ",
    " ai,",
    "language model",
    "artificial intel",
    "chatgpt",
    "i was trained",
    "i was created",
    "i was dev",
)
_OF_ITS_MAKING = ("as of my", "my knowledge", "my last", "my train")
# What stands before or after "prompt" in each match of the pattern, or is the match: most prompts are just prompts.
_SCAFFOLD_ENDS = (
    "n prompt", "d prompt", "l prompt", "w prompt", "_prompt", "-prompt", "\nprompt", "prompt r", "prompt-r",
    "prompt c", "conversation #", "conversation#", "input data to", "rewrite th", "rarer task", "new task",
)  # fmt: skip
_SCAFFOLD = re.compile(lexicon.SCAFFOLD.pattern)  # on lower case: without folding, it is four times as fast
_BOILERPLATE = re.compile(
    r"\bas\s+an?\s+(?:(?:advanced|helpful)\s+)?(?:ai|artificial\s+intelligence|(?:large\s+|ai\s+)?language\s+model)\b"
    r"(?:\s+(?:language\s+)?(?:model|assistant|chatbot))?(?=[\s,]+(?:i\b|my\b|and\b|developed|trained|created|it\s+is))"
    r"|\bi(?:['’]m|\s+am)\s+(?:just\s+|only\s+)?an?\s+(?:large\s+)?(?:ai|artificial\s+intelligence|language\s+model)\b"
    r"|\bas\s+of\s+my\s+(?:last|latest|most\s+recent|knowledge|training|current)\b(?:\s+\w+)?"
    r"|\bmy\s+(?:last\s+)?(?:knowledge|training(?:\s+data)?)\s+(?:cut-?off|update|only\s+(?:goes|extends)|ends|was\s+last)\b"
    r"|\bi\s+was\s+(?:trained|created|developed)\s+by\s+(?:openai|anthropic|google|meta|lmsys)\b"
    r"|\bas\s+chatgpt\b|\bi(?:['’]m|\s+am)\s+chatgpt\b"
)
_ABOUT_MACHINES = re.compile(
    r"\b(?:an?\s+ai|ai|chatgpt|chatbots?|language\s+models?|llms?|openai|cut-?off|as\s+of\s+my)\b"
)
_NAMES_A_LANGUAGE = re.compile(
    r"\btranslat|\btransliterat|\blanguages?\b|\btraduc|\btraduz|\bübersetz|\btradui|翻译|翻譯|翻訳|перевед|\bin\s+other\s+words"
    r"|\b(?:english|spanish|french|german|italian|portuguese|dutch|russian|chinese|mandarin|cantonese|japanese|korean|arabic"
    r"|hindi|bengali|urdu|turkish|polish|swedish|norwegian|danish|finnish|greek|hebrew|latin|czech|hungarian|romanian"
    r"|vietnamese|thai|indonesian|malay|tagalog|filipino|swahili|ukrainian|persian|farsi|tamil|telugu|catalan|irish|welsh"
    r"|spanisch|englisch|französisch|deutsch|inglés|español|francés|alemán|anglais|espagnol|allemand|pinyin|esperanto|klingon"
    r"|haiku|emojis?|python|javascript|java|sql|html|code|regex)\b"
)


def no_answer(exchange: Exchange) -> Finding | None:
    """Empty, free of content, or a refusal: the eliminator's rules for responses, and refusals that say no "sorry".

    "Sorry" counts here only if it is no comfort ("sorry to hear that") and no quotation.
    """
    found = None
    if "sorry" in exchange.lower or not _WORDS.search(exchange.response):
        found = check_response(exchange.response, instruction=exchange.asked, rules=_RULES)
    if found and found.reason is Reason.RESPONSE_REFUSAL:
        return found if _SORRY.search(_KIND.sub(" ", exchange.response)) else None
    return found or _refusal(exchange)


def _refusal(exchange: Exchange) -> Finding | None:
    start = exchange.response[:300]
    refusal = _REFUSES.match(start) or lexicon.REFUSAL.match(start)
    if not refusal or _MACHINE_SPEAKS.fullmatch(refusal[0]) or _CORRECTS.match(start):
        return None
    if exchange.word_count >= _RULES.refusal_words or _OTHERS_SPEAK.search(exchange.asked_lower):
        return None
    words = refusal[0].strip()
    if words.lower() in exchange.asked_lower:
        return None
    return Finding(
        Reason.RESPONSE_REFUSAL, {"words": [words], "count": exchange.word_count, "limit": _RULES.refusal_words}
    )


def boilerplate(exchange: Exchange) -> Finding | None:
    """What only a model says of itself, unless models are what was asked about."""
    lower = exchange.lower
    if not (holds(lower, _OF_A_MACHINE) or ("my " in lower and holds(lower, _OF_ITS_MAKING))):
        return None
    found = _BOILERPLATE.search(lower)
    if not found or _ABOUT_MACHINES.search(exchange.asked_lower):
        return None
    return Finding(Reason.RESPONSE_BOILERPLATE, {"words": [found[0].strip()]})


def leak(exchange: Exchange) -> Finding | None:
    """Words of the evolving prompts in the instruction, or in an answer to an instruction that has them not."""
    row = exchange.row
    if found := _leaked(exchange.instruction_lower) or _leaked(row.input.lower()):
        return Finding(Reason.SCAFFOLD_LEAK, {"words": found, "in": "instruction"})
    if found := [words for words in _leaked(exchange.lower) if words not in exchange.asked_lower]:
        return Finding(Reason.SCAFFOLD_LEAK, {"words": found, "in": "response"})
    return None


def _leaked(lower: str) -> list[str]:
    """A "given prompt" without the marks around it is also what people call their own, so it needs company."""
    if not holds(lower, lexicon.SCAFFOLD_SIGNS) or not holds(lower, _SCAFFOLD_ENDS):
        return []
    found = {match.strip() for match in _SCAFFOLD.findall(lower)}
    return sorted(found) if found - {"given prompt", "given prompts"} else []


def language(exchange: Exchange) -> Finding | None:
    """An answer in another language than the instruction, where neither names a language or asks for code."""
    if exchange.english or _NAMES_A_LANGUAGE.search(exchange.asked_lower):
        return None
    asked = exchange.row.instruction
    moved = changed_language(exchange.response, asked, asked)
    return Finding(Reason.RESPONSE_LANGUAGE, moved) if moved else None

"""The root verb of an instruction and its direct object, by rule (Self-Instruct's analysis, without its parser).

Self-Instruct parses each instruction with Berkeley's neural parser and takes the verb nearest the root with its direct
object. A parser is hundreds of megabytes; here a list of the verbs that instructions begin with decides instead. It
sees imperatives ("Write a story …", "Please help me plan …", "Can you explain …"), and leaves questions out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

VERBS = frozenset(
    """adapt add address advise analyse analyze answer apply argue arrange ask assemble assess assign assume brainstorm
    build calculate categorize check choose cite clarify classify collect combine come comment compare compile
    complete compose compute conduct consider construct contrast convert correct count craft create criticize
    critique debate debug decide decode deduce define delete demonstrate derive describe design detect determine
    develop devise diagnose discuss divide draft draw edit elaborate encode enumerate establish estimate
    evaluate examine execute expand explain explore express extend extract figure fill filter find fix follow
    forecast formulate generate get give group guess help highlight identify illustrate imagine implement
    improve include infer insert interpret investigate invent join judge justify label link list locate look
    make map match measure mention modify name narrate note offer optimize order organize outline output
    paraphrase parse perform pick plan plot predict prepare present prioritize produce program proofread propose
    prove provide punctuate quote rank rate read rearrange recommend record reduce refactor rephrase replace
    reply report respond restate retell return reverse review revise reword rewrite rhyme role-play rule sample
    say score search select separate set shorten show simplify simulate sketch solve sort specify split state
    structure study suggest sum summarise summarize suppose supply synthesize tag take teach tell test think
    trace transcribe transform translate trim try turn understand unscramble update use validate verify
    visualize weigh write""".split()  # noqa: SIM905 - a list of words
)
# What may stand before the verb: politeness and wishes.
_LEAD = re.compile(
    r"(?:please|kindly|now|first|then|next|ok(?:ay)?|hi|hello|hey|(?:can|could|would|will) you(?: please| kindly)?|"
    r"i (?:want|need|would like|'d like) you to|i(?:'d| would) like to|(?:i need|i want) to|help me(?: to)?|help|"
    r"your task is to|let'?s|you (?:need|have|are asked|are required) to|"
    r"(?:given|using|based on|in|as|for) [^,.?\n]{1,90},|"
    r"you (?:are|will be) (?:given|provided with)[^.:]*[.:])[\s,:!]+",
    re.IGNORECASE,
)
_WORD = re.compile(r"[a-z][a-z'-]*|[.,;:!?()\"\n]", re.IGNORECASE)
_SKIPPED = frozenset(
    """a an the this that these those my your his her its our their some any each every all both another one two three
    four five six seven eight nine ten several many few more most such new short brief long simple detailed
    comprehensive following given good best possible appropriate correct complete full single specific different
    various main key own small large creative unique clear concise well-structured well other additional basic
    formal python step-by-step at least as least in-depth me us him them you up out down and or very and/or
    interesting realistic original fictional personal proper certain suitable relevant potential effective
    common total entire exact""".split()  # noqa: SIM905
)
_STOPS = frozenset(
    """of to for with from in on at by about into how what which who whom whose when where why whether if that is are
    was were be between using based so because while than then like without within over under through per it not
    do does can could should would will may might must have has had""".split()  # noqa: SIM905
)
_FIRST = re.compile("[A-Za-z-]+")
_POLITE = frozenset({"help"})  # a verb that also stands before others: "Help me write …"
_PLAIN = VERBS - _POLITE
_TOKENS_LOOKED_AT, _CHARACTERS_LOOKED_AT = 9, 240


class Root(NamedTuple):
    """A root verb in its base form and its direct object, which is empty where none was seen."""

    verb: str
    object: str


def root_of(instruction: str) -> Root | None:
    """The root verb of an English instruction, with its direct object; None where the rule sees no imperative.

    The verb is the first word after what politeness puts before it, if `VERBS` has it. The object is the last word of
    the noun phrase after it: articles, numbers and frequent adjectives are passed over, up to a preposition, a
    conjunction or punctuation.
    """
    text = instruction[:_CHARACTERS_LOOKED_AT].lstrip()
    for _ in range(3):
        first = _FIRST.match(text)
        if (first and first[0].lower() in _PLAIN) or not (lead := _LEAD.match(text)):
            break
        text = text[lead.end() :]
    found = (token[0].lower() for token in islice(_WORD.finditer(text), _TOKENS_LOOKED_AT))
    verb = next(found, "")
    return Root(verb, _object(found)) if verb in VERBS else None


def _object(tokens: Iterator[str]) -> str:
    phrase: list[str] = []
    for token in tokens:
        if not token[0].isalpha() or (token in _STOPS and (phrase or token not in ("to", "for", "with", "about"))):
            break
        if token == "and" and phrase:
            break
        if token not in _SKIPPED and token not in _STOPS:
            phrase.append(token)
        if len(phrase) == 3:
            break
    return phrase[-1] if phrase else ""


@dataclass(frozen=True, slots=True)
class RootCount:
    """A verb with how often it is the root, and its most frequent objects."""

    verb: str
    count: int
    objects: list[tuple[str, int]]


def most_frequent(roots: Counter[Root], *, verbs: int = 20, objects: int = 4) -> list[RootCount]:
    """The most frequent verbs with their most frequent objects, as Self-Instruct shows them; ties by the alphabet."""
    by_verb: dict[str, Counter[str]] = {}
    for root, count in roots.items():
        by_verb.setdefault(root.verb, Counter())[root.object] += count
    totals = {verb: counts.total() for verb, counts in by_verb.items()}
    return [
        RootCount(verb, totals[verb], _top({name: n for name, n in by_verb[verb].items() if name}, objects))
        for verb, _ in _top(totals, verbs)
    ]


def _top(counts: dict[str, int], most: int) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]

"""The phrases that the instruction rules look for, as patterns compiled once.

English first, since evolvers fall back to it even for other languages, with the commonest forms of a few others.
"""

from __future__ import annotations

import re

# How a model names what it was told to write.
_MADE = (
    r"(?:re-?written|re-?phrased|revised|updated|modified|improved|evolved|refined|enhanced|created|expanded|new|final)"
)
_HARDER = r"(?:more\s+\w+|harder|tougher|deeper|rarer|slightly\s+\w++(?:\s+\w*)?)"
_THING = r"(?:prompt|instruction|question|task|version|request|rewrite)"
_OPENER = r"(?:sure(?:\s+thing)?|certainly|of\s+course|absolutely|okay|ok|alright|great|understood|no\s+problem)"

MARKER = re.compile(
    rf"[\s#*_>\"“`]*(?:(?:your\s+|my\s+|the\s+)?{_MADE}\s+{_THING}|(?<=\#)\s*{_THING}|prompt|task)"
    r"(?:\s*[#*_]+\s*[:：]?|\s*[:：]|\s*(?=\n))[#*_]*\s*",
    re.IGNORECASE,
)
"""The output marker, or a heading like it, repeated at the start: "#Rewritten Prompt#:", "**New question:**"."""

PREAMBLE = re.compile(
    rf"(?:{_OPENER}\b[^\n:]{{0,40}}?[!,.]+\s*|{_OPENER}\s*\n\s*)?"
    r"(?:here(?:['’]s|\s+is|\s+are)|this\s+is|below\s+is|the\s+following\s+is|i(?:['’]ve|\s+have)\s+\w+)"
    rf"(?:[^\n:]{{0,80}}?\b(?:{_MADE}|{_HARDER})\b[^\n:]{{0,40}}?\b{_THING}s?\b[^\n:]{{0,80}}[:：][*_]*\s*"
    rf"|[^\n:]{{0,60}}?\b{_THING}\b[^\n:]{{0,60}}[:：][*_]*[ \t]*\n\s*)"
    rf"|(?:an?|the|my|your)\s+(?:\w+\s+){{0,2}}?(?:{_MADE}|{_HARDER})\s+{_THING}"
    r"(?:\s+(?:is|reads|(?:could|would|might)\s+be))?(?:\s+(?:as\s+follows|below|this))?\s*[:：][*_]*\s*"
    rf"|{_OPENER}[!.,]*[ \t]*\n\s*"
    r"|(?:hier\s+ist|voici|aqu[ií]\s+est[áa]|ecco|aqui\s+est[áa])\b[^\n:]{0,80}:\s*"
    r"|(?:这是|以下是|改写后的|新的)[^\n:：]{0,20}[:：]\s*",
    re.IGNORECASE,
)
"""A line that hands the prompt over: "Sure! Here is the rewritten prompt:"."""

TRAILER = re.compile(
    r"\n[^\S\n]*+[(\[*_]*+(?:"
    r"(?:note|explanation|reasoning|rationale|changes(?:\s+made)?|comment)\s*:[*_]*"
    rf"(?=.{{0,400}}?\b(?:{_MADE}|prompt|original|added|version)\b)"
    rf"|th(?:is|e)\s+(?:(?:{_MADE}|above|resulting|original)\s+)+{_THING}\b"
    r"|this\s+(?:prompt|version|rewrite|revision|addition|change)\s+(?:\w+ly\s+)?(?:adds?|requires?|now|is|asks?|"
    r"makes?|provides?|maintains?|includes?|keeps?|introduces?|encourages?|challenges?|increases?|should|will|can|has|specif\w+)\b"
    r"|i(?:['’]ve|\s+have)?\s+(?:added|rewr\w+|changed|modified|made|included|replaced|kept|increased)\b"
    rf"(?=.{{0,200}}?\b(?:{_THING}|constraint|requirement|complex\w*)\b)"
    r"|i\s+hope\s+(?:this|that|it)\b"
    r"|(?:please\s+)?let\s+me\s+know\s+if\s+(?:you\s+(?:would|want|need|have)|you['’]d|this\s+(?:works|meets))\b"
    r"|feel\s+free\s+to\s+(?:ask|modify|adjust|let)\b"
    r"|would\s+you\s+like\s+me\s+to\b"
    r").*\Z",
    re.IGNORECASE | re.DOTALL,
)
"""A comment on the prompt, from the start of a line to the end."""

COMMENTARY = re.compile(
    r"\W*(?:"
    r"(?:this|the|your)\s+(?:(?:given|original|provided|above|following|current)\s+)*(?:prompt|instruction|rewrite)s?\s+"
    r"(?:is|are|asks?|adds?|requires?|has|can|could|provides?|would|should|seems?|already|now|does|appears?|"
    r"encourages?|includes?|involves?|uses?|makes?|challenges?|focuses|aims?|needs?|requests?|calls?|wants?|maintains?|you)\b"
    rf"|th(?:is|e)\s+(?:(?:{_MADE}|above)\s+)+{_THING}\s+"
    r"(?:is|adds?|asks?|requires?|now|has|can|could|would|should|includes?|maintains?)\b"
    r"|i(?:['’]ve|\s+have)\s+(?:re-?written|rephrased|revised|modified|added)\b"
    rf"(?=[^.?!\n]{{0,80}}\b(?:{_THING}|constraint|requirement)\b)"
    r"|to\s+(?:rewrite|make|rephrase)\s+(?:this|the|your)\s+(?:prompt|instruction|task|question|sentence)\b"
    r"[^?]{0,200}?(?:you|we|i)\s+(?:can|could|need|should)\b"
    r"|(?:you|we|i)\s+(?:can|could|would)\s+(?:rewrite|rephrase)\b"
    r"|here\s+are\s+(?:a\s+few|some|several|two|three|four|five|\d+)\s+(?:\w+\s+){0,3}"
    rf"(?:ways|versions|options|variations|rewrites|{_THING}s)\b"
    r"|one\s+(?:possible\s+)?way\s+to\s+(?:rewrite|rephrase|make)\b"
    rf"|(?:a|one)\s+(?:possible|better|good)\s+(?:{_MADE}\s+)?(?:prompt|rewrite|version)\s+(?:is|would|could|might)\b"
    r")",
    re.IGNORECASE,
)
"""A text that talks about the prompt from its first words."""

SCAFFOLD = re.compile(
    r"#(?<!##)#*+\s*+(?:given|re-?written|created|new|original|final)\s+prompt\s*#*"
    r"|\b(?:given|re-?written|created)[\s_-]+prompts?\b"
    r"|\bprompt\s+(?:re-?writer|creator)\b"
    r"|#\s*(?:end\s+of\s+)?conversation\s*#"
    r"|\bthe\s+input\s+data\s+to\s+add\b"
    r"|\brewrite\s+th(?:is|e)\s+(?:programming\s+)?task\b|\bnew,\s+rarer\s+task\b|(?<=\n)[ \t*#]*new\s+task\s*:",
    re.IGNORECASE,
)
"""Words of the evolving prompts (the paper's fourth rule)."""
SCAFFOLD_SIGNS = ("prompt", "conversation", "input data", "rewrite th", "rarer task", "new task")
"""Each match of `SCAFFOLD` holds one of these; looking for them first costs a fiftieth of the pattern."""

REFUSAL = re.compile(
    r"\W*(?:(?:oh|unfortunately|well|hello|hi)\W+)*(?:"
    r"i(?:['’]m|\s+am)\s+(?:so\s+|very\s+|really\s+|truly\s+)?sorry\b(?!\s+(?:for\s+(?:my|the\s+late)|to\s+hear))"
    r"|sorry\s*,?\s+(?:but\s+)?(?:i|we)\b"
    r"|my\s+apologies|i\s+apologi[sz]e\b"
    r"|i\s+(?:can(?:['’]t|not|\s+not)|could\s?n['’]?o?t|am\s+(?:not\s+able|unable)\s+to|do\s+not\s+feel|won['’]t|will\s+not)\s+"
    r"(?:be\s+able\s+to\s+)?(?:assist|help|fulfil\w*|comply|provide|create|rewrite|generate|answer|do\s+that|complete|write|engage|support)\b"
    r"|i['’]m\s+(?:not\s+able|unable)\s+to\b"
    r"|as\s+an?\s+(?:ai|artificial\s+intelligence|(?:large\s+)?language\s+model)\b[^.?\n]{0,40},\s*i(?:['’]m)?\b"
    r"|(?:es\s+tut\s+mir\s+leid|je\s+suis\s+d[ée]sol[ée]|lo\s+siento|desculpe|mi\s+dispiace|很抱歉|抱歉|对不起|申し訳)"
    r")",
    re.IGNORECASE,
)
"""A refusal, at the start."""

AS_AN_AI = re.compile(
    r"\bas\s+an?\s+(?:ai|artificial\s+intelligence)(?:\s+(?:language\s+)?(?:model|assistant))?\s*,"
    r"\s*i(?:['’]m|\s+(?:am|can|do|cannot|don))\b"
    r"|\bi(?:['’]m|\s+am)\s+(?:just\s+|only\s+)?an?\s+(?:ai|artificial\s+intelligence)\s+(?:language\s+model|model|assistant)\b",
    re.IGNORECASE,
)
"""What only a model says of itself, anywhere."""
AS_AN_AI_SIGNS = (" ai", "artificial")
"""Each match of `AS_AN_AI` holds one of these."""

REPLY = re.compile(
    r"\W*(?:(?:of\s+course|absolutely|understood|no\s+problem)\s*[!,.]|(?:okay|ok|alright|great)\s*[!.]"
    r"|(?:sure|certainly)\b"
    r"|thank\s+you(?:\s+for\s+(?:your|the)\s+(?:question|prompt|request|suggestion))?\s*[!,.]"
    r"|that(?:['’]s|\s+is)\s+correct\b|(?:great|good|excellent)\s+(?:question|job|choice|idea)\s*[!.]"
    r"|i(?:['’]d|\s+would)\s+(?:be\s+)?(?:happy|glad|love)\s+to\b|i\s+can\s+help\s+you\b"
    r"|i\s+(?:would\s+)?(?:suggest|recommend)\b|you['’]re\s+(?:welcome|right)\b"
    r"|here\s+are\s+(?:some|a\s+few|several|\w+)\s+(?:\w+\s+){0,2}"
    r"(?:tips|ways|steps|ideas|suggestions|strategies|examples|reasons|things|factors)\b"
    r"|here(?:['’]s|\s+is)\s+(?:an?|one|my)\s+"
    r"(?:possible|sample|simple|quick|short|example|implementation|breakdown|summary)\b)",
    re.IGNORECASE,
)
"""How a reply begins, and an instruction does not."""

ANSWER_BLOCK = re.compile(
    r"(?:^|\n)[ \t#*_]*(?:(?:the\s+|correct\s+|final\s+|sample\s+|possible\s+|my\s+){0,4}+(?:answer|response|solution)"
    r"|assistant|r[ée]ponse|antwort|respuesta|risposta|resposta|答案|回答)[ \t]*+[*_#]*+[ \t]*+[:：][*_]*[ \t]*+"
    r"(?=\n?[ \t]*+[^\s<\[{(_.…\-?\"'“])"
    r"(?P<answer>\n?[^\n]*)",
    re.IGNORECASE,
)
"""A block headed "Answer:" with something in it that is not a blank to fill in."""

_VERBS = "|".join(
    """act add adjust advise amend analy[sz]e annotate apply argue arrange ask assess assign assume attach attempt
    balance be begin brainstorm break build calculate categori[sz]e challenge change check choose cite clarify
    classify clean code combine come comment compare compile complete compose compress compute conceive concatenate
    conclude condense conduct consider construct continue contrast convert correct count cover craft create critique
    curate debate debug decide decipher decode decompose deduce define delete deliver demonstrate derive describe
    design detail detect determine develop devise diagnose differentiate discuss display distinguish divide do draft
    draw edit elaborate eliminate enumerate estimate evaluate examine exchange execute expand explain explore express
    extend extract fetch figure fill filter find fix follow forecast form format formulate generate get give group
    guess guide help highlight identify illustrate imagine implement improve include incorporate indicate infer
    initiali[sz]e insert instruct integrate interpret introduce invent invert investigate join judge justify keep let
    list locate look make map mark match measure mention merge modify move name narrate normali[sz]e optimi[sz]e order
    organi[sz]e outline output paraphrase parse perform pick plan play please point populate pose predict prepare
    present pretend print prioriti[sz]e produce program propose prove provide put rank rate read rearrange recall
    recommend reconstruct refactor refer reflect reformulate refute remove rename reorder repeat rephrase replace
    reply report request research resolve respond restate restructure retrieve return reverse review revise rework
    rewrite role-?play round run save say schedule scan search see select separate set share show
    simplify simulate sketch
    solve sort speak specify split start state structure study suggest sum summari[sz]e supply support suppose swap
    take teach tell test think train trace transcribe transform translate try turn update use validate verify
    visuali[sz]e walk work wrap
    write""".split()  # noqa: SIM905 - a list of words reads as one
)
_QUESTION = "what|which|who|whom|whose|why|how|is|are|was|were|do|does|did|can|could|would|should|has|have"

ASKS_AT_ONCE = re.compile(
    rf"\W*+(?:(?:hi|hello|hey|so|now|ok|okay|as\s+an?\s+\w+)\W+)?(?:{_QUESTION}|when|where|{_VERBS}|need|given|using|if)\b",
    re.IGNORECASE,
)
ASKS_LATER = re.compile(
    rf"[?？]|(?:[.!?:,;]\s+|\n[^\w\n]*+|\b(?:then|please|and|also|you\s+to)\s+)(?:{_VERBS})\b"
    r"|[.!?:]\s+(?:what|which|who|why|how|where|when)\b"
    r"|,\s+(?:how|what|why)\s+(?:is|are|can|could|do|does|did|would|should)\b"
    r"|\byou\s+(?:should|must|need|will|are|can|have|may|were|to)\b"
    r"|\byour\s+(?:task|job|goal|answer|response|own|opinion|work|code|solution|essay|story)\b"
    r"|\bi(?:['’]m|\s+am)?\s+(?:want|need|would\s+(?:like|appreciate)|trying|curious|wonder\w*|have\s+to|wish)\b"
    r"|\b(?:help|for|give|show|tell|teach)\s+me\b|\bplease\b|\bif\s+you\s+could\b"
    r"|\b(?:must|should)\s+(?:be|not|have|include|contain|also|use|return)\b|\bact\s+as\b"
    r"|\bthe\s+(?:following|given)\b",
    re.IGNORECASE,
)
"""How an English text asks for something: in its first words, which is nearly always so, or anywhere."""

LIST_ITEM = re.compile(r"(?:1[.)]|[-•*])\s+\w")
"""A text that starts as a list."""

"""Measures every rule for texts on long looped texts; run as a program by `test_looping.py`, which can stop it.

It says which text it looks at before it does, and ends with those whose cost grew faster than their length.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from time import process_time

from faults import row

from evolute.recipe import Rules
from evolute.select.quality import quality
from evolute.text import lexicon
from evolute.text.cleaning import clean_instruction
from evolute.text.instructions import check_instruction
from evolute.text.responses import check_response

PARENT = "Explain how a mill grinds corn into flour, and name the parts of the mill that wear out first."
FOREIGN = "Die Mühle mahlt das Korn, und der Müller trägt das Mehl in die Stadt. " * 3
SIZE, GROWTH = 4_000, 3
"""Characters of the shorter text, and how many times as long the longer one is."""
FLOOR, RATIO = 0.15, 6.0
"""Processor seconds that are no matter; above them, costs may grow so many times (linear: 3; quadratic: 9)."""
PHRASES = (
    "thank you ", "thank you, ", "Thank you! ", "As an AI ", "as an AI language model, ", "sorry, ", "I'm sorry ",
    "unfortunately, ", "oh well hi ", "I cannot ", "i am ", "my ", "as of my ", "it is ", "Sure! ", "sure, ",
    "Here is the rewritten prompt: ", "here is ", "the new ", "slightly ", "more ", "the final ", "The\n", "answer ",
    "Answer: ", "Answer:** ", "Task:\n", "#Rewritten Prompt#:\n", "#Given Prompt#: ", "prompt ", "given prompt ",
    "new task ", "this prompt is ", "the above ", "\nNote: ", "\nI have added ", "let me know ", "you should ",
    "please ", "and ", "write ", "list 3 ", "give me ", "in a ", "as json ", "return your a in ", "table ",
    "answer with ", "yes or ", "in bullet ", "under 10 words ", "write a function ", "PRIVATE KEY----- a: ",
    "PRIVATE KEY-----\\na: b\\n", "//_authToken= ", "/:_authToken=", "AccountKey=", "eyJ", "sk-", "ghp_a",
    "xoxb-1-", "aws key '", "4929 1780 3365 2417 ", "+49 30 26983417 ", "536-22-8726 ", "DE44 5001 ", "a@b.",
    "a@example.", "http://", "http://a:b", "ha ", "haha", "naïve ", "水", "Die Mühle und das Rad ", "\nnew ",
)  # fmt: skip
MARKS = (
    "```", "`", "``` \n", "~~~", "| ", "|", "- ", "-", "1. ", "1.\n", "a.", "a. ", "a", "a  ", " ", "\t", "\n", "\n ",
    "\n- ", "\n\n", "{", "(", "(a", "[", "<", "#", "# ", "##\n", "*", "**", "* ", "_", "=", "/", "\\", "\\n", '"', "'",
    "“", "”", "„", ",", ", ", ".", ". ", "!", "?", ":", ": ", ";", "@", "a@", "0", "12-", "1,", "$", "%", "+", "…",
)  # fmt: skip
HEADS = (
    "", "Sure, here is ", "#Given Prompt#:\n", "Answer", "Answer:", "A slightly ", "```", "Thank you", "As an AI",
    "Return it in", "- ", "The prompt. ", "a  b",
)  # fmt: skip
TAILS = ("", "x", " the prompt", "\n| a |", "_authToken", " T3BlbkFJ json table bullet words?", "card")


def texts() -> Iterator[tuple[str, Callable[[int], str]]]:
    """Each loop alone, behind and before words that make a rule look closer, and mixed with the loop after it."""
    loops = (*PHRASES, *MARKS)
    for number, loop in enumerate(loops):
        head, tail = HEADS[number % len(HEADS)], TAILS[number % len(TAILS)]
        yield repr(loop), lambda size, loop=loop: loop * (size // len(loop))
        yield (
            f"{head!r} + {loop!r} + {tail!r}",
            lambda size, loop=loop, head=head, tail=tail: head + loop * (size // len(loop)) + tail,
        )
    for phrase in lexicon_phrases():
        yield repr(phrase), lambda size, loop=phrase: loop * (size // len(loop))
    for one, other in pairwise(loops):
        yield f"{one + other!r}", lambda size, both=one + other: both * (size // len(both))


def lexicon_phrases() -> list[str]:
    """What the patterns of the lexicon spell out, but for the verbs, which stand in one alternation."""
    patterns = [value.pattern for value in vars(lexicon).values() if isinstance(value, re.Pattern)]
    spelled = [re.sub(r"\\s[+*]+", " ", pattern).replace(lexicon._VERBS, "") for pattern in patterns]
    return sorted(
        {phrase.strip() + " " for pattern in spelled for phrase in re.findall(r"[^\W\d_]{3}[^\W\d_ ]* ?\w*", pattern)}
    )


def measure(text: str) -> float:
    """Processor seconds of all the rules that look at a model's text."""
    begin = process_time()
    quality([row(PARENT, text), row(text, PARENT)])
    clean_instruction(text, parent=PARENT)
    check_instruction(text, parent=PARENT, rules=Rules(max_words=10**6, max_characters=10**6))
    check_response(text, instruction=PARENT, rules=Rules())
    return process_time() - begin


def main() -> None:
    """Print what is looked at, and last, after "grown:", what grew too fast."""
    grown = []
    measure(FOREIGN)  # so that the language model is loaded
    for name, make in texts():
        print(name, flush=True)  # noqa: T201 - its output is what the test reads
        long = measure(make(SIZE * GROWTH))
        if long > FLOOR and long > RATIO * measure(make(SIZE)):
            grown.append(f"{name}: {long:.2f} s")
    print("grown:", *grown, sep="\n")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())

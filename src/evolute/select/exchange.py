"""One row as the rules of quality see it: what was asked, what was answered, and both in lower case."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property

from evolute.records import Row
from evolute.text.words import count_words

# Words that nearly every English text of some length has, and other languages do not.
_ENGLISH = frozenset(
    """the of and to are that it with this is from what how which your you would should could can does not when who
    why where about have has their there than then each""".split()  # noqa: SIM905 - a list of words reads as one
)
_MARKS = ('"', "“", "`", "'")
_SAMPLE = 400
_QUOTED = re.compile(
    r"```.*?(?:```|\Z)|\"[^\"\n]{0,2000}\"|“[^”\n]{0,2000}”|`[^`\n]*`|(?<!\w)'[^'\n]{3,500}'(?!\w)", re.DOTALL
)


class Exchange:
    """An instruction and its answer. `asked` is all that was asked, with the input and the turns before."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.response = row.response or ""
        self.lower = self.response.lower()
        self.instruction_lower = row.instruction.lower()

    @cached_property
    def asked(self) -> str:
        """What was asked, with all that stood before."""
        return self.row.prompt

    @cached_property
    def asked_lower(self) -> str:
        """What was asked, in lower case."""
        return self.asked.lower()

    @cached_property
    def request(self) -> str:
        """What the instruction says itself, in lower case: without quoted text, code, and what it gives to work on.

        A paragraph that ends with a colon hands over what follows it.
        """
        kept = []
        text = self.instruction_lower
        if holds(text, _MARKS):
            text = _QUOTED.sub(" ", text)
        for paragraph in text.split("\n\n"):
            head, colon, _ = paragraph.partition(":\n")
            kept.append(head)
            if colon or paragraph.rstrip().endswith(":"):
                break
        return "\n\n".join(kept)

    @cached_property
    def english(self) -> bool:
        """Whether both texts, as far as they are prose of some length, are in English."""
        return is_english(self.asked) and is_english(self.response)

    @cached_property
    def word_count(self) -> int:
        """Words of the answer."""
        return count_words(self.response)


def holds(lower: str, signs: Iterable[str]) -> bool:
    """Whether one of `signs` stands in a text."""
    for sign in signs:  # noqa: SIM110 - a generator costs double, and this is asked of every row
        if sign in lower:
            return True
    return False


def is_english(text: str) -> bool:
    """Whether the beginning of a text has English function words, or is too short to tell and all ASCII."""
    found = set(text[:_SAMPLE].lower().split())
    if len(found) < 12:
        return text.isascii()
    return len(found & _ENGLISH) >= max(2, 0.06 * len(found))

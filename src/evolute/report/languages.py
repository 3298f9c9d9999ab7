"""In which languages instructions are written: English by its function words, the rest by py3langid."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from evolute.text.language import FEWEST_LETTERS, is_english

UNKNOWN = "too short to tell"
_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|https?://\S+", re.DOTALL)
_NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian",
    "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "nb": "Norwegian", "nl": "Dutch",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak",
    "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tl": "Tagalog",
    "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


def language_of(text: str) -> str:
    """The English name of a text's language (or its code, where we have no name), or `UNKNOWN`."""
    if is_english(text):
        return "English"
    prose = " ".join(_NOT_PROSE.sub(" ", text).split())[:2000]
    letters = sum(character.isalpha() for character in prose)
    # A script that packs a word into a letter or two needs fewer.
    if letters < (FEWEST_LETTERS if prose.isascii() else FEWEST_LETTERS // 4):
        return UNKNOWN
    import py3langid  # 0.9 s and 50 MB: only where a text needs it

    code = str(py3langid.classify(prose)[0])
    return _NAMES.get(code, code)


def language_mix(texts: Iterable[str]) -> list[tuple[str, int]]:
    """How many texts are in each language, the most frequent first."""
    return sorted(Counter(map(language_of, texts)).items(), key=lambda pair: (-pair[1], pair[0]))

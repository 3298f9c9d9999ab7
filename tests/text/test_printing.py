import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from evolute.text import printable


def test_what_steers_a_terminal_is_shown_as_an_escape():
    assert printable("a\x1b[2Jb") == "a\\x1b[2Jb"
    assert printable("\x00\x07\r\x7f\x9b") == "\\x00\\x07\\x0d\\x7f\\x9b"
    assert printable("\u202egpj.exe\u2066x\u2069") == "\\u202egpj.exe\\u2066x\\u2069"
    assert printable("\ud800") == "\\ud800"


def test_the_rest_is_unchanged():
    for text in ("", "a\tb\nc", "naïve 日本語 العربية 👩\u200d🚀 \\x1b", "é" * 1000):
        assert printable(text) == text


@given(st.text(alphabet=st.characters(codec=None)))
def test_nothing_that_it_returns_can_steer(text):
    shown = printable(text)
    shown.encode()
    assert all(unicodedata.category(character) not in ("Cc", "Cs") for character in shown if character not in "\t\n")
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

from pathlib import Path

import pytest

from evolute.recipe import Rules
from evolute.records import Failure, Reason
from evolute.text import check_response, failure_reason

RULES = Rules()
ASKED = "Name three trees."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.RESPONSE_EMPTY),
        (" \n", Reason.RESPONSE_EMPTY),
        ("I'm sorry, but I can't help with that.", Reason.RESPONSE_REFUSAL),
        ("Sorry! " + "word " * 78, Reason.RESPONSE_REFUSAL),
        ("...", Reason.RESPONSE_CONTENT_FREE),
        ("It is the.", Reason.RESPONSE_CONTENT_FREE),
        ("— , !?", Reason.RESPONSE_CONTENT_FREE),
        ("And so, of which.", Reason.RESPONSE_CONTENT_FREE),
        ("the " * 500, Reason.RESPONSE_CONTENT_FREE),
    ],
)
def test_a_bad_response_is_found(text, reason):
    assert check_response(text, instruction=ASKED, rules=RULES).reason is reason


@pytest.mark.parametrize(
    "text",
    [
        "Oak, ash, elm.",
        "42",
        "No.",
        "Yes",
        "A",
        "(B)",
        "不知道",
        "😊",
        "Sorry! " + "word " * 79,
        "sorry-looking" + " words" * 80,
        "The sorrel and the oak.",
        "not",
    ],
)
def test_a_sound_response_passes(text):
    assert check_response(text, instruction=ASKED, rules=RULES) is None


def test_the_evidence_and_the_recipes_threshold():
    found = check_response("Sorry, no trees here.", instruction=ASKED, rules=RULES)
    assert dict(found.evidence) == {"words": ["Sorry"], "count": 4, "limit": 80}
    assert check_response("Sorry, no trees here.", instruction=ASKED, rules=Rules(refusal_words=4)) is None
    assert check_response("Say sorry first.", instruction="How do I say sorry?", rules=RULES) is None


def test_each_failure_has_its_reason():
    for failure in Failure:
        assert failure_reason(failure, response=False).value == failure.value
        assert failure_reason(failure, response=True).value == f"response-{failure.value}"


def test_each_reason_is_documented():
    docs = Path(__file__).resolve().parents[2] / "docs"
    pages = "".join((docs / name).read_text(encoding="utf-8") for name in ("elimination.md", "select.md"))
    assert [reason.value for reason in Reason if f"`{reason.value}`" not in pages] == []

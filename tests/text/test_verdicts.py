import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.text import parse_verdict

CHOICES = ("Equal", "Not Equal")


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("Equal", "Equal"),
        ("Not Equal", "Not Equal"),
        ("equal.", "Equal"),
        ("NOT EQUAL", "Not Equal"),
        ("not  equal!", "Not Equal"),
        ('"Equal"', "Equal"),
        ("“Not Equal”", "Not Equal"),
        ("**Not Equal**", "Not Equal"),
        ("**Equal.**", "Equal"),
        ("`Equal`", "Equal"),
        ("Verdict: Not Equal", "Not Equal"),
        ("**Verdict:** Equal", "Equal"),
        ("Your verdict: Equal", "Equal"),
        ("Answer: not equal.", "Not Equal"),
        ("Not Equal\n\nThe second one asks for a reason as well.", "Not Equal"),
        ("Equal\n\nBoth ask for three trees; they are not different.", "Equal"),
        ('{"verdict": "Not Equal"}', "Not Equal"),
        ('```json\n{"verdict": "Equal"}\n```', "Equal"),
        ('{"verdict": "equal"}', "Equal"),
        ("  Equal  ", "Equal"),
    ],
)
def test_a_clear_verdict_is_read(reply, verdict):
    assert parse_verdict(reply, CHOICES) == verdict


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "   ",
        "The two are equal.",
        "They are not equal",
        "They aren't Equal",
        "Equal or Not Equal",
        "Equal / Not Equal",
        "Equal\nNot Equal",
        "Not Equal\n\nVerdict: Equal",
        "Unequal",
        "Not",
        "Not Equal, because the second asks for more.",
        "I think the first line matters.\nEqual",
        "Equality",
        '{"verdict": "maybe"}',
        '{"verdict": null}',
        '{"verdict": "Equal", "other": "Not Equal"}',
        '{"verdict": ["Equal"]}',
        '{"verdict": "Equal"',
        '{"equal": true}',
        "1",
        "[Equal]",
        "I'm sorry, I can't compare these.",
    ],
)
def test_anything_else_is_no_verdict(reply):
    assert parse_verdict(reply, CHOICES) is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_it_never_fails_and_a_negation_never_reads_as_equal(before, after):
    assert parse_verdict(before + after, CHOICES) in (None, *CHOICES)
    assert parse_verdict(f"{before}Not Equal{after}", CHOICES) != "Equal"

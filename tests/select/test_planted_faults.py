"""Faults planted in real rows are found, and the clean rows around them are left alone: both are counted."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from faults import DATA, MADE, SECRETS, clean_rows, planted

from evolute.records import Reason
from evolute.select.quality import quality

pytest.importorskip("detect_secrets", reason="personal data and secrets need the select extra")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real rows are not here: {DATA}"),
]

# What the rules find on the clean rows; each was looked at. Most of it is there: these models do speak as machines
# (all 16), refuse (3 of 4) and miss the length or the code asked for (4 of 4). False are a refusal (a German lesson
# that quotes "I'm sorry" and is sorry itself) and a truncation (a sum whose last sentence lacks its full stop). The
# personal datum is an address in a seed's sample of an advertisement.
CLEAN = {
    Reason.RESPONSE_BOILERPLATE: 16,
    Reason.RESPONSE_REFUSAL: 4,
    Reason.FORMAT_MISSING: 4,
    Reason.RESPONSE_TRUNCATED: 2,
    Reason.PERSONAL_DATA: 1,
}


@pytest.fixture(scope="module")
def clean():
    return clean_rows()


@pytest.fixture(scope="module")
def found(clean):
    rows = planted(clean)
    return rows, quality([row for row, _ in rows]).hits


@pytest.mark.parametrize("fault", MADE, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(found, fault):
    rows, hits = found
    places = {number for number, (_, other) in enumerate(rows) if other is fault}
    assert len(places) == 3
    assert {hit.row for hit in hits if hit.reason is fault.reason} >= places


def test_nothing_else_is_found_on_them(found, clean):
    rows, hits = found
    others = [hit for hit in hits if hit.reason is not rows[hit.row][1].reason]
    assert len(others) <= 1, "one host was written by a model that says that it is one"


def test_no_evidence_shows_what_is_private(found):
    _, hits = found
    private = [str(hit.evidence) for hit in hits if hit.reason in (Reason.PERSONAL_DATA, Reason.SECRET)]
    assert len(private) >= 30
    assert not [secret for secret in SECRETS for evidence in private if secret in evidence]


def test_false_alarms_on_clean_rows_are_counted(clean):
    counts = Counter(hit.reason for hit in quality(clean).hits)
    assert len(clean) == 1115
    assert {reason: count for reason, count in counts.items() if count > CLEAN.get(reason, 0)} == {}


def test_an_answer_cut_anywhere_is_found_half_of_the_time(clean):
    """Prose of at least 100 words, cut at a random character of its second half. Lists and sums end so, too."""
    draw = random.Random(0)
    prose = [row for row in clean if len(row.response.split()) >= 100 and "```" not in row.response]
    ends = [draw.randint(len(row.response) // 2, len(row.response) - 10) for row in prose]
    cut = [replace(row, response=row.response[:end]) for row, end in zip(prose, ends, strict=True)]
    hits = quality(cut, languages=False, private=False).hits
    share = len({hit.row for hit in hits if hit.reason is Reason.RESPONSE_TRUNCATED}) / len(cut)
    assert len(cut) > 500
    assert share > 0.5


def test_an_answer_that_falls_into_a_loop_is_found(clean):
    """The last sentence of an answer again and again, as often as fills a good part of it."""
    looped = []
    for row in clean:
        if len(row.response.split()) < 60 or "```" in row.response or "|" in row.response:
            continue
        last = row.response.rstrip(".").rpartition(". ")[2]
        if 5 <= len(last.split()) <= 40 and "\n" not in last:
            again = f" {last}." * max(6, len(row.response) // (2 * len(last)))
            looped.append(replace(row, response=row.response + again))
    hits = quality(looped, languages=False, private=False).hits
    share = len({hit.row for hit in hits if hit.reason is Reason.REPETITION}) / len(looped)
    assert len(looped) > 300
    assert share > 0.97

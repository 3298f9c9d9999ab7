"""The parts of the report that compute something."""

import re
from collections import Counter
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evolute.report.charts import Step, funnel, sunburst
from evolute.report.differences import differences
from evolute.report.drawing import Drawing
from evolute.report.languages import UNKNOWN, language_mix, language_of
from evolute.report.lineages import evidence_of
from evolute.report.marks import PUBLISHED, band, mean, means_by_round
from evolute.report.plots import MARKERS, short, ticks
from evolute.report.raster import write_png
from evolute.report.roots import Root, most_frequent, root_of
from evolute.report.sampling import Lowest, allocate, draw
from evolute.report.survey import repeated

WORDS = st.lists(
    st.sampled_from(["a", "bee", "sea", "dear", "ease", "if", "gee\nage", "", "eye", "jay"]), max_size=40
).map(" ".join)


@given(WORDS, WORDS)
@example(" bee a", "a")
@example(" bee a if gee eye", "jay a if gee eye")
def test_differences_lose_no_word(parent, child):
    pieces = differences(parent, child)
    if pieces is None:
        return
    without = {kind: "".join(p.text if p.kind != kind else " " for p in pieces).split() for kind in ("del", "ins")}
    assert without["del"] == child.split()
    assert without["ins"] == parent.split()


def test_differences_mark_what_was_gained_and_lost():
    pieces = differences("Explain the tides to a child.", "Explain the great tides to a child, with a drawing.")
    changes = [(piece.kind, piece.text) for piece in pieces if piece.kind != "same"]
    assert changes == [("ins", "great"), ("del", "child."), ("ins", "child, with a drawing.")]
    pieces = differences(
        "Explain the tides of the sea to a child.", "Now explain the tides of the sea to a wise child."
    )
    assert "".join(f"[{piece.kind}: {piece.text}]" if piece.kind != "same" else piece.text for piece in pieces) == (
        "[del: Explain] [ins: Now explain] the tides of the sea to a [ins: wise] child."
    )


def test_texts_that_share_little_are_not_compared():
    assert differences("Explain the tides to a child.", "Which planet has rings?") is None
    assert differences("", "Anything at all") is None
    assert differences("word " * 1000, "word " * 1000) is None, "too long"


@given(st.dictionaries(st.integers(0, 9), st.integers(0, 500), min_size=1), st.integers(0, 1000))
def test_shares_fill_the_sample_and_are_as_equal_as_they_can_be(counts, total):
    shares = allocate(counts, total)
    assert sum(shares.values()) == min(total, sum(counts.values()))
    assert all(shares[name] <= counts[name] for name in counts)
    most = max(shares.values())
    assert all(shares[name] >= most - 1 for name in counts if shares[name] < counts[name])


@given(st.lists(st.integers(0, 20)), st.integers(0, 8))
def test_lowest_keeps_the_lowest_and_of_equals_the_first(keys, size):
    lowest = Lowest(size)
    for place, key in enumerate(keys):
        lowest.add(key, place)
    assert lowest.values() == sorted(range(len(keys)), key=lambda place: keys[place])[:size]


def test_a_draw_depends_on_seed_and_id_alone():
    assert draw(0, "i1-a") == draw(0, "i1-a") != draw(1, "i1-a")
    assert abs(np.mean([draw(0, str(n)) for n in range(2000)]) / 2**64 - 0.5) < 0.03


@pytest.mark.parametrize(
    ("instruction", "verb", "noun"),
    [
        ("Write a short story about a lighthouse.", "write", "story"),
        ("Please give me three reasons to learn Latin", "give", "reasons"),
        ("Can you explain the concept of entropy?", "explain", "concept"),
        ("I want you to create a cooking recipe for two.", "create", "recipe"),
        ("Given two numbers, find their greatest common divisor.", "find", "divisor"),
        ("You need to summarize the following article.", "summarize", "article"),
        ("Help me plan a trip to Rome", "plan", "trip"),
        ("Tell me if this is right.", "tell", ""),
    ],
)
def test_roots_of_imperatives(instruction, verb, noun):
    assert root_of(instruction) == Root(verb, noun)


@pytest.mark.parametrize(
    "instruction", ["What is the capital of Peru?", "", "Schreibe ein Gedicht.", "The story is told."]
)
def test_what_is_no_english_imperative_has_no_root(instruction):
    assert root_of(instruction) is None


def test_the_most_frequent_roots_are_in_order():
    roots = Counter({Root("write", "story"): 5, Root("write", "poem"): 7, Root("list", ""): 3, Root("add", "word"): 3})
    found = most_frequent(roots, verbs=2, objects=1)
    assert [(root.verb, root.count, root.objects) for root in found] == [
        ("write", 12, [("poem", 7)]),
        ("add", 3, [("word", 3)]),
    ]


def test_languages():
    english = "Explain how the tides of the sea are made by the moon."
    german = "Erkläre mir bitte ausführlich, wie die Gezeiten des Meeres durch den Mond entstehen."
    japanese = "月の引力によって潮の満ち引きが起こる仕組みを説明してください。"
    assert [language_of(text) for text in (english, german, japanese)] == ["English", "German", "Japanese"]
    assert language_of("12 + 7") == UNKNOWN
    assert language_mix([german, english, german]) == [("German", 2), ("English", 1)]


@given(st.lists(st.floats(1, 10), min_size=2, max_size=60))
def test_means_and_bands_are_numpys(values):
    found = mean(values)
    assert found.value == pytest.approx(np.mean(values))
    assert found.error == pytest.approx(np.std(values, ddof=1) / np.sqrt(len(values)), abs=1e-9)
    assert band(values).quantiles[2] == pytest.approx(np.median(values))


def test_one_value_has_no_standard_error():
    assert means_by_round([(1, 4.0), (0, 3.0)]) == {0: mean([3.0]), 1: mean([4.0])}
    assert mean([3.0]).error is None


def test_the_published_curves_are_the_papers():
    assert PUBLISHED["GPT-3.5"] == (3.00, 5.48, 6.35, 6.84, 7.08)
    assert PUBLISHED["GPT-4"] == (2.69, 4.68, 4.90, 5.37, 5.54)
    assert PUBLISHED["human"] == (3.15, 5.51, 5.86, 6.49, 6.82)


def test_repetition():
    assert repeated("one two three four five six seven eight") == 0
    assert repeated("it is a story about a movie " * 20) > 0.9
    assert repeated("short") == 0


def test_evidence_in_words():
    assert evidence_of('{"score": 0.97123, "words": ["a", "b"], "none": null}') == [
        ("score", "0.971"),
        ("words", "a, b"),
    ]
    assert evidence_of("not json") == [("evidence", "not json")]
    assert evidence_of("") == []
    assert len(evidence_of('{"text": "' + "x" * 999 + '"}')[0][1]) <= 400


@given(st.floats(0.001, 1e9))
def test_ticks_reach_the_most_and_are_few(most):
    found = ticks(most)
    assert found[0] == 0
    assert found[-1] >= most * (1 - 1e-9)
    assert 2 <= len(found) <= 8


def test_short_numbers():
    assert [short(n) for n in (0, 7, 0.5, 1200, 25_000, 3_500_000)] == ["0", "7", "0.5", "1,200", "25k", "3.5M"]


@given(st.text(max_size=60))
def test_any_text_makes_a_valid_svg(text):
    drawing = Drawing("any", text, text, 100, 100)
    drawing.text(0, 0, text)
    drawing.marker((5, 5), "circle", "seed", tip=text)
    for alone in (False, True):
        root = ElementTree.fromstring(drawing.svg(alone=alone).encode())
        names = {part.tag.rpartition("}")[2] for part in root.iter()}
        assert names <= {"svg", "style", "rect", "text", "circle", "title"}


def test_a_drawing_as_png_is_the_same_each_time():
    drawing = Drawing("all", "A title, $100$ of it", "everything", 120, 90)
    for place, kind in enumerate(MARKERS):
        drawing.marker((10 + 12 * place, 20), kind, "r1", opacity="soft")
    drawing.line([(0, 0), (100, 50)], "accent", width=2, dash=(4, 2))
    drawing.bar(5, 40, 50, 10, "v1", outline="paper", opacity="band")
    drawing.text(60, 60, "turned \u4e16", turn=45, halo=True, bold=True, anchor="middle")
    files = []
    for _ in range(2):
        file = BytesIO()
        write_png(drawing, file)
        files.append(file.getvalue())
    assert files[0] == files[1]
    assert files[0].startswith(b"\x89PNG")
    width, height = (int.from_bytes(files[0][at : at + 4], "big") for at in (16, 20))
    assert (width, height) == tuple(round(2 * side) for side in drawing.frame[2:])


def test_the_funnel_tells_seeds_from_evolved_rows():
    drawing = funnel([Step("seeds", 0, 4), Step("candidates made", 10), Step("kept", 5, of=10), Step("rows", 5, 4)])
    assert "kept: 5 · 50%" in drawing.told
    assert "rows: 9 = 5 + 4 seeds" in drawing.told


def test_a_sunbursts_wedges_are_proportional():
    roots = most_frequent(Counter({Root("write", "story"): 30, Root("list", "things"): 10}))
    tips = re.findall(r"<title>(.*?)</title>", sunburst(roots).svg())
    assert tips == ["write: 30 (75.0%)", "write … story: 30", "list: 10 (25.0%)", "list … things: 10"]

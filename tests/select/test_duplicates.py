import os
import random
import re
import subprocess
import sys
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolute.errors import MissingExtra
from evolute.records import Reason
from evolute.select.banding import PIVOTS, PLACES, rows_per_band
from evolute.select.duplicates import ExactDuplicates, NearDuplicates, exact_duplicates, near_duplicates
from evolute.select.shingles import ShingleSets, plain
from evolute.text.words import words

LONG = (
    "Explain to a new colleague how the ferry's timetable is made, which tides it minds, and who may change it at night"
)
TOKEN = re.compile(r"\w+|[#%&+/<=>^|~-]")


def shingles(text):
    """What the docstring says, for texts of ASCII words."""
    found, marked = [], set()
    for token in TOKEN.findall(text.casefold()):
        if re.match(r"\w", token):
            found.append(token)
        elif found:
            marked.add((found[-1], token))
    return set(pairwise([*found, None])) | marked


def jaccard(one, other):
    one, other = shingles(one), shingles(other)
    return len(one & other) / len(one | other)


def dropped(pairs, threshold=1.0, **kwargs):
    return [(hit.row, hit.other) for hit in pairs.select(threshold, **kwargs).dropped]


def like(pairs, texts):
    """The pairs without the numbers of rows: which sets are how like which."""
    keys = [frozenset(shingles(text)) for text in texts]
    columns = zip(pairs.earlier, pairs.later, pairs.score, strict=True)
    return {(frozenset((keys[a], keys[b])), float(score)) for a, b, score in columns}


# Few words in short texts, so that many of them are near duplicates.
TEXTS = st.lists(
    st.lists(st.sampled_from("abcd+-"), min_size=1, max_size=12).map(lambda t: "x " + " ".join(t)), max_size=PIVOTS
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Name three primes.", "name  three\nPRIMES!"),
        ("What is 7 + 5?", "what is 7+5"),
        ("Straße «hier»", "STRASSE hier"),
        ("写一首诗。", "写一首诗"),
        ("🙂 🙂", " 🙂🙂\n"),
        ("", " \t\n"),
        ("a\ud800", "A"),
    ],
)
def test_texts_differ_in_nothing_that_counts(one, other):
    assert dropped(exact_duplicates([one, other])) == [(1, 0)]
    assert dropped(near_duplicates([one, other])) == [(1, 0)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Write it in C", "Write it in C++"),
        ("Write it in C", "Write it in C#"),
        ("What is 7 + 5?", "What is 7 - 5?"),
        ("Is x < 3?", "Is x > 3?"),
        ("|x| = 5", "|x| = -5"),
        ("Convert Celsius to Fahrenheit", "Convert Fahrenheit to Celsius"),
        ("🙂", "🙂🙂🙃"),
        ("🙂", ""),
        ("?!", "??!"),
        ("+", "-"),
        ("+", "x2b"),
        ("写一首诗", "写一首歌"),
        ("ab", "a b"),
    ],
)
def test_texts_differ_in_what_makes_another_task(one, other):
    assert dropped(exact_duplicates([one, other])) == []
    assert dropped(near_duplicates([one, other]), 0.9) == []


def test_exact_duplicates_say_what_they_are():
    (hit,) = exact_duplicates(iter(["One", "two", "one"])).select(1.0).dropped
    assert (hit.row, hit.other, hit.reason, hit.score) == (2, 0, Reason.DUPLICATE, 1.0)


def test_near_duplicates_have_the_true_index_as_score():
    texts = [LONG, LONG + ", please", "Something else altogether, about bread", LONG.replace("night", "noon")]
    pairs = near_duplicates(texts)
    assert pairs.reason is Reason.NEAR_DUPLICATE
    assert pairs.earlier.tolist() == [0, 0, 1]
    assert pairs.later.tolist() == [1, 3, 3]
    expected = [jaccard(texts[a], texts[b]) for a, b in ((0, 1), (0, 3), (1, 3))]
    assert pairs.score.tolist() == pytest.approx(expected)
    assert dropped(pairs, 0.8) == [(1, 0), (3, 0)]
    assert dropped(pairs, 0.86) == [(1, 0)]


def test_a_score_of_exactly_the_threshold_counts():
    one, other = "x a b c d", "a b c d"  # four pairs in common of five
    assert jaccard(one, other) == 0.8
    assert dropped(near_duplicates([one, other], floor=0.8), 0.8) == [(1, 0)]


@pytest.mark.parametrize("floor", [0, -0.1, 1.01, float("nan")])
def test_a_floor_is_a_jaccard_index(floor):
    with pytest.raises(ValueError, match=re.escape(repr(floor))):
        NearDuplicates(floor)


def test_below_the_floor_one_measures_again():
    with pytest.raises(ValueError, match="measure again"):
        near_duplicates([LONG, LONG], floor=0.7).select(0.6)


@pytest.mark.parametrize("find", [exact_duplicates, near_duplicates])
def test_there_may_be_no_texts_or_one(find):
    assert find([]).select(1.0).kept == []
    assert find(["alone"]).select(1.0).kept == [0]


def test_rensa_is_asked_for_by_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "rensa", None)
    with pytest.raises(MissingExtra, match=r"evolute\[select\]"):
        near_duplicates(["a"])
    assert dropped(exact_duplicates(["a", "a"])) == [(1, 0)]


@given(st.text() | st.text(alphabet=st.characters(exclude_categories=[])))
def test_words_are_those_of_every_other_rule(text):
    said = re.sub("[#%&+/<=>^|~-]", " ", plain(text).decode()).split()
    assert tuple(said) == words(re.sub("[#%&+/<=>^|~-]", " ", text)) or not words(text)
    assert said


@settings(max_examples=40)
@given(st.lists(st.text(alphabet=st.characters(exclude_categories=[]), max_size=30), max_size=12))
def test_no_text_breaks_it_and_its_copy_is_found(texts):
    for find in (exact_duplicates, near_duplicates):
        pairs = find([*texts, *texts])
        assert set(range(len(texts), 2 * len(texts))) <= {hit.row for hit in pairs.select(1.0).dropped}


@settings(max_examples=40)
@given(TEXTS)
def test_scores_are_jaccard_indices_and_reach_the_floor(texts):
    pairs = near_duplicates(texts, floor=0.5)
    for a, b, score in zip(pairs.earlier, pairs.later, pairs.score, strict=True):
        assert a < b
        assert score == np.float32(jaccard(texts[a], texts[b])) >= 0.5


@settings(max_examples=40)
@given(TEXTS, st.randoms(use_true_random=False))
def test_order_changes_numbers_only(texts, draw):
    shuffled = draw.sample(texts, len(texts))
    assert like(near_duplicates(texts, 0.5), texts) == like(near_duplicates(shuffled, 0.5), shuffled)
    kept = [{" ".join(words(rows[k])) for k in exact_duplicates(rows).select(1.0).kept} for rows in (texts, shuffled)]
    assert kept[0] == kept[1]


@settings(max_examples=40)
@given(TEXTS, st.lists(st.integers(0, PIVOTS), max_size=4))
def test_batches_change_nothing(texts, cuts):
    for finder, whole in (
        (NearDuplicates(0.5), near_duplicates(texts, 0.5)),
        (ExactDuplicates(), exact_duplicates(texts)),
    ):
        edges = [0, *sorted(cuts), len(texts)]
        for start, end in pairwise(edges):
            finder.add(texts[start:end])
            finder.pairs()  # looking does not disturb
        pairs = finder.pairs()
        assert pairs.earlier.tolist() == whole.earlier.tolist()
        assert pairs.later.tolist() == whole.later.tolist()
        assert pairs.score.tolist() == whole.score.tolist()


def test_texts_longer_than_a_batch_are_measured_like_others():
    long = " ".join(f"word{number}" for number in range(80_000))
    texts = [long, "short", long + " more", "Short!"]
    pairs = near_duplicates(texts)
    assert dropped(pairs, 0.99) == [(2, 0), (3, 1)]
    assert pairs.score[0] == np.float32(79_999 / 80_002)


def made_texts(count):
    """Texts of 20 to 60 words in families, with up to four words changed."""
    draw = random.Random(3)
    vocabulary = [f"word{number}" for number in range(3000)]
    texts = []
    while len(texts) < count:
        head = draw.choices(vocabulary, k=draw.randint(20, 60))
        for _ in range(draw.randint(1, 4)):
            text = list(head)
            for at in draw.sample(range(len(text)), draw.randint(0, 4)):
                text[at] = draw.choice(vocabulary)
            texts.append(" ".join(text))
    return draw.sample(texts[:count], count)


def test_nearly_all_pairs_are_found():
    texts = sorted(set(made_texts(600)))
    sets = [shingles(text) for text in texts]
    index = {}
    for (a, one), (b, other) in combinations(enumerate(sets), 2):
        if common := len(one & other):
            index[a, b] = common / len(one | other)
    pairs = near_duplicates(texts)
    found = set(zip(pairs.earlier.tolist(), pairs.later.tolist(), strict=True))
    for threshold, share in ((0.7, 0.96), (0.8, 0.99)):
        true = {pair for pair, score in index.items() if score >= threshold}
        assert len(true) > 100
        assert len(found & true) >= share * len(true)
    assert all(index[pair] >= 0.7 for pair in found)


@pytest.mark.parametrize(
    ("floor", "rows"), [(0.3, 2), (0.5, 3), (0.7, 5), (0.8, 6), (0.9, 10), (1.0, PLACES), (0.01, 1)]
)
def test_bands_are_as_narrow_as_the_floor_asks(floor, rows):
    assert rows_per_band(floor) == rows


def test_thousands_of_fillings_of_a_template_are_dropped_for_the_first():
    texts = [f"{LONG} number{number}" for number in range(3000)]
    pairs = near_duplicates(texts)
    assert len(pairs.score) <= len(texts) * PIVOTS * 16
    assert pairs.select(0.8).kept == [0]
    assert pairs.select(0.8, gone={0, 1, 2}).kept == [0, 1, 2, 3]  # a row gone before is not dropped again
    assert len(pairs.select(0.95).kept) == len(texts)


def test_ten_thousand_copies_of_copies_are_all_dropped():
    # The second is like the first, and ten thousand copies are like both; no pair is spent on each two of them.
    near, other = LONG.replace("night", "noon"), "Bake a loaf of rye bread"
    texts = [LONG, near, other, *[near, LONG] * 5000, LONG + " near"]
    pairs = near_duplicates(texts)
    assert len(pairs.score) < 2 * len(texts)
    assert pairs.select(0.8).kept == [0, 2]
    assert pairs.select(0.99).kept == [0, 1, 2, len(texts) - 1]
    assert pairs.select(0.8, gone={0}).kept == [0, 1, 2]
    assert pairs.select(0.99, gone={0}).kept == [0, 1, 2, 4, len(texts) - 1]


def test_hashes_are_the_same_on_every_machine():
    hashes, sizes = ShingleSets().add(["Name three primes, in C++", "写诗", "🙂", ""])
    assert sizes.tolist() == [6, 2, 1, 1]
    assert [int(value) >> 32 for value in hashes] == [
        71972052,
        2941420662,
        3579841861,
        1972783422,
        3526424459,
        1952015624,
        2793832836,
        1773401280,
        1911681849,
        306075898,
    ]


def test_threads_change_nothing(tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(made_texts(2000)))
    code = (
        "import sys; from evolute.select.duplicates import near_duplicates\n"
        "pairs = near_duplicates(open(sys.argv[1]))\n"
        "print(pairs.earlier.tolist(), pairs.later.tolist(), pairs.score.tolist())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "texts.txt")],
            env={**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
            capture_output=True,
            check=True,
        ).stdout
        for threads in ("1", "4")
    }
    assert len(said) == 1
    assert len(said.pop()) > 1000

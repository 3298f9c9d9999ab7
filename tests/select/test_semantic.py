"""Semantic duplicates: the same pairs whatever the order and the batches, near to all of them, and bounded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolute.encoders.static import shipped
from evolute.errors import EvoluteError
from evolute.records import Reason
from evolute.select.semantic import MOST, SemanticDuplicates, neighbours, pairs_of, semantic_duplicates

TEXTS = [
    "Write a short poem about the sea.",
    "Explain how a bicycle stays upright.",
    "Compose a brief poem about the ocean.",
    "",
    "Write a short poem about the sea!",
    "What is the capital of France?",
]


def units(count, dimensions=32, seed=0, *, near=0):
    """Random rows of length 1; the last `near` are each close to one of the first."""
    draw = np.random.default_rng(seed)
    rows = draw.standard_normal((count, dimensions))
    if near:
        rows[-near:] = rows[:near] + 0.2 * draw.standard_normal((near, dimensions))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def pair_set(pairs):
    return set(zip(pairs.earlier.tolist(), pairs.later.tolist(), strict=True))


def all_pairs(vectors, floor):
    first, second = np.nonzero(np.triu(vectors @ vectors.T >= floor, 1))
    return set(zip(first.tolist(), second.tolist(), strict=True))


@pytest.fixture(scope="module")
def encoder():
    return shipped()


def test_pairs_are_found_scored_and_sorted(encoder):
    pairs = semantic_duplicates(TEXTS, encoder, floor=0.7)
    assert (pairs.reason, pairs.count, pairs.floor) == (Reason.SEMANTIC_DUPLICATE, 6, 0.7)
    assert pair_set(pairs) == {(0, 2), (0, 4), (2, 4)}
    assert pairs.later.tolist() == sorted(pairs.later.tolist())
    vectors = encoder.encode(TEXTS)
    assert pairs.score == pytest.approx((vectors[pairs.earlier] * vectors[pairs.later]).sum(axis=1), abs=1e-6)


def test_selecting_what_was_selected_drops_nothing(encoder):
    kept = list(semantic_duplicates(TEXTS, encoder, floor=0.7).select(0.7).of(TEXTS))
    assert kept == [TEXTS[0], TEXTS[1], "", TEXTS[5]]
    assert semantic_duplicates(kept, encoder, floor=0.7).select(0.7).dropped == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 10_000]))
def test_pairs_do_not_depend_on_the_order_of_the_rows(seed, exact):
    vectors = np.concatenate([units(240, seed=seed % 1000, near=100), np.zeros((2, 32), np.float32)])
    order = np.random.default_rng(seed).permutation(len(vectors))
    before, after = pairs_of(vectors, exact=exact), pairs_of(vectors[order], exact=exact)
    said = {tuple(sorted((order[a], order[b]))) for a, b in pair_set(after)}
    assert said == pair_set(before)
    assert sorted(after.score.tolist()) == sorted(before.score.tolist())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([*TEXTS, "Tell me about rivers.", "Tell me of a river."]), max_size=20), st.data())
def test_pairs_do_not_depend_on_the_batches(texts, data):
    encoder = kept_encoder()
    whole, parts = SemanticDuplicates(encoder, 0.6), SemanticDuplicates(encoder, 0.6)
    whole.add(texts)
    cut = data.draw(st.integers(0, len(texts)))
    parts.add(texts[:cut])
    parts.add(texts[cut:])
    assert pair_set(whole.pairs()) == pair_set(parts.pairs())
    assert np.array_equal(whole.pairs().score, parts.pairs().score)


def kept_encoder(kept=[]):  # noqa: B006 (hypothesis draws many examples; the table is read once)
    if not kept:
        kept.append(shipped())
    return kept[0]


@pytest.mark.parametrize("seed", range(3))
def test_up_to_a_bound_all_pairs_are_compared(seed):
    vectors = units(600, seed=seed, near=200)
    assert pair_set(pairs_of(vectors, 0.5)) == all_pairs(vectors, 0.5)


def test_cells_find_nearly_all_pairs():
    vectors = units(6000, seed=5, near=2000)
    found, wanted = pair_set(pairs_of(vectors, 0.8, exact=0)), all_pairs(vectors, 0.8)
    assert found <= wanted
    assert len(wanted) > 1900
    assert len(found) >= 0.9 * len(wanted)


def test_many_copies_cost_no_more_than_many_rows():
    one = units(3, seed=1)
    vectors = np.concatenate([one[:1]] * 20_000 + [one])
    pairs = pairs_of(vectors, 0.9)
    assert len(pairs.score) <= MOST * len(vectors)
    assert pairs.select(0.9).kept == [0, 20_001, 20_002]
    assert pairs.select(0.9, gone=[0, 3]).kept == [0, 1, 3, 20_001, 20_002]  # what was dropped before drops none


def test_a_late_copy_knows_what_its_first_was_like():
    row = units(1, seed=2)
    like = row + 0.1 * units(1, seed=3)
    like /= np.linalg.norm(like)
    vectors = np.concatenate([row, *[like] * 50]).astype(np.float32)
    assert len(pairs_of(vectors, 0.9).select(0.9).dropped) == 50
    assert pair_set(pairs_of(vectors, 0.9)) >= {(0, later) for later in range(1, 51)}


def test_a_crowd_of_like_rows_is_bounded():
    crowd = units(1, 64, seed=4) + 0.05 * units(2500, 64, seed=5)
    vectors = (crowd / np.linalg.norm(crowd, axis=1, keepdims=True)).astype(np.float32)
    for exact in (0, 10_000):
        pairs = pairs_of(vectors, 0.9, exact=exact)
        assert np.bincount(pairs.later).max() <= MOST
        assert len(pairs.select(0.9).kept) <= (1 if exact else len(vectors) // 25)


def test_nothing_is_like_nothing():
    assert pairs_of(np.zeros((5, 8), np.float32)).score.tolist() == []
    assert pairs_of(np.zeros((0, 8), np.float32)).count == 0
    empty = SemanticDuplicates(kept_encoder())
    empty.add([])
    assert empty.pairs().count == 0


@pytest.mark.parametrize("exact", [0, 10_000])
def test_the_nearest_neighbour_is_found(exact):
    corpus, queries = units(2000, seed=6), units(3000, seed=6, near=500)
    queries[0] = 0
    query, row, cosine = neighbours(queries, corpus, 0.9, exact=exact)
    dots = queries @ corpus.T
    wanted = np.flatnonzero(dots.max(axis=1) >= 0.9)
    assert set(query.tolist()) <= set(wanted.tolist())
    assert len(query) >= 0.95 * len(wanted) > 1000
    assert 0 not in query
    assert query.tolist() == sorted(query.tolist())
    assert row.tolist() == dots[query].argmax(axis=1).tolist()
    assert cosine == pytest.approx(dots[query, row], abs=1e-6)


def test_no_corpus_has_no_neighbours():
    for corpus in (np.zeros((0, 32), np.float32), np.zeros((3, 32), np.float32)):
        assert [column.tolist() for column in neighbours(units(4), corpus, 0.5)] == [[], [], []]


class Broken:
    """An encoder that answers what it is given to answer."""

    name = identity = "broken"

    def __init__(self, *answers):
        self.answers = list(answers)

    def encode(self, texts):
        return self.answers.pop(0)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([units(2), units(2, 16)], "vectors of 32 numbers and then of 16"),
        ([units(2), units(3)], "no row for each"),
        ([units(2)[0]], "no row for each"),
        ([units(2), 3 * units(2)], "neither of length 1"),
        ([np.full((2, 8), np.nan, np.float32)], "not finite"),
    ],
)
def test_an_encoder_that_breaks_the_rules_is_named(answers, said):
    measured = SemanticDuplicates(Broken(*answers))
    for _ in answers[:-1]:
        measured.add(["a", "b"])
    with pytest.raises(EvoluteError, match=said):
        measured.add(["a", "b"])


def test_blank_texts_before_the_first_word_have_no_vectors():
    measured = SemanticDuplicates(Broken(np.zeros((2, 0), np.float32), units(2), np.zeros((2, 0), np.float32)))
    for _ in range(3):
        measured.add(["a", "b"])
    assert measured.vectors.shape == (6, 32)
    assert measured.pairs().count == 6


def test_a_floor_that_is_none():
    with pytest.raises(ValueError, match="above 0"):
        pairs_of(units(3), 0)

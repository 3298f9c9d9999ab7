"""Deciding over classes of equal rows must be what deciding over all their pairs would be."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evolute.records import Reason
from evolute.select.copies import Copies, first_of_each
from evolute.select.duplicates import near_duplicates
from evolute.select.findings import Pairs


def as_pairs(count, scores):
    rows = sorted((later, earlier, score) for (earlier, later), score in scores.items())
    later, earlier, score = zip(*rows, strict=True) if rows else ((), (), ())
    columns = np.array(earlier, np.int64), np.array(later, np.int64), np.array(score, np.float32)
    return Pairs(Reason.NEAR_DUPLICATE, count, 0.5, *columns)


@st.composite
def measured(draw):
    """Copies, and the same with all pairs written out."""
    kinds = draw(st.lists(st.integers(0, 4), max_size=14))
    first = np.array([kinds.index(kind) for kind in kinds], dtype=np.int64)
    linked = {}
    for one in range(5):
        for other in range(one):
            if score := draw(st.sampled_from([0, 0, 0.5, 0.75, 0.9])):
                linked[frozenset((one, other))] = score
    every = {
        (a, b): 1.0 if kinds[a] == kinds[b] else linked[frozenset((kinds[a], kinds[b]))]
        for b in range(len(kinds))
        for a in range(b)
        if kinds[a] == kinds[b] or frozenset((kinds[a], kinds[b])) in linked
    }
    heads = {pair: score for pair, score in every.items() if all(first[row] == row for row in pair)}
    return Copies.of(first, as_pairs(len(kinds), heads)), as_pairs(len(kinds), every)


@given(measured(), st.sampled_from([0.5, 0.7, 0.75, 0.9, 1.0, 1.1]), st.sets(st.integers(0, 13)), st.data())
def test_deciding_is_as_with_every_pair_written_out(both, threshold, gone, data):
    copies, every = both
    gone = {row for row in gone if row < copies.count}
    assert copies.select(threshold, gone=gone) == every.select(threshold, gone=gone)
    lineages = data.draw(st.lists(st.integers(0, 3), min_size=copies.count, max_size=copies.count))
    assert copies.between(lineages).select(threshold, gone=gone) == every.between(lineages).select(threshold, gone=gone)


@given(measured())
def test_the_columns_are_true_pairs_in_order(both):
    copies, every = both
    known = dict(zip(zip(every.earlier, every.later, strict=True), every.score, strict=True))
    columns = list(zip(copies.later, copies.earlier, strict=True))
    assert columns == sorted(set(columns))
    assert all(known[a, b] == s for a, b, s in zip(copies.earlier, copies.later, copies.score, strict=True))
    lineages = [row % 2 for row in range(copies.count)]
    apart = copies.between(lineages)
    assert all(lineages[a] != lineages[b] for a, b in zip(apart.earlier, apart.later, strict=True))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=20))
def test_the_first_of_each_is_the_first(keys):
    found = first_of_each(np.array(keys, dtype=np.uint64).reshape(-1, 2))
    assert found.tolist() == [keys.index(key) for key in keys]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=12), st.floats(0.7, 1))
def test_within_groups_is_as_if_each_group_stood_alone(rows, threshold):
    texts = {"a": "one two three four five six", "b": "one two three four five six seven", "c": "nine ten"}
    pairs = near_duplicates([texts[text] for text, _ in rows], floor=0.7).within([group for _, group in rows])
    dropped = {hit.row for hit in pairs.select(threshold).dropped}
    alone = set()
    for group in "xyz":
        members = [row for row, (_, own) in enumerate(rows) if own == group]
        found = near_duplicates([texts[rows[row][0]] for row in members], floor=0.7).select(threshold).dropped
        alone |= {members[hit.row] for hit in found}
    assert dropped == alone

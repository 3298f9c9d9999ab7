"""The topic map on planted topics."""

import random

import numpy as np
import pytest
from report_runs import Hashing

from evolute.report.topics import FEWEST, characteristic_words, topic_map

TOPICS = {
    "sea": ["tide", "wave", "harbour", "ship", "sailor", "anchor", "coral", "lighthouse"],
    "kitchen": ["oven", "flour", "butter", "recipe", "dough", "whisk", "saucepan", "pepper"],
    "court": ["judge", "verdict", "lawyer", "statute", "appeal", "evidence", "witness", "plaintiff"],
}


def planted(count):
    """Texts of three topics in turn, each of six words of its topic."""
    draw = random.Random(7)
    names = [list(TOPICS)[n % 3] for n in range(count)]
    return [" ".join(draw.sample(TOPICS[name], 6)) for name in names], names


def test_planted_topics_are_found():
    texts, names = planted(120)
    found = topic_map(texts, [n % 2 for n in range(120)], Hashing())
    pure = sum(
        max(np.unique([names[n] for n in np.flatnonzero(found.cluster_of == c.number - 1)], return_counts=True)[1])
        for c in found.clusters
    )
    assert pure >= 0.95 * 120
    own = {word for name in TOPICS for word in TOPICS[name]}
    assert all(set(cluster.words) <= own for cluster in found.clusters)
    assert [c.size for c in found.clusters] == sorted((c.size for c in found.clusters), reverse=True)
    assert sum(c.size for c in found.clusters) == 120
    assert found.points.min() == 0
    assert found.points.max() == 1


def test_the_map_is_the_same_each_time():
    texts, _ = planted(60)
    first, second = (topic_map(texts, [0] * 60, Hashing(), seed=3) for _ in range(2))
    assert np.array_equal(first.points, second.points)
    assert np.array_equal(first.cluster_of, second.cluster_of)
    assert first.spread == second.spread


def test_spread_tells_copies_from_new_topics():
    seeds = [text for text, name in zip(*planted(90), strict=True) if name == "sea"]
    copies = list(seeds)
    new = [text for text, name in zip(*planted(180), strict=True) if name != "sea"][:30]
    found = topic_map([*seeds, *copies, *new], [0] * 30 + [1] * 30 + [2] * 30, Hashing())
    by_group = {spread.group: spread for spread in found.spread}
    assert list(by_group) == ["seeds", "round 1", "round 2", "all rounds"]
    assert by_group["round 1"].nearest_seed == pytest.approx(0, abs=1e-6)
    assert by_group["round 2"].nearest_seed > by_group["seeds"].nearest_seed + 0.2
    assert by_group["round 2"].pairwise > by_group["round 1"].pairwise
    assert by_group["all rounds"].count == 60
    assert 1 <= by_group["seeds"].evenness <= by_group["seeds"].clusters


def test_rows_that_are_all_alike_make_one_cluster():
    found = topic_map(["the same words"] * 40, [0] * 20 + [1] * 20, Hashing())
    assert len(found.clusters) == 1
    assert np.isfinite(found.points).all()


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match=f"at least {FEWEST}"):
        topic_map(["a"] * (FEWEST - 1), [0] * (FEWEST - 1), Hashing())


def test_words_of_a_group_set_it_apart():
    texts = ["sailors love salt", "sailors fear salt", "bakers love bread", "bakers sell bread"]
    assert characteristic_words(texts, [0, 0, 1, 1]) == [["sailors", "salt", "fear"], ["bakers", "bread", "sell"]]

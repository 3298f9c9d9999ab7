"""The topic map: instructions as points that lie near one another when they speak of like things, in 20 clusters.

The paper embeds instructions with BERT, lays them out with t-SNE and colours 20 k-means clusters, once for its data and
once for each other's. Here one map holds a sample of the seeds and of every round, so that one sees where rounds went.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evolute.encoders import Encoder
from evolute.errors import MissingExtra
from evolute.report.lexicon import STOP_WORDS
from evolute.text.words import words

CLUSTERS = 20
FEWEST = 30
"""Rows that a map needs: with fewer, its places and clusters would mean nothing."""
LABEL_WORDS = 3
_COMPONENTS = 50  # what t-SNE is given of the vectors: their first principal components, as its authors do
_PERPLEXITY = 30.0
_STEPS, _ANGLE = 500, 0.8  # half the default steps, and coarser far forces: the divergence grows by less than 1 %
_PAIRS = 20_000  # drawn for the mean distance of a pair


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, numbered from 1, the largest.

    It has its most characteristic words, the sampled rows of each round in it, its middle on the map, and the row that
    is nearest its centre.
    """

    number: int
    words: Sequence[str]
    by_round: Counter[int]
    middle: tuple[float, float]
    typical: int

    @property
    def size(self) -> int:
        """Sampled rows in it."""
        return self.by_round.total()


@dataclass(frozen=True, slots=True)
class Spread:
    """How far a group of rows spreads. All distances are cosine distances (1 - cosine) of the encoder's vectors.

    `nearest_seed` is the mean distance to the nearest sampled seed (for a seed, another one), None without seeds;
    `pairwise` the mean distance of two rows of the group; `clusters` how many clusters have a row of the group, and
    `evenness` the number of equally large clusters with the same entropy: exp(-sum p ln p).
    """

    group: str
    count: int
    clusters: int
    evenness: float
    nearest_seed: float | None
    pairwise: float | None


@dataclass(frozen=True, slots=True)
class TopicMap:
    """The map: a point (0 to 1 both ways), a cluster and a round per row, in the rows' order."""

    encoder: str
    points: NDArray[np.float64]
    cluster_of: NDArray[np.int64]
    rounds: Sequence[int]
    clusters: list[Cluster]
    spread: list[Spread]


def topic_map(
    texts: Sequence[str], rounds: Sequence[int], encoder: Encoder, *, seed: int = 0, hidden: Collection[int] = ()
) -> TopicMap:
    """Lay out `texts`, each of a round (0: a seed), and cluster them.

    The same texts, encoder and seed give the same map on the same machine and versions of scikit-learn.

    Args:
        texts: at least `FEWEST`; time grows a little faster than their number (5,000: 20 s).
        rounds: the round of each.
        encoder: makes the vectors.
        seed: of t-SNE, k-means and the pairs drawn.
        hidden: places of texts whose words name no cluster.

    Raises:
        MissingExtra: scikit-learn is not installed.
        ValueError: fewer than `FEWEST` texts.
    """
    if len(texts) < FEWEST:
        raise ValueError(f"a topic map needs at least {FEWEST} texts, got {len(texts)}")
    vectors = np.asarray(encoder.encode(texts), dtype=np.float64)
    cluster, manifold = _extra("sklearn.cluster"), _extra("sklearn.manifold")
    # Threads add their sums up in any order, and t-SNE makes another picture of a difference in the last bit. On a busy
    # machine one is faster, too: several wait for each other at every step. The limit holds for what is loaded by now.
    with _extra("threadpoolctl").threadpool_limits(1):
        reduced = _principal(vectors)
        cluster_of = _cluster(cluster, reduced, seed)
        points = _lay_out(manifold, reduced, seed)
    clusters = _describe(
        ["" if place in hidden else text for place, text in enumerate(texts)], rounds, reduced, points, cluster_of
    )
    spread = _spread(vectors, np.asarray(rounds), cluster_of, seed)
    return TopicMap(encoder.name, points, cluster_of, rounds, clusters, spread)


def _principal(vectors: NDArray[Any]) -> NDArray[Any]:
    """The vectors' first principal components."""
    centred = vectors - vectors.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    return np.asarray(centred @ axes[:_COMPONENTS].T)


def _cluster(sklearn: ModuleType, reduced: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """Clusters numbered from 0 by size, the largest first."""
    count = min(CLUSTERS, len(np.unique(reduced, axis=0)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # points that coincide make fewer clusters, which the page counts itself
        found = sklearn.KMeans(n_clusters=count, n_init=4, random_state=seed).fit_predict(reduced)
    order = [name for name, _ in sorted(Counter(found.tolist()).items(), key=lambda pair: (-pair[1], pair[0]))]
    return np.array([order.index(name) for name in found.tolist()], dtype=np.int64)


def _lay_out(sklearn: ModuleType, reduced: NDArray[Any], seed: int) -> NDArray[np.float64]:
    """t-SNE in the unit square, begun from the first two components, so that large distances mean something, too.

    (Kobak & Berens 2019, The art of using t-SNE for single-cell transcriptomics.)
    """
    start = (reduced[:, :2] / (reduced[:, 0].std() or 1.0) * 1e-4).astype(np.float32)
    perplexity = min(_PERPLEXITY, (len(reduced) - 1) / 3)
    layout = sklearn.TSNE(perplexity=perplexity, init=start, max_iter=_STEPS, angle=_ANGLE, random_state=seed, n_jobs=1)
    points = np.asarray(layout.fit_transform(reduced), dtype=np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    square: NDArray[np.float64] = (points - low) / np.where(high > low, high - low, 1.0)
    return square


def _describe(
    texts: Sequence[str],
    rounds: Sequence[int],
    reduced: NDArray[Any],
    points: NDArray[np.float64],
    cluster_of: NDArray[np.int64],
) -> list[Cluster]:
    labels = characteristic_words(texts, cluster_of.tolist())
    clusters = []
    for number in range(int(cluster_of.max()) + 1):
        (members,) = np.nonzero(cluster_of == number)
        distances = np.linalg.norm(reduced[members] - reduced[members].mean(axis=0), axis=1)
        middle = np.median(points[members], axis=0)
        by_round = Counter(rounds[member] for member in members.tolist())
        place = (float(middle[0]), float(middle[1]))
        clusters.append(Cluster(number + 1, labels[number], by_round, place, int(members[distances.argmin()])))
    return clusters


def characteristic_words(texts: Sequence[str], groups: Sequence[int]) -> list[list[str]]:
    """The words that set each group apart: by how many of its texts have them, against all texts that do.

    The score is p ln(p / q), p and q being the shares of the group's and of all texts with the word, smoothed by one.
    """
    everywhere: Counter[str] = Counter()
    within = [Counter[str]() for _ in range(max(groups) + 1)]
    sizes = Counter(groups)
    for text, group in zip(texts, groups, strict=True):
        found = {word for word in words(text) if len(word) > 2 and word not in STOP_WORDS and not word.isdigit()}
        everywhere.update(found)
        within[group].update(found)
    labels = []
    for group, counts in enumerate(within):
        scores = {
            word: (count / sizes[group])
            * math.log((count / sizes[group]) / ((everywhere[word] + 1) / (len(texts) + 1)))
            for word, count in counts.items()
        }
        labels.append(sorted(scores, key=lambda word: (-scores[word], word))[:LABEL_WORDS])
    return labels


def _spread(vectors: NDArray[Any], rounds: NDArray[Any], cluster_of: NDArray[np.int64], seed: int) -> list[Spread]:
    groups = [(f"round {round_}" if round_ else "seeds", rounds == round_) for round_ in sorted(set(rounds.tolist()))]
    if len(groups) > 2:
        groups.append(("all rounds", rounds > 0))
    seeds = vectors[rounds == 0]
    return [_spread_of(name, vectors[inside], cluster_of[inside], seeds, seed) for name, inside in groups]


def _spread_of(
    name: str, vectors: NDArray[Any], cluster_of: NDArray[np.int64], seeds: NDArray[Any], seed: int
) -> Spread:
    shares = np.bincount(cluster_of) / len(cluster_of)
    shares = shares[shares > 0]
    evenness = float(np.exp(-(shares * np.log(shares)).sum()))
    others = 1 if name == "seeds" else 0
    nearest = None
    if len(seeds) > others:
        # The nearest of all, or the second nearest where the nearest is the row itself.
        nearest = float(np.partition(1 - vectors @ seeds.T, others, axis=1)[:, others].mean())
    return Spread(name, len(vectors), len(shares), evenness, nearest, _pairwise(vectors, seed))


def _pairwise(vectors: NDArray[Any], seed: int) -> float | None:
    if len(vectors) < 2:
        return None
    draw = np.random.default_rng(seed)
    first = draw.integers(0, len(vectors), _PAIRS)
    second = (first + draw.integers(1, len(vectors), _PAIRS)) % len(vectors)
    return float((1 - (vectors[first] * vectors[second]).sum(axis=1)).mean())


def _extra(module: str) -> ModuleType:
    """A module of scikit-learn, or of what comes with it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtra("the topic map", "report") from None

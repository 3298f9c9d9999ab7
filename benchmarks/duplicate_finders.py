"""What duplicates.py runs in a process of its own: ours, datasketch or semhash, over texts in a file.

    python benchmarks/duplicate_finders.py evolute|datasketch|semhash TEXTS.jsonl OUT.json THRESHOLD

It runs under the peers' interpreter as well, and so imports nothing beside what it measures.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path

MARKS = set("#%&+-/<=>^|~")
TOKEN = re.compile(r"\w+|[#%&+/<=>^|~-]")
READING = "reading JSON (not counted)"
Found = tuple[list[tuple[int, int]], list[int]]
"""Pairs (earlier, later), and the rows that are dropped."""


class Phases:
    """CPU and wall seconds by phase; a phase inside another is not counted twice."""

    def __init__(self) -> None:
        self.seconds: dict[str, dict[str, float]] = {}
        self._open: list[str] = []
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count what happens inside to `name`."""
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def of(self, owner: type, method: str, name: str) -> None:
        """Count the calls of a method to `name`."""
        inner: Callable = getattr(owner, method)

        def outer(*args: object) -> object:
            with self(name):
                return inner(*args)

        setattr(owner, method, outer)

    def _charge(self) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        if self._open:
            spent = self.seconds.setdefault(self._open[-1], {"cpu": 0.0, "wall": 0.0})
            spent["cpu"] += cpu - self._cpu
            spent["wall"] += wall - self._wall
        self._cpu, self._wall = cpu, wall


def read(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def shingles(text: str) -> set[str]:
    """The same shingles for every peer: pairs of neighbouring words, and each mark with the word before it."""
    words = [""]
    found = set()
    for token in TOKEN.findall(text.casefold()):
        if token in MARKS:
            found.add(words[-1] + token)
        else:
            words.append(token)
    return found.union(map(" ".join, pairwise([*words[1:], ""])))


def evolute(path: Path, threshold: float, phases: Phases) -> Found:
    from evolute.select.banding import Bands
    from evolute.select.duplicates import NearDuplicates
    from evolute.select.shingles import ShingleSets

    for owner, method, name in (
        (ShingleSets, "add", "shingling"),
        (Bands, "signatures", "MinHash through rensa"),
        (Bands, "add", "banding"),
        (Bands, "candidates", "candidates"),
        (ShingleSets, "jaccard", "verification"),
    ):
        phases.of(owner, method, name)
    found, texts = NearDuplicates(), read(path)
    while True:
        with phases(READING):
            batch = list(islice(texts, 4096))
        if not batch:
            break
        with phases("equal sets, and the rest"):
            found.add(batch)
    with phases("equal sets, and the rest"):
        pairs = found.pairs()
    with phases("deciding"):
        dropped = [hit.row for hit in pairs.select(threshold).dropped]
    close = pairs.score >= threshold
    return list(zip(pairs.earlier[close].tolist(), pairs.later[close].tolist(), strict=True)), dropped


def datasketch(path: Path, threshold: float, phases: Phases) -> Found:
    from datasketch import MinHash, MinHashLSH

    pairs, dropped = [], []
    with phases("all"):
        index = MinHashLSH(threshold=threshold, num_perm=128)
        sets = ([shingle.encode() for shingle in shingles(text)] for text in read(path))
        for row, signature in enumerate(MinHash.generator(sets, num_perm=128, seed=1)):
            like = index.query(signature)
            pairs += [(other, row) for other in like]
            if like:
                dropped.append(row)
            index.insert(row, signature)
    return pairs, dropped


def semhash(path: Path, threshold: float, phases: Phases) -> Found:
    import numpy as np
    from semhash import SemHash

    class Hashing:
        """Sets of shingles as vectors: each shingle adds or takes one at a place that its hash gives."""

        def encode(self, texts: list[str], **_: object) -> np.ndarray:
            vectors = np.zeros((len(texts), 256), dtype=np.float32)
            for vector, text in zip(vectors, texts, strict=True):
                codes = np.array([hash(shingle) for shingle in shingles(text)])
                np.add.at(vector, codes % 256, 1 - 2 * (codes >> 40 & 1))
            return vectors

    records = [{"row": row, "text": text} for row, text in enumerate(read(path))]
    cosine = 2 * threshold / (1 + threshold)
    with phases("all"):
        index = SemHash.from_records(records=records, columns=["text"], model=Hashing())
        gone = index.self_deduplicate(threshold=cosine).filtered
    pairs = [(one.duplicate_of["row"], one.record["row"]) for one in gone]
    return pairs, [one.record["row"] for one in gone]


def peak_memory() -> int:
    """The most memory that this process held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would tell of the process that started this one, if that was larger
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    name, texts, out, threshold = sys.argv[1:]
    phases = Phases()
    finders = {"evolute": evolute, "datasketch": datasketch, "semhash": semhash}
    pairs, dropped = finders[name](Path(texts), float(threshold), phases)
    found = {"phases": phases.seconds, "peak": peak_memory(), "pairs": pairs, "dropped": dropped}
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main()

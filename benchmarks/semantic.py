"""Semantic duplicates among 100,000 rows with the shipped encoder, end to end from text, each phase shown; and semhash.

    python benchmarks/semantic.py [--rows 100000] [--corpus 30000] [--peers-python PYTHON] [--data FOLDER]

The rows are made from real instructions as paraphrases are: other verbs, words left out, put in or exchanged, halves
in another order. Recall is against brute force, for a sample of rows with all before them; rows with more than `MOST`
like ones, of which the rest is left out on purpose, count for the recall of rows, not for that of pairs. The
neighbours are those of all rows in a corpus of real texts. semhash gets the same texts in a process of its own, and
the same table as a model2vec model, since its own comes from the hub; its index is approximate.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "src/evolute/encoders/data/minilm"
LEVELS = (0.8, 0.85, 0.9)
SAMPLE = 2000
VERBS = ("Write", "Create", "Compose", "Draft", "Give", "Describe", "Explain", "Show", "Produce", "Prepare")
ASIDES = ("please", "in detail", "step by step", "with an example", "as simply as you can", "for a beginner")
SEMHASH = """
import json, resource, sys, time
import numpy as np
from model2vec import StaticModel
from semhash import SemHash
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
texts, table, threshold = json.load(open(sys.argv[1])), sys.argv[2], float(sys.argv[3])
vocabulary = [*open(table + "/vocabulary.txt", encoding="utf-8").read().split("\\n")[:-1], "[UNK]"]
vectors = np.load(table + "/vectors.npy").astype(np.float32)
vectors = np.concatenate([vectors, np.zeros((1, vectors.shape[1]), np.float32)])
cutter = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(vocabulary)}, unk_token="[UNK]"))
cutter.normalizer, cutter.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
model = StaticModel(vectors, cutter, normalize=True)
start = time.perf_counter()
index = SemHash.from_records(texts, model=model)
built = time.perf_counter()
kept = len(index.self_deduplicate(threshold=threshold).selected)
search = time.perf_counter() - built
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"encode and index": built - start, "search": search, "kept": kept, "peak": peak}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--corpus", type=int, default=30_000, help="rows of the corpus for neighbours")
    parser.add_argument("--threshold", type=float, default=0.9, help="for what is dropped, ours and semhash's")
    parser.add_argument("--peers-python", help="an interpreter with semhash")
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--find", nargs=2, type=Path, metavar=("TEXTS", "CORPUS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.find:
        find(*options.find, options.threshold)
        return
    if not options.data.is_dir():
        raise SystemExit(f"{options.data} is not there: give the folder of the real rows with --data")
    with TemporaryDirectory() as folder:
        rows, corpus = Path(folder, "rows.json"), Path(folder, "corpus.json")
        origins = list(dict.fromkeys(real_texts(options.data)))
        rows.write_text(json.dumps(paraphrases(origins, options.rows)), encoding="utf-8")
        corpus.write_text(json.dumps(origins[: options.corpus]), encoding="utf-8")
        publish(options, rows, corpus)


def publish(options: argparse.Namespace, rows: Path, corpus: Path) -> None:
    from common import table, verdict

    told = [sys.executable, __file__, "--find", str(rows), str(corpus), "--threshold", str(options.threshold)]
    found = told_by(told)
    count = options.rows
    table(
        f"Semantic duplicates, {count:,} rows, {found['encoder']}",
        ["phase", "wall s", "CPU s", "rows/s"],
        [[name, wall, cpu, f"{count / wall:,.0f}"] for name, (wall, cpu) in found["phases"].items()],
    )
    wall, cpu = (sum(found["phases"][name][at] for name in ("encode", "candidates", "verify")) for at in (0, 1))
    table(
        "Against the aims",
        ["what", "measured"],
        [
            ["rows a second, from text to pairs", verdict(count / wall, 10_000)],
            ["rows a second and core (CPU time)", verdict(count / cpu, 10_000)],
            *([f"from {least} up, {SAMPLE} rows with all: recall of pairs; of rows that have any",
               f"{r:.4f} of {n:,}; {s:.4f} of {m:,}"] for least, (r, n, s, m) in found["recall"].items()),
            ["neighbours: rows a second, from vectors", verdict(count / found["phases"]["neighbours"][0], 20_000)],
            ["neighbours from 0.8 up found, of brute force's", f"{found['near']:.4f}"],
            ["peak memory, GB (2 at 1,000,000 rows)", verdict(found["peak"] / 1e9, 2, at_most=True)],
        ],
    )  # fmt: skip
    if options.peers_python:
        theirs = told_by([options.peers_python, "-c", SEMHASH, str(rows), str(TABLE), str(options.threshold)])
        seconds = theirs["encode and index"] + theirs["search"]
        table(
            f"With semhash, at {options.threshold}",
            ["which", "seconds", "rows/s", "times as fast", "dropped", "peak GB"],
            [
                ["evolute", wall, f"{count / wall:,.0f}", 1.0, count - found["kept"], found["own peak"] / 1e9],
                ["semhash", seconds, f"{count / seconds:,.0f}", wall / seconds, count - theirs["kept"],
                 theirs["peak"] / 1e9],
            ],
        )  # fmt: skip


def told_by(command: list[str]) -> dict:
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(told.stdout.splitlines()[-1])


def real_texts(data: Path) -> Iterator[str]:
    """Real instructions and questions."""
    for row in json.loads((data / "seeds/gpteacher_codegen-instruct.json").read_bytes()):
        yield row["instruction"]
    for row in map(json.loads, (data / "mmlu/test.jsonl").read_bytes().splitlines()):
        yield " ".join(row["question"].split()[:80])
    with gzip.open(data / "hellaswag/hellaswag_train_processed.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield from (json.loads(line)["query"] for line in lines)


def paraphrases(origins: list[str], count: int) -> list[str]:
    """Texts made from the origins, some near them and some far, shuffled."""
    draw = random.Random(7)
    words = sorted({word for text in origins[:5000] for word in text.split()})
    made: list[str] = []
    while len(made) < count:
        said = draw.choice(origins).split()
        changed = draw.choice((0.0, 0.05, 0.1, 0.2, 0.4, 0.6))
        said = [draw.choice(words) if draw.random() < changed else word for word in said if draw.random() > changed / 2]
        middle = draw.randrange(len(said) + 1) if draw.random() < 0.3 else 0
        said = said[middle:] + said[:middle]
        if draw.random() < 0.5:
            said = [draw.choice(VERBS), *said, draw.choice(ASIDES)]
        made.append(" ".join(said) or "Begin.")
    return made


def find(texts_file: Path, corpus_file: Path, threshold: float) -> None:
    """Measure ourselves, in a process of our own, and print what was found."""
    from evolute.encoders.static import shipped
    from evolute.select import semantic
    from evolute.select.semantic import FLOOR, MOST, SemanticDuplicates, neighbours, pairs_of

    texts, corpus = json.loads(texts_file.read_bytes()), json.loads(corpus_file.read_bytes())
    encoder = shipped()
    clock = Clock()
    semantic.candidates = clock.inside("candidates", semantic.candidates)
    measured = SemanticDuplicates(encoder)
    measured.add(texts)
    vectors = measured.vectors
    clock.lap("encode")
    pairs = pairs_of(vectors)
    clock.lap("verify")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    known = encoder.encode(corpus)
    clock.lap("encode the corpus")
    query, _, _ = neighbours(vectors, known, FLOOR)
    clock.lap("neighbours")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sample = np.sort(np.random.default_rng(0).choice(len(vectors), min(SAMPLE, len(vectors)), replace=False))
    near = np.flatnonzero((vectors[sample] @ known.T).max(axis=1) >= FLOOR)
    phases = {name: clock.phases[name] for name in ("encode", "candidates", "verify", "neighbours")}
    report = {
        "encoder": encoder.name, "phases": phases,
        "recall": {least: recall(vectors, pairs, sample, least, MOST) for least in LEVELS},
        "near": float(np.isin(sample[near], query).mean()), "kept": len(pairs.select(threshold).kept),
        "peak": peak, "own peak": own,
    }  # fmt: skip
    print(json.dumps(report))


def recall(vectors: np.ndarray, pairs, sample: np.ndarray, least: float, most: int) -> tuple[float, int, float, int]:
    """The share of the like rows before a sample's rows that were found, and how many there are; and that of the rows.

    Rows in a crowd do not count for the first.
    """
    dots = vectors[sample] @ vectors.T
    earlier = np.arange(len(vectors)) < sample[:, None]
    crowded = ((dots >= pairs.floor) & earlier).sum(axis=1) > most
    row, other = np.nonzero((dots >= least) & earlier & ~crowded[:, None])
    found = pairs.score >= np.float32(least)
    held = np.isin(sample[row] * len(vectors) + other, pairs.later[found] * len(vectors) + pairs.earlier[found])
    like = sample[((dots >= least) & earlier).any(axis=1)]
    return float(held.mean()), len(row), float(np.isin(like, pairs.later[found]).mean()), len(like)


class Clock:
    """Wall and CPU seconds of one phase after another, less those of a generator that is timed apart."""

    def __init__(self) -> None:
        self.phases: dict[str, list[float]] = {}
        self._at, self._apart = self._now(), (0.0, 0.0)

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def lap(self, name: str) -> None:
        """Ends a phase."""
        now = self._now()
        apart, self._apart = self._apart, (0.0, 0.0)
        self.phases[name] = [after - before - less for after, before, less in zip(now, self._at, apart, strict=True)]
        self._at = now

    def inside(self, name: str, generate):
        """The same generator function, its own time being a phase."""

        def timed(*given):
            items, ended = generate(*given), False
            while not ended:
                before = self._now()
                item = next(items, None)
                ended = item is None
                took = [after - start for after, start in zip(self._now(), before, strict=True)]
                self._apart = [a + b for a, b in zip(self._apart, took, strict=True)]
                self.phases[name] = [a + b for a, b in zip(self.phases.get(name, (0, 0)), took, strict=True)]
                if not ended:
                    yield item

        return timed


if __name__ == "__main__":
    main()

"""Near duplicates among a million instructions, end to end from text, each phase shown; and peers on fewer.

    python benchmarks/duplicates.py [--rows 1000000] [--peer-rows 100000] [--peers-python PYTHON] [--data FOLDER]

The rows are made from real ones by changing words, in families: a head that differs from its origin in a third of its
words, and descendants whose Jaccard index to the head was drawn from 0.6 to 1, so that many pairs lie just below and
just above 0.8. Then they are shuffled. The truth is computed anew from the made texts, with Python sets of pairs
of neighbouring words (what `evolute.select.shingles` describes, not its code). Recall is counted over all pairs
within families at 0.8 or above, precision over all pairs that are given at 0.8, whether of one family or not.

Peers get the same texts in a process of their own. datasketch gets the same shingles, 128 places, and the threshold.
semhash needs an encoder, and its own comes from the hub: here it gets the same shingles hashed into 256 numbers, as
many as its own gives, and the cosine 0.889, which two sets of one size have at a Jaccard index of 0.8.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from common import say, table, verdict
from duplicate_finders import READING

THRESHOLD = 0.8
FINDERS = Path(__file__).with_name("duplicate_finders.py")
DATA = Path(__file__).resolve().parents[1] / "../shared/data"
SOURCES = {
    "seeds/self_instruct_seed_tasks.jsonl": "instruction",
    "seeds/gpteacher_codegen-instruct.json": "instruction",
    "alpaca_eval/instructions.jsonl": "instruction",
    "mmlu/test.jsonl": "question",
    "mmlu/validation.jsonl": "question",
    "gsm8k/test.jsonl": "question",
    "mbpp/mbpp.jsonl": "text",
    "truthfulqa/mc_flat.jsonl": "question",
    "hellaswag/hellaswag_val.jsonl": "ctx",
    "hellaswag/hellaswag_train_processed.jsonl.gz": "query",
}
MARKS = set("#%&+-/<=>^|~")
TOKEN = re.compile(r"\w+|[#%&+/<=>^|~-]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--peer-rows", type=int, default=100_000)
    parser.add_argument("--peers-python", help="an interpreter with datasketch and semhash")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    if not options.data.is_dir():
        raise SystemExit(f"{options.data} is not there: give the folder of the real rows with --data")
    with TemporaryDirectory() as folder:
        ours(Path(folder), options.data, options.rows)
        if options.peers_python:
            peers(Path(folder), options.data, options.peer_rows, options.peers_python)


def ours(folder: Path, data: Path, count: int) -> None:
    made = Made(folder / "texts.jsonl", data, count)
    found = made.measure(sys.executable, "evolute")
    counted = [phase for name, phase in found["phases"].items() if name != READING]
    cpu, wall = (sum(phase[clock] for phase in counted) for clock in ("cpu", "wall"))
    table(
        f"Near duplicates, {count:,} rows of {made.words:.1f} words (median {made.median})",
        ["phase", "CPU s", "wall s", "µs CPU a row"],
        [[name, p["cpu"], p["wall"], p["cpu"] / count * 1e6] for name, p in found["phases"].items()],
    )
    recall, precision = made.recall(found["pairs"]), made.precision(found["pairs"])
    table(
        "Against the aims",
        ["what", "measured"],
        [
            ["rows a second and core (CPU time)", verdict(count / cpu, 30_000)],
            ["rows a second by the clock", f"{count / wall:,.0f}"],
            [f"recall at {THRESHOLD}, of {len(made.truth):,} known pairs", f"{recall:.5f}: {verdict(recall, 0.95)}"],
            [
                f"precision at {THRESHOLD}, of {len(found['pairs']):,} pairs",
                f"{precision:.5f}: {verdict(precision, 0.99)}",
            ],
            ["known rows with an earlier like one that are dropped", f"{made.row_recall(found['dropped']):.4f}"],
            ["peak memory, GB", verdict(found["peak"] / 1e9, 2, at_most=True)],
        ],
    )


def peers(folder: Path, data: Path, count: int, python: str) -> None:
    made = Made(folder / "fewer.jsonl", data, count)
    rows = []
    for name in ("evolute", "datasketch", "semhash"):
        say(f"{name} …")
        found = made.measure(sys.executable if name == "evolute" else python, name)
        cpu = sum(phase["cpu"] for phase in found["phases"].values())
        rows.append([name, cpu, count / cpu, made.precision(found["pairs"]), made.row_recall(found["dropped"]),
                     found["peak"] / 1e9])  # fmt: skip
    rows = [[*row[:3], row[1] / rows[0][1], *row[3:]] for row in rows]
    table(
        f"With peers, {count:,} rows, at {THRESHOLD}",
        ["which", "CPU s", "rows/s·core", "CPU, times ours", "precision of pairs", "duplicate rows dropped", "peak GB"],
        rows,
    )


class Made:
    """Rows made from real ones, written to a file, with the pairs that are known to be like."""

    def __init__(self, path: Path, data: Path, count: int) -> None:
        say(f"making {count:,} rows …")
        self.path = path
        draw = random.Random(20_000)
        families = _families(list(_origins(data)), count, draw)
        places = list(range(count))
        draw.shuffle(places)
        self.texts = [""] * count
        self.truth: set[tuple[int, int]] = set()
        at = 0
        for family in families:
            rows = places[at : at + len(family)]
            at += len(family)
            for row, text in zip(rows, family, strict=True):
                self.texts[row] = text
            sets = [_shingles(text) for text in family]
            for (one, a), (other, b) in combinations(zip(rows, sets, strict=True), 2):
                if _jaccard(a, b) >= THRESHOLD:
                    self.truth.add((min(one, other), max(one, other)))
        lengths = sorted(len(text.split()) for text in self.texts)
        self.words, self.median = sum(lengths) / count, lengths[count // 2]
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(text) + "\n" for text in self.texts)

    def measure(self, python: str, name: str) -> dict:
        """Run a finder in a process of its own, and give what it found."""
        out = self.path.with_suffix(f".{name}.out")
        subprocess.run([python, str(FINDERS), name, str(self.path), str(out), str(THRESHOLD)], check=True)
        found = json.loads(out.read_text())
        found["pairs"] = {(min(pair), max(pair)) for pair in found["pairs"]}
        return found

    def recall(self, pairs: set[tuple[int, int]]) -> float:
        """The share of the known pairs that are given. Rows of equal sets stand for each other."""
        first: dict[frozenset, int] = {}
        stands = [first.setdefault(frozenset(_shingles(text)), row) for row, text in enumerate(self.texts)]
        given = {tuple(sorted((stands[a], stands[b]))) for a, b in pairs}
        return sum(
            stands[a] == stands[b] or tuple(sorted((stands[a], stands[b]))) in given for a, b in self.truth
        ) / len(self.truth)

    def row_recall(self, dropped: Sequence[int]) -> float:
        """The share of the rows with a known earlier like one, that one kept, which were dropped."""
        out: set[int] = set()
        for one, other in sorted(self.truth, key=lambda pair: pair[::-1]):
            if one not in out:
                out.add(other)
        return len(out & set(dropped)) / len(out)

    def precision(self, pairs: set[tuple[int, int]]) -> float:
        """The share of the given pairs whose Jaccard index is at the threshold or above."""
        right = sum(_jaccard(_shingles(self.texts[a]), _shingles(self.texts[b])) >= THRESHOLD for a, b in pairs)
        return right / len(pairs)


def _origins(data: Path) -> Iterator[str]:
    seen = set()
    for name, field in SOURCES.items():
        path = data / name
        stored = path.read_bytes()
        text = gzip.decompress(stored) if path.suffix == ".gz" else stored
        rows = json.loads(text) if path.suffix == ".json" else map(json.loads, text.split(b"\n")[:-1])
        for row in rows:
            if len(row[field].split()) >= 6 and row[field] not in seen:
                seen.add(row[field])
                yield row[field]


def _families(origins: list[str], count: int, draw: random.Random) -> Iterator[list[str]]:
    pool = [word for text in origins for word in text.split()]
    made = 0
    while made < count:
        head = [draw.choice(pool) if draw.random() < 1 / 3 else word for word in draw.choice(origins).split()]
        size = min(draw.choice((1, 1, 1, 2, 2, 3, 6)), count - made)
        made += size
        yield [" ".join(head), *(_descendant(head, pool, draw) for _ in range(size - 1))]


def _descendant(head: list[str], pool: list[str], draw: random.Random) -> str:
    """The head with as many words changed, put in, left out or swapped as a drawn Jaccard index needs, about."""
    aim = draw.uniform(0.6, 1)
    words = list(head)
    for _ in range(round((len(words) - 1) * (1 - aim) / (2 * (1 + aim)))):
        at = draw.randrange(len(words))
        edit = draw.random()
        if edit < 0.6 or len(words) < 4:
            words[at] = draw.choice(pool)
        elif edit < 0.75:
            words.insert(at, draw.choice(pool))
        elif edit < 0.9:
            del words[at]
        else:
            words[at - 1], words[at] = words[at], words[at - 1]
    text = " ".join(words)
    return draw.choice((str.upper, str.lower, lambda text: text + "!"))(text) if draw.random() < 0.2 else text


def _shingles(text: str) -> set[tuple[str, ...]]:
    """Pairs of neighbouring words, the last one with the end, and each mark with the word before it."""
    words: list[str] = []
    marked = set()
    for token in TOKEN.findall(text.casefold()):
        if token not in MARKS:
            words.append(token)
        elif words:
            marked.add((words[-1], token))
    return set(pairwise([*words, ""])) | marked


def _jaccard(one: set, other: set) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)


if __name__ == "__main__":
    main()

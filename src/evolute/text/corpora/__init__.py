"""The benchmarks that a dataset must not contain: which there are, their hashed n-grams, and reading one from a file.

Those whose license lets them be passed on ship as hashes in this folder (README.md beside them names their authors),
made by scripts/build_corpora.py; the others come from the user.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evolute.text.grams import BITS, SHORTEST, WORDS, Keys, batches, grams
from evolute.text.words import normalised, words

COMMON = 10
"""A gram that more than so many different items of a corpus share is a turn of phrase, and counts for nothing. GPT-3's
decontamination (arXiv:2005.14165, appendix C) draws the line at the same number, for documents of the training set."""
PLAIN = 5
"""A telling gram has at least so many different words of two letters or more among its eight: "1 2 3 4 5 6 7 8" and
"for i in range n for j in" are in everybody's texts. In an item that has no such gram, any that is not common tells."""
FOLDER = Path(__file__).parent
SCHEME = f"1-{WORDS}-{SHORTEST}-{BITS}-{COMMON}-{PLAIN}"
"""What the stored hashes were made by: raised with `words` or the hash."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark that Evolute knows.

    `columns` are those by which a file is recognised as it, where it does not ship; `hub` is how `load_corpora` is told
    to fetch such a one (AlpacaEval's page on the hub runs a program, which `datasets` no longer does).
    """

    name: str
    title: str
    license: str
    source: str
    columns: frozenset[str] = frozenset()
    hub: str = ""

    @property
    def ships(self) -> bool:
        """Whether its hashes come with the package."""
        return not self.columns


KNOWN = {
    one.name: one
    for one in (
        Benchmark("humaneval", "HumanEval", "MIT", "https://github.com/openai/human-eval"),
        Benchmark("mbpp", "MBPP", "CC BY 4.0", "https://github.com/google-research/google-research/tree/master/mbpp"),
        Benchmark("gsm8k", "GSM8K", "MIT", "https://github.com/openai/grade-school-math"),
        Benchmark("mmlu", "MMLU", "MIT", "https://github.com/hendrycks/test"),
        Benchmark("truthfulqa", "TruthfulQA", "Apache-2.0", "https://github.com/sylinrl/TruthfulQA"),
        Benchmark("hellaswag", "HellaSwag", "MIT", "https://github.com/rowanz/hellaswag"),
        Benchmark("mt-bench", "MT-Bench", "Apache-2.0", "https://github.com/lm-sys/FastChat"),
        Benchmark(
            "arc", "ARC-Challenge", "CC BY-SA 4.0", "https://huggingface.co/datasets/allenai/ai2_arc",
            frozenset({"question", "choices", "answerKey"}), "hf:allenai/ai2_arc:ARC-Challenge@test",
        ),
        Benchmark(
            "alpacaeval", "AlpacaEval", "CC BY-NC 4.0", "https://huggingface.co/datasets/tatsu-lab/alpaca_eval",
            frozenset({"instruction", "dataset"}),
        ),
        Benchmark(
            "wizardlm-test", "WizardLM test set", "CC BY-NC 4.0", "https://github.com/nlpxucan/WizardLM",
            frozenset({"Skill", "Difficulty", "Instruction"}),
        ),
    )
}  # fmt: skip
"""The ten, by name."""
SHIPPED = tuple(name for name, benchmark in KNOWN.items() if benchmark.ships)


@dataclass(frozen=True, slots=True, eq=False)
class Hashed:
    """The items of a corpus as hashes.

    `keys` are the grams of all items in their order; those that are `telling` are no mere turn of phrase. Item k has
    `counts[k]` words. `ids` name the items; their `texts` are known unless the corpus ships.
    """

    ids: Sequence[str]
    counts: NDArray[np.uint32]
    keys: Keys
    telling: NDArray[np.bool_]
    digest: str
    texts: Sequence[str] | None = None

    @property
    def spans(self) -> NDArray[np.int64]:
        """How many of `keys` belong to each item."""
        return gram_counts(self.counts)

    @property
    def checkable(self) -> int:
        """How many items have a telling gram; the others are too short, or all turns of phrase."""
        owners = np.repeat(np.arange(len(self.counts)), self.spans)
        return len(np.unique(owners[self.telling]))


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """A benchmark to check against.

    `source` says where its items came from (a file's name without its folder: cards are published); `digest` hashes
    their words, to tell versions apart; of its `items`, `checkable` can be found (see `Hashed`).
    """

    name: str
    title: str
    license: str
    source: str
    items: int
    checkable: int
    digest: str
    held: Hashed | None = None

    @classmethod
    def of(
        cls, name: str, items: Iterable[tuple[str, str]], *, title: str = "", license: str = "", source: str = ""
    ) -> Corpus:
        """A corpus of (id, text) pairs, held in memory with its texts."""
        held = hash_items(items)
        return cls(name, title or name, license, source, len(held.ids), held.checkable, held.digest, held)

    @classmethod
    def shipped(cls, name: str) -> Corpus:
        """One that comes with the package; its hashes are not read yet."""
        known = KNOWN[name]
        with np.load(FOLDER / f"{name}.npz") as file:
            about = json.loads(file["about"].tobytes())
        return cls(name, known.title, known.license, known.source, about["items"], about["checkable"], about["digest"])

    def hashed(self) -> Hashed:
        """The items' hashes, read anew where they ship: an index takes them over."""
        return self.held or load(FOLDER / f"{self.name}.npz")


def gram_counts(lengths: NDArray[Any]) -> NDArray[np.int64]:
    """How many grams texts of so many words have."""
    lengths = lengths.astype(np.int64)
    return np.where(lengths < WORDS, (lengths >= SHORTEST).astype(np.int64), lengths - WORDS + 1)


def hash_items(items: Iterable[tuple[str, str]]) -> Hashed:
    """Hash (id, text) pairs. Items of the same words become one, under the first id."""
    different: dict[str, tuple[str, str]] = {}
    for number, text in items:
        different.setdefault(normalised(text), (number, text))
    texts = [text for _, text in different.values()]
    keys, counts, plain = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=bool)]
    for begin, end in batches(texts):
        batch = grams(texts[begin:end])
        length = np.diff(batch.first)
        spans = gram_counts(length)
        last = np.cumsum(spans)
        places = np.arange(last[-1]) + np.repeat(batch.first[:-1] - (last - spans), spans)
        short = last[batch.short] - 1
        long = np.ones(len(places), dtype=bool)
        long[short] = False
        found = np.zeros(len(places), dtype=np.uint64)
        found[long], found[short] = batch.keys[places[long]], batch.short_keys
        keys.append(found)
        counts.append(length)
        plain.append(np.array([enough for text in texts[begin:end] for enough in _plain(words(text))], dtype=bool))
    total, all_keys = np.concatenate(counts).astype(np.uint32), np.concatenate(keys)
    rare = ~_common(all_keys, total)
    telling = rare & np.concatenate(plain)
    owners = np.repeat(np.arange(len(total)), gram_counts(total))
    telling |= rare & ~np.isin(owners, owners[telling])
    digest = hashlib.sha256("\n".join(different).encode()).hexdigest()[:16]
    ids = [number for number, _ in different.values()]
    return Hashed(ids, total, all_keys, telling, digest, texts)


def _plain(said: Sequence[str]) -> Iterator[bool]:
    """Whether each gram of a text has `PLAIN` words; a text that is one gram as a whole needs none."""
    if SHORTEST <= len(said) < WORDS:
        yield True
    plain = [word if len(word) > 1 and word.isalpha() else "" for word in said]
    for begin in range(len(said) - WORDS + 1):
        yield len({*plain[begin : begin + WORDS]} - {""}) >= PLAIN


def _common(keys: Keys, counts: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Whether more than `COMMON` items have the gram."""
    owners = np.repeat(np.arange(len(counts)), gram_counts(counts))
    order = np.lexsort((owners, keys))
    keys, owners = keys[order], owners[order]
    fresh = np.ones(len(keys), dtype=bool)
    fresh[1:] = keys[1:] != keys[:-1]
    group = np.cumsum(fresh) - 1
    fresh[1:] |= owners[1:] != owners[:-1]
    common = np.zeros(len(keys), dtype=bool)
    common[order] = np.bincount(group[fresh])[group] > COMMON
    return common


def save(hashed: Hashed, path: Path) -> None:
    """Write hashes as a file that ships: the same hashes give the same bytes."""
    about = {"scheme": SCHEME, "items": len(hashed.ids), "checkable": hashed.checkable, "digest": hashed.digest}
    columns = hashed.keys.astype("<u8").view(np.uint8).reshape(-1, 8)[:, : BITS // 8]
    np.savez(
        path,
        about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
        ids=np.frombuffer("\n".join(hashed.ids).encode(), dtype=np.uint8),
        counts=hashed.counts.astype("<u4"),
        keys=np.ascontiguousarray(columns),
        telling=np.packbits(hashed.telling),
    )


def load(path: Path) -> Hashed:
    """Read what `save` wrote."""
    with np.load(path) as file:
        about = json.loads(file["about"].tobytes())
        if about["scheme"] != SCHEME:
            raise ValueError(f"{path}: hashed by scheme {about['scheme']!r}, not {SCHEME!r}: build it again")
        columns = file["keys"]
        keys = np.zeros((len(columns), 8), dtype=np.uint8)
        keys[:, : BITS // 8] = columns
        telling = np.unpackbits(file["telling"], count=len(keys)).astype(bool)
        ids = file["ids"].tobytes().decode().split("\n")
        counts = file["counts"].astype(np.uint32)
    return Hashed(ids, counts, keys.view("<u8").ravel().astype(np.uint64), telling, about["digest"])

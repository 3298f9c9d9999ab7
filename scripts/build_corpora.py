"""Hash the benchmarks that ship, with `python scripts/build_corpora.py DATA_FOLDER`.

Reads humaneval/, mbpp/, gsm8k/, mmlu/, truthfulqa/, hellaswag/ and mt_bench/ below the folder, each in its authors' own
format, and writes src/evolute/text/corpora/*.npz: the hashes, and the vectors of the encoder that ships. The same data
gives the same bytes.

Hashed are the questions of the parts that are evaluated on: HumanEval's prompts; MBPP's texts (974, and the sanitized
wordings); the test questions of GSM8K and MMLU; TruthfulQA's questions; HellaSwag's validation contexts; both turns of
MT-Bench. Answers are left out: they come with their questions where they leak, a choice is mostly too short to be told
from common words, and short reference solutions ("for i in range(len(a)): for j in ...") are everybody's code.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evolute.encoders.static import shipped
from evolute.text.corpora import FOLDER, hash_items, save
from evolute.text.corpora.vectors import PROBE, save_vectors

Items = Iterator[tuple[str, str]]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        if path.suffix == ".json":
            yield from json.load(file)
        else:
            yield from map(json.loads, file)


def _humaneval(data: Path) -> Items:
    return ((row["task_id"], row["prompt"]) for row in _rows(data / "humaneval/HumanEval.jsonl.gz"))


def _mbpp(data: Path) -> Items:
    for row in _rows(data / "mbpp/mbpp.jsonl"):
        yield f"MBPP/{row['task_id']}", row["text"]
    for row in _rows(data / "mbpp/sanitized-mbpp.json"):
        yield f"MBPP/{row['task_id']} (sanitized)", row["prompt"]


def _gsm8k(data: Path) -> Items:
    return ((f"test/{number}", row["question"]) for number, row in enumerate(_rows(data / "gsm8k/test.jsonl")))


def _mmlu(data: Path) -> Items:
    seen: Counter[str] = Counter()
    for row in _rows(data / "mmlu/test.jsonl"):
        subject = row["subject"]
        yield f"{subject}/test/{seen[subject]}", row["question"]
        seen[subject] += 1


def _truthfulqa(data: Path) -> Items:
    rows = _rows(data / "truthfulqa/mc_task_hf.json")
    return ((f"validation/{number}", row["question"]) for number, row in enumerate(rows))


def _hellaswag(data: Path) -> Items:
    rows = _rows(data / "hellaswag/hellaswag_val.jsonl")
    return ((f"validation/{number}", row["ctx"]) for number, row in enumerate(rows))


def _mt_bench(data: Path) -> Items:
    for row in _rows(data / "mt_bench/question.jsonl"):
        yield from ((f"{row['question_id']} turn {turn}", text) for turn, text in enumerate(row["turns"], 1))


BUILDERS = {
    "humaneval": _humaneval,
    "mbpp": _mbpp,
    "gsm8k": _gsm8k,
    "mmlu": _mmlu,
    "truthfulqa": _truthfulqa,
    "hellaswag": _hellaswag,
    "mt-bench": _mt_bench,
}


def main() -> None:
    """Build them all, and say how large they are."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    data = Path(sys.argv[1])
    encoder, vectors = shipped(), {}
    for name, items in BUILDERS.items():
        hashed, path = hash_items(items(data)), FOLDER / f"{name}.npz"
        save(hashed, path)
        sizes = f"{len(hashed.ids):,} items, {hashed.checkable:,} checkable, {path.stat().st_size:,} bytes"
        turns = int((~hashed.telling).sum())
        sys.stdout.write(f"{name}: {sizes}; {len(hashed.keys):,} grams, {turns:,} of them turns of phrase\n")
        vectors[name] = hashed.digest, encoder.encode(list(hashed.texts or ()))
    path = save_vectors(encoder.name, encoder.encode([PROBE])[0], vectors)
    sys.stdout.write(f"{path.name}: {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()

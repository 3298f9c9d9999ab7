"""How fast the rules of quality go through rows, alone and together, and how fast tokens are counted.

    python benchmarks/quality.py [--rows 100000] [--data FOLDER] [--tokenizer TOKENIZER.JSON]

Rows are real ones where `--data` holds them (models' answers to AlpacaEval, over and over, each with a number of its
own), and made-up prose otherwise. Times are CPU times of one core. The ideal is to touch every character once: to put
both texts in lower case and split them into words. What the rules find is tested, not timed: tests/select.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

from common import say, seed_texts, table, verdict
from evolute.records import Row
from evolute.select.lengths import TokenLengths
from evolute.select.quality import Quality

DATA = Path(__file__).resolve().parents[1] / "../shared/data"
AIM = 20_000
"""Rows a second on one core, for the cheap rules together."""
BLOCK = 1000


def row(instruction: str, response: str) -> Row:
    return Row("s1-0", "", "s1-0", 0, "", instruction, "", response, "", (), "", "", "", "", 0)


def made_up(count: int) -> Iterator[Row]:
    """Instructions with an answer of about 80 words."""
    texts = seed_texts(count * 4)
    for number, asked in zip(range(count), texts, strict=False):
        yield row(asked, f"{' '.join(islice(texts, 3))} That is all there is to it, in {number} words.")


def real(folder: Path, count: int) -> Iterator[Row]:
    """Models' answers over and over, so often as is asked for."""
    pairs = list(_pairs(folder))
    if not pairs:
        raise SystemExit(f"{folder}: no answers under alpaca_eval/model_outputs; name another --data, or an empty one")
    say(f"{len(pairs)} different rows")
    for number, (asked, said) in enumerate(islice(cycle(pairs), count)):
        yield row(f"{number}. {asked}", said)


def _pairs(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted((folder / "alpaca_eval" / "model_outputs").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                answer = json.loads(line)
                yield answer["instruction"], answer["output"]


def touch(rows: Sequence[Row]) -> None:
    """The ideal: look at every character, and decide nothing."""
    for each in rows:
        each.instruction.lower().split()
        (each.response or "").lower().split()


def timed(blocks: Callable[[], Iterator[list[Row]]], work: Callable[[list[Row]], object]) -> float:
    """CPU seconds of this thread in `work`."""
    spent = 0.0
    for block in blocks():
        start = time.thread_time()
        work(block)
        spent += time.thread_time() - start
    return spent


def main() -> None:
    """Print one row per set of rules."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--data", type=Path, default=DATA, help="a folder with alpaca_eval/model_outputs/*.jsonl.gz")
    parser.add_argument("--tokenizer", help="also count tokens by this one")
    arguments = parser.parse_args()

    def blocks() -> Iterator[list[Row]]:
        rows = real(arguments.data, arguments.rows) if arguments.data.is_dir() else made_up(arguments.rows)
        while block := list(islice(rows, BLOCK)):
            yield block

    characters = sum(len(each.prompt) + len(each.response or "") for block in blocks() for each in block)
    warm = [
        row(
            "Wie geht es dir heute, und was hast du vor?", "Muy bien, gracias. Hoy quiero ir a la playa con mis amigos."
        )
    ]
    Quality().add(warm)  # imports, and the language model
    ideal = timed(blocks, touch)
    cells = []
    for name, languages, private in (
        ("cheap rules", False, False), ("and languages", True, False), ("and personal data, secrets", False, True),
        ("all", True, True),
    ):  # fmt: skip
        measured = Quality(languages=languages, private=private)
        spent = timed(blocks, measured.add)
        found = len(measured.hits().hits)
        reached = verdict(arguments.rows / spent / AIM, 1) if name == "cheap rules" else ""
        cells.append((name, arguments.rows / spent, characters / spent / 1e6, spent / ideal, found, reached))
    table(
        f"{arguments.rows:,} rows of {characters // arguments.rows:,} characters",
        ("rules", "rows/s·core", "MB/s", "cost beside lower and split", "hits", f"beside {AIM:,} rows/s"),
        cells,
    )
    if arguments.tokenizer:
        counted = TokenLengths(arguments.tokenizer, 2048)
        start = time.perf_counter()
        for block in blocks():
            counted.add(block)
        took = time.perf_counter() - start
        tokens = sum(int(part.sum()) for part in counted.lengths)
        table("Token lengths, wall time", ("rows/s", "tokens/s"), [(arguments.rows / took, tokens / took)])
    say(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()

"""Rows per second of CPU time of the seed reader, against a bare orjson loop over the same JSON Lines in the same run.

Run: python benchmarks/seeds.py [ROWS]
"""

import csv
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from evolute.seeds import SeedReader

REPEATS = 3


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = write(Path(folder), rows)
        floor = best(lambda: bare(files[0]))
        print(f"{rows:,} Alpaca rows; CPU time, the best of {REPEATS} runs")
        print(f"{'bare orjson loop':<18}{rows / floor:>12,.0f} rows/s")
        for path in files:
            seconds = best(lambda path=path: sum(1 for _ in SeedReader([str(path)])))
            print(f"{path.name:<18}{rows / seconds:>12,.0f} rows/s   {floor / seconds:.2f} of the bare loop")


def write(folder: Path, rows: int) -> list[Path]:
    made = random.Random(0)
    data = [
        {"instruction": f"Write {made.randrange(10**9)} words on topic {n}.", "input": "", "output": "Words. " * 8}
        for n in range(rows)
    ]
    jsonl, table, array = folder / "seeds.jsonl", folder / "seeds.csv", folder / "seeds.json"
    jsonl.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in data))
    array.write_text(json.dumps(data), encoding="utf-8")
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(data[0]))
        writer.writeheader()
        writer.writerows(data)
    return [jsonl, table, array]


def bare(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(1 for line in stream if orjson.loads(line)["instruction"])


def best(work: Callable[[], int]) -> float:
    seconds = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)

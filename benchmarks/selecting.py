"""Select from and export runs of growing size. Run: python benchmarks/selecting.py [--rows 10000 100000 1000000].

The rows are made from real ones as in duplicates.py, in a run whose ledger is written directly: nothing is evolved.
Each command is a process of its own, from its start to its end. The times are to grow with the rows and no faster: the
last column compares the time per row with that of the smallest run.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from itertools import islice
from pathlib import Path

from common import CANDIDATE, MEBIBYTE, evolute, measure, say, table, verdict
from duplicates import DATA, _families, _origins
from evolute.ledger import Ledger
from evolute.recipe import load, resolve
from evolute.records import Seed

AT_ONCE = 10_000
COMMANDS: dict[str, tuple[str, ...]] = {
    "select": ("select", "RUN"),
    "select again, other thresholds": ("select", "RUN", "--set", "select.duplicates.near=0.9"),
    "select with semantic duplicates": ("select", "RUN", "--set", "select.duplicates.semantic=0.95"),
    "export all, messages, JSONL": ("export", "RUN", "--unselected", "--out", "OUT.jsonl"),
    "export all, a folder, Parquet": (
        "export",
        "RUN",
        "--unselected",
        "--out",
        "OUT",
        "--validation",
        "0.05",
        "--container",
        "parquet",
    ),
}


def write_run(run: Path, data: Path, count: int) -> None:
    """A run of `count` answered seeds."""
    draw = random.Random(20_000)
    texts = [text for family in _families(list(_origins(data)), count, draw) for text in family]
    draw.shuffle(texts)
    run.mkdir()
    recipe = resolve(load("wizardlm") | {"models": {"default": {"api": "scripted"}}})
    (run / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    seeds = (
        Seed(
            f"{text} ({number})", response=f"{draw.choice(texts)}. {draw.choice(texts)}.", source="s.jsonl", line=number
        )
        for number, text in enumerate(texts, 1)
    )
    with Ledger(run) as ledger:
        ledger.begin(recipe.fingerprint(), {"respond": "every"})
        position = 0
        while some := list(islice(seeds, AT_ONCE)):
            ledger.add_seeds(some)
            rows = [(position + n, 0, 0, 0, seed.id, seed.id, "", *[None] * 7) for n, seed in enumerate(some, 1)]
            ledger.transact(lambda db, rows=rows: _insert(db, rows))
            position += len(some)


def _insert(db, rows) -> None:
    db.executemany(f"INSERT INTO candidates ({CANDIDATE}) VALUES ({', '.join('?' * 14)})", rows)
    db.executemany("INSERT INTO lineages VALUES (?, NULL)", ((row[0],) for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--folder", type=Path, help="where the runs are made; default: a temporary folder")
    parser.add_argument("--only", default="", help="commands whose title begins so (export)")
    options = parser.parse_args()
    first: dict[str, float] = {}
    lines, largest = [], 0
    for count in options.rows:
        with tempfile.TemporaryDirectory(prefix="evolute-bench-", dir=options.folder) as name:
            run, out = Path(name, "run"), Path(name, "out")
            say(f"{count:,} rows: writing the run …")
            write_run(run, options.data, count)
            for title, command in COMMANDS.items():
                if not title.startswith(options.only):
                    continue
                say(f"{count:,} rows: {title} …")
                words = [word.replace("RUN", str(run)).replace("OUT", str(out)) for word in command]
                got = measure(evolute(*words), timeout=3000)
                per_row = first.setdefault(title, got.wall / count)
                largest = max(largest, got.peak)
                lines.append(
                    (title, f"{count:,}", got.wall, got.cpu, f"{count / got.wall:,.0f}", round(got.peak / MEBIBYTE),
                     got.wall / count / per_row)
                )  # fmt: skip
    lines.sort(key=lambda line: list(COMMANDS).index(line[0]))
    head = ("command", "rows", "seconds", "CPU seconds", "rows/s", "peak MiB", "time per row ÷ the smallest's")
    table("Select and export", head, lines)
    print(f"\npeak memory in GiB, at the largest: {verdict(largest / 2**30, 2, at_most=True)}")


if __name__ == "__main__":
    main()

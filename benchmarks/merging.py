"""Merge two shards, and compare them. Run: python benchmarks/merging.py [--seeds 100000 1000000].

Each shard is half of the seeds with four rounds, five rows and thirteen calls to a seed, in a ledger written directly:
nothing is evolved. The ideal is what the disk allows: copying the shards' files. Memory must not grow with the seeds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from common import CANDIDATE, MEBIBYTE, evolute, measure, say, seed_texts, table
from evolute.ledger import LEDGER, Ledger
from evolute.recipe import load, resolve
from evolute.records import Seed, tagged_hash

ROUNDS = 4
ROLES = ("evolver", "judge", "responder")
AT_ONCE = 5_000
ANSWER = "Begin with what is known, check each step, and say what is left uncertain. " * 8
_CALL = "INSERT INTO calls (key, role, model, text, prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens, "


def write_shard(run: Path, first: int, size: int) -> None:
    """A finished run over the seeds from number `first`."""
    run.mkdir()
    recipe = resolve(load("wizardlm") | {"models": {"default": {"api": "scripted", "model": "scripted"}}})
    (run / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    texts = seed_texts(size, first)
    seeds = (Seed(text, source="s.jsonl", line=line) for line, text in zip(count(first + 1), texts, strict=False))
    with Ledger(run) as ledger:
        ledger.begin(recipe.fingerprint(), {"respond": "every"})
        for role in ROLES:
            ledger.add_model(role, role.encode(), "scripted")
        for start in range(0, size, AT_ONCE):
            some = [seed for _, seed in zip(range(AT_ONCE), seeds, strict=False)]
            ledger.add_seeds(some)
            ledger.transact(lambda db, start=start, some=some: _write_lineages(db, start + 1, some))


def _write_lineages(db: sqlite3.Connection, position: int, seeds: list[Seed]) -> None:
    places = list(enumerate(seeds, position))
    db.executemany(f"{_CALL} latency, attempts) VALUES (?, ?, ?, ?, 200, 100, 0, 0, 1.5, 1)", _calls(seeds))
    db.executemany(f"INSERT INTO candidates ({CANDIDATE}) VALUES ({', '.join('?' * 14)})", _candidates(places))
    db.executemany("INSERT INTO lineages VALUES (?, NULL)", ((place,) for place, _ in places))


def _key(seed: Seed, round_: int, role: str) -> bytes:
    return tagged_hash("bench-1", seed.id, round_, role)


def _calls(seeds: list[Seed]) -> Iterator[tuple[bytes, str, int, str]]:
    for seed in seeds:
        yield _key(seed, 0, "responder"), "responder", 3, ANSWER
        for round_ in range(1, ROUNDS + 1):
            for model, role in enumerate(ROLES, 1):
                text = "Not Equal" if role == "judge" else f"{seed.text} {round_} {ANSWER[:200]}"
                yield _key(seed, round_, role), role, model, text


def _candidates(places: list[tuple[int, Seed]]) -> Iterator[tuple[object, ...]]:
    for place, seed in places:
        parent = seed.id
        yield place, 0, 0, 0, parent, parent, "", None, None, None, None, None, None, _key(seed, 0, "responder")
        for round_ in range(1, ROUNDS + 1):
            keys = [_key(seed, round_, role) for role in ROLES]
            yield place, round_, 0, 0, keys[0], parent, "deepen", None, None, None, None, *keys
            parent = keys[0]


def copied(files: list[Path], folder: Path) -> float:
    """Seconds to copy files, to the disk."""
    began = time.perf_counter()
    for number, file in enumerate(files):
        with file.open("rb") as source, (folder / str(number)).open("wb") as target:
            shutil.copyfileobj(source, target, MEBIBYTE)
            target.flush()
            os.fsync(target.fileno())
    return time.perf_counter() - began


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--folder", type=Path, help="where the runs are made; default: a temporary folder")
    options = parser.parse_args()
    lines = []
    for seeds in options.seeds:
        with tempfile.TemporaryDirectory(prefix="evolute-bench-", dir=options.folder) as name:
            folder = Path(name)
            one, other, out = (folder / part for part in ("one", "other", "out"))
            say(f"{seeds:,} seeds: writing the shards …")
            write_shard(one, 0, seeds // 2)
            write_shard(other, seeds // 2, seeds - seeds // 2)
            files = [run / LEDGER for run in (one, other)]
            size = sum(file.stat().st_size for file in files)
            ideal = copied(files, folder)
            for title, command in (
                ("merge", ("merge", one, other, "--out", out)),
                ("compare", ("compare", one, other)),
            ):
                say(f"{seeds:,} seeds: {title} …")
                got = measure(evolute(*command), timeout=7200)
                rate = seeds / got.wall
                peak, ratio = got.peak / MEBIBYTE, got.wall / ideal
                lines.append((f"{seeds:,}", title, f"{size / MEBIBYTE:,.0f}", got.wall, f"{rate:,.0f}", peak, ratio))
    head = ("seeds", "what", "ledgers, MiB", "seconds", "seeds/s", "peak, MiB", "times a copy of the ledgers")
    table("Two shards merged and compared", head, lines)


if __name__ == "__main__":
    main()

"""Near duplicates of a run's rows on Ray beside one machine: the same kept rows, and what Ray costs.

    python benchmarks/scale_duplicates.py [--rows 1000000] [--cores 2] [--data FOLDER]

The rows are made as in duplicates.py and written into a run's ledger. Then the step that `evolute select` takes is
taken twice, each time in processes of its own: from the ledger to the pairs, and through the decision. Starting Ray is
timed apart; it costs the same for any number of rows. One machine uses one core for this step, and Ray as many as it
is given. Peak memory is that of all processes together, in which pages that several share count several times.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

from common import MEBIBYTE, measure, say, table, verdict
from duplicates import DATA, THRESHOLD, _families, _origins

AT_ONCE = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--cores", type=int, default=2, help="tasks at once on Ray")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--folder", type=Path, help="where the run is made; default: a temporary folder")
    parser.add_argument("--take", nargs=2, metavar=("WHERE", "RUN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.take:
        print(json.dumps(take(*options.take, options.cores)))
        return
    with tempfile.TemporaryDirectory(prefix="evolute-bench-", dir=options.folder) as name:
        say(f"writing a run of {options.rows:,} rows …")
        run = Path(name, "run")
        write_run(run, options.data, options.rows)
        found = {}
        for where in ("one machine", "Ray"):
            say(f"{where} …")
            command = [sys.executable, __file__, "--cores", str(options.cores), "--take", where, str(run)]
            got = measure(command, timeout=3000)
            found[where] = json.loads(got.output.strip().splitlines()[-1]) | {"peak": got.peak / MEBIBYTE}
    alone, ray = found["one machine"], found["Ray"]
    table(
        f"Near duplicates of {options.rows:,} rows, Ray with {options.cores} cores",
        ["where", "start s", "measuring s", "deciding s", "rows/s", "pairs", "kept rows", "peak MiB"],
        [
            [where, f["start"], f["measuring"], f["deciding"], f"{options.rows / f['measuring']:,.0f}", f["pairs"],
             f["kept"], round(f["peak"])]
            for where, f in found.items()
        ],
    )  # fmt: skip
    print(f"\nthe same pairs and kept rows: {verdict(float(alone['digest'] == ray['digest']), 1)}")
    print(f"Ray's time for measuring, of one machine's: {ray['measuring'] / alone['measuring']:.2f}")
    total = sum(ray[part] for part in ("start", "measuring", "deciding"))
    print(f"with its start and the decision: {total / (alone['measuring'] + alone['deciding']):.2f}")


def take(where: str, run: str, cores: int) -> dict:
    """Take the step, and give its times and what it found."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from evolute.ledger import Reader
    from evolute.pipeline.measuring import Table, look_here
    from evolute.pipeline.steps import Tools, steps_of
    from evolute.pipeline.summary import run_recipe
    from evolute.scale.starting import connect
    from evolute.scale.whole import looking_on

    times = [time.monotonic()]
    tools = Tools(run_recipe(Path(run)), None)
    steps = [step for step in steps_of(tools.recipe.select, tools) if step.name == "near-duplicates"]
    with Reader(Path(run)) as reader:
        if where == "Ray":
            with connect("ray", cores=cores):
                times.append(time.monotonic())
                ((_, pairs, _),) = looking_on("ray")(Path(run), tools)(reader.dataset, steps, Table())
                times.append(time.monotonic())
        else:
            times.append(time.monotonic())
            ((_, pairs, _),) = look_here(reader.dataset, steps, Table())
            times.append(time.monotonic())
    selection = pairs.select(THRESHOLD)
    times.append(time.monotonic())
    digest = hashlib.sha256()
    for column in (pairs.earlier, pairs.later, pairs.score, pairs.first):
        digest.update(column.tobytes())
    digest.update(repr(selection.dropped).encode())
    start, measuring, deciding = (after - before for before, after in pairwise(times))
    return {
        "start": start, "measuring": measuring, "deciding": deciding, "pairs": len(pairs.later),
        "kept": len(selection.kept), "digest": digest.hexdigest(),
    }  # fmt: skip


def write_run(run: Path, data: Path, count: int) -> None:
    """A run of `count` seeds that were not to be answered, its ledger written directly."""
    from evolute.ledger import Ledger
    from evolute.recipe import load, resolve
    from evolute.records import Seed

    draw = random.Random(20_000)
    texts = [text for family in _families(list(_origins(data)), count, draw) for text in family]
    draw.shuffle(texts)
    run.mkdir()
    recipe = resolve(load("wizardlm") | {"models": {"default": {"api": "scripted"}}})
    (run / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    # Seeds that are copies to the letter would be one seed; a space more is the same words.
    spaces: Counter[str] = Counter()
    seeds = (Seed(_told_apart(text, spaces), source="s.jsonl", line=number) for number, text in enumerate(texts, 1))
    with Ledger(run) as ledger:
        ledger.begin(recipe.fingerprint(), {"respond": "never"})
        while some := list(islice(seeds, AT_ONCE)):
            ledger.add_seeds(some)
        ledger.transact(_keep_all)


def _told_apart(text: str, spaces: Counter[str]) -> str:
    spaces[text] += 1
    return text + " " * (spaces[text] - 1)


def _keep_all(db) -> None:
    columns = "seed, round, slot, attempt, id, parent, operation"
    db.execute(f"INSERT INTO candidates ({columns}) SELECT position, 0, 0, 0, id, id, '' FROM seeds")
    db.execute("INSERT INTO lineages SELECT position, NULL FROM seeds")


if __name__ == "__main__":
    main()

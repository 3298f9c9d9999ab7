"""Contamination of a million rows against all ten benchmarks in one pass; planted items; false alarms on clean rows.

    python benchmarks/contamination.py [--rows 1000000] [--data FOLDER]

Seven benchmarks are the hashes that ship, three are read from the data folder. Rows are real ones, each made another by
changing one word in twelve: code rows of GPTeacher, every second with a response of two HellaSwag training passages
instead of code. Making rows is not counted. The ideal is to split the same texts into words and do nothing with them;
the plain way is a Python set of 8-word tuples, as evaluation harnesses do it.

Planted are items of each benchmark: as they are; in capitals without punctuation; within a row; and with one word
in twenty or in ten changed. Neighbours in meaning are counted by the encoder that ships.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from common import measure, say, table, verdict
from evolute.encoders.static import shipped
from evolute.records import Row
from evolute.select.contamination import ROWS, Contamination, Meanings, semantic_contamination
from evolute.text.contamination import SHIPPED, Corpora, load_corpora
from evolute.text.words import words

DATA = Path(__file__).resolve().parents[1] / "../shared/data"
OTHERS = ("arc_challenge/test.jsonl", "alpaca_eval/instructions.jsonl", "wizardlm/WizardLM_testset.jsonl")
ITEMS = {
    "humaneval": ("humaneval/HumanEval.jsonl.gz", "prompt"),
    "mbpp": ("mbpp/mbpp.jsonl", "text"),
    "gsm8k": ("gsm8k/test.jsonl", "question"),
    "mmlu": ("mmlu/test.jsonl", "question"),
    "truthfulqa": ("truthfulqa/mc_flat.jsonl", "question"),
    "hellaswag": ("hellaswag/hellaswag_val.jsonl", "ctx"),
    "mt-bench": ("mt_bench/question.jsonl", "turns"),
    "arc": ("arc_challenge/test.jsonl", "question"),
    "alpacaeval": ("alpaca_eval/instructions.jsonl", "instruction"),
    "wizardlm-test": ("wizardlm/WizardLM_testset.jsonl", "Instruction"),
}
CHUNK = 16 * ROWS
EMPTY = Row(
    id="", parent="", root="", round=0, operation="", instruction="", input="", response=None, system="", history=(),
    evolver="", judge="", responder="", source="", line=0,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--planted", type=int, default=200, help="items of each benchmark")
    parser.add_argument("--pass-only", choices=("both", "instruction"), help="used by the benchmark itself")
    options = parser.parse_args()
    if not options.data.is_dir():
        raise SystemExit(f"{options.data} is not there: give the folder of the benchmarks with --data")
    if options.pass_only:
        one_pass(options.data, options.rows, both=options.pass_only == "both")
        return
    speed(options.data, options.rows)
    corpora = everything(options.data)
    single(corpora, options.data)
    planted(corpora, options.data, options.planted)
    clean(corpora, options.data)
    meanings(corpora, options.data, options.planted)


def everything(data: Path) -> Corpora:
    """All ten."""
    return load_corpora([*SHIPPED, *(str(data / path) for path in OTHERS)])


def read(path: Path) -> list[dict]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if path.suffix == ".json":
        return json.loads(raw)
    return [json.loads(line) for line in raw.decode().split("\n") if line]


# Speed


def made_rows(data: Path, count: int, *, both: bool) -> Iterator[list[Row]]:
    """So many rows that differ, a chunk at a time."""
    code = read(data / "seeds/gpteacher_codegen-instruct.json")
    prose = [row["query"] for row in read(data / "hellaswag/hellaswag_train_processed.jsonl.gz")]
    draw = random.Random(1)
    for start in range(0, count, CHUNK):
        rows = []
        for number in range(start, min(start + CHUNK, count)):
            row = code[number % len(code)]
            response = row["response"] if number % 2 else f"{draw.choice(prose)}\n\n{draw.choice(prose)}"
            rows.append(
                replace(
                    EMPTY, instruction=changed(row["instruction"], draw), input=row["input"],
                    response=changed(response, draw) if both else None,
                )
            )  # fmt: skip
        yield rows


def changed(text: str, draw: random.Random, share: float = 1 / 12) -> str:
    """The text with that share of its words replaced."""
    said = text.split(" ")
    for place in range(len(said)):
        if draw.random() < share:
            said[place] = f"w{draw.getrandbits(24):x}"
    return " ".join(said)


def one_pass(data: Path, count: int, *, both: bool) -> None:
    """The whole pass in a process of its own; prints what it took as JSON."""
    started = time.perf_counter()
    corpora = everything(data)
    corpora.check("load the hashes and sort them, please, before the first row comes")
    loaded = time.perf_counter() - started
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = Contamination(corpora)
    wall = cpu = characters = 0.0
    for rows in made_rows(data, count, both=both):
        characters += sum(len(row.instruction) + len(row.input) + len(row.response or "") for row in rows)
        before = time.perf_counter(), time.process_time()
        for begin in range(0, len(rows), ROWS):
            found.add(rows[begin : begin + ROWS])
        wall += time.perf_counter() - before[0]
        cpu += time.process_time() - before[1]
    hits = found.hits()
    sample = next(made_rows(data, 4000, both=both))
    sides = [f"{row.instruction}\n\n{row.input}" for row in sample] + [row.response or "" for row in sample]
    result = {
        "load": loaded, "loaded": base, "wall": wall, "cpu": cpu, "characters": characters / count,
        "words": sum(len(words(text)) for text in sides) / len(sample), "split": split(sides) / len(sample),
        "plain": plain(sides) / len(sample), "flagged": count - len(hits.select(13).kept),
    }  # fmt: skip
    sys.stdout.write("\n" + json.dumps(result))


def split(texts: Sequence[str]) -> float:
    """The ideal: the words, and nothing done with them."""
    before = time.process_time()
    for text in texts:
        words(text)
    return time.process_time() - before


def plain(texts: Sequence[str]) -> float:
    """The plain way: every 8-word tuple is looked up in a set (here of strangers: the set's size hardly matters)."""
    known = {tuple(f"x{number + k}" for k in range(8)) for number in range(200_000)}
    before = time.process_time()
    for text in texts:
        said = words(text)
        any(said[at : at + 8] in known for at in range(len(said) - 7))
    return time.process_time() - before


def speed(data: Path, count: int) -> None:
    rows, rates = [], {}
    for which in ("both", "instruction"):
        say(f"{count:,} rows, {which} …")
        command = [sys.executable, __file__, "--rows", str(count), "--data", str(data), "--pass-only", which]
        measured = measure(command, timeout=7200)
        took = json.loads(measured.output.rpartition("\n")[2])
        each = took["cpu"] / count
        rates[which] = count / took["cpu"]
        rows.append(
            (
                "instruction and response" if which == "both" else "instruction alone",
                f"{took['words']:.0f} ({took['characters']:.0f})", count / took["wall"], rates[which],
                each / took["split"], took["plain"] / each, took["load"], took["loaded"] / 1024,
                measured.peak / 2**20, took["flagged"],
            )
        )  # fmt: skip
    head = ("texts", "words (characters) a row", "rows/s", "rows/s of CPU", "× the time of splitting into words",
            "× as fast as a set of tuples", "loading s", "MiB loaded", "peak MiB", "rows flagged at 13")  # fmt: skip
    table(f"Contamination of {count:,} rows against ten benchmarks", head, rows)
    print(f"\nrows a second, both sides: {verdict(rates['both'], 20_000)}")


def single(corpora: Corpora, data: Path) -> None:
    """One instruction at a time, as in the evolution."""
    texts = [row["instruction"] for row in read(data / "seeds/gpteacher_codegen-instruct.json")][:2000]
    texts = [f"{text} {number}" for number, text in enumerate(texts)]
    took = []
    for text in texts:
        before = time.thread_time()
        corpora.check(text)
        took.append((time.thread_time() - before) * 1e6)
    took.sort()
    median, slow = took[len(took) // 2], took[int(0.99 * len(took))]
    size = sum(len(words(text)) for text in texts) / len(texts)
    table("One instruction", ("words", "median µs", "99th percentile µs"), [(f"{size:.0f}", median, slow)])
    print(f"\nmedian, µs: {verdict(median, 50, at_most=True)}")


# What is found


def planted(corpora: Corpora, data: Path, count: int) -> None:
    """Shares of planted items that are found, at 13 and at 8 words."""
    draw = random.Random(2)
    host = next(row["response"] for row in read(data / "seeds/gpteacher_codegen-instruct.json"))
    ways = {
        "as it is": lambda text: text,
        "capitals, no punctuation": lambda text: " ".join(words(text)).upper(),
        "within a row": lambda text: f"{host}\n\n{text}\n\n{host}",
        "1 word in 20 changed": lambda text: changed(text, draw, 1 / 20),
        "1 word in 10 changed": lambda text: changed(text, draw, 1 / 10),
    }
    rows = []
    for name in ITEMS:
        texts = item_texts(data, name)
        texts = draw.sample(texts, min(count, len(texts)))
        cells = []
        for way in ways.values():
            found = [{one.score for one in corpora.check(way(text), 8) if one.corpus == name} for text in texts]
            strict, loose = (sum(any(score >= least for score in one) for one in found) for least in (13, 8))
            cells.append(f"{strict / len(texts):.3f} / {loose / len(texts):.3f}")
        rows.append((name, len(texts), sum(len(words(text)) < 8 for text in texts), *cells))
    table("Planted items found, at 13 / 8 words", ("benchmark", "planted", "under 8 words", *ways), rows)


def item_texts(data: Path, name: str) -> list[str]:
    path, column = ITEMS[name]
    values = [row[column] for row in read(data / path)]
    return [text for value in values for text in (value if isinstance(value, list) else [value])]


def clean(corpora: Corpora, data: Path) -> None:
    """Rows that no one took from a benchmark, and what is found in them."""
    seeds = read(data / "seeds/self_instruct_seed_tasks.jsonl")
    gpteacher = read(data / "seeds/gpteacher_codegen-instruct.json")
    sources = {
        "Self-Instruct seeds, instructions": [row["instruction"] for row in seeds],
        "Self-Instruct seeds, answers": [row["instances"][0]["output"] for row in seeds],
        "GPTeacher code, instructions": [f"{row['instruction']}\n\n{row['input']}" for row in gpteacher],
        "GPTeacher code, answers": [row["response"] for row in gpteacher],
        "HellaSwag training passages": [
            row["query"] for row in read(data / "hellaswag/hellaswag_train_processed.jsonl.gz")
        ],
    }
    rows, shown = [], []
    for name, texts in sources.items():
        hits = list(corpora.check_many(texts, 8))
        strict = sorted((one for one in hits if one[1].score >= 13), key=lambda one: -one[1].score)
        at_13, at_8 = (len({number for number, _ in some}) for some in (strict, hits))
        rows.append((name, len(texts), at_13, at_8, f"{at_13 / len(texts):.5f}", f"{at_8 / len(texts):.4f}"))
        shown += [(name, one.corpus, one.item, one.words, f"{one.share:.2f}", show(one.text)) for _, one in strict[:4]]
    head = ("rows", "count", "flagged at 13", "flagged at 8", "share at 13", "share at 8")
    table("Rows not taken from a benchmark", head, rows)
    table("The longest of these, at 13", ("rows", "benchmark", "item", "words", "share of the item", "passage"), shown)


def meanings(corpora: Corpora, data: Path, count: int) -> None:
    """Neighbours in meaning: of items with words changed or a sentence added, and of rows that are none."""
    before = time.process_time()
    items = Meanings.of(corpora, shipped())
    say(f"{len(items.items):,} items as vectors in {time.process_time() - before:.1f} s")
    draw = random.Random(2)
    texts = [text for name in ITEMS for text in draw.sample(item_texts(data, name), 100) if len(words(text)) >= 8]
    code = read(data / "seeds/gpteacher_codegen-instruct.json")
    more = "Explain your answer, and say where a careless reader would go wrong."
    sources = {
        "items, words in another order": [" ".join(draw.sample(text.split(), len(text.split()))) for text in texts],
        "items, 1 word in 10 left out": [left_out(text, draw) for text in texts],
        "items, a sentence added": [f"{text} {more}" for text in texts],
        "Self-Instruct seeds, instructions": [
            row["instruction"] for row in read(data / "seeds/self_instruct_seed_tasks.jsonl")
        ],
        "GPTeacher code, instructions": [row["instruction"] for row in code],
        "HellaSwag training passages": [
            row["query"] for row in read(data / "hellaswag/hellaswag_train_processed.jsonl.gz")
        ],
    }
    rows = []
    for name, some in sources.items():
        before = time.process_time()
        hits = semantic_contamination(some, items)
        rate = len(some) / (time.process_time() - before)
        shares = [sum(hit.score >= least for hit in hits.hits) / len(some) for least in (0.95, 0.9, 0.85)]
        rows.append((name, len(some), *(f"{share:.4f}" for share in shares), rate))
    table("Neighbours in meaning", ("texts", "count", "at 0.95", "at 0.9", "at 0.85", "texts/s of CPU"), rows)


def left_out(text: str, draw: random.Random) -> str:
    return " ".join(word for word in text.split() if draw.random() >= 0.1)


def show(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:110]


if __name__ == "__main__":
    main()

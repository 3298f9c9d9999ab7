"""How well the shipped static encoder agrees with the model that it was distilled from, on texts it never saw.

    python benchmarks/encoder.py --model FOLDER [--peers-python PYTHON] [--data FOLDER]

FOLDER holds all-MiniLM-L6-v2 (model.safetensors, tokenizer.json); PYTHON is one with torch, safetensors and tokenizers.
The texts are instructions of sets that the distilling does not read. As ideal stands the model itself, which reads a
text's first 256 pieces.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common import say, table
from evolute.encoders.static import load_static, shipped

ROOT = Path(__file__).resolve().parents[1]
TEACHER = """
import json, sys
from pathlib import Path
import numpy, torch
from distil_encoder import MiniLM
texts = json.loads(Path(sys.argv[2]).read_bytes())
model = MiniLM(Path(sys.argv[1]), torch.float32)
model.tokenizer.enable_truncation(256)
with torch.inference_mode():
    numpy.save(sys.argv[3], model.encode(texts).numpy())
"""


def held_out(data: Path) -> Iterator[str]:
    """Instructions of sets that scripts/distil_encoder.py does not read."""
    for path in ("wizardlm/WizardLM_testset.jsonl", "seeds/self_instruct_seed_tasks.jsonl", "mt_bench/question.jsonl"):
        for line in (data / path).read_bytes().splitlines():
            row = json.loads(line)
            yield row.get("Instruction") or row.get("instruction") or row["turns"][0]
    for path in sorted((data / "alpaca_eval").rglob("*.json")):
        rows = json.loads(path.read_bytes())
        if isinstance(rows, list) and rows and "instruction" in rows[0]:
            yield from (row["instruction"] for row in rows)
    for row in json.loads((data / "seeds/code_alpaca_2k.json").read_bytes()):
        yield f"{row['instruction']}\n\n{row['input']}".strip()


def teacher_vectors(python: str, model: Path, texts: list[str]) -> np.ndarray:
    """What the model says of the texts, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        said, out = Path(folder, "texts.json"), Path(folder, "vectors.npy")
        said.write_text(json.dumps(texts), encoding="utf-8")
        path = f"{ROOT / 'scripts'}:{ROOT / 'src'}"
        subprocess.run([python, "-c", TEACHER, str(model), str(said), str(out)], check=True, env={"PYTHONPATH": path})
        return np.load(out)


def ranks(values: np.ndarray) -> np.ndarray:
    places = np.empty(len(values))
    places[np.argsort(values, kind="stable")] = np.arange(len(values))
    return places


def neighbours_shared(ours: np.ndarray, theirs: np.ndarray, count: int) -> float:
    """The share of each text's nearest `count` texts that both name."""
    tops = []
    for dots in (ours @ ours.T, theirs @ theirs.T):
        np.fill_diagonal(dots, -2)
        tops.append(np.argpartition(-dots, count, axis=1)[:, :count])
    return float(np.mean([len(np.intersect1d(one, two)) / count for one, two in zip(*tops, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--encoder", type=Path, help="a folder that the distilling wrote; else the shipped one")
    parser.add_argument("--kept", type=Path, help="where the model's vectors are kept for another look")
    options = parser.parse_args()
    if not options.data.is_dir():
        raise SystemExit(f"there are no texts at {options.data}: name their folder with --data")
    texts = list(dict.fromkeys(held_out(options.data)))
    say(f"{len(texts):,} texts")
    if options.kept and options.kept.exists():
        theirs = np.load(options.kept)
    else:
        theirs = teacher_vectors(options.peers_python, options.model, texts)
        if options.kept:
            np.save(options.kept, theirs)
    encoder = load_static(options.encoder) if options.encoder else shipped()
    start = time.perf_counter()
    ours = encoder.encode(texts)
    took = time.perf_counter() - start

    upper = np.triu_indices(len(texts), 1)
    mine, its = (ours @ ours.T)[upper], (theirs @ theirs.T)[upper]
    rows = [
        ["Spearman of the cosines of all pairs", float(np.corrcoef(ranks(mine), ranks(its))[0, 1]), 1.0],
        ["Pearson of the cosines of all pairs", float(np.corrcoef(mine, its)[0, 1]), 1.0],
        ["nearest neighbour is among the model's ten", nearest_among(ours, theirs, 10), 1.0],
        ["ten nearest neighbours shared", neighbours_shared(ours, theirs, 10), 1.0],
    ]
    for least in (0.95, 0.9, 0.85, 0.8):
        count = int((its >= least).sum())
        if count:
            limit = float(np.partition(mine, -count)[-count])
            both = int(((its >= least) & (mine >= limit)).sum())
            rows.append(
                [f"of its {count} pairs from {least} up, among as many of ours (from {limit:.3f})", both / count, 1.0]
            )
    title = (
        f"{encoder.name} against all-MiniLM-L6-v2, {len(texts):,} texts held out; encoded at {len(texts) / took:,.0f}/s"
    )
    table(title, ["measure", "agreement", "ideal"], rows)


def nearest_among(ours: np.ndarray, theirs: np.ndarray, count: int) -> float:
    """The share of texts whose nearest by ours is among the `count` nearest by theirs."""
    dots, its = ours @ ours.T, theirs @ theirs.T
    for each in (dots, its):
        np.fill_diagonal(each, -2)
    best = dots.argmax(axis=1)
    return float(((its > its[np.arange(len(its)), best][:, None]).sum(axis=1) < count).mean())


if __name__ == "__main__":
    main()

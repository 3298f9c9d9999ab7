"""Our scorer of choices against lm-evaluation-harness, on the same prompts, model and cores.

Both score the same pairs of context and continuation under SmolLM2-135M-Instruct in float32, from text to
log-likelihoods; opening the model is not counted. The harness runs in an environment of its own, as `HFLM` with the
batch size that is the fastest for it on the first question of ARC. Beside the ratio stands what the tokens allow: those
that the harness puts through the model over those that we do.

    python benchmarks/choices.py --data DATA --harness VENV/bin/python

The harness's environment: pip install torch lm-eval==0.4.13 transformers accelerate gguf
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from evolute.evaluate.choice.encoding import Pair, encode_pairs
from evolute.evaluate.choice.loading import Opened, open_model
from evolute.evaluate.choice.metrics import HEADLINE, mark
from evolute.evaluate.choice.scorer import Scorer
from evolute.evaluate.choice.tasks import Task, make_task
from evolute.models.weights import find_model

AIMS = {"arc-challenge": 4.0, "mmlu": 4.0, "hellaswag": 3.0}
NEAR = 1e-3
HARNESS = """
import json, sys, time
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
told = json.load(open(sys.argv[1]))
sizes, model = told["sizes"], told["model"]
lm = HFLM(pretrained=model["folder"], gguf_file=model["file"], dtype="float32", device="cpu", batch_size=sizes[0])
def run(pairs, size):
    lm.batch_size_per_gpu = size
    asked = [Instance("loglikelihood", {}, tuple(pair), n) for n, pair in enumerate(pairs)]
    begun = time.perf_counter()
    found = lm.loglikelihood(asked, disable_tqdm=True)
    return time.perf_counter() - begun, [value for value, _ in found]
trials = {size: run(told["trial"], size)[0] for size in sizes}
best = min(trials, key=trials.get)
tasks = {name: run(pairs, best) for name, pairs in told["tasks"].items()}
json.dump({"best": best, "trials": trials, "tasks": tasks}, open(sys.argv[2], "w"))
"""


@dataclass(frozen=True)
class Ours:
    """Our side of a task: seconds, log-likelihoods, tokens put in by us, and those that the harness puts in."""

    seconds: float
    found: dict[Pair, float | None]
    tokens: int
    theirs: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with mmlu, arc_challenge and hellaswag")
    parser.add_argument("--harness", required=True, help="the python of an environment with lm-eval")
    parser.add_argument("--arc", type=int, default=4, help="questions of ARC-Challenge, 25-shot")
    parser.add_argument("--mmlu", type=int, default=20, help="questions of MMLU's high_school_geography, 5-shot")
    parser.add_argument("--hellaswag", type=int, default=5, help="questions of HellaSwag, 10-shot")
    parser.add_argument("--batch-sizes", default="1,4", help="batch sizes that are tried for the harness")
    options = parser.parse_args()
    tasks = {
        "arc-challenge": make_task("arc-challenge", options.data, limit=options.arc),
        "mmlu": make_task("mmlu", options.data, limit=options.mmlu, subjects=["high_school_geography"]),
        "hellaswag": make_task("hellaswag", options.data, limit=options.hellaswag),
    }
    found = find_model("smollm2")
    opened = open_model(found, dtype="float32", device="cpu")
    score(opened, make_task("arc-challenge", options.data, limit=1))  # the trials warm the harness up, and this us
    ours = {name: score(opened, task) for name, task in tasks.items()}
    del opened
    sizes = [int(size) for size in options.batch_sizes.split(",")]
    theirs = harness(options.harness, tasks, sizes, found.path)
    tried = ", ".join(f"{size}: {seconds:.1f} s" for size, seconds in theirs["trials"].items())
    print(f"the harness's batch size: {theirs['best']} (one question: {tried})")
    met = {name: tell(name, task, ours[name], *theirs["tasks"][name]) for name, task in tasks.items()}
    if missed := [name for name, is_met in met.items() if not is_met]:
        sys.exit(f"an aim is missed: {', '.join(missed)}")


def pairs_of(task: Task) -> list[Pair]:
    return [pair for question in task.questions for pair in question.pairs("")]


def score(opened: Opened, task: Task) -> Ours:
    scorer = Scorer(opened.model, opened.encode, opened.window, beginning=opened.beginning)
    pairs, before = pairs_of(task), scorer.passes.put_in
    begun = time.perf_counter()
    found = {pair: likelihood.value for pair, likelihood in scorer.score(pairs)}
    seconds = time.perf_counter() - begun
    inputs = {one.tokens[:-1] for one in encode_pairs(pairs, opened.encode, opened.window, opened.beginning)}
    return Ours(seconds, found, scorer.passes.put_in - before, sum(map(len, inputs)))


def harness(python: str, tasks: dict[str, Task], sizes: list[int], weights: Path) -> dict:
    told = {
        "sizes": sizes,
        "model": {"folder": str(weights.parent), "file": weights.name},
        "trial": tasks["arc-challenge"].questions[0].pairs(""),
        "tasks": {name: pairs_of(task) for name, task in tasks.items()},
    }
    with TemporaryDirectory() as folder:
        said, result = Path(folder) / "asked.json", Path(folder) / "found.json"
        said.write_text(json.dumps(told))
        offline = os.environ | {"HF_HUB_OFFLINE": "1"}
        ran = subprocess.run([python, "-c", HARNESS, said, result], capture_output=True, text=True, env=offline)
        if ran.returncode:
            sys.exit(f"the harness failed:\n{ran.stderr[-3000:]}")
        return json.loads(result.read_text())


def accuracy(task: Task, values: dict[Pair, float | None]) -> float:
    metric = HEADLINE[task.benchmark]
    marked = [mark(one, {"": [values[pair] for pair in one.pairs("")]}) for one in task.questions]
    return sum(one.metrics[metric] for one in marked) / len(marked)


def tell(name: str, task: Task, ours: Ours, seconds: float, values: list[float]) -> bool:
    """Print a task's line, and say whether it meets the aims."""
    theirs = dict(zip(pairs_of(task), values, strict=True))
    apart = max(abs(ours.found[pair] - value) for pair, value in theirs.items())
    mine, other = accuracy(task, ours.found), accuracy(task, theirs)
    ratio = seconds / ours.seconds
    print(f"{name} {task.shots}-shot, {len(task.questions)} questions:")
    print(f"  the harness {seconds:.1f} s, ours {ours.seconds:.1f} s: {ratio:.1f} x (aim {AIMS[name]:g} x)")
    print(f"  tokens {ours.theirs:,} and {ours.tokens:,}: alone {ours.theirs / ours.tokens:.1f} x")
    print(f"  {HEADLINE[task.benchmark]} {other:.3f} and {mine:.3f}; log-likelihoods at most {apart:.1e} apart")
    return ratio >= AIMS[name] and mine == other and apart < NEAR


if __name__ == "__main__":
    main()

"""Tokens a second, MFU and loss of full fine-tuning with packing: `evolute train` beside plain TRL, in the same run.

    python benchmarks/training.py DATA [--base smollm2] [--length 512] [--batch 2] [--micro 1] [--steps 5]

DATA is JSONL with `messages` of one exchange a row (`evolute export RUN DATA --format messages`). Both train the same
base on the same rows with the same recipe; TRL's own way is what its documentation shows: `SFTTrainer` on the columns
`prompt` and `completion`, with packing. Each trains in a process of its own, alternately `--repeats` times. The loss is
that of the trained models on the same held-out rows, encoded once, so that it says the same of both. A step's time is
measured from its beginning to its end, the device being waited for; the first ones warm up and do not count.

On a GPU: the defaults of `--recipe modern-8b` are tried with
    python benchmarks/training.py DATA --base MODEL --length 2048 --batch 32 --micro 4 --steps 30 --precision bfloat16
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HELD_OUT = 16
WARM = 2


def main() -> None:
    options = arguments()
    if options.way:
        print(json.dumps(measure(options)))
        return
    found: dict[str, list[dict[str, Any]]] = {"evolute": [], "trl": []}
    for repeat in range(options.repeats):
        for way in ("evolute", "trl") if repeat % 2 == 0 else ("trl", "evolute"):
            command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
            ran = subprocess.run(command, capture_output=True, text=True)
            if ran.returncode:
                sys.exit(ran.stderr)
            found[way].append(json.loads(ran.stdout.splitlines()[-1]))
    show(found)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--base", default="smollm2")
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--micro", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--way", choices=("evolute", "trl"), help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train one way, in this process."""
    import torch

    from evolute.formats import find_format
    from evolute.recipe.trainingfiles import resolve_training
    from evolute.train.arguments import quiet
    from evolute.train.opening import open_base

    quiet()
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    settings = {
        "batch": options.batch, "micro_batch": options.micro, "steps": options.steps, "max_length": options.length,
        "packing": True, "learning_rate": 1e-4, "schedule": "constant", "warmup": 0, "gradient_checkpointing": False,
        "precision": options.precision, "save_steps": 10**6,
    }  # fmt: skip
    recipe = resolve_training(None, settings)
    rows = [json.loads(line)["messages"] for line in options.data.read_text().splitlines()]
    rows = [turns for turns in rows if [turn["role"] for turn in turns] == ["user", "assistant"]]
    held_out, rows = rows[:HELD_OUT], rows[HELD_OUT:]
    base = open_base(options.base, find_format("chat"), recipe, device=device)
    examples, judged = (encoded(part, base, recipe) for part in (rows, held_out))
    before = loss_of(base.model, judged)
    timer = Timer(device)
    with tempfile.TemporaryDirectory() as folder:
        make = ours if options.way == "evolute" else plain
        trainer = make(base, recipe, examples, rows, Path(folder), device)
        trainer.add_callback(timer.callback())
        timer.watch(trainer)
        trainer.train()
    return {
        "seconds": statistics.median(timer.seconds[WARM:]),
        "tokens": statistics.mean(timer.tokens[WARM:]),
        "learned": statistics.mean(timer.learned[WARM:]),
        "mfu": mfu(base.model.config, timer, options, device),
        "before": before,
        "after": loss_of(trainer.model, judged),
    }


def encoded(rows: list[Any], base: Any, recipe: Any) -> Any:
    from evolute.formats import find_format
    from evolute.records import Message
    from evolute.train.conversations import Conversation
    from evolute.train.examples import encode

    said = (Conversation(tuple(Message(**turn) for turn in turns), "", "") for turns in rows)
    return encode(said, base.tokenizer, find_format("chat"), recipe).kept


def ours(base: Any, recipe: Any, examples: Any, rows: Any, folder: Path, device: str) -> Any:
    from evolute.train.metrics import Recorder
    from evolute.train.sft import make_trainer

    return make_trainer(base, recipe, examples, [], folder, Recorder(folder, 1, lambda _: None), device=device)


def plain(base: Any, recipe: Any, examples: Any, rows: Any, folder: Path, device: str) -> Any:
    """As TRL's documentation has it, with the same rows, lengths, batches and rates."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from evolute.train.arguments import training_arguments

    kept = [rows[one.place] for one in examples]  # what is too long is left out of both
    table = {"prompt": [turns[:-1] for turns in kept], "completion": [turns[-1:] for turns in kept]}
    common = training_arguments(recipe, folder, device=device, rows=len(kept))
    arguments = SFTConfig(**common, max_length=recipe.max_length, packing=True)
    return SFTTrainer(
        model=base.model, args=arguments, train_dataset=Dataset.from_dict(table), processing_class=base.tokenizer
    )


class Timer:
    """Seconds, tokens and learned tokens of each optimizer step."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.seconds: list[float] = []
        self.tokens: list[int] = []
        self.learned: list[int] = []

    def watch(self, trainer: Any) -> None:
        """Count what goes into each micro-batch."""
        step = trainer.training_step

        def counted(model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
            ids, labels = inputs["input_ids"], inputs["labels"]
            mask = inputs.get("attention_mask")
            self.tokens[-1] += int(ids.numel() if mask is None else mask.sum())
            self.learned[-1] += int((labels != -100).sum())
            return step(model, inputs, *rest, **more)

        trainer.training_step = counted

    def callback(self) -> Any:
        """What tells it of each step."""
        import torch
        from transformers import TrainerCallback

        def wait() -> float:
            if self.device.startswith("cuda"):
                torch.cuda.synchronize()
            return time.perf_counter()

        timer = self

        class Steps(TrainerCallback):
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                timer.tokens.append(0)
                timer.learned.append(0)
                timer.seconds.append(-wait())

            def on_step_end(self, *_: Any, **__: Any) -> None:
                timer.seconds[-1] += wait()

        return Steps()


def mfu(config: Any, timer: Timer, options: argparse.Namespace, device: str) -> float | None:
    """Of the device's dense peak, by TRL's own count of FLOPs (six for each parameter and token, and attention)."""
    import torch
    from trl.trainer.utils import compute_flops_per_token, get_peak_flops

    if not device.startswith("cuda"):
        return None
    dtype = {"bfloat16": "bfloat16", "float16": "float16", "float32": "float32"}.get(options.precision, "bfloat16")
    peak = get_peak_flops(torch.cuda.get_device_name(0), dtype)
    if peak is None:
        return None
    rate = statistics.mean(timer.tokens[WARM:]) / statistics.median(timer.seconds[WARM:])
    return 100 * rate * compute_flops_per_token(config, options.length) / peak


def loss_of(model: Any, examples: Any) -> float:
    """Mean loss of a learned token over held-out examples."""
    import torch

    model.eval()
    total = count = 0.0
    with torch.no_grad():
        for one in examples:
            ids, labels = (torch.tensor([list(part)], device=model.device) for part in (one.ids, one.labels))
            learned = int((labels[:, 1:] != -100).sum())
            total += float(model(input_ids=ids, labels=labels).loss) * learned
            count += learned
    model.train()
    return total / count


def show(found: dict[str, list[dict[str, Any]]]) -> None:
    def middle(way: str, name: str) -> float:
        return statistics.median(one[name] for one in found[way])

    print("| | tokens/s | learned tokens/s | s/step | MFU | held-out loss before | after |")
    print("|---|---|---|---|---|---|---|")
    for way in found:
        seconds, share = middle(way, "seconds"), found[way][0]["mfu"]
        print(
            f"| {way} | {middle(way, 'tokens') / seconds:,.0f} | {middle(way, 'learned') / seconds:,.0f} | "
            f"{seconds:.2f} | {'–' if share is None else f'{share:.1f} %'} | {middle(way, 'before'):.3f} | "
            f"{middle(way, 'after'):.3f} |"
        )
    rates = {way: middle(way, "tokens") / middle(way, "seconds") for way in found}
    print(f"\nEvolute trains at {rates['evolute'] / rates['trl']:.2f} times the speed of plain TRL.")


if __name__ == "__main__":
    main()

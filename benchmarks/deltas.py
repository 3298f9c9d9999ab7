"""Peak memory and time of our deltas beside the original's way: both models loaded in float32 and subtracted.

    python benchmarks/deltas.py [--layers 24] [--width 1024]

A synthetic Llama in bfloat16 in several shards, and the same with a little noise, in a temporary folder (about four
times the model's size). Each way runs in a process of its own, whose peak of resident memory is read at its end; it
counts the pages of mapped files, which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHARD = "100MB"


def build(folder: Path, layers: int, width: int) -> None:
    """A base and a tuned model."""
    import torch
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=32000, hidden_size=width, intermediate_size=width * 3, num_hidden_layers=layers,
        num_attention_heads=width // 64, num_key_value_heads=width // 64, dtype="bfloat16",
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder / "base", max_shard_size=SHARD)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 1e-3 * torch.randn_like(weight)
    model.save_pretrained(folder / "tuned", max_shard_size=SHARD)


def original_make(folder: Path) -> None:
    """`make_diff` of the original's weight_diff_wizard.py: both whole models in float32."""
    import torch
    import transformers

    tuned, base = (
        transformers.AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32)
        for name in ("tuned", "base")
    )
    raw = base.state_dict()
    with torch.no_grad():
        for name, weight in tuned.state_dict().items():
            weight.add_(-raw[name])
    tuned.save_pretrained(folder / "original")


def ours_make(folder: Path) -> None:
    from evolute.train.delta import make_delta

    made = make_delta(folder / "base", folder / "tuned", folder / "delta")
    print(f"compressible to {made.compressible:.0%}", file=sys.stderr)


def ours_apply(folder: Path) -> None:
    from evolute.train.delta import apply_delta

    apply_delta(folder / "base", folder / "delta", folder / "again")


def ours_verify(folder: Path) -> None:
    from evolute.train.delta import verify_delta

    verify_delta(folder / "base", folder / "delta", folder / "again")
    verify_delta(folder / "base", folder / "delta", folder / "tuned")


WAYS = {one.__name__: one for one in (original_make, ours_make, ours_apply, ours_verify)}


def peak_memory() -> int:
    """The most that this process ever held, in MB. Linux only: getrusage counts what its parent held at the fork."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1000 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--way", nargs=2, metavar=("NAME", "FOLDER"))
    given = parser.parse_args()
    if given.way:
        import torch  # noqa: F401
        import transformers  # noqa: F401

        import evolute.train.shards  # noqa: F401 - imports are not what is measured

        before, start = peak_memory(), time.perf_counter()
        WAYS[given.way[0]](Path(given.way[1]))
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": round(seconds, 1), "peak_mb": peak_memory(), "imports_mb": before}))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        build(folder, given.layers, given.width)
        size = sum(path.stat().st_size for path in (folder / "base").glob("*.safetensors"))
        shards = [path.stat().st_size for path in (folder / "base").glob("*.safetensors")]
        print(f"model {size / 1e6:.0f} MB in {len(shards)} shards of at most {max(shards) / 1e6:.0f} MB")
        for name in WAYS:
            done = subprocess.run(
                [sys.executable, __file__, "--way", name, str(folder)], stdout=subprocess.PIPE, text=True, check=True
            )
            print(name, done.stdout.strip())
        size = sum(path.stat().st_size for path in (folder / "delta").glob("*.safetensors"))
        print(f"our delta {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()

"""What a training needs in memory: against what a real one takes, and what is said where it does not fit."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

pytest.importorskip("torch")
from transformers import LlamaConfig

from evolute.errors import InputError
from evolute.train import dryrun, memory
from evolute.train.memory import STATES, Load, check_memory, estimate_memory, free_memory

SMALL = {"vocab_size": 4000, "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 2}
REAL_STEPS = """
import torch, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from transformers import AutoModelForCausalLM, LlamaConfig

def most():
    # Not getrusage's: that is of the process which started this one, where it was larger.
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

def steps(config, rows, length):
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    ids = torch.randint(0, config.vocab_size, (rows, length))
    for _ in range(3):
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()

sizes = {sizes}
torch.set_num_threads(1)
steps(LlamaConfig(**(sizes | dict(vocab_size=64, hidden_size=32, intermediate_size=32)), num_attention_heads=4), 1, 8)
before = most()
steps(LlamaConfig(**sizes, num_attention_heads=4), 4, 256)
print(most() - before)
"""


def config(**changes):
    return LlamaConfig(**{"num_attention_heads": 4, **SMALL, **changes})


@pytest.mark.marathon  # a process of its own, which imports torch
def test_the_estimate_is_what_a_real_training_takes() -> None:
    # A process of its own: what an earlier test freed would be used again, and not be seen.
    code = REAL_STEPS.replace("{sizes}", repr(SMALL))
    at_once = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}  # what is freed is gone
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=at_once)
    load = Load(compute="float32", length=256, rows=4, checkpointing=False, tiled_head=False)
    assert estimate_memory(config(), load).total == pytest.approx(int(ran.stdout), rel=0.15)


def test_a_deep_model_is_reckoned_from_shallow_ones(monkeypatch) -> None:
    load = Load(length=256, compute="float32", checkpointing=False)
    reckoned = estimate_memory(config(num_hidden_layers=6), load).activations
    monkeypatch.setattr(dryrun, "_DEPTHS", (3, 6))
    assert reckoned == pytest.approx(estimate_memory(config(num_hidden_layers=6), load).activations, rel=0.01)


def test_each_setting_takes_what_it_should() -> None:
    base = Load(length=128, rows=2, compute="float32")
    full = estimate_memory(config(), base)
    assert full.gradients == full.weights
    assert full.optimizer == 2 * full.weights
    working = full.activations or 0
    assert (estimate_memory(config(), replace(base, checkpointing=False)).activations or 0) > working
    assert (estimate_memory(config(), replace(base, tiled_head=False, length=512)).activations or 0) > working
    lora = estimate_memory(config(), replace(base, method="lora"))
    assert lora.gradients < 0.1 * full.gradients
    qlora = estimate_memory(config(), replace(base, method="qlora", weights="bfloat16"))
    assert qlora.weights < 0.5 * full.weights
    pairs = estimate_memory(config(), replace(base, pairs=True))
    assert pairs.reference == full.weights
    assert (pairs.activations or 0) > working


def test_shards_share_all_but_what_is_at_work() -> None:
    load = Load(length=64, sharding="fsdp2", shards=4, compute="float32")
    whole, part = estimate_memory(config(), replace(load, sharding="none")), estimate_memory(config(), load)
    assert part.weights == whole.weights // 4
    assert part.gathered > 0
    zero = estimate_memory(config(), replace(load, sharding="zero3", weights="bfloat16", compute="bfloat16"))
    assert zero.optimizer == pytest.approx(12 * whole.weights / 4 / 4, rel=0.01)


def test_too_little_memory_is_said_before_with_what_would_help(monkeypatch) -> None:
    load = Load(length=256, rows=8, checkpointing=False, compute="float32")
    needed = check_memory(config(), load, "cpu").total
    monkeypatch.setattr(memory, "free_memory", lambda device: needed - 1)
    with pytest.raises(InputError, match=r"needs about .* GiB \(weights .*cpu has .* free.*a micro-batch of 1"):
        check_memory(config(), load, "cpu")
    monkeypatch.setattr(memory, "free_memory", lambda device: 1000)
    with pytest.raises(InputError, match="still too much"):
        check_memory(config(), load, "cpu")
    assert check_memory(config(), load, "cpu", needed).total == needed  # what was free before the model was there


@pytest.mark.parametrize("optimizer", ["adafactor", "adamw_bnb_8bit"])
def test_a_small_optimizer_is_reckoned_as_small(optimizer) -> None:
    load = Load(length=64, compute="float32")
    small = estimate_memory(config(), replace(load, states=STATES[optimizer])).optimizer
    assert small <= estimate_memory(config(), load).optimizer / 4


def test_free_memory_heeds_the_container(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    machine = free_memory("cpu")
    assert machine is not None
    assert machine > 1 << 20
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("2000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\nfile 500000\n")
    assert free_memory("cpu") == 1_500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert (free_memory("cpu") or 0) > 1_500_000


def test_what_cannot_be_tried_without_data_is_left_open() -> None:
    from transformers import MixtralConfig

    mixture = MixtralConfig(
        vocab_size=100, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, num_local_experts=2,
    )  # fmt: skip
    found = estimate_memory(mixture, Load(length=16))
    assert found.weights > 0
    assert found.activations is None or found.activations > 0
    if found.activations is None:
        assert "unknown" in str(found)

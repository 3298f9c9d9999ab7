"""Accelerate itself reads what we write for it, and two processes learn what one learns."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from evolute.errors import InputError
from evolute.train.distributed import (
    ACCELERATE_FILE,
    DEEPSPEED_FILE,
    Cluster,
    deepspeed_config,
    launch_commands,
    write_configs,
)

CLUSTERS = [
    Cluster("none", 1),
    Cluster("none", 4),
    Cluster("none", 2, cpu=True, precision="no"),
    Cluster("fsdp2", 8),
    Cluster("fsdp2", 16, 2, "10.0.0.1", offload=True),
    Cluster("zero3", 16, 2, "10.0.0.1", 29501),
]
TWO_LEARN_AS_ONE = """
import sys, torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments, set_seed

set_seed(0)
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, use_cache=False,
))
ids = torch.randint(0, 100, (16, 12), generator=torch.Generator().manual_seed(1)).tolist()
trainer = Trainer(model, TrainingArguments(
    sys.argv[1], per_device_train_batch_size=int(sys.argv[2]), num_train_epochs=1, logging_steps=1, report_to=[],
    use_cpu=True, learning_rate=1e-2, save_strategy="no", disable_tqdm=True, train_sampling_strategy="sequential",
), train_dataset=Dataset.from_dict({"input_ids": ids, "labels": ids}))
trainer.train()
if trainer.accelerator.is_main_process:
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print("LOSSES", trainer.accelerator.num_processes, *losses, flush=True)
"""


@pytest.mark.parametrize("cluster", CLUSTERS, ids=lambda one: f"{one.sharding}-{one.processes}-{one.machines}")
def test_accelerate_accepts_the_file_and_the_command(cluster, tmp_path) -> None:
    pytest.importorskip("accelerate")
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    path = write_configs(cluster, tmp_path)
    read = load_config_from_file(str(path))
    assert (read.num_processes, read.num_machines) == (cluster.processes, cluster.machines)
    commands = launch_commands(cluster, path, ["train", "a b.jsonl", "--out", "x"])
    assert len(commands) == cluster.machines
    for rank, command in enumerate(commands):
        name, launch, *arguments = shlex.split(command)
        told = launch_command_parser().parse_args(arguments)
        assert (name, launch, told.module, told.training_script) == ("accelerate", "launch", True, "evolute")
        assert told.training_script_args == ["train", "a b.jsonl", "--out", "x"]
        assert cluster.machines == 1 or told.machine_rank == rank


def test_fsdp_2_is_told_in_the_words_that_accelerate_knows(tmp_path) -> None:
    pytest.importorskip("accelerate")
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    known = vars(launch_command_parser().parse_args(["x.py"]))
    fields = load_config_from_file(str(write_configs(Cluster(), tmp_path))).fsdp_config

    assert fields.keys() <= known.keys()
    assert fields["fsdp_version"] == 2


def test_deepspeed_is_zero_3_and_leaves_the_rest_to_the_trainer(tmp_path) -> None:
    path = write_configs(Cluster("zero3", 8, precision="fp16", offload=True), tmp_path)
    written = json.loads((tmp_path / DEEPSPEED_FILE).read_text())
    assert written["zero_optimization"]["stage"] == 3
    assert written["zero_optimization"]["offload_param"] == {"device": "cpu", "pin_memory": True}
    assert written["optimizer"]["params"]["lr"] == "auto"
    assert (written["fp16"]["enabled"], written["bf16"]["enabled"]) == (True, False)
    assert str(tmp_path / DEEPSPEED_FILE) in path.read_text()
    assert "mixed_precision" not in path.read_text()
    assert "optimizer" not in deepspeed_config(Cluster("zero3", 8))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"processes": 0}, "0 processes on 1 machines"),
        ({"processes": 9, "machines": 2, "address": "a"}, "9 processes on 2 machines"),
        ({"processes": 16, "machines": 2}, "address of the first"),
        ({"cpu": True}, "fsdp2 needs GPUs"),
        ({"sharding": "none", "offload": True}, "offload goes with sharding"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(given, said) -> None:
    with pytest.raises(InputError, match=said):
        Cluster(**given)


def test_without_the_folder_nothing_is_written(tmp_path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        write_configs(Cluster(), tmp_path / "missing")


@pytest.mark.marathon  # three processes that import torch
def test_two_processes_learn_what_one_learns_with_twice_the_batch(tmp_path) -> None:
    pytest.importorskip("trl")
    script = tmp_path / "script.py"
    script.write_text(TWO_LEARN_AS_ONE)
    config = write_configs(Cluster("none", 2, cpu=True, precision="no"), tmp_path)
    launch = [
        str(Path(sys.executable).parent / "accelerate"),
        "launch",
        "--main_process_port",
        "0",
        "--config_file",
        str(config),
    ]
    one = subprocess.run([sys.executable, script, tmp_path, "4"], capture_output=True, text=True, check=True)
    two = subprocess.run([*launch, script, tmp_path, "2"], capture_output=True, text=True)
    assert two.returncode == 0, two.stderr
    (alone,), (together,) = (re.findall(r"LOSSES (\d) (.*)", ran.stdout) for ran in (one, two))
    assert (alone[0], together[0]) == ("1", "2")
    assert [float(x) for x in alone[1].split()] == pytest.approx([float(x) for x in together[1].split()], rel=1e-5)
    assert config.name == ACCELERATE_FILE

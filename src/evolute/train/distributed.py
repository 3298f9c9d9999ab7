"""Training on several devices: accelerate's configuration files, and the commands that start the training with them.

Accelerate, FSDP2 and DeepSpeed do the work. `evolute train`, started by `accelerate launch`, finds what it needs in the
environment that accelerate makes.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
import yaml

from evolute.errors import InputError
from evolute.files import replacing

ACCELERATE_FILE = "accelerate.yaml"
DEEPSPEED_FILE = "deepspeed.json"

Sharding = Literal["none", "fsdp2", "zero3"]
Precision = Literal["bf16", "fp16", "no"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where a training runs.

    Args:
        sharding: `fsdp2` and `zero3` spread weights, gradients and optimizer over all devices; with `none` each device
            has the whole model (DDP).
        processes: devices in all, over all machines.
        machines: computers; each has the same number of devices.
        address: of the first computer, as the others reach it; needed with more than one.
        port: on which they meet there.
        precision: of the computation (`no`: fp32).
        offload: keep weights and optimizer in the machine's memory, which is slow and needs the least of the GPU's.
        cpu: without any GPU; for trying things out.
    """

    sharding: Sharding = "fsdp2"
    processes: int = 8
    machines: int = 1
    address: str = ""
    port: int = 29500
    precision: Precision = "bf16"
    offload: bool = False
    cpu: bool = False

    def __post_init__(self) -> None:
        if self.processes < 1 or self.machines < 1 or self.processes % self.machines:
            raise InputError(
                f"{self.processes} processes on {self.machines} machines: give at least one of each, and a number of "
                "processes that the machines can share evenly"
            )
        if self.machines > 1 and not self.address:
            raise InputError("several machines need the address of the first, as the others reach it (10.0.0.1, say)")
        if self.cpu and self.sharding != "none":
            raise InputError(f"{self.sharding} needs GPUs: on processors alone use sharding none")
        if self.offload and self.sharding == "none":
            raise InputError("offload goes with sharding: choose fsdp2 or zero3")


def accelerate_config(cluster: Cluster, deepspeed: str = DEEPSPEED_FILE) -> dict[str, Any]:
    """What accelerate reads with `--config_file`; `deepspeed` is the path of DeepSpeed's own file (zero3)."""
    fields: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "debug": False,
        "machine_rank": 0,
        "main_training_function": "main",
        "num_machines": cluster.machines,
        "num_processes": cluster.processes,
        "rdzv_backend": "static",
        "same_network": True,
        "use_cpu": cluster.cpu and cluster.processes == 1,
    }
    if cluster.machines > 1:
        fields |= {"main_process_ip": cluster.address, "main_process_port": cluster.port}
    return fields | _SPREAD[cluster.sharding](cluster, deepspeed)


def _ddp(cluster: Cluster, _: str) -> dict[str, Any]:
    """For processors alone as well: what accelerate calls MULTI_CPU it starts through MPI, or else one process only."""
    kind = "MULTI_GPU" if cluster.processes > 1 else "NO"
    return {"distributed_type": kind, "mixed_precision": cluster.precision}


def _fsdp2(cluster: Cluster, _: str) -> dict[str, Any]:
    """Each layer is a unit. Checkpointing of activations is the trainer's, which refuses to have it done twice."""
    return {
        "distributed_type": "FSDP",
        "mixed_precision": cluster.precision,
        "fsdp_config": {
            "fsdp_version": 2,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_reshard_after_forward": True,
            "fsdp_offload_params": cluster.offload,
            "fsdp_cpu_ram_efficient_loading": True,
            "fsdp_activation_checkpointing": False,
            "fsdp_state_dict_type": "SHARDED_STATE_DICT",
        },
    }


def _zero3(_: Cluster, deepspeed: str) -> dict[str, Any]:
    """All else, the precision too, is in DeepSpeed's own file: accelerate refuses to be told twice."""
    return {
        "distributed_type": "DEEPSPEED",
        "deepspeed_config": {
            "deepspeed_config_file": deepspeed,
            "deepspeed_multinode_launcher": "standard",
            "zero3_init_flag": True,
        },
    }


_SPREAD = {"none": _ddp, "fsdp2": _fsdp2, "zero3": _zero3}


def deepspeed_config(cluster: Cluster) -> dict[str, Any]:
    """DeepSpeed's ZeRO-3, with `auto` where the trainer's own setting is to be taken.

    The frame is that of WizardLM's own training (github.com/nlpxucan/WizardLM, training/src/configs/
    deepspeed_config.json: ZeRO-3, overlapping communication, contiguous gradients, 16-bit weights gathered on saving).
    Ours differs where that file's age shows: bf16 unless asked otherwise; offloading on request; and with fp16 a first
    loss scale of 2^16, DeepSpeed's default, for its 2^32 overflows until it has been halved a dozen times.
    """
    zero: dict[str, Any] = {
        "stage": 3,
        "overlap_comm": True,
        "contiguous_gradients": True,
        "reduce_bucket_size": "auto",
        "stage3_prefetch_bucket_size": "auto",
        "stage3_param_persistence_threshold": "auto",
        "stage3_gather_16bit_weights_on_model_save": True,
    }
    fields: dict[str, Any] = {
        "bf16": {"enabled": cluster.precision == "bf16"},
        "fp16": {
            "enabled": cluster.precision == "fp16",
            "loss_scale": 0,
            "initial_scale_power": 16,
            "loss_scale_window": 1000,
            "hysteresis": 2,
        },
        "zero_optimization": zero,
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
    }
    if cluster.offload:
        memory = {"device": "cpu", "pin_memory": True}
        zero |= {"offload_optimizer": memory, "offload_param": memory}
        # Only its own AdamW works on what is offloaded.
        auto = {"lr": "auto", "betas": "auto", "eps": "auto", "weight_decay": "auto"}
        fields["optimizer"] = {"type": "AdamW", "params": auto}
    return fields


def write_configs(cluster: Cluster, folder: Path) -> Path:
    """Write the files into a folder that exists, each whole or not at all; returns accelerate's.

    Raises:
        InputError: they cannot be written.
    """
    if cluster.sharding == "zero3":
        with replacing(folder / DEEPSPEED_FILE) as file:
            file.write(orjson.dumps(deepspeed_config(cluster), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    config = accelerate_config(cluster, str(folder / DEEPSPEED_FILE))
    with replacing(folder / ACCELERATE_FILE) as file:
        file.write(yaml.safe_dump(config, sort_keys=True).encode())
    return folder / ACCELERATE_FILE


def launch_commands(cluster: Cluster, config: Path, arguments: Sequence[str]) -> list[str]:
    """The commands that start the training, one for each machine, the first machine's first.

    Args:
        cluster: where it runs.
        config: accelerate's file; each machine needs it, under this path.
        arguments: what stands behind `evolute`: `["train", "DATASET", "--out", "DIR"]`.
    """
    start, told = ["accelerate", "launch", "--config_file", str(config)], ["-m", "evolute", *arguments]
    if cluster.machines == 1:
        return [shlex.join([*start, *told])]
    return [shlex.join([*start, "--machine_rank", str(rank), *told]) for rank in range(cluster.machines)]

"""What transformers' trainers are told, alike for answers and for preferences."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

from evolute.errors import InputError
from evolute.recipe.training import TrainRecipe
from evolute.train.opening import compute_type

CHECKPOINTS = "checkpoints"
"""The folder in a training's own that holds its checkpoints."""

_OFTEN = 50
"""Steps between checkpoints at the least, where the recipe does not say."""


def training_arguments(
    recipe: TrainRecipe, out: Path, *, device: str, rows: int, devices: int = 1, evaluates: bool = False
) -> dict[str, Any]:
    """The arguments that `SFTConfig` and `DPOConfig` share.

    Checkpoints are thinned out by `train/resume.py`, which knows which of them are whole, and not by the trainer.

    Args:
        recipe: what is asked for.
        out: the training's folder.
        device: where it computes.
        rows: rows of the training set (packs, where it is packed).
        devices: how many devices share a step.
        evaluates: whether there is a validation set.

    Raises:
        InputError: the device has not the precision asked for, or the devices cannot share the batch evenly.
    """
    compute = compute_type(recipe, device)
    from transformers import TrainingArguments

    new = "activation_checkpointing"  # its name in later releases of transformers 5; the old one warns
    checkpointing = new if new in TrainingArguments.__dataclass_fields__ else "gradient_checkpointing"
    steps_per_epoch = max(1, -(-rows // recipe.batch))
    return {
        "output_dir": str(out / CHECKPOINTS),
        "per_device_train_batch_size": recipe.micro_batch,
        "per_device_eval_batch_size": recipe.micro_batch,
        "gradient_accumulation_steps": recipe.accumulation(devices),
        "num_train_epochs": recipe.epochs,
        "max_steps": recipe.steps or -1,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.schedule,
        "warmup_steps": warmup_steps(recipe.warmup, recipe.steps or int(recipe.epochs * steps_per_epoch)),
        "optim": recipe.optimizer,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "bf16": compute == "bfloat16",
        "fp16": compute == "float16",
        "use_cpu": device == "cpu",
        checkpointing: recipe.gradient_checkpointing,
        f"{checkpointing}_kwargs": {"use_reentrant": False} if recipe.gradient_checkpointing else None,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "save_strategy": "steps",
        "save_steps": recipe.save_steps or max(steps_per_epoch, _OFTEN),
        "save_total_limit": None,
        "eval_strategy": "steps" if evaluates else "no",
        "eval_steps": recipe.eval_steps or steps_per_epoch,
        "logging_steps": recipe.log_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "report_to": list(recipe.report_to) or "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": device.startswith("cuda"),
        "push_to_hub": False,
    }


def warmup_steps(warmup: float, steps: int) -> int:
    """The steps of the warm-up; a share of all is rounded down.

    transformers rounds it up, and its first step of any warm-up has the learning rate 0: of a training of few steps one
    would be lost.
    """
    return int(warmup if warmup >= 1 else warmup * steps)


def check_packages(recipe: TrainRecipe) -> None:
    """Look that what the recipe names by another package's name is there, before hours are spent.

    Raises:
        InputError: it is not.
    """
    wanted: list[tuple[str, str, str]] = [("report_to", tracker, tracker) for tracker in recipe.report_to]
    wanted += [("optimizer", recipe.optimizer, "bitsandbytes")] if "8bit" in recipe.optimizer else []
    for field, value, package in wanted:
        if importlib.util.find_spec(package) is None:
            raise InputError(f"{field}: {value} needs a package that is not installed: pip install {package}")


def quiet() -> None:
    """Keep the libraries from writing where our own words stand; what matters of theirs is said by us."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", module=r"(torch|transformers|trl|peft|accelerate)\b")

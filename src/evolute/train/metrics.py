"""What is written down while a model trains, and what is looked at so that a broken training does not go on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import torch
from transformers import TrainerCallback

from evolute.errors import EvoluteError, InputError
from evolute.files import replacing
from evolute.train.resume import finish_checkpoint, thin_out

METRICS = "metrics.jsonl"
"""The file in a training's folder with one line for each measurement."""
_KEPT = ("loss", "grad_norm", "learning_rate", "eval_loss", "mean_token_accuracy", "eval_mean_token_accuracy")
_PREFERENCES = ("rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins")


class Recorder(TrainerCallback):  # type: ignore[misc]
    """Writes metrics.jsonl, marks checkpoints as whole, says how it goes, and stops at a loss that cannot be.

    Args:
        out: the training's folder.
        keep: how many checkpoints stay.
        say: gets a line now and then.
        every: seconds between such lines.
        stopping: whether the training is to end after this step, with a checkpoint.
    """

    def __init__(
        self,
        out: Path,
        keep: int,
        say: Callable[[str], None],
        every: float = 10.0,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.file = out / METRICS
        self.keep = keep
        self.say = say
        self.every = every
        self.stopping = stopping
        self.last: dict[str, Any] = {}
        self.evaluated = -1
        self.began = time.monotonic()
        self._said = -math.inf

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Forget the lines that a killed process wrote after the checkpoint that is gone on from."""
        if state.is_world_process_zero:
            kept = [line for line in read_metrics(self.file) if line["step"] <= state.global_step]
            with replacing(self.file) as file:
                file.writelines(orjson.dumps(line) + b"\n" for line in kept)
        self.began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Measure the last step, whatever `log_steps` says; write no checkpoint: the model itself comes next."""
        if state.global_step >= state.max_steps:
            control.should_log, control.should_save = True, False
        elif self.stopping():
            control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:  # noqa: ANN401
        """One line of metrics.

        Raises:
            EvoluteError: the loss, or that of the validation, is not a number.
            InputError: it is 0 from the first step on.
        """
        line = {name: logs[name] for name in (*_KEPT, *_PREFERENCES) if name in logs}
        if not state.is_world_process_zero or not line:
            return
        line = {"step": state.global_step, "epoch": round(float(state.epoch or 0), 4)} | line
        with self.file.open("ab") as file:
            file.write(orjson.dumps(line) + b"\n")
        self.last |= line
        if (loss := logs.get("loss", logs.get("eval_loss"))) is not None:
            # A step whose float16 gradients overflow is left out, and the next one scaled less.
            gradient = 1.0 if args.fp16 else logs.get("grad_norm", 1.0)
            check_loss(float(loss), float(gradient), state.global_step)
        self._tell(line, state)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Mark the checkpoint as whole; only then are older ones taken away."""
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # each process writes its part of a checkpoint
        if state.is_world_process_zero:
            folder = Path(args.output_dir)
            finish_checkpoint(folder / f"checkpoint-{state.global_step}")
            thin_out(folder, self.keep)

    def _tell(self, line: dict[str, Any], state: Any) -> None:  # noqa: ANN401
        now = time.monotonic()
        if "eval_loss" in line:
            self.evaluated = state.global_step
            self.say(f"step {state.global_step:,} of {state.max_steps:,}: validation loss {line['eval_loss']:.4f}")
        elif "loss" in line and (now - self._said >= self.every or state.global_step in (1, state.max_steps)):
            self._said = now
            self.say(
                f"step {state.global_step:,} of {state.max_steps:,}: loss {line['loss']:.4f}, learning rate "
                f"{line['learning_rate']:.2e}"
            )


def check_loss(loss: float, gradient: float, step: int) -> None:
    """Look that a loss can be one: users of WizardLM's scripts met 0 and NaN, and trained on.

    Raises:
        EvoluteError: loss or gradient is not a number.
        InputError: the first steps have a loss of 0, as where no token bears one.
    """
    if not math.isfinite(loss) or (math.isnan(gradient)):
        raise EvoluteError(
            f"step {step}: the loss is {loss}, its gradient {gradient}: stopped. Likely the learning rate is too high, "
            "or float16 overflows (take --set precision=bfloat16 or float32); the checkpoints before are whole"
        )
    if loss == 0.0 and gradient == 0.0 and step <= 3:
        raise InputError(
            f"step {step}: the loss is 0: no token of the answers bears any. Look at the dataset's answers and at the "
            "format"
        )


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file, each with its `step`; a last line that was cut off is left out."""
    if not file.is_file():
        return []
    lines = []
    for text in file.read_bytes().splitlines():
        try:
            lines.append(orjson.loads(text))
        except orjson.JSONDecodeError:
            break
    return lines

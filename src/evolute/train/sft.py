"""Supervised fine-tuning, by TRL's SFTTrainer.

TRL brings the loss that never holds all logits (a vocabulary of 150,000 makes them the largest thing in memory), the
collator without padding for packed rows, and LoRA under DeepSpeed; the dataset comes to it as tokens with labels, for
what a format's tokens are, and which of them are learned, is decided in one place (`evolute/formats`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer

from evolute.recipe.training import TrainRecipe
from evolute.train.arguments import training_arguments
from evolute.train.examples import IGNORED, Example, as_dataset
from evolute.train.metrics import Recorder
from evolute.train.opening import Base, with_adapter


class Trainer(SFTTrainer):  # type: ignore[misc]
    """TRL's, without the card that it writes beside each checkpoint: ours is written at the end.

    Its validation loss is the mean of all learned tokens, as the training's is. TRL's own is the mean of the
    micro-batches' means, in which a short answer weighs as much as a long one, and which changes with `micro_batch`.
    """

    def create_model_card(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """Nothing."""

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """TRL's, with that loss."""
        self._measured = torch.zeros(2, device=self.accelerator.device)
        found = super().evaluation_loop(*args, **kwargs)
        loss, learned = self.accelerator.reduce(self._measured).tolist()
        found.metrics["eval_loss"] = loss / learned
        return found

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """TRL's, whose loss is the mean of the tokens that are learned in this micro-batch."""
        labels = inputs["shift_labels"] if "shift_labels" in inputs else inputs["labels"][..., 1:]
        learned = (labels != IGNORED).sum().to(self._measured.device)
        loss, *rest = super().prediction_step(model, inputs, *args, **kwargs)
        self._measured += torch.stack([loss.float() * learned, learned.float()])
        return loss, *rest


def make_trainer(
    base: Base,
    recipe: TrainRecipe,
    train: Sequence[Example],
    held_out: Sequence[Example],
    out: Path,
    recorder: Recorder,
    *,
    device: str = "cpu",
    devices: int = 1,
) -> Trainer:
    """A trainer for these examples, ready for `train()`.

    Args:
        base: the model and its tokenizer.
        recipe: what is asked for.
        train: examples to train on.
        held_out: those of the validation; may be none.
        out: the training's folder.
        recorder: writes down how it goes.
        device: where it computes.
        devices: how many devices share a step.
    """
    pack = recipe.max_length if recipe.packing else 0
    rows = as_dataset(train, pack=pack, seed=recipe.seed)
    held = as_dataset(held_out, pack=pack, seed=recipe.seed) if held_out else None
    common = training_arguments(recipe, out, device=device, rows=len(rows), devices=devices, evaluates=held is not None)
    arguments = SFTConfig(
        **common,
        max_length=recipe.max_length,
        packing=recipe.packing,
        pad_to_multiple_of=8 if device.startswith("cuda") and not recipe.packing else None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # one process, one device: transformers would split each batch over all, slowly
    trainer = Trainer(
        model=with_adapter(base.model, recipe),
        args=arguments,
        train_dataset=rows,
        eval_dataset=held,
        processing_class=base.tokenizer,
        callbacks=[recorder],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer

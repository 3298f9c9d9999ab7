"""The recipe of a training: everything that decides which weights come out of a base model and a dataset."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import orjson
import yaml
from pydantic import Field, field_validator, model_validator

from evolute.errors import RecipeError
from evolute.recipe.models import Part
from evolute.records import tagged_hash

Method = Literal["full", "lora", "qlora"]
Tracker = Literal["tensorboard", "wandb", "trackio", "mlflow"]
Positive = Annotated[int, Field(ge=1)]

RUNTIME_FIELDS = frozenset({"micro_batch", "gradient_checkpointing", "attention", "report_to", "log_steps", "keep"})
"""Fields that change how fast or with how much memory one trains, not what comes out, save for rounding; a training
may be resumed with others. `save_steps` is none of them: it decides which checkpoints there are to resume from."""


class Lora(Part):
    """The adapter of the methods `lora` and `qlora` (Hu et al. 2021, arXiv:2106.09685)."""

    rank: Positive = 16
    """The rank r of the two matrices that stand in for an update."""
    alpha: float = Field(default=32.0, gt=0)
    """The update is multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """The share of the adapter's inputs that is dropped while training."""
    targets: str | tuple[str, ...] = "all-linear"
    """The layers that get an adapter: `all-linear` (all but the head; QLoRA, arXiv:2305.14314, section 4), or names."""
    merge: bool = True
    """Add the adapter to the base's weights at the end, so that the result is a model like any other. The adapter
    itself is kept in `adapter/` all the same."""


class Preference(Part):
    """What `--task prefer` adds: Direct Preference Optimization (Rafailov et al. 2023, arXiv:2305.18290)."""

    beta: float = Field(default=0.1, gt=0)
    """How strongly the model is held to where it began."""
    loss: Literal["sigmoid", "ipo", "hinge"] = "sigmoid"
    """DPO's own loss, IPO's (arXiv:2310.12036), or SLiC's hinge (arXiv:2305.10425)."""


class TrainRecipe(Part):
    """Everything that decides a training; the base model and the dataset come on the command line."""

    name: str = ""
    """The recipe's name, for whoever looks at the result."""
    base: str = ""
    """The base model: a folder as transformers writes it, a `.gguf` file, or `smollm2`; `--base` goes before it."""
    format: str = "chat"
    """How a conversation becomes text: a prompt format's name or a file with a template (docs/respond.md); `chat` is
    the chat template that came with the base."""
    method: Method = "full"
    """All weights (`full`), a LoRA adapter (`lora`), or one on weights in four bits (`qlora`: a CUDA GPU, and
    bitsandbytes)."""
    epochs: float = Field(default=3.0, gt=0)
    """How often every example is seen; `steps` goes before it."""
    steps: Positive | None = None
    """Optimizer steps; null: as many as `epochs` make."""
    batch: Positive = 64
    """Examples of one optimizer step, over all devices together; with `packing`, packs of `max_length` tokens."""
    micro_batch: Positive = 1
    """Examples that one device computes at a time. What is missing to `batch` is accumulated."""
    max_length: Positive = 2048
    """Tokens of the longest example, prompt and answers."""
    too_long: Literal["drop", "truncate"] = "drop"
    """An example of more tokens is dropped; or cut after `max_length`, and then nothing teaches its end."""
    skip_bad: bool = False
    """Leave rows out that cannot be trained on (no answer, an empty turn, two turns of one side in a row), with their
    number; else they are an error."""
    packing: bool = False
    """Put several examples into one row of `max_length` tokens, none of which sees another."""
    learning_rate: float = Field(default=2e-5, gt=0, lt=1)
    """The highest learning rate."""
    schedule: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup: float = Field(default=0.03, ge=0)
    """Steps in which it rises from zero; below 1, that share of all steps."""
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "adafactor", "adamw_bnb_8bit", "paged_adamw_8bit"] = (
        "adamw_torch"
    )
    """The optimizer, by transformers' name for it; those with `bnb` or `8bit` need bitsandbytes."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's decoupled weight decay."""
    max_grad_norm: float = Field(default=1.0, ge=0)
    """Gradients are clipped to this norm; 0: not at all."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """The type of computing: `auto` is bfloat16 on a GPU that has it, and float32 on a processor."""
    weights: Literal["auto", "float32", "bfloat16"] = "auto"
    """The type in which weights are held: `auto` is float32 where all of them are trained, for small updates vanish
    in bfloat16, and the type of computing beneath an adapter."""
    gradient_checkpointing: bool = True
    """Compute activations again in the backward pass: about a third slower, for much less memory."""
    attention: Literal["sdpa", "eager", "flash_attention_2", "flash_attention_3"] = "sdpa"
    """Who computes attention; flash attention needs its own package."""
    seed: int = Field(default=0, ge=0)
    """Decides the order of the examples, dropout and the adapter's first weights."""
    validation: float = Field(default=0.0, ge=0, lt=1)
    """The share of lineages (by root seed, so that none is on both sides; without roots, by prompt) held out."""
    validation_seed: int = 0
    """Another split."""
    eval_steps: Positive | None = None
    """Measure the validation loss every so many steps; null: after each epoch; and at the end in any case."""
    save_steps: Positive | None = None
    """Write a checkpoint every so many steps; null: after each epoch, but not more often than every 50 steps. None is
    written at the end, where the model itself is."""
    keep: Positive = 2
    """So many checkpoints, the latest, are kept."""
    log_steps: Positive = 1
    """Write the loss every so many steps."""
    samples: int = Field(default=4, ge=0)
    """After the training let the model answer so many held-out prompts, to see whether it stops by itself."""
    sample_tokens: Positive = 256
    """The most tokens of each such answer."""
    report_to: tuple[Tracker, ...] = ()
    """Trackers that are told of the training, each by its own package; none unless it is named. The figures are in
    `metrics.jsonl` in any case."""
    distributed: Literal["none", "fsdp2", "zero3"] = "none"
    """How weights, gradients and optimizer are spread over GPUs; the launch command is printed."""
    lora: Lora = Lora()
    preference: Preference = Preference()

    @field_validator("report_to", mode="before")
    @classmethod
    def _one_tracker(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _batches_fit(self) -> Self:
        if self.batch % self.micro_batch:
            raise ValueError(
                f"batch is {self.batch}, which micro-batches of {self.micro_batch} cannot make: set micro_batch to "
                f"a divisor of it"
            )
        if self.warmup >= 1 and not self.warmup.is_integer():
            raise ValueError(f"warmup is {self.warmup}: give a whole number of steps, or a share below 1")
        return self

    def accumulation(self, devices: int = 1) -> int:
        """How many micro-batches each device computes for one step.

        Raises:
            RecipeError: the devices cannot share the batch evenly.
        """
        steps, left = divmod(self.batch, self.micro_batch * devices)
        if left:
            raise RecipeError(
                f"batch: {self.batch} examples cannot be shared by {devices} devices with micro-batches of "
                f"{self.micro_batch}: make it a multiple of {self.micro_batch * devices}"
            )
        return steps

    def fingerprint(self, *more: bytes | str) -> str:
        """Hash of all that decides the weights, and of `more` (the base, the dataset)."""
        data = self.model_dump(mode="json", exclude={"name", "base", "samples", "sample_tokens", *RUNTIME_FIELDS})
        return tagged_hash("train-1", orjson.dumps(data, option=orjson.OPT_SORT_KEYS), *more).hex()

    def to_yaml(self) -> str:
        """The recipe as a file, every field resolved."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

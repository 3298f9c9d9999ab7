"""One training from its dataset to its folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from evolute import __version__
from evolute.errors import InputError, Interrupted
from evolute.files import replacing
from evolute.formats import FORMATS, Format, find_format
from evolute.models.weights import find_model
from evolute.pipeline.trainingdata import Corpus, read_corpus
from evolute.recipe.training import TrainRecipe
from evolute.records import Message
from evolute.train.arguments import CHECKPOINTS, check_packages, quiet
from evolute.train.checks import Sample, check_length, check_packing, sample_answers, template_differs
from evolute.train.curve import Point, draw_curve
from evolute.train.distributed import Precision
from evolute.train.examples import Example, Examples, encode, split
from evolute.train.interrupting import interrupts
from evolute.train.memory import STATES, Load, Memory, check_memory, free_memory
from evolute.train.opening import Base, base_config, compute_type, open_base, weights_type
from evolute.train.resume import alone, begin, find_record, last_checkpoint, refuse_if_busy, write_state

Task = Literal["respond", "prefer", "evolver"]

RECIPE = "recipe.yaml"
"""The resolved recipe, in the folder of a training that several processes share."""
_PRECISIONS: Mapping[str, Precision] = {"bfloat16": "bf16", "float16": "fp16", "float32": "no"}
_LOOKED_AT = 8
"""Prompts by which the saved chat template is compared with what was trained."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training came to.

    `folder` holds the model as transformers writes it, with training.json, metrics.jsonl, README.md and curve.png.
    `examples` and `tokens` are those of the training set, `learned` of the tokens bear loss; `loss` is the last that
    was logged, `validation_loss` the last measured, None without a validation set. `samples` are answers of the trained
    model to prompts that it did not see (where some were held out). `seconds` are those of the process that ended it;
    `resumed` is the step that it went on from. `again`: it had been done before, and nothing was trained now.
    """

    folder: Path
    steps: int
    examples: int
    held_out: int
    tokens: int
    learned: int
    loss: float | None
    validation_loss: float | None
    seconds: float
    resumed: int = 0
    samples: tuple[Sample, ...] = ()
    warnings: tuple[str, ...] = ()
    again: bool = False

    @property
    def stopped(self) -> int:
        """How many of the samples ended by themselves."""
        return sum(one.stopped for one in self.samples)


class Training:
    """A training of answers: reads, checks, trains, looks at what came out, and writes it down."""

    task: Task = "respond"
    pairs = False
    """Whether an example is two sequences."""
    may_cut = True
    """Whether what is too long may be cut, if the recipe says so."""

    def __init__(self, dataset: Path, out: Path, recipe: TrainRecipe, say: Callable[[str], None]) -> None:
        quiet()
        self.out, self.recipe = out, recipe
        self.main = os.environ.get("RANK", "0") == "0"
        self.say = say if self.main else (lambda _: None)
        self.format: Format = find_format(recipe.format)
        self.corpus: Corpus = self.read(dataset)
        self.device = device_here()
        self.left_out: list[tuple[str, int]] = []
        base, data = find_model(recipe.base).identity(), self.corpus.digest
        template = [] if recipe.format in FORMATS else [self.format.source]  # of a file, what is in it
        self.plan: dict[str, Any] = {
            "fingerprint": recipe.fingerprint(self.task, base, data, *template),
            "finished": False,
            "recipe": recipe.model_dump(mode="json"),
            "base": base,
            "dataset": data,
            **({"template": template[0]} if template else {}),
            "evolute": __version__,
        }

    def run(self) -> Trained:
        """Train, or go on, or say what was done before."""
        checkpoints = self.out / CHECKPOINTS
        if (done := self._done()) is not None:
            return done
        if self.main:
            refuse_if_busy(self.out, checkpoints)
        base, examples, train, held_out = self.ready()
        begin(self.out, self.plan)
        with alone(self.out, checkpoints) if self.main else nullcontext():
            if (done := self._done()) is not None:  # another process did it meanwhile
                return done
            self._wants_launcher()
            return self._train(base, examples, train, held_out)

    def _done(self) -> Trained | None:
        if (record := find_record(self.out, self.plan)) is None:
            return None
        self.say(f"{self.out}: this training is done; nothing is trained again")
        return as_trained(self.out, record["result"], again=True)

    def read(self, dataset: Path) -> Corpus:
        """What is trained on."""
        return read_corpus(dataset, skip_bad=self.recipe.skip_bad)

    def encode(self, base: Base) -> Any:  # noqa: ANN401 - `Examples`; another task has others of the same attributes
        """It as tokens."""
        return encode(self.corpus.conversations, base.tokenizer, self.format, self.recipe)

    def trainer(self, base: Base, train: Sequence[Any], held_out: Sequence[Any], recorder: Any) -> Any:  # noqa: ANN401
        """What trains on the tokens."""
        from evolute.train.sft import make_trainer

        return make_trainer(
            base, self.recipe, train, held_out, self.out, recorder, device=self.device, devices=devices_here()
        )

    def ready(self) -> tuple[Base, Examples, list[Example], list[Example]]:
        """All that can be looked at before anything is written: the base, the examples, the memory.

        Raises:
            InputError: something is wrong with one of them.
        """
        recipe = self.recipe
        sharded = recipe.distributed != "none"
        check_packages(recipe)
        free = free_memory(self.device)  # before the base is there, which the estimate counts
        if (config := base_config(recipe.base)) is not None:
            self._check_memory(config, 1, free)  # its weights alone may be too much
        base = open_base(recipe.base, self.format, recipe, device=self.device, place="cpu" if sharded else None)
        examples = self.encode(base)
        train, held_out = split(examples.kept, recipe.validation)
        kind = "pairs" if self.pairs else "conversations"
        self.say(
            f"{self.corpus.name}: {examples.conversations:,} {kind}; {len(train):,} examples to train on, "
            f"{len(held_out):,} held out; {examples.tokens:,} tokens, {examples.learned:,} of them in answers"
        )
        if self.corpus.left_out:
            self.say(f"left out: {self.corpus.left_out:,} rows that cannot be trained on")
        for line in (*examples.describe(recipe.max_length, may_cut=self.may_cut), *base.notes):
            self.say(line)
        if (gpus := gpus_here()) > devices_here() == 1:
            self.say(f"of {gpus} GPUs one is used: --set distributed=fsdp2 shows how to start it on all")
        self.left_out = [(why, count) for why, count in examples.left_out() if count]
        longest = max(len(one.ids) for one in examples.kept)
        if note := check_length(base.model, longest):
            self.say(note)
        packs = recipe.packing and not self.pairs
        if packs:
            check_packing(base.model)
        needed = self._check_memory(base.model.config, recipe.max_length if packs else longest, free)
        self.say(f"memory: about {needed}")
        return base, examples, train, held_out

    def _check_memory(self, config: Any, longest: int, free: int | None) -> Memory:  # noqa: ANN401
        recipe, compute = self.recipe, compute_type(self.recipe, self.device)
        load = Load(
            method=recipe.method,
            weights=weights_type(recipe, self.device) if recipe.method != "qlora" else compute,
            compute=compute,
            length=longest,
            rows=recipe.micro_batch,
            checkpointing=recipe.gradient_checkpointing,
            rank=recipe.lora.rank,
            sharding=recipe.distributed,
            shards=devices_here(),
            states=STATES.get(recipe.optimizer),
            pairs=self.pairs,
        )
        return check_memory(config, load, self.device, free)

    def _wants_launcher(self) -> None:
        """Stop where several devices are asked for and nobody started a process for each.

        Raises:
            InputError: it has the command that does; accelerate's configuration lies in the folder by then.
        """
        if self.recipe.distributed == "none" or "WORLD_SIZE" in os.environ:
            return
        from evolute.train.distributed import Cluster, launch_commands, write_configs

        precision = _PRECISIONS[compute_type(self.recipe, self.device)]
        cluster = Cluster(self.recipe.distributed, processes=max(1, gpus_here()), precision=precision)
        config = write_configs(cluster, self.out)
        with replacing(self.out / RECIPE) as file:
            file.write(self.recipe.to_yaml().encode())
        told = ["--out", str(self.out), "--recipe", str(self.out / RECIPE), "--task", self.task]
        (command,) = launch_commands(cluster, config, ["train", str(self.corpus.path), *told])
        raise InputError(
            f"distributed: {self.recipe.distributed} wants a process for each GPU. The configuration is in {config}; "
            f"start it with: {command}"
        )

    def _train(self, base: Base, examples: Examples, train: Sequence[Example], held_out: Sequence[Example]) -> Trained:
        from evolute.train.metrics import Recorder

        began = time.monotonic()
        with interrupts(self.say) as wish:
            recorder = Recorder(self.out, self.recipe.keep, self.say, stopping=lambda: wish.asked)
            trainer = self.trainer(base, train, held_out, recorder)
            checkpoint = last_checkpoint(self.out / CHECKPOINTS, self.say)
            if checkpoint is not None:
                self.say(f"going on from {checkpoint}")
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        done, wanted = trainer.state.global_step, trainer.state.max_steps
        if wish.asked and done < wanted:
            raise Interrupted(f"stopped after step {done:,} of {wanted:,}; the same command goes on from there")
        if held_out and recorder.evaluated != trainer.state.global_step:
            trainer.evaluate()
        result = Trained(
            folder=self.out,
            steps=trainer.state.global_step,
            examples=len(train),
            held_out=len(held_out),
            tokens=sum(one.tokens for one in train),
            learned=sum(one.learned for one in train),
            loss=recorder.last.get("loss"),
            validation_loss=recorder.last.get("eval_loss"),
            seconds=time.monotonic() - began,
            resumed=int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0,
        )
        return self._finish(trainer, base, result, held_out or train)

    def _finish(self, trainer: Any, base: Base, result: Trained, shown: Sequence[Example]) -> Trained:  # noqa: ANN401
        """Write the model, look at what it answers, and say that it is done: the last file written says so."""
        from evolute.train.saving import putting_into, save_trained

        recipe, compute = self.recipe, compute_type(self.recipe, self.device)
        sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
        # Every process has a part: all of them take part in bringing the parts together.
        weights = trainer.accelerator.get_state_dict(trainer.model_wrapped) if sharded else None
        model = trainer.accelerator.unwrap_model(trainer.model)
        if not self.main:
            return result
        places = dict.fromkeys(one.place for one in shown)
        conversations = [self.corpus.conversations[place] for place in islice(places, max(_LOOKED_AT, recipe.samples))]
        with putting_into(self.out) as folder:
            model = save_trained(model, base, self.format, recipe, folder, compute, weights)
            samples = sample_answers(
                model, base.tokenizer, self.format, conversations[: recipe.samples], base.endings, recipe.sample_tokens
            )
            differs = template_differs(base.tokenizer, self.format, conversations)
            result = replace(result, samples=tuple(samples), warnings=tuple(_warnings(samples, differs)))
            self._describe(folder, base, result)
        write_state(self.out, {**self.plan, "finished": True, "result": _as_json(result), "versions": _versions()})
        return result

    def _describe(self, folder: Path, base: Base, result: Trained) -> None:
        """The card and the curve, beside the weights."""
        from evolute.train.card import ModelFacts, model_card
        from evolute.train.metrics import METRICS, read_metrics

        lines = read_metrics(self.out / METRICS)
        trained, held = (
            [Point(line["step"], line[name]) for line in lines if name in line] for name in ("loss", "eval_loss")
        )
        draw_curve(trained, held, folder / "curve.png", title=f"{base.found.name} on {self.corpus.name}")
        recipe = self.recipe
        facts = ModelFacts(
            name=self.out.resolve().name,
            base=base.found.name,
            base_hash=self.plan["base"],
            task=self.task,
            method=recipe.method,
            merged=recipe.method == "full" or recipe.lora.merge,
            version=__version__,
            recipe_name=recipe.name,
            recipe=recipe.to_yaml(),
            format=self.format.name,
            prompt=_prompt(base, self.format),
            dataset=self.corpus.name,
            dataset_hash=self.plan["dataset"],
            rows=len(self.corpus.conversations),
            held_out=result.held_out,
            left_out=self.left_out,
            models=self.corpus.models,
            figures=_figures(result, self.device),
            curve="curve.png",
            limits=result.warnings,
        )
        (folder / "README.md").write_text(model_card(facts), encoding="utf-8")


def _prompt(base: Base, format: Format) -> str:
    """What the model is shown, special tokens and all."""
    from evolute.formats.encoding import encode_prompt

    ids = encode_prompt(base.tokenizer, format, (Message("user", "Why is the sky blue?"),))
    return str(base.tokenizer.decode(ids))


def _figures(result: Trained, device: str) -> list[tuple[str, str]]:
    def shown(loss: float | None) -> str:
        return "none" if loss is None else f"{loss:.4f}"

    return [
        ("optimizer steps", f"{result.steps:,}"),
        ("training examples", f"{result.examples:,}"),
        ("training tokens, of an epoch", f"{result.tokens:,}, {result.learned:,} of them in answers"),
        ("loss, at the end", shown(result.loss)),
        ("validation loss, at the end", shown(result.validation_loss)),
        ("answers that stopped by themselves", f"{result.stopped} of {len(result.samples)}"),
        ("seconds", f"{result.seconds:,.0f} on {device}"),
    ]


def _warnings(samples: Sequence[Sample], differs: str) -> list[str]:
    found = []
    if samples and not any(one.stopped for one in samples):
        found.append(
            f"none of {len(samples)} answers stopped by itself: the model may not have learned its end token. Train "
            "longer, or allow longer answers (sample_tokens)"
        )
    if empty := sum(not one.answer.strip() for one in samples):
        found.append(f"{empty} of {len(samples)} answers are empty: the model ends where it should begin")
    if differs:
        found.append(f"the saved chat template does not say what was trained: {differs}")
    return found


def _as_json(result: Trained) -> dict[str, Any]:
    return {name: value for name, value in asdict(result).items() if name not in ("folder", "again")}


def as_trained(out: Path, result: Mapping[str, Any], *, again: bool) -> Trained:
    """What a finished training's record says."""
    fields = {**result, "samples": tuple(Sample(**one) for one in result["samples"])}
    return Trained(folder=out, **{**fields, "warnings": tuple(result["warnings"])}, again=again)


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "transformers", "trl", "peft", "accelerate")}


def device_here() -> str:
    """Where this process computes: its GPU, another accelerator, or the processor."""
    import torch

    if torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return str(torch.accelerator.current_accelerator() or "cpu")


def gpus_here() -> int:
    """How many GPUs this machine shows."""
    import torch

    return int(torch.cuda.device_count())


def devices_here() -> int:
    """How many processes share this training."""
    return int(os.environ.get("WORLD_SIZE", "1"))

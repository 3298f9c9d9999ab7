"""The base model, ready to be trained: opened, its tokens looked at, an adapter put on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evolute.errors import InputError, MissingExtra
from evolute.formats import Format
from evolute.models.weights import LocalModel, find_model, open_files
from evolute.recipe.training import TrainRecipe
from evolute.records import Message

_PADS = ("<|finetune_right_pad_id|>", "<|pad|>", "<pad>", "[PAD]", "<|padding|>", "<|PAD_TOKEN|>", "<|endoftext|>")
"""Tokens that models have for padding; the last is the one of base models whose chats end otherwise (Qwen, SmolLM)."""


@dataclass(frozen=True, slots=True)
class Base:
    """A base model in memory. `notes` are what the user should know of its tokens."""

    found: LocalModel
    model: Any
    tokenizer: Any
    endings: list[int]
    notes: list[str] = field(default_factory=list)


def compute_type(recipe: TrainRecipe, device: str) -> str:
    """The type of computing on a device (`cpu`, `cuda`, `cuda:1`, `mps`): float32, bfloat16 or float16.

    Raises:
        InputError: the device has not the one that is asked for.
    """
    import torch

    cuda = device.startswith("cuda")
    has_bf16 = cuda and torch.cuda.is_bf16_supported()
    if recipe.precision == "auto":
        return "bfloat16" if has_bf16 else "float32"
    if recipe.precision == "float16" and not cuda:
        raise InputError(f"precision: float16 needs a CUDA GPU, and this is {device}: take float32")
    if recipe.precision == "bfloat16" and cuda and not has_bf16:
        raise InputError("precision: this GPU has no bfloat16: take float16 or float32")
    return recipe.precision


def weights_type(recipe: TrainRecipe, device: str) -> str:
    """The type in which the base's weights are held."""
    if recipe.weights != "auto":
        return recipe.weights
    return "bfloat16" if recipe.method != "full" and compute_type(recipe, device) == "bfloat16" else "float32"


def base_config(name: str) -> Any:  # noqa: ANN401 - transformers' own
    """A base model's configuration, without its weights; None of a `.gguf`, or where opening it will say what is wrong.

    Raises:
        InputError: there is no such model.
    """
    from transformers import AutoConfig

    found = find_model(name)
    if found.path.suffix == ".gguf":
        return None
    try:
        return AutoConfig.from_pretrained(found.path, local_files_only=True)
    except (OSError, ValueError, KeyError):
        return None


def open_base(name: str, format: Format, recipe: TrainRecipe, *, device: str = "cpu", place: str | None = None) -> Base:
    """Open a base model for a training in that format.

    The vocabulary is never resized: a padding token is one that the model has, and not the one that ends an answer.

    Args:
        name: a folder, a `.gguf` file, or `smollm2`.
        format: in which it is trained.
        recipe: says the types and the method.
        device: where it computes.
        place: where its weights are put first; None: on the device. Sharded trainings want `cpu`.

    Raises:
        InputError: it cannot be opened, has not the attention asked for, lacks a chat template or an end token, or has
            tokens without embedding.
        MissingExtra: torch, transformers, peft or bitsandbytes are not installed.
    """
    from evolute.formats.encoding import encode_conversation, ending_ids

    found = find_model(name)
    model, tokenizer = (
        _open_in_four_bits(found, recipe, device)
        if recipe.method == "qlora"
        else open_files(found, dtype=weights_type(recipe, device), device=place or device, extra="train")
    )
    try:
        model.set_attn_implementation(recipe.attention)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"attention: {recipe.attention} cannot be had for this base (sdpa or eager may): {error}"
        ) from None
    if found.path.suffix == ".gguf":
        _forget_origin(model)
    _check_vocabulary(model, tokenizer, found)
    notes = []
    if format.name == "chat" and not tokenizer.chat_template:
        raise InputError(
            f"{name}: the base has no chat template, so format {format.name!r} says nothing: take one with "
            f"--set format=vicuna-v1.1 (several turns) or format=wizardlm-7b (one turn), or a file of yours"
        )
    if format.name != "chat" and tokenizer.chat_template:
        notes.append(f"the base has a chat template of its own; trained in format {format.name}, that takes its place")
    endings = ending_ids(tokenizer, format)
    if not endings:
        raise InputError(f"{name}: the base has no token that ends an answer (eos): nothing could teach it to stop")
    probe = encode_conversation(tokenizer, format, (Message("user", "a"), Message("assistant", "b")))
    if probe[-1].ids[-1] not in endings:
        raise InputError(
            f"{name}: the base's chat template ends no answer with a token of its own ({tokenizer.eos_token!r}, say): "
            "nothing could teach it to stop. Take another format (--set format=vicuna-v1.1), or mend the template"
        )
    notes += _pad(model, tokenizer, endings)
    return Base(found, model, tokenizer, endings, notes)


def adapter_config(recipe: TrainRecipe) -> Any:  # noqa: ANN401 - peft's
    """The recipe's adapter as peft declares it; None where all weights are trained.

    Raises:
        MissingExtra: peft is not installed.
    """
    if recipe.method == "full":
        return None
    try:
        import peft
    except ImportError:
        raise MissingExtra("LoRA", "train") from None
    spec = recipe.lora
    targets = spec.targets if isinstance(spec.targets, str) else list(spec.targets)
    return peft.LoraConfig(
        r=spec.rank, lora_alpha=spec.alpha, lora_dropout=spec.dropout, target_modules=targets, task_type="CAUSAL_LM"
    )


def with_adapter(model: Any, recipe: TrainRecipe) -> Any:  # noqa: ANN401 - peft's model, or transformers'
    """The model as the recipe's method trains it: itself, or with a new LoRA adapter, drawn from the recipe's seed.

    Raises:
        MissingExtra: peft is not installed.
        InputError: no layer has a name among the targets.
    """
    config = adapter_config(recipe)
    if config is None:
        return model
    import peft
    from transformers import set_seed

    set_seed(recipe.seed)
    try:
        return peft.get_peft_model(model, config)
    except ValueError as error:
        raise InputError(f"lora.targets: {recipe.lora.targets!r}: {error}") from None


def _open_in_four_bits(found: LocalModel, recipe: TrainRecipe, device: str) -> tuple[Any, Any]:
    """QLoRA's NF4 with double quantisation (arXiv:2305.14314, section 3)."""
    import importlib.util

    if not device.startswith("cuda"):
        raise InputError(f"method: qlora needs a CUDA GPU, and this is {device}: take --set method=lora")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError("method: qlora needs bitsandbytes. Install it with: pip install bitsandbytes")
    if found.path.suffix == ".gguf":
        raise InputError(f"{found.path}: qlora wants a folder as transformers writes it, not a .gguf file")
    import peft
    import torch
    import transformers

    compute = getattr(torch, compute_type(recipe, device))
    quantised = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute
    )
    where = {"pretrained_model_name_or_path": str(found.path), "local_files_only": True}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            **where, quantization_config=quantised, dtype=compute, device_map={"": device}
        )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        raise InputError(f"{found.path}: cannot be opened in four bits: {error}") from None
    return peft.prepare_model_for_kbit_training(model, recipe.gradient_checkpointing), tokenizer


def _forget_origin(model: Any) -> None:  # noqa: ANN401
    """What came from a .gguf is plain numbers by now, but transformers still calls it quantised, and trains it not."""
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _check_vocabulary(model: Any, tokenizer: Any, found: LocalModel) -> None:  # noqa: ANN401
    """The tokenizer's tokens all have an embedding: Alpaca's [PAD] as token 32000 of LLaMA's 32000 had none."""
    rows = model.get_input_embeddings().weight.shape[0]
    beyond = sorted(token for token, number in tokenizer.get_vocab().items() if number >= rows)
    if beyond:
        raise InputError(
            f"{found.path}: the tokenizer has tokens that the model has no embedding for ({rows:,} rows): "
            f"{', '.join(map(repr, beyond[:5]))}. Take the tokenizer that belongs to these weights; the vocabulary is "
            "not resized here, for that makes weights that fit no other tool"
        )


def _pad(model: Any, tokenizer: Any, endings: list[int]) -> list[str]:  # noqa: ANN401
    """See to a padding token that ends nothing; what is padded bears no loss, so any other token will do."""
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id in endings:
        vocabulary, before = tokenizer.get_vocab(), tokenizer.pad_token
        candidates = (*_PADS, tokenizer.unk_token, tokenizer.bos_token)
        pad = next((one for one in candidates if one in vocabulary and vocabulary[one] not in endings), None)
        if pad is None:
            tokenizer.pad_token_id = endings[0]
            return [f"no token is left to pad with but {tokenizer.pad_token!r}, which ends answers; padding is masked"]
        tokenizer.pad_token = pad
        was = f"{before!r}, which ends answers" if before else "none"
        note = [f"padding token: {pad!r} (the base's: {was})"]
    else:
        note = []
    model.config.get_text_config().pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    return note

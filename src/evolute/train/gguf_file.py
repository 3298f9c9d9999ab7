"""A trained model as one `.gguf` file, for llama.cpp and what is built on it.

llama.cpp's converter (`convert_hf_to_gguf.py`) is a script of its repository and in no package; what this writes is
what it writes for a Llama, through llama.cpp's own `gguf` package. One tensor is in memory at a time.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from evolute.errors import InputError, MissingExtra
from evolute.files import replacing
from evolute.models.weights import begins_as_gguf
from evolute.train.gguf_words import Words, read_words
from evolute.train.shards import Weights, read_json

GgufType = Literal["f16", "bf16", "q8_0", "q4_0", "f32"]
_FILE_TYPES = {
    "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0", "q4_0": "MOSTLY_Q4_0", "f32": "ALL_F32",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exported:
    """A GGUF file as it was written. `size` in bytes; `launch`: commands that serve it; `notes`: what differs."""

    path: Path
    tensors: int
    size: int
    launch: tuple[str, ...]
    notes: tuple[str, ...]


def export_gguf(model: str | Path, out: Path, *, type: GgufType = "f16") -> Exported:
    """Write a Llama-family model's folder as a GGUF file, its tokenizer and chat template in it.

    Args:
        model: the folder, as transformers writes it (LlamaForCausalLM or MistralForCausalLM).
        out: the file.
        type: how matrices are stored: "f16" (greedy answers equal to transformers'), "bf16", "f32", or quantised to 8
            or 4 bits with a scale for each 32 numbers ("q8_0", "q4_0").

    Raises:
        InputError: another architecture, a tokenizer that llama.cpp would follow otherwise, weights that do not fit the
            configuration, or `out` cannot be written.
        MissingExtra: gguf, torch or transformers are not installed.
    """
    if type not in get_args(GgufType):
        raise InputError(f"--type must be one of {', '.join(get_args(GgufType))}, got {type!r}")
    if out.suffix != ".gguf":
        raise InputError(f"--out must end in .gguf, got {str(out)!r}")
    if out.is_file() and not begins_as_gguf(out):
        raise InputError(f"--out {out} is a file of another kind, which would be lost: name another one")
    weights = Weights(model)
    try:
        import gguf
        from transformers import AutoTokenizer

        from evolute.train import gguf_tensors as tensors
    except ImportError:
        raise MissingExtra("writing a GGUF file", "train") from None
    config = tensors.read_config(weights)
    planned = tensors.plan(weights, config, type)
    try:
        tokenizer = AutoTokenizer.from_pretrained(weights.folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{weights.folder}: its tokenizer cannot be opened: {error}") from None
    words = read_words(tokenizer, config.vocab_size)
    writer = gguf.GGUFWriter(None, "llama")
    _describe(writer, weights, config, type)
    words.notes += _add_words(writer, words, tokenizer, weights)
    factors = tensors.rope_factors(config)
    if factors is not None:
        writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
    for one in planned:
        writer.add_tensor_info(one.name, one.shape, "float32", tensors.stored_bytes(one), raw_dtype=one.kind)
    with replacing(out) as file:
        try:
            writer.write_header_to_file(Path(file.name))
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            if factors is not None:
                writer.write_tensor_data(factors)
            for one in planned:
                writer.write_tensor_data(tensors.read_tensor(weights, one))
        finally:
            writer.close()
    return Exported(
        out,
        len(planned),
        out.stat().st_size,
        _launch(out, config, tokenizer),
        (*_notes(config, tokenizer), *words.notes),
    )


def _describe(writer: Any, weights: Weights, config: Any, type: str) -> None:  # noqa: ANN401 - gguf's and transformers'
    import gguf

    from evolute.train.gguf_tensors import head_width

    width, rope = head_width(config), config.rope_parameters
    writer.add_type("model")
    writer.add_name(weights.folder.name)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType[_FILE_TYPES[type]])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_words(writer: Any, words: Words, tokenizer: Any, weights: Weights) -> list[str]:  # noqa: ANN401 - theirs
    """Put the tokenizer into the file; what of it llama.cpp has no place for."""
    writer.add_tokenizer_model(words.model)
    writer.add_tokenizer_pre(words.pre)
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.types)
    if words.scores is not None:
        writer.add_token_scores(words.scores)
    if words.merges is not None:
        writer.add_token_merges(words.merges)
    writer.add_add_space_prefix(words.space_prefix)
    begun = tokenizer("a")["input_ids"]
    writer.add_add_bos_token(tokenizer.bos_token_id is not None and begun[0] == tokenizer.bos_token_id)
    writer.add_add_eos_token(tokenizer.eos_token_id is not None and begun[-1] == tokenizer.eos_token_id)
    ends = _ends(tokenizer, weights)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(ends[0])
    if len(ends) > 1:
        writer.add_eot_token_id(ends[1])
    if tokenizer.unk_token_id is not None:
        writer.add_unk_token_id(tokenizer.unk_token_id)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    if tokenizer.chat_template:
        writer.add_chat_template(_template(tokenizer))
    unsaid = [repr(tokenizer.convert_ids_to_tokens(one)) for one in ends[2:]]
    return (
        [f"{', '.join(unsaid)} end an answer, too: a GGUF file names two such tokens; say them as stops"]
        if unsaid
        else []
    )


def _ends(tokenizer: Any, weights: Weights) -> list[int]:  # noqa: ANN401 - a transformers tokenizer
    """The tokens that end an answer: those of generation_config.json, the tokenizer's own first."""
    path = weights.folder / "generation_config.json"
    said = read_json(path).get("eos_token_id") if path.is_file() else None
    ends = [said] if isinstance(said, int) else list(said or ())
    if tokenizer.eos_token_id in ends or not ends:
        ends = [tokenizer.eos_token_id, *(one for one in ends if one != tokenizer.eos_token_id)]
    if ends[0] is None:
        raise InputError(
            f"{weights.folder}: neither the tokenizer nor generation_config.json names an end token (eos): answers"
            " would not stop"
        )
    return ends


def _template(tokenizer: Any) -> Any:  # noqa: ANN401 - a string, or the templates by name as gguf wants them
    template = tokenizer.chat_template
    if isinstance(template, str):
        return template
    return [{"name": name, "template": text} for name, text in template.items()]


def _notes(config: Any, tokenizer: Any) -> list[str]:  # noqa: ANN401 - theirs
    notes = []
    if not tokenizer.chat_template:
        notes.append("the tokenizer has no chat template: llama-server will guess one; give --chat-template-file")
    window = getattr(config, "sliding_window", None)
    if window and window < config.max_position_embeddings:
        notes.append(
            f"llama.cpp attends to all tokens, the model to the last {window:,}: answers to longer texts differ"
        )
    return notes


def _launch(out: Path, config: Any, tokenizer: Any) -> tuple[str, ...]:  # noqa: ANN401 - theirs
    """The commands that serve the file; the context is the model's, at most 8,192 tokens, for its memory."""
    context = min(config.max_position_embeddings, 8192)
    template = " --jinja" if tokenizer.chat_template else ""
    return (
        f"llama-server --model {shlex.quote(str(out))} --ctx-size {context}{template} --host 127.0.0.1 --port 8080",
    )

"""`evolute gguf`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from evolute.cli.screen import say


def gguf(
    model: str,
    /,
    *,
    out: Annotated[Path, Parameter(help="The file, ending in .gguf; it appears whole or not at all.")],
    type: Annotated[
        Literal["f16", "bf16", "q8_0", "q4_0", "f32"],
        Parameter(help="How the weights are stored: 16 bits, 8 (half the size), 4 (a quarter), or 32."),
    ] = "f16",
) -> None:
    """Write a Llama-family model as one .gguf file for llama.cpp, with its tokenizer and chat template in it.

    Args:
        model: The model's folder, as `evolute train` and transformers write it.
    """
    from evolute.train.gguf_file import export_gguf

    made = export_gguf(model, out, type=type)
    say(f"{made.tensors:,} tensors, {made.size / 1e6:,.1f} MB as {type}, written to {made.path}")
    for note in made.notes:
        say(f"  note: {note}")
    say("to serve it:")
    for line in made.launch:
        say(f"  {line}")

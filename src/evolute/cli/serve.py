"""`evolute serve`."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from evolute.cli.screen import out, say
from evolute.errors import InputError
from evolute.formats import find_format
from evolute.models.weights import LocalModel, find_model

_MODEL = Group("How it is opened", sort_key=1)
_ADDRESS = Group("Where it listens", sort_key=2)


def serve(
    model: str,
    /,
    *,
    host: Annotated[str, Parameter(group=_ADDRESS, help="Any other needs --api-key-env.")] = "127.0.0.1",
    port: Annotated[int, Parameter(group=_ADDRESS, help="0: any free one.")] = 8000,
    api_key_env: Annotated[
        str | None,
        Parameter(group=_ADDRESS, help="The environment variable with the key that clients must send. Default: none."),
    ] = None,
    served_name: Annotated[
        str | None, Parameter(group=_ADDRESS, help="What clients call the model. Default: its folder's or file's name.")
    ] = None,
    engine: Annotated[
        Literal["auto", "transformers", "llama.cpp"],
        Parameter(group=_MODEL, help="auto: llama.cpp for a .gguf, transformers for a folder."),
    ] = "auto",
    format_: Annotated[
        str,
        Parameter(
            name="--format", group=_MODEL,
            help="How conversations are written. chat: the template that is saved with the model; else a format's "
            "name (wizardlm-7b, vicuna-v1.1, alpaca, wizardcoder, …), or a file with a Jinja template.",
        ),
    ] = "chat",
    slots: Annotated[
        int | None, Parameter(group=_MODEL, help="Answers that grow together. Default: 32; 8 with llama.cpp.")
    ] = None,
    context: Annotated[
        int, Parameter(group=_MODEL, help="With llama.cpp, tokens of prompt and answer in each slot.")
    ] = 4096,
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        Parameter(group=_MODEL, help="Of the numbers transformers computes with. auto: as the files say."),
    ] = "auto",
    device: Annotated[
        str | None, Parameter(group=_MODEL, help="cpu, cuda, … Default: the first accelerator, or else the processor.")
    ] = None,
    print_: Annotated[
        Literal["vllm", "sglang"] | None,
        Parameter(name="--print", help="Only print the command that serves it with this engine, and leave."),
    ] = None,
) -> None:  # fmt: skip
    """Serve a model as an OpenAI-compatible endpoint, until Ctrl-C.

    Chat and plain completions, streaming. A client that leaves ends its answer. Nothing is downloaded, and nobody
    but this machine is served unless you say so.

    Args:
        model: A folder as transformers writes it (`evolute train` does), a .gguf file, or smollm2.
    """
    found = find_model(model)
    if print_ is not None:
        _print(found, print_, served_name, host, port, api_key_env)
        return
    from evolute.chat.serving import Serving, serving, until_stopped

    how = Serving(
        found, find_format(format_), engine, served_name or "", host, port, _key(api_key_env), slots, context, dtype,
        device,
    )  # fmt: skip

    async def run() -> None:
        async with serving(how, say) as url:
            await until_stopped(lambda: say(f"{how.served_name} answers at {url} (Ctrl-C ends it)"))
        say("ended")

    asyncio.run(run())


def _print(
    found: LocalModel, launcher: Literal["vllm", "sglang"], name: str | None, host: str, port: int, key: str | None
) -> None:
    from evolute.chat.launching import launch_line

    line = launch_line(found, launcher, name=name or "", host=host, port=port, key_variable=key or "")
    out().print(line, soft_wrap=True, markup=False, highlight=False)


def _key(variable: str | None) -> str:
    """The key in that variable; none where no variable is named.

    Raises:
        InputError: the variable is not set, or holds no key.
    """
    if variable is None:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise InputError(f"--api-key-env {variable}: put the key that clients must send into that environment variable")
    return key

"""The command that serves a model with vLLM or SGLang, in the template that it was trained with."""

from __future__ import annotations

import shlex
from typing import Literal

import orjson

from evolute.errors import InputError
from evolute.models.weights import LocalModel

Launcher = Literal["vllm", "sglang"]
TEMPLATE = "chat_template.jinja"
"""Where transformers saves a chat template since 4.52; older servers look only into tokenizer_config.json."""


def launch_line(
    found: LocalModel, launcher: Launcher, *, name: str = "", host: str = "127.0.0.1", port: int = 8000,
    key_variable: str = "",
) -> str:  # fmt: skip
    """The command, to be copied into a shell.

    The template in the model's folder is named, so that the server takes no other for it. Flags:
    docs.vllm.ai (CLI reference, `vllm serve`) and docs.sglang.io (server arguments; custom chat template).

    Args:
        found: the model's folder.
        launcher: the server.
        name: what clients call the model; empty: the folder's name.
        host: where it listens.
        port: where it listens.
        key_variable: the environment variable with the key that clients must send; empty: none is wanted.

    Raises:
        InputError: the model is a `.gguf`, or has no chat template.
    """
    if found.path.is_file():
        raise InputError(f"{found.path}: {launcher} serves a model's folder, not a .gguf file")
    words = ["vllm", "serve", str(found.path)]
    if launcher == "sglang":
        words = ["python", "-m", "sglang.launch_server", "--model-path", str(found.path)]
    words += ["--served-model-name", name or found.name, "--host", host, "--port", str(port)]
    if (found.path / TEMPLATE).is_file():
        words += ["--chat-template", str(found.path / TEMPLATE)]
    elif not _has_template(found):
        raise InputError(
            f"{found.path}: the tokenizer has no chat template, and {launcher} would refuse conversations or guess one"
        )
    line = shlex.join(words)
    return f'{line} --api-key "${key_variable}"' if key_variable else line


def _has_template(found: LocalModel) -> bool:
    try:
        said = orjson.loads((found.path / "tokenizer_config.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return False
    return isinstance(said, dict) and bool(said.get("chat_template"))

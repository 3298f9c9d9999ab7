"""A prompt format that the user wrote, as a Jinja template; it runs in Jinja's sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from evolute.errors import InputError, MissingExtra
from evolute.formats.format import Format, Write
from evolute.records import Message

try:
    from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    raise MissingExtra("a prompt format of your own (--format FILE)", "report") from None

_ONE_TURN = """\
{%- set system = messages[0]['content'] if messages[0]['role'] == 'system' else '' -%}
{%- set turns = messages[1:] if messages[0]['role'] == 'system' else messages -%}
{%- if turns | length != 1 %}{{ raise_exception('this prompt format is for one turn only') }}{% endif -%}
{%- set instruction = turns[-1]['content'] -%}{%- set input = '' -%}
"""
"""What gives a template of one turn its names, where it is a tokenizer's chat template."""
_KNOWN = ("messages", "instruction", "input", "system")


def template_format(path: Path) -> Format:
    """The format that a template makes. What it has room for follows from the names that it uses.

    It is given `messages` (each with `role` and `content`), as a model's own chat template is, and for prompts of one
    turn `instruction`, `input` and `system` (empty where there is none). `add_generation_prompt` is true, `bos_token`
    is empty, and so is `eos_token` where no tokenizer is at hand, `tools` and `documents` are none, and
    `raise_exception` refuses.

    Raises:
        InputError: the file cannot be read, is no template, or shows no instruction.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the prompt format cannot be read: {error}") from None
    # As transformers makes the templates that models bring along.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, extensions=["jinja2.ext.loopcontrols"]
    )
    try:
        used = meta.find_undeclared_variables(environment.parse(text))
        template = environment.from_string(text)
    except TemplateSyntaxError as error:
        raise InputError(f"{path}, line {error.lineno}: not a Jinja template: {error.message}") from None
    if not used & {"messages", "instruction"}:
        raise InputError(
            f"{path}: the prompt format never shows what is asked: use one of {', '.join(_KNOWN[:2])}; it uses "
            f"{', '.join(sorted(used)) or 'no names'}"
        )
    turns = "messages" in used
    return Format(
        str(path), "your own", text, _writing(template, path), turns=turns, system=turns or "system" in used,
        input="input" in used, jinja=text if turns else _ONE_TURN + text,
    )  # fmt: skip


def _writing(template: Template, path: Path) -> Write:
    def refuse(message: str) -> NoReturn:
        raise InputError(f"{path}: the prompt format refuses this conversation: {message}")

    def write(system: str, turns: Sequence[Message], given: str, end: str | None) -> str:
        before = (Message("system", system),) if system else ()
        shown = {
            "messages": [{"role": turn.role, "content": turn.content} for turn in (*before, *turns)],
            "instruction": turns[-1].content, "input": given, "system": system,
            "add_generation_prompt": True, "bos_token": "", "eos_token": end or "", "tools": None, "documents": None,
            "raise_exception": refuse,
        }  # fmt: skip
        try:
            return template.render(shown)
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise InputError(f"{path}: the prompt format fails: {error}") from None

    return write

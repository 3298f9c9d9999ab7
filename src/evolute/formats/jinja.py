"""The declared formats as chat templates, to be saved with a tokenizer: the same text as `Format.render` makes.

`evolute.formats.encoding.install_template` puts `bos_token` before them where the tokenizer adds one by itself.
"""

from __future__ import annotations

_BEGIN = (
    "{%- set system = messages[0]['content'] if messages[0]['role'] == 'system' else '' -%}"
    "{%- set turns = messages[1:] if messages[0]['role'] == 'system' else messages -%}"
    "{%- for turn in turns -%}{%- if turn['role'] != ['user', 'assistant'][loop.index0 % 2] -%}"
    "{{ raise_exception('turns of user and assistant must alternate, the user first') }}{%- endif -%}{%- endfor -%}"
)


def one_turn(prompt: str, *, system: bool = False) -> str:
    """The chat template of a format for one turn.

    Args:
        prompt: its text; `instruction` and `system` are names in it.
        system: whether it shows a system prompt; one that does not refuses any.
    """
    refusals = "{%- if turns | length > 2 -%}{{ raise_exception('this format is for one turn only') }}{%- endif -%}"
    if not system:
        refusals += "{%- if system -%}{{ raise_exception('this format has no room for a system prompt') }}{%- endif -%}"
    answer = "{%- if turns | length == 2 -%}{{ turns[1]['content'] ~ eos_token }}{%- endif -%}"
    return f"{_BEGIN}{refusals}{{%- set instruction = turns[0]['content'] -%}}{{{{ '' }}}}{prompt}{answer}"


def vicuna_turns(system: str) -> str:
    """Vicuna v1.1's, whose every answer ends in the end token, and the next turn follows at once."""
    return (
        f"{_BEGIN}{{{{ (system or {system!r}) ~ ' ' }}}}"
        "{%- for turn in turns -%}"
        "{%- if turn['role'] == 'user' -%}{{ 'USER: ' ~ turn['content'] ~ ' ASSISTANT:' }}"
        "{%- else -%}{{ ' ' ~ turn['content'] | trim ~ eos_token }}{%- endif -%}"
        "{%- endfor -%}"
    )

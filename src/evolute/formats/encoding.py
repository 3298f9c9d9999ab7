"""Conversations as tokens: the same for what is learned and for what is asked, so that the two cannot differ.

The text is the format's (or that of the tokenizer's own chat template) and is tokenized whole, as an endpoint does.
What a user or a model wrote never becomes a control token: where it holds the text of one, that stays text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from typing import Any

from evolute.errors import InputError
from evolute.formats.format import Format, bare, with_input
from evolute.formats.shielding import Shield
from evolute.formats.tokenizing import Tokens, added_beginning, continued, control_ids, tokens_of
from evolute.records import Message

Tokenizer = Any
"""A tokenizer of transformers, a fast one: of others, nobody can tell which token is of which text."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A conversation as a model learns it.

    Args:
        ids: its tokens.
        learned: for each, whether it bears loss: the tokens of every answer to be learned, and that which ends it.
    """

    ids: list[int]
    learned: list[bool]


@dataclass(frozen=True, slots=True)
class _Written:
    """A prompt's text, and the same with its answer behind it."""

    prompt: str
    whole: str


def encode_prompt(tokenizer: Tokenizer, format: Format, messages: Sequence[Message], given: str = "") -> list[int]:
    """The tokens of a prompt, up to where the answer begins.

    Args:
        tokenizer: says the tokens, what ends an answer, and for the format `chat` the template.
        format: how it is written.
        messages: a system prompt or none, then turns of user and assistant, alternating, the user's last.
        given: Alpaca's separate input to the last turn.

    Raises:
        InputError: format or template cannot write these messages, or the tokenizer is not a fast one.
    """
    shield = Shield(tokenizer, messages, given)
    text = _prompt(tokenizer, format, shield.messages, shield.given)
    return tokens_of(tokenizer, text, shield, begins=format.write is not None).ids


def encode_conversation(
    tokenizer: Tokenizer,
    format: Format,
    messages: Sequence[Message],
    given: str = "",
    unlearned: Collection[int] = (),
) -> list[Encoded]:
    """The tokens of a conversation that ends with an answer, and which of them are learned.

    The tokens before each answer are those that `encode_prompt` gives for the prompt before it. Mostly one; where a
    template writes earlier turns otherwise once more follow (Qwen3 leaves out their thinking), or a prompt's end and an
    answer's beginning would be one token, one for each answer.

    Args:
        tokenizer: as in `encode_prompt`.
        format: as in `encode_prompt`.
        messages: a system prompt or none, then turns of user and assistant, alternating, the assistant's last.
        given: Alpaca's separate input to the last turn.
        unlearned: places of answers that bear no loss. What follows the last one that does is left out.

    Raises:
        InputError: as `encode_prompt`; the template does not show an answer; nothing ends one.
    """
    if given and not format.input:
        messages, given = [*with_input(messages[:-1], given), messages[-1]], ""
    shield = Shield(tokenizer, messages, given)
    said = bare(shield.messages) if format.turns and format.write is not None else shield.messages
    answers = [place for place, message in enumerate(said) if message.role == "assistant"]
    if not answers or answers[-1] != len(said) - 1:
        raise InputError("a conversation to learn from must end with an answer")
    while answers and answers[-1] in unlearned:
        answers.pop()
    bears = [place not in unlearned for place in answers]
    written = [_write(tokenizer, format, said[: place + 1], shield.given) for place in answers]
    begins = format.write is not None
    if all(after.prompt.startswith(before.whole) for before, after in pairwise(written)):
        whole = tokens_of(tokenizer, written[-1].whole, shield, begins=begins)
        if all(_is_parted(tokenizer, whole, one, shield, begins) for one in written):
            spans = [(whole.before(len(one.prompt)), whole.before(len(one.whole))) for one in written]
            return [_marked(tokenizer, whole.ids, spans, bears)]
    return [_alone(tokenizer, one, shield, begins) for one in compress(written, bears)]


def ending_ids(tokenizer: Tokenizer, format: Format) -> list[int]:
    """The tokens at which an answer is over: the tokenizer's end token, and that with which its template ends turns."""
    found = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    if format.write is None and tokenizer.chat_template:
        probe = (Message("user", "a"), Message("assistant", "b"))
        last = encode_conversation(tokenizer, format, probe)[0].ids[-1]
        if last in control_ids(tokenizer):
            found.insert(0, last)
    written = (tokenizer.convert_tokens_to_ids(stop) for stop in format.stops)
    return list(dict.fromkeys([*found, *(token for token in written if token in control_ids(tokenizer))]))


def install_template(tokenizer: Tokenizer, format: Format) -> None:
    """Make the format the tokenizer's own chat template, so that whoever serves the model asks it as it was trained.

    The format `chat` leaves the template that is there.

    Raises:
        InputError: the format has no template.
    """
    if format.write is None:
        return
    if format.jinja is None:
        raise InputError(f"the format {format.name!r} has no chat template")
    tokenizer.chat_template = _beginning(tokenizer) + format.jinja


def _beginning(tokenizer: Tokenizer) -> str:
    """What the template must begin with to give the tokens that the bare prompt does.

    Some tokenizers put a space before a text, but not where it follows upon a control token (Llama 2's, not `legacy`).
    """
    if added_beginning(tokenizer) is None:
        return ""
    wanted = tokenizer("a")["input_ids"]
    given = tokenizer(f"{tokenizer.bos_token} a", add_special_tokens=False)["input_ids"]
    after = tokenizer(f"{tokenizer.bos_token}a", add_special_tokens=False)["input_ids"]
    return "{{ bos_token ~ ' ' }}" if after != wanted and given == wanted else "{{ bos_token }}"


def _prompt(tokenizer: Tokenizer, format: Format, messages: Sequence[Message], given: str) -> str:
    if format.write is not None:
        return format.render(bare(messages), given, tokenizer.eos_token)
    if problem := format.objection(messages):
        raise InputError(problem)
    return _rendered(tokenizer, with_input(messages, given) if given else messages, ask=True)


def _write(tokenizer: Tokenizer, format: Format, messages: Sequence[Message], given: str) -> _Written:
    """The last message is the answer."""
    *before, answer = messages
    prompt = _prompt(tokenizer, format, before, given)
    if format.write is not None:
        if not tokenizer.eos_token:
            raise InputError("the tokenizer has no end token (eos): nothing could teach a model where to stop")
        return _Written(prompt, f"{prompt}{format.lead}{answer.content}{tokenizer.eos_token}")
    whole = _rendered(tokenizer, [*before, answer], ask=False)
    if not whole.startswith(prompt):  # what stands before the answer is then what is asked
        place = whole.rfind(answer.content.strip())
        if place < 0:
            raise InputError("the tokenizer's chat template does not show the answer")
        whole = prompt + whole[place:]
    return _Written(prompt, whole)


def _rendered(tokenizer: Tokenizer, messages: Sequence[Message], *, ask: bool) -> str:
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        raise InputError(
            "the tokenizer has no chat template, so the format 'chat' says nothing: name another (--format vicuna-v1.1)"
        )
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        text: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=ask)
    except (TemplateError, TypeError, ValueError, LookupError) as error:
        raise InputError(f"the tokenizer's chat template refuses this conversation: {error}") from None
    return text


def _is_parted(tokenizer: Tokenizer, whole: Tokens, one: _Written, shield: Shield, begins: bool) -> bool:
    """Whether a token ends where the prompt does, and what is before it is what the prompt alone gives."""
    asked = tokens_of(tokenizer, one.prompt, shield, begins=begins).ids
    return whole.before(len(one.prompt)) == len(asked) and whole.ids[: len(asked)] == asked


def _alone(tokenizer: Tokenizer, one: _Written, shield: Shield, begins: bool) -> Encoded:
    """The last answer behind its prompt's own tokens."""
    asked = tokens_of(tokenizer, one.prompt, shield, begins=begins).ids
    whole = tokens_of(tokenizer, one.whole, shield, begins=begins)
    if _is_parted(tokenizer, whole, one, shield, begins):
        ids = whole.ids
    else:
        ids = [*asked, *continued(tokenizer, one.whole[len(one.prompt) :], shield).ids]
    return _marked(tokenizer, ids, [(len(asked), len(ids))], [True])


def _marked(tokenizer: Tokenizer, ids: list[int], spans: Sequence[tuple[int, int]], bears: Sequence[bool]) -> Encoded:
    """Learned is each span that bears loss, up to the control token that ends it; what follows the last is left out."""
    control = control_ids(tokenizer)
    learned = [False] * len(ids)
    last = 0
    for (begin, end), loss in zip(spans, bears, strict=True):
        ends = next((place for place in reversed(range(begin, end)) if ids[place] in control), end - 1)
        learned[begin : ends + 1] = [loss] * (ends + 1 - begin)
        last = ends + 1
    return Encoded(ids[:last], learned[:last])

"""Looking at what came out: do its answers stop by themselves, and does its chat template say what was trained?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evolute.errors import InputError
from evolute.formats import Format
from evolute.records import Message
from evolute.train.conversations import Conversation


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer of the trained model to a prompt of the dataset; `stopped` by itself, or cut off."""

    prompt: str
    answer: str
    stopped: bool


def sample_answers(
    model: Any,  # noqa: ANN401 - transformers' own
    tokenizer: Any,  # noqa: ANN401
    format: Format,
    conversations: Sequence[Conversation],
    endings: Sequence[int],
    most: int,
) -> list[Sample]:
    """Greedy answers to the last turns of conversations, one at a time, of at most so many tokens."""
    import torch

    from evolute.formats.encoding import encode_prompt

    model.eval()
    room = _positions(model)
    samples = []
    for conversation in conversations:
        messages = _asked(conversation)
        ids = torch.tensor([encode_prompt(tokenizer, format, messages, conversation.given)], device=model.device)
        length = most if room is None else max(1, min(most, room - ids.shape[1]))
        with torch.no_grad():
            made = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=length, do_sample=False, use_cache=True,
                temperature=None, top_p=None, top_k=None, eos_token_id=list(endings),
                pad_token_id=tokenizer.pad_token_id,
            )[0, ids.shape[1] :].tolist()  # fmt: skip
        stopped = bool(made) and made[-1] in endings
        said = tokenizer.decode(made[:-1] if stopped else made, skip_special_tokens=False)
        samples.append(Sample(messages[-1].content, said, stopped))
    return samples


def _asked(conversation: Conversation) -> tuple[Message, ...]:
    """All up to the last answer."""
    messages = conversation.messages
    return messages[:-1] if messages[-1].role == "assistant" else messages


def check_length(model: Any, longest: int) -> str:  # noqa: ANN401
    """What is to be known of examples longer than the base was made for; empty where none is.

    Raises:
        InputError: the base has learned its positions one by one, and has none for them.
    """
    import torch

    room = _positions(model)
    if room is None or longest <= room:
        return ""
    words = model.get_input_embeddings()
    tables = (part for part in model.modules() if isinstance(part, torch.nn.Embedding) and part is not words)
    if any(room <= table.num_embeddings <= room + 2 for table in tables):
        raise InputError(
            f"max_length: the longest example has {longest:,} tokens, and this base has places for {room:,}: "
            f"--set max_length={room}"
        )
    return (
        f"the longest example has {longest:,} tokens, and the base was made for {room:,}: it may be lost beyond "
        f"(--set max_length={room})"
    )


def check_packing(model: Any) -> None:  # noqa: ANN401
    """Look that no example of a pack sees the one before it: not every architecture heeds where one begins.

    Raises:
        InputError: one does, which would teach it to answer from another row's text.
    """
    import torch

    half = 8
    first, other, last = (torch.arange(half) + 1 + half * n for n in range(3))
    places = torch.arange(half).repeat(2)[None].to(model.device)
    seen = []
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for before in (first, other):
                ids = torch.cat([before, last])[None].to(model.device)
                seen.append(model(input_ids=ids, position_ids=places, use_cache=False).logits[0, half:].float())
    except TypeError:  # it knows no places at all
        seen = []
    finally:
        model.train(was_training)
    if not seen or (seen[0] - seen[1]).abs().max() > 1e-4 * seen[0].abs().max():
        raise InputError(
            f"packing: in this architecture ({model.config.model_type}) an example would see those that share its "
            "row: --set packing=false"
        )


def _positions(model: Any) -> int | None:  # noqa: ANN401
    """How many tokens the model was made for; None: its configuration does not say."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def template_differs(tokenizer: Any, format: Format, conversations: Sequence[Conversation]) -> str:  # noqa: ANN401
    """Where the saved chat template makes another prompt than that which was trained; empty where it does not.

    An input of Alpaca's is left out: chat templates know none.
    """
    from evolute.formats.encoding import encode_prompt

    for conversation in conversations:
        if conversation.given:
            continue
        messages = _asked(conversation)
        trained = encode_prompt(tokenizer, format, messages)
        turns = [{"role": one.role, "content": one.content} for one in messages]
        served = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=False)
        if list(served) != trained:
            return (
                f"{conversation.where}: the chat template makes {tokenizer.decode(served)!r}, and trained was "
                f"{tokenizer.decode(trained)!r}"
            )
    return ""

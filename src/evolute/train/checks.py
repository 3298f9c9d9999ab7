"""Looking at what came out: do its answers stop by themselves, and does its chat template say what was trained?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    samples = []
    for conversation in conversations:
        messages = _asked(conversation)
        ids = torch.tensor([encode_prompt(tokenizer, format, messages, conversation.given)], device=model.device)
        with torch.no_grad():
            made = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=most, do_sample=False, use_cache=True,
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

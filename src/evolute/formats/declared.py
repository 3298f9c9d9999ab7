"""The formats of the Wizard models, to the letter.

The wordings are the models' own, who were trained on them: WizardLM's, WizardCoder's and WizardMath's repository
(github.com/nlpxucan/WizardLM), FastChat's `vicuna_v1.1` and Stanford Alpaca, all Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evolute.formats.format import Format, Write
from evolute.formats.jinja import one_turn, vicuna_turns
from evolute.records import Message

ALPACA = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
"""Alpaca's preamble, which WizardCoder and WizardMath have as well."""
ALPACA_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request."
)
"""Alpaca's preamble where the instruction has an input."""
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
"""Vicuna v1.1's system prompt."""
END = "</s>"
"""What ends an answer in Llama's vocabulary; a tokenizer's own end token takes its place where one is at hand."""


def _alone(system: str, turns: Sequence[Message], given: str, end: str | None) -> str:
    return turns[-1].content


def _wizardlm(system: str, turns: Sequence[Message], given: str, end: str | None) -> str:
    return f"{turns[-1].content}\n\n### Response:"


def _alpaca(tail: str = "") -> Write:
    def write(system: str, turns: Sequence[Message], given: str, end: str | None) -> str:
        preamble = system or (ALPACA_INPUT if given else ALPACA)
        middle = f"\n\n### Input:\n{given}" if given else ""
        return f"{preamble}\n\n### Instruction:\n{turns[-1].content}{middle}\n\n### Response:{tail}"

    return write


def _vicuna(system: str, turns: Sequence[Message], given: str, end: str | None) -> str:
    end = END if end is None else end
    said = (f"USER: {turn.content} " if turn.role == "user" else f"ASSISTANT: {turn.content}{end}" for turn in turns)
    return f"{system or VICUNA} {''.join(said)}ASSISTANT:"


def _alpaca_template(tail: str = "") -> str:
    """Without Alpaca's separate input, of which chat templates know nothing: it stands below the instruction."""
    return one_turn(
        f"{{{{ system or {ALPACA!r} }}}}\n\n### Instruction:\n{{{{ instruction }}}}\n\n### Response:{tail}", system=True
    )


_STEPS = " Let's think step by step."
_WIZARD = "github.com/nlpxucan/WizardLM"
_ALPACA_STOPS = (END, "### Instruction:")

FORMATS: Mapping[str, Format] = {
    one.name: one
    for one in (
        Format(
            "chat",
            "any model behind a chat API: the endpoint writes the prompt in the model's own chat template",
            "the endpoint",
            turns=True,
            system=True,
        ),
        Format(
            "plain",
            "base models, and prompts that are written out in full: the text as it is",
            "none: nothing is added",
            _alone,
            jinja=one_turn("{{ instruction }}"),
        ),
        Format(
            "wizardlm-7b",
            "WizardLM-7B-V1.0",
            f"{_WIZARD}, WizardLM/src/train_freeform.py",
            _wizardlm,
            (END,),
            jinja=one_turn("{{ instruction }}\n\n### Response:"),
        ),
        Format(
            "vicuna-v1.1",
            "WizardLM-13B, -30B and -70B, Vicuna v1.1 to v1.5",
            "FastChat, fastchat/conversation.py, vicuna_v1.1; the stop words are those of WizardLM's demo that end in "
            "a colon, for the bare words would cut answers that use them",
            _vicuna,
            (END, "USER:", "ASSISTANT:"),
            turns=True,
            system=True,
            lead=" ",
            jinja=vicuna_turns(VICUNA),
        ),
        Format(
            "alpaca",
            "Alpaca and models tuned on its data",
            "Stanford Alpaca, train.py",
            _alpaca(),
            _ALPACA_STOPS,
            system=True,
            input=True,
            jinja=_alpaca_template(),
        ),
        Format(
            "wizardcoder",
            "WizardCoder; WizardMath without a chain of thought",
            f"{_WIZARD}, WizardCoder/src/inference_wizardcoder.py",
            _alpaca(),
            (*_ALPACA_STOPS, "<|endoftext|>"),
            system=True,
            jinja=_alpaca_template(),
        ),
        Format(
            "wizardmath",
            "WizardMath, with a chain of thought",
            f"{_WIZARD}, WizardMath/README.md",
            _alpaca(_STEPS),
            _ALPACA_STOPS,
            system=True,
            jinja=_alpaca_template(_STEPS),
        ),
    )
}
"""The formats by name; each is described in docs/respond.md."""

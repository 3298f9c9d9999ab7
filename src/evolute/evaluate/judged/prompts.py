"""What judges are asked: prompts as data, shipped or the user's own, with the place of each answer marked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml

from evolute.errors import InputError
from evolute.evaluate.judged.rows import read_rows, read_text
from evolute.records import Message, Speaker, tagged_hash

Reads = Literal["scores", "rating", "verdict", "ranking", "tokens"]
"""What the judge is asked to say: two scores, one [[rating]], a [[verdict]], a list of ranks, or one of two letters."""

_SLOT = re.compile(r"\{([a-z_]+[12]?)\}")
_NAMES: Mapping[str, str] = {
    "instruction": "question", "output_1": "answer_1", "output_2": "answer_2", "answer_a": "answer_1",
    "answer_b": "answer_2",
}  # fmt: skip
"""AlpacaEval's and MT-Bench's names of what has another name with us."""
_NEEDED: Mapping[Reads, tuple[tuple[str, ...], ...]] = {
    "scores": (("question", "question_1"), ("answer_1", "answer_a_1"), ("answer_2", "answer_b_1")),
    "verdict": (("question", "question_1"), ("answer_1", "answer_a_1"), ("answer_2", "answer_b_1")),
    "ranking": (("question",), ("answer_1",), ("answer_2",)),
    "tokens": (("question",), ("answer_1",), ("answer_2",)),
    "rating": (("question", "question_1"), ("answer", "answer_1")),
}
_TURN = re.compile(r"<\|im_start\|>(system|user|assistant)\n(.*?)(?:<\|im_end\|>|\Z)", re.DOTALL)
_SPEAKERS: Mapping[str, Speaker] = {"system": "system", "user": "user", "assistant": "assistant"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt.

    Args:
        name: what `--judge-prompt` calls it.
        reads: what the judge is asked to say, and so how it is read.
        messages: with slots such as {question} and {answer_1}.
        source: where its wording is from.
    """

    name: str
    reads: Reads
    messages: tuple[Message, ...]
    source: str

    @property
    def hash(self) -> str:
        """Of its words."""
        said = [part for message in self.messages for part in (message.role, message.content)]
        return tagged_hash("judge-prompt-1", self.reads, *said).hex()

    @property
    def slots(self) -> frozenset[str]:
        """Those it has, by our names."""
        return frozenset(_known(name) for message in self.messages for name in _SLOT.findall(message.content))

    @property
    def needs_reference(self) -> bool:
        """Whether it shows the judge a reference answer."""
        return "ref_answer_1" in self.slots

    def fill(self, values: Mapping[str, str]) -> tuple[Message, ...]:
        """The messages with the values in their slots. What an answer holds is never taken for a slot."""

        def value(match: re.Match[str]) -> str:
            return values.get(match[1], values.get(_known(match[1]), match[0]))

        return tuple(Message(message.role, _SLOT.sub(value, message.content)) for message in self.messages)


def _known(slot: str) -> str:
    return _NAMES.get(slot, slot)


@cache
def shipped() -> Mapping[str, Prompt]:
    """The prompts that come with Evolute: FastChat's (Apache-2.0), and ours for AlpacaEval's forms; by name."""
    folder = files("evolute.evaluate.judged") / "data"
    rows = [row for name in ("fastchat", "ours") for row in yaml.safe_load((folder / f"{name}.yaml").read_bytes())]
    return {
        row["name"]: _made(row["name"], row["reads"], row["system"], row["template"], row["source"]) for row in rows
    }


def find_prompt(name: str, reads: Reads) -> Prompt:
    """A shipped prompt by name, or the user's by its file.

    A file is FastChat's JSON (`system_prompt`, `prompt_template`, `defaults`; one row), or else text: what the user
    says, or a conversation with <|im_start|> marks as AlpacaEval's templates are.

    Args:
        name: a name or a path.
        reads: what the judge must be asked to say.

    Raises:
        InputError: there is none, it cannot be read, a slot is missing, or its answers are of another kind.
    """
    if (known := shipped().get(name)) is not None:
        if known.reads != reads:
            fitting = ", ".join(prompt.name for prompt in shipped().values() if prompt.reads == reads)
            raise InputError(f"the judge prompt {name} asks for {known.reads}, and {reads} are wanted here: {fitting}")
        return known
    path = Path(name)
    if not path.is_file():
        raise InputError(f"no judge prompt and no file {name!r}; there are the prompts {', '.join(shipped())}")
    prompt = _rowed(path, reads) if path.suffix in (".json", ".jsonl") else _texted(path, reads)
    for slots in _NEEDED[reads]:
        if not prompt.slots.intersection(slots):
            raise InputError(f"{path}: no slot {{{slots[0]}}} in it: mark where the judge is to be shown that")
    return prompt


def _rowed(path: Path, reads: Reads) -> Prompt:
    row, *others = read_rows(path)
    if others:
        raise InputError(f"{path}: {1 + len(others)} prompts in it: leave the one that is meant")
    template, defaults = row.text("prompt_template"), row.fields.get("defaults") or {}
    if not isinstance(defaults, dict):
        raise row.wrong("defaults", defaults, "an object")
    for slot, value in defaults.items():
        template = template.replace(f"{{{slot}}}", str(value))
    return _made(row.text("name", path.name), reads, row.text("system_prompt", ""), template, str(path))


def _texted(path: Path, reads: Reads) -> Prompt:
    text = read_text(path)
    if turns := _TURN.findall(text):
        messages = tuple(Message(_SPEAKERS[role], said.strip("\n")) for role, said in turns if said.strip())
        return Prompt(path.name, reads, messages, str(path))
    return _made(path.name, reads, "", text, str(path))


def _made(name: str, reads: Reads, system: str, template: str, source: str) -> Prompt:
    before = (Message("system", system),) if system else ()
    return Prompt(name, reads, (*before, Message("user", template)), source)


CODE_SKILLS = frozenset({"coding", "Code Generation", "Code Debug"})
MATH_SKILLS = frozenset({"math", "Math"})
REFERENCED = frozenset({"math", "reasoning", "coding"})
"""The categories of MT-Bench that are judged with a reference answer (`NEED_REF_CATS` of FastChat)."""


def vicuna_prompt(groups: Mapping[str, str]) -> str:
    """The name of the prompt for a category of Vicuna's questions or a skill of the WizardLM test set.

    FastChat chooses by the categories coding and math; for the test set's skills the same choice is ours.
    """
    kind = groups.get("category") or groups.get("skill", "")
    return "vicuna-coding" if kind in CODE_SKILLS else "vicuna-math" if kind in MATH_SKILLS else "vicuna-general"


def mt_bench_prompt(paired: bool, category: str, turn: int) -> str:
    """The name of FastChat's prompt for a turn of a category, single or in pairs."""
    kind = ("pair-math-v1" if category in REFERENCED else "pair-v2") if paired else (
        "single-math-v1" if category in REFERENCED else "single-v1"
    )  # fmt: skip
    return f"{kind}-multi-turn" if turn > 1 else kind

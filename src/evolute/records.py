"""The nouns: what every stage passes to the next. Plain values; nothing here does I/O or knows who uses it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import orjson

Speaker = Literal["system", "user", "assistant"]


def tagged_hash(tag: str, *parts: bytes | str | int) -> bytes:
    """Hash `parts` to 16 bytes under a scheme named by `tag` (at most 16 bytes, ending in its version).

    The parts' lengths stand before them, so that no two different lists of parts run together.
    """
    data = [part if part.__class__ is bytes else str(part).encode("utf-8", "surrogatepass") for part in parts]
    lengths = ",".join(map(str, map(len, data))).encode()
    return hashlib.blake2b(b"\0".join((lengths, *data)), digest_size=16, person=tag.encode()).digest()


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation, in the field's own shape."""

    role: Speaker
    content: str


@dataclass(frozen=True, slots=True)
class Seed:
    """An instruction that the user gave.

    `input` is Alpaca's separate input; `response` the answer that came with it, if any; `system` and `history` are
    what stood before the instruction in a conversation. `source` and `line` (from 1) say where it was read; `label` is
    what the row there calls itself (its `id`, `idx`, …), None where it has no name.
    """

    instruction: str
    input: str = ""
    response: str | None = None
    system: str = ""
    history: tuple[Message, ...] = ()
    source: str = ""
    line: int = 0
    label: int | str | None = field(default=None, compare=False)
    id: bytes = field(init=False)
    """Hash of what is evolved and the conversation before it; the response and the place do not count."""

    def __post_init__(self) -> None:
        turns = orjson.dumps([[m.role, m.content] for m in self.history]) if self.history else b""
        said = (self.instruction, self.input, self.system, turns)
        object.__setattr__(self, "id", tagged_hash("seed-1", *said))

    @property
    def text(self) -> str:
        """What is evolved: the instruction, with its input below it where there is one."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction


class Failure(StrEnum):
    """Why a completion has no usable text. A failure is never stored as text."""

    NULL = "null"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    FILTERED = "filtered"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the endpoint counted them. `completion` includes `reasoning`; `prompt` includes `cached`."""

    prompt: int = 0
    completion: int = 0
    reasoning: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One call to a model.

    `identity` hashes what else decides the answer (model, sampling parameters, extra body); `draw` numbers the sample,
    so that asking again means a new one. `choices` are the only answers allowed, where the endpoint can hold a model
    to them.
    """

    role: str
    messages: tuple[Message, ...]
    identity: bytes
    draw: int
    sampling: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[str, ...] = ()
    key: bytes = field(init=False)
    """The name of this call in the ledger."""

    def __post_init__(self) -> None:
        said: list[bytes | str | int] = [self.identity, self.role, self.draw, *self.choices, len(self.choices)]
        for message in self.messages:
            said += (message.role, message.content)
        object.__setattr__(self, "key", tagged_hash("call-1", *said))


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back: text or a `failure`, never both empty. `latency` is in seconds; `attempts` counts the tries.

    `logprobs` is JSON where the request asked for log-probabilities and the endpoint gave them, else empty: an object
    of the reply's own fields, `logprobs` (chat's or completions' `choices[0].logprobs`, echoed prompt included) and
    `prompt_logprobs` (vLLM's). With it the text may be empty, for it may not be what was wanted.
    """

    text: str | None
    failure: Failure | None = None
    finish: str = "stop"
    reasoning: str | None = None
    usage: Usage = Usage()
    latency: float = 0.0
    attempts: int = 1
    model: str = ""
    detail: str = ""
    logprobs: str = ""


class Reason(StrEnum):
    """Why a candidate or a row was dropped: the closed list, documented in docs/elimination.md and docs/select.md."""

    NULL = "null"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    FILTERED = "filtered"
    REJECTED = "rejected"
    REFUSAL = "refusal"
    ANSWERED = "answered"
    COMMENTARY = "commentary"
    SCAFFOLD_LEAK = "scaffold-leak"
    TOO_SHORT = "too-short"
    TOO_LONG = "too-long"
    INPUT_LOST = "input-lost"
    UNCHANGED = "unchanged"
    LIKE_ANCESTOR = "like-ancestor"
    LANGUAGE_CHANGED = "language-changed"
    CODE_CUT = "code-cut"
    CODE_ONLY = "code-only"
    MATERIAL_MISSING = "material-missing"
    PROGRAMMING_LANGUAGE = "programming-language"
    NO_INFORMATION_GAIN = "no-information-gain"
    JUDGE_UNPARSABLE = "judge-unparsable"
    RESPONSE_NULL = "response-null"
    RESPONSE_EMPTY = "response-empty"
    RESPONSE_TRUNCATED = "response-truncated"
    RESPONSE_FILTERED = "response-filtered"
    RESPONSE_REJECTED = "response-rejected"
    RESPONSE_REFUSAL = "response-refusal"
    RESPONSE_CONTENT_FREE = "response-content-free"
    RESPONSE_BOILERPLATE = "response-boilerplate"
    RESPONSE_LANGUAGE = "response-language"
    CODE_MISSING = "code-missing"
    NOT_PYTHON = "not-python"
    TESTS_MISSING = "tests-missing"
    TESTS_FAILED = "tests-failed"
    TESTS_WEAK = "tests-weak"
    REPETITION = "repetition"
    FORMAT_MISSING = "format-missing"
    PERSONAL_DATA = "personal-data"
    SECRET = "secret"
    CONTAMINATED = "contaminated"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near-duplicate"
    SEMANTIC_DUPLICATE = "semantic-duplicate"
    TOO_MANY_TOKENS = "too-many-tokens"
    OUT_OF_BAND = "out-of-band"
    OVER_QUOTA = "over-quota"
    NOT_SAMPLED = "not-sampled"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found: the reason to drop, and the evidence (the words, the score, the judge's reply)."""

    reason: Reason
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the dataset: a kept instruction with its response, and how it came to be.

    Ids are text (`s1-…` for a seed, `i1-…` for an evolved instruction). `round` is 0 for a seed. `operation` is empty
    for a seed. `response` is None where the recipe asked for no answers. The models are the names asked for, empty
    where none was used. `verified` says whether the response passed its `tests`; None where that was not to be found
    out.
    """

    id: str
    parent: str
    root: str
    round: int
    operation: str
    instruction: str
    input: str
    response: str | None
    system: str
    history: tuple[Message, ...]
    evolver: str
    judge: str
    responder: str
    source: str
    line: int
    reasoning: str | None = None
    verified: bool | None = None
    tests: str = ""

    @property
    def asked(self) -> str:
        """The instruction, with its input below it where there is one."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction

    @property
    def context(self) -> str:
        """What stood before the instruction: system prompt and turns, blank lines between; mostly empty."""
        if not self.system and not self.history:
            return ""
        return "\n\n".join(part for part in (self.system, *(turn.content for turn in self.history)) if part)

    @property
    def prompt(self) -> str:
        """All that the answering model is shown: the context and what is asked."""
        context = self.context
        return f"{context}\n\n{self.asked}" if context else self.asked

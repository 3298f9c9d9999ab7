"""The transformers engine: a model's own folder as a `Model`, in this process, streaming and batched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

from evolute.errors import RequestRejected
from evolute.formats import FORMATS, Format, find_format
from evolute.formats.encoding import encode_prompt, ending_ids
from evolute.models import wire
from evolute.models.local_sampling import Sampling, read_sampling
from evolute.models.local_text import Unfolding
from evolute.models.weights import LocalModel, find_model, open_files
from evolute.recipe import ModelSpec
from evolute.records import Completion, Message, Request

SLOTS = 32
"""Answers that grow together. On 2 cores SmolLM2 made 6 tokens/s alone and 33 in a batch of 16."""
_WINDOW = 2048
"""Tokens of prompt and answer where the model's configuration names no most."""
_DEFAULTS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer as it grows.

    `text` may be empty: a character or a stop word may not be whole yet. `logprobs` are those of the tokens since the
    last piece, in OpenAI's form. `finish` is "stop" or "length" in the last piece and empty before; `tokens` counts
    what the answer has so far.
    """

    text: str
    tokens: int
    finish: str = ""
    logprobs: tuple[Mapping[str, Any], ...] = ()


@dataclass(slots=True)
class Local:
    """A model in this process, opened with transformers; an async context manager that is a `Model` while open.

    Answers that are asked for at the same time grow together; one that comes later joins at the next token. All torch
    work is in a thread of its own. An answer with a seed is the same whatever else is asked, but for float rounding:
    the logits of a padded row differ in their last bits, which can turn a draw where two tokens are nearly tied.

    Args:
        spec: `model` is the folder; of its other fields `send_seed` and `extra_body` count: further sampling, and a
            `format` by name, which a request's sampling may have as well.
        slots: answers that grow together.
        format: how conversations are written; default: the tokenizer's own chat template.
        dtype: as `open_files`.
        device: as `open_files`.

    Raises (on entering):
        InputError: the files cannot be opened, or have no chat template.
        MissingExtra: torch or transformers are not installed.
    """

    spec: ModelSpec
    slots: int = SLOTS
    format: Format = field(default_factory=lambda: FORMATS["chat"])
    dtype: str = "auto"
    device: str | None = None
    name: str = field(default="", init=False)
    window: int = field(default=0, init=False)
    """Tokens of prompt and answer together."""
    vocabulary: int = field(default=0, init=False)
    tokenizer: Any = field(default=None, init=False)
    _endings: frozenset[int] = field(default=frozenset(), init=False)
    _defaults: Sampling = field(default=Sampling(), init=False)
    _engine: Any = field(default=None, init=False)
    _formats: dict[str, Local] = field(default_factory=dict, init=False)

    async def __aenter__(self) -> Local:
        found = find_model(self.spec.model)
        self.name = found.name
        model = await asyncio.to_thread(self._open, found)
        from evolute.models.local_engine import Engine

        self._engine = Engine(model, self.slots)
        return self

    async def __aexit__(self, *error: object) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.close)

    def _open(self, found: LocalModel) -> Any:  # noqa: ANN401 - transformers' own
        model, self.tokenizer = open_files(found, dtype=self.dtype, device=self.device, extra="train")
        config = model.config.get_text_config(decoder=True)
        lengths = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions", "n_ctx"))
        self.window = next((one for one in lengths if isinstance(one, int) and one > 0), _WINDOW)
        self.vocabulary = model.get_input_embeddings().num_embeddings
        given = model.generation_config
        own = given.eos_token_id if isinstance(given.eos_token_id, list) else [given.eos_token_id]
        self._endings = frozenset(ending_ids(self.tokenizer, self.format)) | {one for one in own if one is not None}
        named = {name: getattr(given, name, None) for name in _DEFAULTS}
        self._defaults = read_sampling({name: value for name, value in named.items() if value is not None})
        return model

    def encode(self, messages: Sequence[Message], given: str = "") -> list[int]:
        """The prompt's tokens, up to where the answer begins.

        Raises:
            InputError: the format has no room for these messages.
        """
        return encode_prompt(self.tokenizer, self.format, messages, given)

    def encode_text(self, text: str) -> list[int]:
        """A text's tokens as they are, special tokens in it among them: the prompt of plain completions."""
        ids: list[int] = self.tokenizer(text)["input_ids"]
        return ids

    def check_tokens(self, ids: Sequence[int]) -> None:
        """Look that a prompt's tokens are the model's.

        Raises:
            RequestRejected: one is not.
        """
        if strange := [one for one in ids if not 0 <= one < self.vocabulary]:
            raise RequestRejected(
                f"the prompt has the token {strange[0]}; the model has {self.vocabulary:,}", status=400
            )

    @property
    def load(self) -> tuple[int, int]:
        """How many answers grow, and how many wait."""
        load: tuple[int, int] = self._engine.load
        return load

    def sampling(self, fields: Mapping[str, Any]) -> Sampling:
        """What a request's fields ask for, over the model's and the format's own.

        Raises:
            RequestRejected: a field is unknown or impossible.
        """
        asked = read_sampling(fields, self._defaults)
        return replace(asked, stop=(*asked.stop, *(one for one in self.format.stops if one not in asked.stop)))

    async def stream(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Piece]:
        """The answer to a prompt's tokens, piece by piece; leaving the iterator ends the work.

        Raises:
            RequestRejected: the prompt is empty, or leaves no room for an answer.
            Overloaded: the device's memory is too small for what is asked at once.
            EndpointError: the engine failed.
        """
        most = self.room(prompt, sampling)
        text, count = Unfolding(self.tokenizer, sampling.stop), 0
        async with aclosing(self._engine.tokens(prompt, sampling, most, self._endings)) as tokens:
            async for drawn in tokens:
                count += 1
                ended = drawn.token in self._endings
                new = "" if ended else text.add(drawn.token)
                over = ended or text.stopped or count >= most
                finish = "" if not over else "stop" if ended or text.stopped else "length"
                told = () if sampling.top_logprobs is None or ended else (self._logprobs(drawn),)
                yield Piece(new + (text.end() if over else ""), count, finish, told)
                if over:
                    return

    async def complete(self, request: Request) -> Completion:
        """Answer one request.

        Raises:
            RequestRejected: the request has an unknown or impossible field, or its prompt does not fit the window.
            Overloaded: the device's memory is too small for what is asked at once.
            EndpointError: the engine failed.
        """
        started = time.perf_counter()
        seed = {"seed": request.draw & 0x7FFFFFFF} if self.spec.send_seed else {}
        fields = {**request.sampling, **self.spec.extra_body, **seed}
        if (named := fields.pop("format", None)) is not None and named != self.format.name:
            return await self._written(str(named)).complete(request)
        sampling = self.sampling(fields)
        prompt = self.encode(request.messages)
        pieces = [piece async for piece in self.stream(prompt, sampling)]
        logprobs = {"content": [one for piece in pieces for one in piece.logprobs]}
        choice = {
            "message": {"content": "".join(piece.text for piece in pieces)},
            "finish_reason": pieces[-1].finish,
            "logprobs": logprobs if sampling.top_logprobs is not None else None,
        }
        usage = {"prompt_tokens": len(prompt), "completion_tokens": pieces[-1].tokens}
        reply = {"model": self.name, "choices": [choice], "usage": usage}
        return wire.decode("chat", reply, time.perf_counter() - started, request.sampling)

    def _written(self, name: str) -> Local:
        """The same engine with another prompt format."""
        if name not in self._formats:
            form = find_format(name)
            other = copy(self)
            other.format, other._endings = form, self._endings | frozenset(ending_ids(self.tokenizer, form))
            self._formats[name] = other
        return self._formats[name]

    def room(self, prompt: Sequence[int], sampling: Sampling) -> int:
        """The most tokens that the answer to a prompt may have.

        Raises:
            RequestRejected: the prompt is empty, or fills the window.
        """
        room = self.window - len(prompt)
        if not prompt or room < 1:
            raise RequestRejected(
                f"the prompt has {len(prompt):,} tokens, and the model {self.name!r} has a context length of "
                f"{self.window:,} for prompt and answer together",
                status=400,
            )
        return min(room, sampling.max_tokens or room)

    def _logprobs(self, drawn: Any) -> Mapping[str, Any]:  # noqa: ANN401 - Drawn, of a module that imports torch
        """A token's log-probabilities as OpenAI's chat tells them."""

        def told(token: int, logprob: float) -> dict[str, Any]:
            text = self.tokenizer.decode([token], clean_up_tokenization_spaces=False)
            whole = "\ufffd" not in text  # a part of a character has bytes that no decoder tells
            return {"token": text, "logprob": logprob, "bytes": list(text.encode()) if whole else None}

        return told(drawn.token, drawn.logprob) | {"top_logprobs": [told(*one) for one in drawn.top]}

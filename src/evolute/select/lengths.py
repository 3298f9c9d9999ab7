"""Token lengths by a tokenizer that the user names, and which rows are over a budget."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evolute.batches import batched
from evolute.errors import InputError, MissingExtra
from evolute.quiet import quiet_hub
from evolute.records import Reason, Row
from evolute.select.findings import Hit, Hits

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Lengths = NDArray[np.int32]
BATCH = 1024
"""Rows encoded at once: enough for all cores, and a few megabytes of tokens."""


class TokenLengths:
    """Counts the tokens of rows as they come; 8 bytes are kept of each.

    What is trained on is the whole conversation: the system prompt, the turns before, the instruction and its input,
    and the response. The marks that a chat template puts between them are not counted.

    Args:
        tokenizer: a `tokenizer.json`, a folder that holds one, or a model's name on the hub (which is then downloaded).
        budget: the most tokens that a row may have, prompt and response together.

    Raises:
        InputError: there is no such tokenizer, it cannot be read or reached, or the budget is not positive.
        MissingExtra: the `select` extra is not installed.
    """

    def __init__(self, tokenizer: str | Path, budget: int) -> None:
        if budget < 1:
            raise InputError(f"a budget of tokens must be at least 1, not {budget!r}")
        self.budget = budget
        self._tokenizer = load_tokenizer(tokenizer)
        self._parts: list[tuple[Lengths, Lengths]] = []

    def add(self, rows: Iterable[Row]) -> None:
        """Count the next rows. A row without a response has one of length 0."""
        for batch in batched(rows, BATCH):
            prompts = self._count([row.prompt for row in batch])
            self._parts.append((prompts, self._count([row.response or "" for row in batch])))

    @property
    def lengths(self) -> tuple[Lengths, Lengths]:
        """Tokens of the prompt and of the response of each row so far, in order."""
        if len(self._parts) != 1:
            empty = np.zeros(0, dtype=np.int32)
            prompts, responses = zip(*self._parts, strict=True) if self._parts else ((empty,), (empty,))
            self._parts = [(np.concatenate(prompts), np.concatenate(responses))]
        return self._parts[0]

    def hits(self) -> Hits:
        """The rows over the budget; the score is the number of tokens, so that a higher budget can be looked at."""
        prompts, responses = self.lengths
        total = prompts + responses
        return Hits(len(total), list(self._over(prompts, responses, np.flatnonzero(total > self.budget).tolist())))

    def _over(self, prompts: Lengths, responses: Lengths, rows: Iterable[int]) -> Iterator[Hit]:
        for row in rows:
            prompt, response = int(prompts[row]), int(responses[row])
            evidence = {"prompt": prompt, "response": response, "limit": self.budget}
            yield Hit(row, Reason.TOO_MANY_TOKENS, float(prompt + response), evidence)

    def _count(self, texts: Sequence[str]) -> Lengths:
        # The library cannot take half a surrogate pair, which JSON can hold: it is one odd character.
        sound = [text if text.isascii() else text.encode("utf-8", "replace").decode() for text in texts]
        encodings = self._tokenizer.encode_batch_fast(sound, add_special_tokens=False)
        return np.fromiter((len(encoding) for encoding in encodings), dtype=np.int32, count=len(sound))


def load_tokenizer(name: str | Path) -> Tokenizer:
    """A tokenizer from a `tokenizer.json`, from a folder that holds one, or from the hub by a model's name.

    It never cuts or pads, whatever its file says: then every text would have the same length.

    Raises:
        InputError: it cannot be found, read or reached.
        MissingExtra: the `select` extra is not installed.
    """
    try:
        import tokenizers
    except ModuleNotFoundError as missing:
        raise MissingExtra("counting tokens", "select") from missing

    path = Path(name).expanduser()
    if path.is_dir():
        path /= "tokenizer.json"
    if path.suffix == ".json" or path.exists():
        found = _read(tokenizers.Tokenizer, path)
    else:
        found = _download(tokenizers.Tokenizer, str(name))
    found.no_truncation()
    found.no_padding()
    return found


def _read(kind: type[Tokenizer], path: Path) -> Tokenizer:
    try:
        data = path.read_bytes()
    except OSError as error:
        remedy = "Name a tokenizer.json, a folder that holds one, or a model on the hub."
        raise InputError(f"{path}: no tokenizer can be read there ({error.strerror}). {remedy}") from error
    try:
        return kind.from_buffer(data)
    except ValueError as error:
        raise InputError(f"{path}: not a tokenizer.json of the tokenizers library ({_first_line(error)})") from error


def _download(kind: type[Tokenizer], name: str) -> Tokenizer:
    quiet_hub()
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.CRITICAL)  # it writes a line for every try, with addresses; the last error says it all
    try:
        return kind.from_pretrained(name)
    except Exception as error:  # what is raised is plain `Exception`, or one of two packages' that share no base
        remedy = "Check the name and the network, or give the path of its tokenizer.json."
        said = _first_line(error)
        raise InputError(f"no such file here, and the hub gave no tokenizer {name!r}: {said!r}. {remedy}") from error
    finally:
        log.setLevel(level)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__

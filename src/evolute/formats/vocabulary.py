"""A tokenizer of which no text can speak the control tokens: they enter by their place in the format alone.

`tokenizer(text)` turns the letters `</s>` into the token that ends an answer, whoever wrote them. So the text is encoded
with a copy of the tokenizer in which each control token is called by a secret name, chosen anew in each process: the
format's own tokens are written by that name, and what users and models said stays text. All else, normalisation,
pre-tokenisation and merges, is the tokenizer's own.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

from evolute.errors import InputError

_SECRET = secrets.token_hex(8)
_NAME = "\U000f5a00{kind}{secret}{number}\U000f5a01"  # private-use characters: no normaliser changes them
_CLASSES = ("normalizer", "pre_tokenizer")

_known: WeakKeyDictionary[Any, tuple[Any, Vocabulary]] = WeakKeyDictionary()


def vocabulary_of(tokenizer: Any) -> Vocabulary:  # noqa: ANN401 - transformers' own
    """The tokenizer's vocabulary; it is made once, and again when tokens were added or eos is another.

    Raises:
        InputError: it is no fast tokenizer.
    """
    state = (len(tokenizer), tokenizer.eos_token, tokenizer.bos_token, tokenizer.pad_token)
    found = _known.get(tokenizer)
    if found is None or found[0] != state:
        found = _known[tokenizer] = (state, Vocabulary(tokenizer))
    return found[1]


class Vocabulary:
    """Texts with control tokens in them, in and out of secret names, and encoded.

    A control token is one that the tokenizer calls special. Other added tokens (`<think>`, runs of spaces) are words
    that a text may use.

    Args:
        tokenizer: a fast tokenizer of transformers.

    Raises:
        InputError: it is a slow one.
    """

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 - transformers' own
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise InputError(
                f'{tokenizer.name_or_path or "the model"}: its tokenizer has no tokenizer.json (a "fast" tokenizer of '
                "transformers), without which text and control tokens cannot be told apart; convert it with transformers"
            )
        spelt = json.loads(backend.to_str())
        special = set(tokenizer.all_special_tokens)
        added = [one for one in spelt["added_tokens"] if one["special"] or one["content"] in special]
        self.controls: dict[str, int] = {one["content"]: one["id"] for one in added if one["content"]}
        """The control tokens' ids by what they are called."""
        self._texts = list(self.controls)
        self._numbers = {text: number for number, text in enumerate(self._texts)}
        self._any = _any_of(self._texts)
        self._whole = {one["content"] for one in added if one["normalized"]}
        self.opening = _opening(backend)
        """The ids that the tokenizer itself puts before a text: bos, or nothing."""
        self._plain, self._ids = self._copy(spelt)
        self._later = self._copy(_continuing(spelt))[0]

    def disarm(self, text: str) -> str:
        """The text with its control tokens hidden from the format that it is put into."""
        return self._any.sub(lambda found: self._name("t", found[0]), text)

    def arm(self, text: str) -> str:
        """A rendered text: the format's own control tokens by their secret names, what `disarm` hid as it was."""
        named = self._any.sub(lambda found: self._name("c", found[0]), text)
        return _named("t").sub(lambda found: self._texts[int(found[1])], named)

    def control(self, text: str) -> str:
        """The secret name of a control token."""
        return self._name("c", text)

    def ends(self, text: str) -> Iterator[tuple[int, int]]:
        """Where in an armed text a control token ends, and its id."""
        for found in _named("c").finditer(text):
            yield found.end(), self.controls[self._texts[int(found[1])]]

    def encode(self, text: str, before: str) -> list[int]:
        """The ids of an armed text that goes on from `before`; nothing of it merges with what stands there.

        What a tokenizer puts before a text's first word (SentencePiece's "▁") it puts here where it does so in the
        middle of a text: after a control token, or not at all.
        """
        if not text or not before:
            return self._run(self._plain, text)
        if (last := re.search(_named("c").pattern + r"\Z", before)) is not None:
            return self._run(self._after(last), last[0] + text)[1:]
        first = _named("c").search(text)
        if first is None:
            return self._run(self._later, text)
        head, rest = text[: first.start()], text[first.start() :]
        return self._run(self._later, head) + self._run(self._after(first), rest)

    def _after(self, control: re.Match[str]) -> Any:  # noqa: ANN401 - tokenizers' own
        """Where control tokens are looked for after normalisation, what follows one is no beginning."""
        return self._later if self._texts[int(control[1])] in self._whole else self._plain

    def _run(self, encoder: Any, text: str) -> list[int]:  # noqa: ANN401 - tokenizers' own
        ids = encoder.encode(text, add_special_tokens=False).ids if text else []
        return [self._ids.get(one, one) for one in ids]

    def _name(self, kind: str, text: str) -> str:
        return _NAME.format(kind=kind, secret=_SECRET, number=self._numbers[text])

    def _copy(self, spelt: dict[str, Any]) -> tuple[Any, dict[int, int]]:
        """The tokenizer with the control tokens renamed, and the ids that this changed, if any."""
        from tokenizers import Tokenizer

        names = {text: self._name("c", text) for text in self._texts}
        added = [one | {"content": names.get(one["content"], one["content"])} for one in spelt["added_tokens"]]
        copy = Tokenizer.from_str(
            json.dumps(
                spelt | {"added_tokens": added, "model": _renamed(spelt["model"], names), "post_processor": None}
            )
        )
        copy.no_truncation()
        copy.no_padding()
        return copy, {copy.token_to_id(name): self.controls[text] for text, name in names.items()}


def _named(kind: str) -> re.Pattern[str]:
    return re.compile(_NAME.format(kind=kind, secret=_SECRET, number=r"(\d+)"))


def _any_of(texts: list[str]) -> re.Pattern[str]:
    """Any of the texts, the longest first; of no texts, nothing."""
    return re.compile("|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True)) or r"(?!)")


def _opening(backend: Any) -> list[int]:  # noqa: ANN401 - tokenizers' own
    with_it, without = (backend.encode("a", add_special_tokens=flag).ids for flag in (True, False))
    return with_it[: next(at for at in range(len(with_it)) if with_it[at : at + len(without)] == without)]


def _renamed(model: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The model with the control tokens renamed in its vocabulary too, so that their letters are no piece of it."""
    if isinstance(model["vocab"], dict):
        vocab: Any = {names.get(piece, piece): one for piece, one in model["vocab"].items()}
    else:
        vocab = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    unknown = model.get("unk_token")
    return model | {"vocab": vocab} | ({"unk_token": names.get(unknown, unknown)} if unknown else {})


def _continuing(spelt: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer without what it does at the beginning of a text."""
    return spelt | {name: _without_prefix(spelt[name]) for name in _CLASSES}


def _without_prefix(part: dict[str, Any] | None) -> dict[str, Any] | None:
    if part is None:
        return None
    if part["type"] == "Sequence":
        name = "normalizers" if "normalizers" in part else "pretokenizers"
        inner = [kept for one in part[name] if (kept := _without_prefix(one)) is not None]
        return part | {name: inner}
    if part["type"] == "Prepend":
        return None
    if part["type"] == "Metaspace":
        return part | {"prepend_scheme": "never"}
    return part | {"add_prefix_space": False} if "add_prefix_space" in part else part

"""A tokenizer as llama.cpp needs it: byte-level BPE ("gpt2") or SentencePiece-like BPE ("llama").

llama.cpp has the pre-tokenizers compiled in and picks one by name, so a tokenizer is exported only where its own
pre-tokenizer is one of those known here, rule for rule; any other would silently give other tokens. (llama.cpp's
converter compares a hash of one text's tokens instead.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evolute.errors import InputError

_SPACE = "▁"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_BYTES = ("ByteLevel", False)
_PRE_TOKENIZERS: dict[tuple[Any, ...], str] = {
    ((*_BYTES, True),): "gpt-2",
    (("Digits", True), (*_BYTES, True)): "smollm",
    (("Split", _CONTRACTIONS + r"|\p{N}{1,3}" + _REST, "Isolated", False), (*_BYTES, False)): "llama-bpe",
    (("Split", _CONTRACTIONS + r"|\p{N}" + _REST, "Isolated", False), (*_BYTES, False)): "qwen2",
}
"""llama.cpp's names (`src/llama-vocab.cpp`) of the pre-tokenizers that Llama-family models have."""
_UNMERGED = {"llama-bpe": "smaug-bpe"}
"""The name of the same rule where a word that is a token itself is merged like any other."""


@dataclass(slots=True)
class Words:
    """A vocabulary in llama.cpp's terms; `types` are `gguf.TokenType`s. Every row of the embeddings has a token."""

    model: str
    tokens: list[str]
    types: list[int]
    pre: str = "default"
    merges: list[str] | None = None
    scores: list[float] | None = None
    space_prefix: bool = False
    notes: list[str] = field(default_factory=list)


def read_words(tokenizer: Any, rows: int) -> Words:  # noqa: ANN401 - a transformers tokenizer
    """The tokenizer's vocabulary for a model whose embeddings have `rows` rows.

    Raises:
        InputError: llama.cpp would tokenise otherwise, or the vocabulary has more tokens than the embeddings rows.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError("the tokenizer is not of the `tokenizers` library: save it with a tokenizer.json first")
    said = json.loads(backend.to_str())
    kind = said["model"]["type"]
    if kind != "BPE" or said["model"].get("end_of_word_suffix") or said["model"].get("continuing_subword_prefix"):
        raise InputError(f"the tokenizer's model must be BPE without affixes to become a GGUF file, got {kind!r}")
    words = _sentencepiece(said) if said["model"].get("byte_fallback") else _byte_level(said)
    _fill(words, said, rows)
    return words


def _byte_level(said: Mapping[str, Any]) -> Words:
    rules = tuple(_rule(one) for one in _flat(said["pre_tokenizer"], "pretokenizers"))
    pre = _PRE_TOKENIZERS.get(rules)
    if pre is None:
        raise InputError(
            f"a pre-tokenizer that is none of llama.cpp's known here ({', '.join(sorted(_PRE_TOKENIZERS.values()))}):"
            f" {json.dumps(said['pre_tokenizer'])[:300]}; its tokens would differ"
        )
    unmerged = bool(said["model"].get("ignore_merges"))
    if unmerged != (pre in _UNMERGED):
        if unmerged:
            raise InputError(f"the tokenizer ignores merges (ignore_merges), and llama.cpp's {pre!r} does not")
        pre = _UNMERGED[pre]
    normalizers = [one["type"] for one in _flat(said["normalizer"], "normalizers")]
    if set(normalizers) - {"NFC"}:
        raise InputError(f"llama.cpp normalises no text, and the tokenizer does: {', '.join(normalizers)}")
    notes = ["llama.cpp does not bring text into NFC, as the tokenizer does: do so before"] if normalizers else []
    return Words("gpt2", [], [], pre=pre, merges=[" ".join(pair) for pair in _merges(said)], notes=notes)


def _sentencepiece(said: Mapping[str, Any]) -> Words:
    prefix, notes = _prefix(said)
    vocabulary = said["model"]["vocab"]
    if any(f"<0x{byte:02X}>" not in vocabulary for byte in range(256)):
        raise InputError("the tokenizer falls back to bytes and lacks some of the 256 tokens <0x00> to <0xFF>")
    merges = _merges(said)
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(merges):
        ranks.setdefault("".join(pair), rank)
    if odd := _unlike(vocabulary, {*merges}, ranks):
        notes.append(
            f"{odd:,} tokens can be joined from parts in ways that the tokenizer's merges do not have and llama.cpp"
            " tries: rare words may be split otherwise"
        )
    scores = [0.0] * len(vocabulary)
    for token, number in vocabulary.items():
        scores[number:] = scores[number:] or [0.0]
        scores[number] = -float(ranks[token]) if token in ranks else 0.0
    return Words("llama", [], [], scores=scores, space_prefix=prefix, notes=notes)


def _unlike(vocabulary: Mapping[str, int], merges: set[tuple[str, str]], ranks: Mapping[str, int]) -> int:
    """How many tokens llama.cpp joins from two others (it knows scores, not merges) where the tokenizer would not."""
    return sum(
        any(
            token[:cut] in vocabulary and token[cut:] in vocabulary and (token[:cut], token[cut:]) not in merges
            for cut in range(1, len(token))
        )
        for token in ranks
    )


def _prefix(said: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """Whether a space is put before the text, and what llama.cpp does otherwise."""
    steps = _flat(said["normalizer"], "normalizers") + _flat(said["pre_tokenizer"], "pretokenizers")
    prefix, spaces, notes = False, False, []
    for step in steps:
        if step == {"type": "Prepend", "prepend": _SPACE}:
            prefix = True
        elif step == {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}:
            spaces = True
        elif step["type"] == "Metaspace" and step["replacement"] == _SPACE and not step.get("split"):
            spaces, scheme = True, step.get("prepend_scheme", "always")
            prefix = prefix or scheme != "never"
            if scheme == "first":
                notes.append("llama.cpp puts a space after each special token as well as before the text")
        else:
            raise InputError(f"a step that llama.cpp's SentencePiece tokenizer does not take: {json.dumps(step)[:300]}")
    if not spaces:
        raise InputError("a tokenizer with byte fallback that leaves spaces as they are: llama.cpp would not")
    return prefix, notes


def _fill(words: Words, said: Mapping[str, Any], rows: int) -> None:
    """Name every row of the embeddings: tokens, added tokens, and the rows that have none."""
    from gguf import TokenType

    numbers = dict(said["model"]["vocab"])
    added = {one["content"]: one for one in said["added_tokens"]}
    numbers |= {content: one["id"] for content, one in added.items()}
    if (highest := max(numbers.values())) >= rows:
        token = next(token for token, number in numbers.items() if number == highest)
        raise InputError(
            f"the tokenizer has the token {token!r} with number {highest}, and the embeddings have {rows} rows: resize"
            " the model's embeddings (resize_token_embeddings), or use its own tokenizer"
        )
    words.tokens = [f"[PAD{number}]" for number in range(rows)]
    words.types = [int(TokenType.UNUSED)] * rows
    unknown = said["model"].get("unk_token")
    for token, number in numbers.items():
        kind = _type(token, added.get(token), unknown, words.model)
        words.tokens[number], words.types[number] = token, int(kind)
        if kind is TokenType.USER_DEFINED and words.model == "llama":
            words.tokens[number] = token.replace(_SPACE, " ")
    if words.scores is not None:
        words.scores = (words.scores + [0.0] * rows)[:rows]
    if stripped := [one["content"] for one in said["added_tokens"] if one.get("lstrip") or one.get("rstrip")]:
        words.notes.append(f"the tokenizer drops spaces around {stripped[0]!r}, and llama.cpp does not")


def _type(token: str, added: Mapping[str, Any] | None, unknown: str | None, model: str) -> Any:  # noqa: ANN401 - gguf's
    from gguf import TokenType

    if model == "llama" and token == unknown:
        return TokenType.UNKNOWN
    if added is not None:
        return TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
    if model == "llama" and len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return TokenType.BYTE
    return TokenType.NORMAL


def _merges(said: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = (one.split(" ", 1) if isinstance(one, str) else one for one in said["model"]["merges"])
    return [(left, right) for left, right in pairs]


def _flat(step: Mapping[str, Any] | None, inner: str) -> list[dict[str, Any]]:
    if step is None:
        return []
    if step["type"] == "Sequence":
        return [one for part in step[inner] for one in _flat(part, inner)]
    return [dict(step)]


def _rule(step: Mapping[str, Any]) -> tuple[Any, ...]:
    """What of a pre-tokenizer decides about its cuts."""
    match step["type"]:
        case "ByteLevel":
            return "ByteLevel", step["add_prefix_space"], step.get("use_regex", True)
        case "Digits":
            return "Digits", step["individual_digits"]
        case "Split":
            return "Split", step["pattern"].get("Regex"), step["behavior"], step["invert"]
    return (step["type"],)

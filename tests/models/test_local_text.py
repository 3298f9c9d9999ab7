"""Tokens told as text while they come."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolute.models.local_text import Unfolding

pytest.importorskip("tokenizers")
TEXTS = ("héllo wörld", "你好，世界", "مرحبا بالعالم", "🎉👩‍👩‍👧 family", "Grüße", "नमस्ते", "plain", "  two  spaces\n\n")


def told(tokenizer, ids, stops=()):
    unfolding, parts = Unfolding(tokenizer, stops), []
    for token in ids:
        parts.append(unfolding.add(token))
        if unfolding.stopped:
            break
    return [*parts, unfolding.end()]


@pytest.mark.parametrize("text", TEXTS)
def test_characters_come_whole(byte_tokenizer, text):
    parts = told(byte_tokenizer, byte_tokenizer.encode(text))
    assert "".join(parts) == text
    assert not any("\ufffd" in part for part in parts)
    assert len([part for part in parts if part]) == len(text)  # each as soon as it is whole


def test_a_character_that_was_cut_off_is_left_out(byte_tokenizer):
    assert "".join(told(byte_tokenizer, byte_tokenizer.encode("ab🎉")[:-1])) == "ab"


def test_spaces_of_a_sentencepiece_tokenizer_stay(sentencepiece_like):
    for text in ("Hello world", "one two  three", "Grüße 你"):
        assert "".join(told(sentencepiece_like, sentencepiece_like.encode(text, add_special_tokens=False))) == text


@pytest.fixture(scope="module")
def sentencepiece_like():
    import tokenizers
    import transformers

    pieces = [f"<0x{byte:02X}>" for byte in range(256)] + ["▁", "▁Hello", "▁world", "▁one", "▁two", "▁three", *"Grüße"]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    raw = tokenizers.Tokenizer(tokenizers.models.Unigram([(p, -1.0) for p in vocabulary], 0, byte_fallback=True))
    raw.normalizer = tokenizers.normalizers.Sequence([
        tokenizers.normalizers.Prepend("▁"), tokenizers.normalizers.Replace(" ", "▁")
    ])  # fmt: skip
    raw.decoder = tokenizers.decoders.Sequence([
        tokenizers.decoders.Replace("▁", " "), tokenizers.decoders.ByteFallback(), tokenizers.decoders.Fuse(),
        tokenizers.decoders.Strip(" ", 1, 0),
    ])  # fmt: skip
    return transformers.PreTrainedTokenizerFast(tokenizer_object=raw)


@settings(max_examples=150, deadline=None)
@given(text=st.text("abc\n🎉é", max_size=30), stops=st.lists(st.text("abc\né", min_size=1, max_size=4), max_size=3))
def test_a_stop_string_is_cut_where_it_begins_however_tokens_split_it(byte_tokenizer, text, stops):
    parts = told(byte_tokenizer, byte_tokenizer.encode(text), stops)
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    first = min((end for end, _ in ends), default=None)
    wanted = text if first is None else text[: min(place for end, place in ends if end == first)]
    assert "".join(parts) == wanted

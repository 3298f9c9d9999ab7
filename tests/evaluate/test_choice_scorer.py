"""Our scorer: reuse changes no number, a tokenizer's whims are told, and SmolLM2's numbers are the harness's."""

import itertools

import pytest
from choicerows import DATA, SAMPLES, logged
from hypothesis import given, settings
from hypothesis import strategies as st

from evolute.errors import InputError
from evolute.evaluate.choice.encoding import encode_pairs
from evolute.evaluate.choice.prefixes import LEAST, WORTH, Leaf, computed, grow
from evolute.evaluate.choice.tasks import make_task
from evolute.models.weights import _no_bars

stored = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the shared data are not beside this checkout")
VOCABULARY = 50


@pytest.fixture(scope="module")
def tiny():
    """A Llama of random weights, as deep as caches need."""
    torch = pytest.importorskip("torch", reason="the extra `evaluate` is not installed")
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.5,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def plain(model, put, continuation):
    """Every position's logits of one sequence: what the harness computes."""
    import torch

    with torch.no_grad():
        logits = model(torch.tensor([put])).logits[0].log_softmax(-1)
    return sum(logits[len(put) - len(continuation) + n, token].item() for n, token in enumerate(continuation))


tokens = st.integers(0, VOCABULARY - 1)


@st.composite
def trees(draw):
    """Sequences that share beginnings of several lengths, with one or more continuations each."""
    stems = [tuple(draw(st.lists(tokens, max_size=40)))]
    for _ in range(draw(st.integers(0, 3))):
        stems.append((*draw(st.sampled_from(stems)), *draw(st.lists(tokens, min_size=1, max_size=30))))
    wanted = {}
    for _ in range(draw(st.integers(1, 10))):
        put = (*draw(st.sampled_from(stems)), *draw(st.lists(tokens, min_size=1, max_size=6)))
        most = draw(st.integers(1, min(4, len(put))))
        wanted[put] = draw(st.lists(st.lists(tokens, min_size=1, max_size=most).map(tuple), min_size=1, max_size=4))
    return wanted


@settings(max_examples=40, deadline=None)
@given(wanted=trees(), batch=st.sampled_from([1, 60, 8192]))
def test_what_is_shared_and_how_it_is_batched_changes_no_number(tiny, wanted, batch):
    from evolute.evaluate.choice.scorer import Scorer

    scorer = Scorer(tiny, list, 256, batch_tokens=batch, reuse=True)
    found = dict(scorer.score_tokens(wanted))
    assert found.keys() == wanted.keys()
    for put, continuations in wanted.items():
        for (value, _), continuation in zip(found[put], continuations, strict=True):
            assert value == pytest.approx(plain(tiny, put, continuation), abs=1e-4)


def test_a_beginning_is_computed_once(tiny):
    from evolute.evaluate.choice.scorer import Scorer

    shots = tuple(range(40)) * 2
    wanted = {(*shots, *[question] * 10): [(1,), (2,), (3,), (4,)] for question in range(10)}
    with_reuse, without = Scorer(tiny, list, 256, reuse=True), Scorer(tiny, list, 256, reuse=False)
    ours, theirs = dict(with_reuse.score_tokens(wanted)), dict(without.score_tokens(wanted))
    assert (with_reuse.passes.put_in, without.passes.put_in) == (80 + 100, 10 * 90)
    for put in wanted:
        assert [value for value, _ in ours[put]] == pytest.approx([value for value, _ in theirs[put]], abs=1e-4)


def test_only_the_wanted_logits_are_made_and_the_likeliest_is_known(tiny):
    from evolute.evaluate.choice.passes import Passes, can_reuse

    seen = []
    head = tiny.get_output_embeddings()
    hook = head.register_forward_hook(lambda module, given, out: seen.append(tuple(out.shape)))
    rows = [tuple(range(30)), tuple(range(20))]
    found = Passes(tiny).score(rows, [[(n,) for n in range(VOCABULARY)], [(1, 2, 3)]])
    hook.remove()
    assert seen == [(1, 4, VOCABULARY)]
    assert sum(greedy for _, greedy in found[0]) == 1
    assert max(found[0])[1], "the likeliest is the greedy one"
    assert can_reuse(tiny)


def test_a_window_that_slides_is_scored_without_reuse(tiny):
    from transformers import MistralConfig, MistralForCausalLM

    from evolute.evaluate.choice.passes import can_reuse

    config = MistralConfig(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=8,
    )  # fmt: skip
    assert not can_reuse(MistralForCausalLM(config).eval())


@given(trees())
def test_the_tree_holds_every_sequence_and_saves_what_it_must(wanted):
    leaves = [Leaf(put, len(put) - max(map(len, ones))) for put, ones in wanted.items()]
    root = grow(leaves)
    held = []

    def walk(node, before):
        whole = before + node.shared
        held.extend(leaf.tokens for leaf in node.leaves)
        for leaf in node.leaves:
            assert leaf.tokens[: len(whole)] == whole
            assert len(whole) <= leaf.free
        for child in node.nodes:
            assert len(child.shared) >= LEAST
            walk(child, whole)

    walk(root, ())
    assert sorted(held) == sorted(wanted)
    total = sum(map(len, wanted))
    assert computed(root) <= total
    assert (computed(root) == total) == (not root.nodes)
    if root.nodes:
        assert total - computed(root) >= WORTH


def _letters(texts):
    """A tokenizer of letters, but one that has `st` as one token, as byte pairs would."""
    return [[ord(one) for one in text.replace("st", "\x01")] for text in texts]


def test_spaces_of_the_context_go_to_the_choice():
    (encoded,) = encode_pairs([("ab ", " c")], _letters, 100, 0)
    assert (encoded.tokens, encoded.count) == (tuple(map(ord, "ab  c")), 3)
    (empty,) = encode_pairs([("", "c")], _letters, 100, 7)
    assert (empty.tokens, empty.count) == ((7, ord("c")), 1)


def test_a_choice_that_melts_into_the_context_or_has_no_tokens_is_unscored():
    melted, none, whole, long = encode_pairs([("s", "t"), ("ab", ""), ("a", "st"), ("a", "b" * 9)], _letters, 8, 0)
    assert "joins the end of the prompt with the choice" in melted.why
    assert none.why == "the choice has no tokens"
    assert not whole.why
    assert long.why == "the choice has 9 tokens, and the model's window is 8"


def test_what_is_longer_than_the_window_loses_its_left_end():
    (encoded,) = encode_pairs([("abcdefgh", "xy")], _letters, 5, 0)
    assert (encoded.tokens, encoded.count, encoded.cut) == (tuple(map(ord, "efghxy")), 2, 4)


def test_a_models_identity_is_what_its_files_hold(tmp_path):
    from evolute.models.weights import find_model

    for name, weights in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(weights)
        (tmp_path / name / "README.md").write_text(name)
    one, same, other = (find_model(str(tmp_path / name)).identity() for name in "abc")
    assert one == same != other
    for wrong in (tmp_path, tmp_path / "a" / "config.json", tmp_path / "missing"):
        with pytest.raises(InputError):
            find_model(str(wrong))


def test_a_device_or_number_format_that_is_none_is_told(tmp_path):
    pytest.importorskip("torch", reason="the extra `evaluate` is not installed")
    from evolute.evaluate.choice.loading import open_model
    from evolute.models.weights import LocalModel

    model = LocalModel(tmp_path, "m")
    with pytest.raises(InputError, match="--device must be one that torch knows"):
        open_model(model, device="bogus")
    with pytest.raises(InputError, match="got 'int3'"):
        open_model(model, dtype="int3")
    with pytest.raises(InputError, match="cannot be opened with transformers"):
        open_model(model)


@pytest.fixture(scope="module")
def smollm2():
    """The embedded model's weights in transformers, opened once."""
    pytest.importorskip("torch", reason="the extra `evaluate` is not installed")
    from evolute.evaluate.choice.loading import open_model
    from evolute.evaluate.choice.scorer import Scorer
    from evolute.models.weights import find_model

    try:
        found = find_model("smollm2")
    except InputError as missing:
        pytest.skip(str(missing))
    opened = open_model(found)
    return Scorer(opened.model, opened.encode, opened.window, beginning=opened.beginning)


def differences(scorer, benchmark, fixture, name, shots, documents):
    """How far each log-likelihood is from the logged one; whether a choice is greedy must be equal."""
    task = make_task(benchmark, DATA, shots=shots, limit=documents)
    found = dict(scorer.score([pair for question in task.questions for pair in question.pairs(name)]))
    for question, row in zip(task.questions, logged(fixture), strict=False):
        for pair, (value, greedy) in zip(question.pairs(name), row["filtered_resps"], strict=True):
            assert str(found[pair].greedy) == greedy
            yield abs(found[pair].value - float(value))


CASES = [
    ("hellaswag", "hellaswag", "", 0),
    ("arc-challenge", "arc_challenge", "", 25),
    ("truthfulqa", "truthfulqa_mc1", "mc1", 0),
]


@stored
@pytest.mark.slow
@pytest.mark.embedded
def test_smollm2_scores_as_the_harness_logged(smollm2):
    """One document of each; all fifty of each are the next test's."""
    close = itertools.chain.from_iterable(differences(smollm2, *case, 1) for case in CASES)
    assert max(close) < 1e-3


@stored
@pytest.mark.marathon
@pytest.mark.embedded
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_documents_score_as_the_harness_logged(smollm2, case):
    """A part of them, and of ARC, whose prompts are long, a few: all were compared by hand (docs/choices.md)."""
    assert max(differences(smollm2, *case, 3 if case[0] == "arc-challenge" else 20)) < 1e-3


def test_no_bar_of_the_gguf_reader_is_shown(capsys):
    reading = pytest.importorskip("transformers.modeling_gguf_pytorch_utils")
    shown = reading.tqdm
    with _no_bars():
        assert list(reading.tqdm([1, 2], desc="Converting")) == [1, 2]
    assert (capsys.readouterr().err, reading.tqdm) == ("", shown)

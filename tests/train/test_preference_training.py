"""DPO: pairs are encoded as supervised tuning encodes, and a preference that is shown is learned."""

from dataclasses import dataclass

import pytest

pytest.importorskip("trl")
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback

from evolute.errors import InputError
from evolute.formats import FORMATS, find_format
from evolute.formats.encoding import encode_conversation, encode_prompt
from evolute.recipe.trainingfiles import resolve_training
from evolute.records import Message
from evolute.train.preferences import Preferred, as_preferred, encode_pairs, make_preference_trainer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # of trl's own calls of transformers
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QUESTIONS = [f"What is {n} and {n}?" for n in range(8)]
PREFERENCES = [Preferred((Message("user", asked),), "That is fine.", "No, never.", "here") for asked in QUESTIONS]


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([*QUESTIONS, "That is fine.", "No, never.", "user assistant system"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML
    )


@dataclass
class Opened:
    model: object
    tokenizer: object


class Heard(TrainerCallback):
    def __init__(self):
        self.logs = []

    def on_log(self, args, state, control, logs, **_):
        self.logs.append(logs)


def recipe(**changes):
    fields = {
        "batch": 8, "micro_batch": 8, "steps": 12, "learning_rate": 3e-3, "schedule": "constant", "warmup": 0,
        "gradient_checkpointing": False, "max_length": 64, "log_steps": 1, "precision": "float32", "save_steps": 100,
    }  # fmt: skip
    return resolve_training(None, fields | changes)


def model(tokenizer):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, **sizes))


def log_probability(model, pair, answer):
    ids = torch.tensor([[*pair.prompt, *answer]])
    with torch.no_grad():
        logits = model(ids).logits.log_softmax(-1)
    return sum(logits[0, place - 1, ids[0, place]].item() for place in range(len(pair.prompt), ids.shape[1]))


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_preference_is_learned(tokenizer, tmp_path, method) -> None:
    format, heard = find_format("chat"), Heard()
    settings = recipe(method=method, learning_rate=3e-3 if method == "full" else 3e-2)
    pairs = encode_pairs(PREFERENCES, tokenizer, format, settings).kept
    base = Opened(model(tokenizer), tokenizer)
    before = [log_probability(base.model, pair, pair.chosen) - log_probability(base.model, pair, pair.rejected)
              for pair in pairs]  # fmt: skip
    trainer = make_preference_trainer(base, settings, pairs, pairs[:2], tmp_path, [heard])
    trainer.train()
    learned = trainer.model.eval()
    after = [log_probability(learned, pair, pair.chosen) - log_probability(learned, pair, pair.rejected)
             for pair in pairs]  # fmt: skip
    assert min(new - old for new, old in zip(after, before, strict=True)) > 1
    steps = [line for line in heard.logs if "rewards/margins" in line]
    # Where training begins, model and reference are one: the loss is ln 2, the margin nothing.
    assert float(steps[0]["loss"]) == pytest.approx(0.6931, abs=1e-3)
    assert steps[0]["rewards/margins"] == pytest.approx(0, abs=1e-4)
    assert steps[-1]["rewards/margins"] > 0.1
    assert steps[-1]["rewards/accuracies"] == 1
    # The margin that is reported is beta times what the log-probabilities have moved apart.
    moved = sum(new - old for new, old in zip(after, before, strict=True)) / len(pairs)
    assert steps[-1]["rewards/margins"] == pytest.approx(settings.preference.beta * moved, rel=0.35)
    assert not (tmp_path / "checkpoints" / "README.md").exists()
    if method == "lora":
        assert set(learned.peft_config) == {"default"}  # no second adapter that would be saved with it
    torch.manual_seed(0)


@pytest.mark.parametrize("name", ["chat", *(name for name, one in FORMATS.items() if one.write)])
def test_tokens_are_those_of_supervised_tuning(tokenizer, name) -> None:
    format, asked = find_format(name), (Message("user", "What is 2 and 2? <|im_end|>"),)
    (pair,) = encode_pairs([Preferred(asked, "Four.", "Five, I say.")], tokenizer, format, recipe(max_length=400)).kept
    for answer, ids in (("Four.", pair.chosen), ("Five, I say.", pair.rejected)):
        (whole,) = encode_conversation(tokenizer, format, (*asked, Message("assistant", answer)))
        assert [*pair.prompt, *ids] == whole.ids[: len(pair.prompt) + len(ids)]
        assert [i for i, bears in enumerate(whole.learned) if bears] == [
            *range(len(pair.prompt), len(pair.prompt) + len(ids))
        ]
        assert ids[-1] == tokenizer.eos_token_id
    assert list(pair.prompt) == encode_prompt(tokenizer, format, asked)


def test_only_the_last_answer_is_compared(tokenizer) -> None:
    turns = (Message("user", "a"), Message("assistant", "That is fine."), Message("user", "b"))
    (pair,) = encode_pairs([Preferred(turns, "Four.", "Five.")], tokenizer, find_format("chat"), recipe()).kept
    assert tokenizer.decode(pair.chosen) == "Four.<|im_end|>"
    assert "That is fine." in tokenizer.decode(pair.prompt)


def test_lengths_are_told_and_kept_to(tokenizer) -> None:
    long = Preferred((Message("user", "a"),), "What is " * 40 + "x", "What is " * 40 + "y", root="s1-1")
    short = PREFERENCES[0]
    dropped = encode_pairs([long, short], tokenizer, find_format("chat"), recipe())
    assert (len(dropped.kept), dropped.dropped) == (1, 1)
    assert "dropped: 1 of 2 are longer than max_length (64)" in "\n".join(dropped.describe(64))
    # Cut where they are still alike, they prefer nothing.
    cut = encode_pairs([long, short], tokenizer, find_format("chat"), recipe(too_long="truncate"))
    assert (len(cut.kept), cut.same, cut.truncated) == (1, 1, 0)
    differs = Preferred((Message("user", "a"),), "x " + "What is " * 40, "y " + "What is " * 40)
    (kept,) = encode_pairs([differs], tokenizer, find_format("chat"), recipe(too_long="truncate")).kept
    assert len(kept.prompt) + len(kept.chosen) == 64
    with pytest.raises(InputError, match="none of the 1 preferences"):
        encode_pairs([long], tokenizer, find_format("chat"), recipe())
    with pytest.raises(InputError, match="holds no preferences"):
        encode_pairs([], tokenizer, find_format("chat"), recipe())


def test_a_longer_answer_that_is_always_preferred_is_remarked(tokenizer) -> None:
    pairs = encode_pairs(PREFERENCES, tokenizer, find_format("chat"), recipe())
    longer = sum(len(pair.chosen) > len(pair.rejected) for pair in pairs.kept)
    assert f"the longer one in {longer} of 8 pairs" in "\n".join(pairs.describe(64))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"chosen": "a", "rejected": "b"}, "f, line 3: no 'prompt'"),
        ({"prompt": "p", "chosen": "", "rejected": "b"}, "no 'chosen'"),
        ({"prompt": "p", "chosen": "a", "rejected": "a"}, "the same text, which prefers nothing"),
        ({"prompt": "p", "chosen": " ", "rejected": "b"}, "'chosen' is empty"),
        ({"prompt": 3, "chosen": "a", "rejected": "b"}, "neither a text nor a list of turns"),
        ({"prompt": [{"role": "assistant", "content": "x"}], "chosen": "a", "rejected": "b"}, "end with the user's"),
        ({"prompt": [{"role": "tool", "content": "x"}], "chosen": "a", "rejected": "b"}, "a turn without a role"),
        ({"prompt": "p", "chosen": [{"role": "user", "content": "x"}], "rejected": "b"}, "one turn of the assistant's"),
    ],
)
def test_what_is_no_preference_is_refused_with_its_place(row, said) -> None:
    with pytest.raises(InputError, match=said):
        as_preferred(row, "f, line 3")


def test_both_of_our_exports_shapes_are_read() -> None:
    def turns(role, content):
        return [{"role": role, "content": content}]

    rich = {"prompt": turns("user", "p"), "chosen": turns("assistant", "a"), "rejected": turns("assistant", "b")}
    plain = {"prompt": "p\n\n", "chosen": "a", "rejected": "b"}
    assert as_preferred(rich, "") == as_preferred(plain, "") == Preferred((Message("user", "p"),), "a", "b")
    assert as_preferred(plain | {"root": "s1-9"}, "").root == "s1-9"

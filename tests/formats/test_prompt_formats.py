"""Prompt formats, character by character."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.errors import InputError
from evolute.formats import FORMATS, find_format
from evolute.records import Message

VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions."
)
ALPACA = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
    "response that appropriately completes the request."
)


def talk(*texts, system=None):
    """Turns of user and assistant, the user's first."""
    turns = [Message("assistant" if place % 2 else "user", text) for place, text in enumerate(texts)]
    return [*([Message("system", system)] if system is not None else []), *turns]


@pytest.mark.parametrize(
    ("name", "messages", "prompt"),
    [
        ("plain", talk("Hi"), "Hi"),
        ("wizardlm-7b", talk("Hi"), "Hi\n\n### Response:"),
        ("wizardlm-7b", talk("用法文说你好。\n"), "用法文说你好。\n\n\n### Response:"),
        ("vicuna-v1.1", talk("Hi"), f"{VICUNA} USER: Hi ASSISTANT:"),
        ("vicuna-v1.1", talk(""), f"{VICUNA} USER:  ASSISTANT:"),
        ("vicuna-v1.1", talk("Hi", "Hello.", "Who are you?"),
         f"{VICUNA} USER: Hi ASSISTANT: Hello.</s>USER: Who are you? ASSISTANT:"),
        ("vicuna-v1.1", talk("Привет", "Да", "é?", "", "三"),
         f"{VICUNA} USER: Привет ASSISTANT: Да</s>USER: é? ASSISTANT: </s>USER: 三 ASSISTANT:"),
        ("vicuna-v1.1", talk("Hi", system="Be brief."), "Be brief. USER: Hi ASSISTANT:"),
        ("alpaca", talk("Hi"), f"{ALPACA}\n\n### Instruction:\nHi\n\n### Response:"),
        ("alpaca", talk("Hi", system="Be brief."), "Be brief.\n\n### Instruction:\nHi\n\n### Response:"),
        ("wizardcoder", talk("Sort."), f"{ALPACA}\n\n### Instruction:\nSort.\n\n### Response:"),
        ("wizardmath", talk("1+1?"),
         f"{ALPACA}\n\n### Instruction:\n1+1?\n\n### Response: Let's think step by step."),
    ],
)  # fmt: skip
def test_each_is_written_to_the_letter(name, messages, prompt):
    assert FORMATS[name].render(messages) == prompt
    assert FORMATS[name].shape(messages) == (Message("user", prompt),)


def test_an_input_has_its_place_or_stands_below_the_instruction():
    asked = talk("Add them.")
    shown = f"{WITH_INPUT}\n\n### Instruction:\nAdd them.\n\n### Input:\n1, 2\n\n### Response:"
    assert FORMATS["alpaca"].render(asked, "1, 2") == shown
    assert FORMATS["wizardlm-7b"].render(asked, "1, 2") == "Add them.\n\n1, 2\n\n### Response:"
    assert FORMATS["wizardcoder"].render(asked, "1, 2").count("### Input:") == 0
    (sent,) = FORMATS["chat"].shape(asked, "1, 2")
    assert sent == Message("user", "Add them.\n\n1, 2")


def test_chat_sends_the_messages_as_they_are():
    messages = talk("Hi", " Hello. ", "Bye", system="Be brief.")
    assert FORMATS["chat"].shape(messages) == messages
    with pytest.raises(InputError, match="written by the endpoint itself"):
        FORMATS["chat"].render(messages)


def test_an_earlier_answer_is_sent_without_the_space_that_the_model_put_before_it():
    (sent,) = FORMATS["vicuna-v1.1"].shape(talk("Hi", " Hello.\n", "Bye"))
    assert sent.content == f"{VICUNA} USER: Hi ASSISTANT: Hello.</s>USER: Bye ASSISTANT:"


@pytest.mark.parametrize("name", ["plain", "wizardlm-7b", "alpaca", "wizardcoder", "wizardmath"])
def test_what_has_no_room_is_refused(name):
    with pytest.raises(InputError, match=f"'{name}' is for one turn"):
        FORMATS[name].render(talk("a", "b", "c"))


@pytest.mark.parametrize("name", ["plain", "wizardlm-7b"])
def test_a_system_prompt_without_room_is_refused(name):
    with pytest.raises(InputError, match=f"'{name}' has no room for a system prompt"):
        FORMATS[name].render(talk("a", system="Be brief."))


@pytest.mark.parametrize(
    "messages",
    [[], talk("a", "b"), [Message("assistant", "a")], [Message("user", "a")] * 3, [Message("system", "a")]],
)
def test_turns_that_do_not_alternate_are_refused(messages):
    with pytest.raises(InputError, match="the user's last"):
        FORMATS["vicuna-v1.1"].render(messages)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=7).filter(lambda texts: len(texts) % 2))
def test_vicuna_holds_every_turn_in_order(texts):
    prompt = FORMATS["vicuna-v1.1"].render(talk(*texts))
    assert prompt.startswith(f"{VICUNA} USER: ")
    assert prompt.endswith(" ASSISTANT:")
    assert (
        prompt
        == f"{VICUNA} "
        + "".join(f"ASSISTANT: {text}</s>" if place % 2 else f"USER: {text} " for place, text in enumerate(texts))
        + "ASSISTANT:"
    )


def test_at_most_four_stop_words_are_sent():
    """For that is what endpoints take."""
    assert all(len(one.stops) <= 4 for one in FORMATS.values())
    assert all(one.source and one.when for one in FORMATS.values())


def template(tmp_path, text):
    path = tmp_path / "mine.jinja"
    path.write_text(text, encoding="utf-8")
    return find_format(str(path))


def test_a_template_of_ones_own_for_one_turn(tmp_path):
    found = template(tmp_path, "{{ instruction }}{% if input %} <{{ input }}>{% endif %}\n\nÀ toi :\n")
    assert (found.turns, found.system, found.input) == (False, False, True)
    assert found.render(talk("Hi"), "x") == "Hi <x>\nÀ toi :"
    with pytest.raises(InputError, match="is for one turn"):
        found.render(talk("a", "b", "c"))


def test_a_models_own_chat_template(tmp_path):
    found = template(
        tmp_path,
        "{{ bos_token }}{% for message in messages %}\n<|im_start|>{{ message['role'] }}\n{{ message.content }}"
        "<|im_end|>\n{% endfor %}\n{% if tools %}no{% endif %}{% if add_generation_prompt %}<|im_start|>assistant\n"
        "{% endif %}",
    )  # fmt: skip
    assert (found.turns, found.system, found.input) == (True, True, False)
    assert found.render(talk("Hi", "Yes.", "é", system="S"), "below") == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n"
        "<|im_start|>user\né\n\nbelow<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{% if %}", r"mine\.jinja, line 1: not a Jinja template"),
        ("Hello", "never shows what is asked: use one of messages, instruction; it uses no names"),
        ("{{ instructon }}", "it uses instructon"),
        ("{{ instruction }}{{ modle }}", "fails: 'modle' is undefined"),
        ("{{ messages[0].nothing }}", "fails: .*nothing"),
        ("{{ instruction / 2 }}", "the prompt format fails"),
        ("{{ instruction }}{{ raise_exception('no such thing') }}", "refuses this conversation: no such thing"),
        ("{{ instruction.__class__.__mro__ }}", "fails: .*unsafe"),
    ],
)
def test_a_template_that_makes_no_prompt_is_named(tmp_path, text, problem):
    with pytest.raises(InputError, match=problem):
        template(tmp_path, text).render(talk("Hi"))


def test_a_format_that_is_none_is_named(tmp_path):
    with pytest.raises(InputError, match="no prompt format 'vicuna': there are chat, plain, wizardlm-7b"):
        find_format("vicuna")
    with pytest.raises(InputError, match="the prompt format cannot be read"):
        find_format(str(tmp_path / "none.jinja"))
    (tmp_path / "bytes.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match="the prompt format cannot be read"):
        find_format(str(tmp_path / "bytes.txt"))

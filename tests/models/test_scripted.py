import pytest

from evolute.errors import Overloaded
from evolute.models.scripted import Scripted, evolve_script, given_instruction
from evolute.records import Completion, Failure, Message, Request

TEMPLATE = "Rewrite the prompt below.\nAdd 10 to 20 words.\n\n#Given Prompt#:\n{}\n\n#Rewritten Prompt#:\n"


def ask(text, *, role="evolver", draw=0, choices=()):
    return Request(role, (Message("user", text),), b"", draw, choices=choices)


@pytest.mark.parametrize(
    ("prompt", "given"),
    [
        (TEMPLATE.format("Name a river."), "Name a river."),
        (
            TEMPLATE.format("Name a river.\n\nOne in France, #1 by length."),
            "Name a river.\n\nOne in France, #1 by length.",
        ),
        ("Rewrite it.\n\n<instruction>\nName a river.\n</instruction>", "Name a river."),
        ("Rewrite it.\n\n## Prompt\nName a river.", "Name a river."),
        ("Name a river.", "Name a river."),
        ("", ""),
    ],
)
def test_finds_the_given_instruction(prompt, given):
    assert given_instruction(prompt) == given


def test_evolver_adds_ten_to_twenty_words_to_the_given_instruction():
    text = evolve_script(ask(TEMPLATE.format("Name a river.")))
    added = text.removeprefix("Name a river.").split()
    assert text.startswith("Name a river. ")
    assert 10 <= len(added) <= 22


def test_each_draw_is_another_instruction_and_the_same_draw_the_same():
    prompt = TEMPLATE.format("Name a river.")
    draws = [evolve_script(ask(prompt, draw=n)) for n in range(50)]
    assert len(set(draws)) >= 48
    assert draws == [evolve_script(ask(prompt, draw=n)) for n in range(50)]


def test_judge_says_equal_about_one_time_in_ten():
    choices = ("Equal", "Not Equal")
    verdicts = [evolve_script(ask(f"pair {n}", role="judge", choices=choices)) for n in range(1000)]
    assert set(verdicts) == set(choices)
    assert 60 <= verdicts.count("Equal") <= 140


def test_responder_repeats_no_sentence():
    for n in range(100):
        sentences = evolve_script(ask("What?", role="responder", draw=n)).split(". ")
        assert 3 <= len(sentences) == len(set(sentences))


async def test_faults_come_in_turn_and_then_the_rule_answers():
    model = Scripted(lambda request: "fine", faults=[Overloaded("down", status=503), None, Failure.NULL])
    with pytest.raises(Overloaded):
        await model.complete(ask("a"))
    assert (await model.complete(ask("a"))).text == "fine"
    failed = await model.complete(ask("a"))
    assert (failed.text, failed.failure) == (None, Failure.NULL)
    assert (await model.complete(ask("a"))).usage.completion > 0
    assert model.calls == 4


async def test_a_rule_may_give_the_whole_completion():
    completion = Completion(text="x", model="mine")
    assert await Scripted(lambda request: completion).complete(ask("a")) is completion

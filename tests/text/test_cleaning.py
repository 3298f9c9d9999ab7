import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.records import Finding, Reason
from evolute.text import clean_instruction

PARENT = "Name three trees."
CHILD = "Name three trees that keep their leaves in winter, and say why they do."


@pytest.mark.parametrize(
    "text",
    [
        CHILD,
        f"  {CHILD}\n\n",
        f"#Rewritten Prompt#:\n{CHILD}",
        f"#Rewritten Prompt#\n\n{CHILD}",
        f"# Rewritten Prompt\n{CHILD}",
        f"#Created Prompt#: {CHILD}",
        f"Rewritten Prompt: {CHILD}",
        f"**Rewritten prompt:** {CHILD}",
        f"**New Prompt:**\n\n{CHILD}",
        f"**New prompt**: {CHILD}",
        f"New question: {CHILD}",
        f"New task: {CHILD}",
        f"### Prompt:\n{CHILD}",
        f"Prompt: {CHILD}",
        f'"{CHILD}"',
        f"“{CHILD}”",
        f"«{CHILD}»",
        f"`{CHILD}`",
        f"**{CHILD}**",
        f"```\n{CHILD}\n```",
        f"```text\n{CHILD}\n```",
        f"```markdown\n{CHILD}\n```",
        f"Sure! Here is the rewritten prompt:\n\n{CHILD}",
        f"Sure, here's a more complex version of the prompt:\n\n{CHILD}",
        f"Certainly! Here's the rewritten prompt: {CHILD}",
        f"Here is the prompt:\n{CHILD}",
        f"Of course!\n\n{CHILD}",
        f"Here is a slightly harder version of the question:\n\n{CHILD}",
        f"The rewritten prompt is as follows:\n\n{CHILD}",
        f"Voici la version réécrite : {CHILD}",
        f"Hier ist der umgeschriebene Prompt:\n{CHILD}",
        f"改写后的提示：{CHILD}",
        f"{CHILD}\n\nThis rewritten prompt adds a constraint on the leaves.",
        f"{CHILD}\n\nNote: I have added a constraint to the original prompt.",
        f"{CHILD}\n\n(Note: the rewritten version adds 12 words.)",
        f"{CHILD}\n\nI hope this helps!",
        f"{CHILD}\n\nI've added a requirement to make the task more complex.",
        f"{CHILD}\n\nLet me know if you'd like any other changes.",
        f"{CHILD}\n\nThis version requires knowledge of evergreens.",
        f"{CHILD}\n\n**Explanation:** The new prompt asks for a reason.",
        f"#Given Prompt#:\n{PARENT}\n\n#Rewritten Prompt#:\n{CHILD}",
        f'Sure! Here is the rewritten prompt:\n\n"{CHILD}"\n\nI hope this helps!',
        f'**Rewritten Prompt:**\n\n```\n"{CHILD}"\n```\n\nThis prompt now asks for a reason.',
    ],
)
def test_what_is_safely_not_the_instruction_is_stripped(text):
    assert clean_instruction(text, parent=PARENT) == CHILD


@pytest.mark.parametrize(
    "text",
    [
        '"Foo" and "bar": which of these two is a word?',
        "```python\ndef f(x):\n    return x\n```",
        "Fix the following code:\n\n```\nprint(1\n```",
        "Sort these numbers.\n\nNote: the list may be empty.",
        "Write an email.\n\nNote: do not mention the price.",
        "The new version of the app crashes: why?",
        "Version 2.0: what is new?",
        "Here is a list of towns: Oslo, Lima. Which is the larger?",
        "Given the table below, answer: who won?\n\nname | points\nIda | 3",
        "Let me know if the following is correct: 2 + 2 = 5",
        "I have added salt to the soup twice. How do I save it?",
        "Explain the following quotation: “To be, or not to be”",
        "1+1=?",
        "What is a shell prompt?",
        "Create a writing prompt about the sea",
        "*Hamlet* or *Macbeth*: which is the shorter play?",
        "Question: 3, 4, 5, ?\nOptions: 6, 7",
        "# Heading\n\nTurn this Markdown into HTML.",
    ],
)
def test_a_sound_instruction_is_left_alone(text):
    assert clean_instruction(text, parent=PARENT) == text


@pytest.mark.parametrize(
    "text",
    [
        "Prompt: write one for an image of the sea.",
        '"Call me Ishmael." is how which novel starts?"',
        "Sort this.\n\nThis prompt is part of a test.",
        "This prompt is too long. Shorten it.",
    ],
)
def test_what_the_parent_has_itself_stays(text):
    assert clean_instruction(text, parent=text) == text


@pytest.mark.parametrize(
    "text",
    [
        "This prompt is asking for a list of three trees.",
        "The given prompt asks for three trees and could be more specific.",
        "Your prompt is clear, but it lacks detail.",
        "I have rewritten the prompt to be harder.",
        "To make this prompt more complex, you could ask for the reasons.",
        "You can rephrase it as a question about forests.",
        "Here are three ways to make it harder: ask for Latin names, for reasons, for places.",
        "The revised prompt now asks for reasons.",
        "A better prompt would ask for the reasons.",
        "One way to rewrite it is to ask for Latin names.",
    ],
)
def test_talk_about_the_prompt_is_found(text):
    found = clean_instruction(text, parent=PARENT)
    assert isinstance(found, Finding)
    assert found.reason is Reason.COMMENTARY
    assert found.evidence["words"][0] in text


@pytest.mark.parametrize("text", ["", "  \n\t ", "\ufeff", "\u200b\n"])
def test_nothing_is_left(text):
    assert clean_instruction(text, parent=PARENT) == Finding(Reason.EMPTY)


PIECES = st.sampled_from([
    '"', "“", "”", "**", "```", "```text\n", "\n", "\n\n", " ", "`", "#", "*", "：", "#Rewritten Prompt#:", "Prompt:",
    "#Given Prompt#:", "Sure!", "Here is the rewritten prompt:", PARENT, CHILD, "Note: I rewrote the prompt.",
    "I hope this helps", "New task:",
])  # fmt: skip


@given(
    st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=12).map("".join), st.sampled_from(["", PARENT, '"x"'])
)
def test_cleaning_never_fails_and_is_done_after_once(text, parent):
    cleaned = clean_instruction(text, parent=parent)
    if isinstance(cleaned, str):
        assert clean_instruction(cleaned, parent=parent) == cleaned
        assert cleaned in text

import re

import pytest

from evolute.recipe import Rules
from evolute.records import Reason
from evolute.text import check_instruction

RULES = Rules()
TREES = "Name three trees."
FRANCE = "What is the capital of France?"
LONG = "Explain how the town's library could lend tools as well as books, " + " ".join(
    f"what rule number {number} of its charter means for that," for number in range(40)
)
SPANISH = "Explica por qué cambian de color las hojas de los árboles en otoño y cuáles no cambian nunca."
GERMAN = "Erkläre, warum sich die Blätter der Bäume im Herbst verfärben und welche Bäume immer grün bleiben."
CHINESE = "请解释为什么树叶在秋天会改变颜色，以及哪些树四季常青。"
RUSSIAN = "Объясни, почему листья деревьев осенью меняют цвет и какие деревья остаются зелёными."

BAD = [
    # reason, child, parent
    (Reason.EMPTY, " \n", TREES),
    # Leaks of the evolving prompt (the paper's rule 4).
    (Reason.SCAFFOLD_LEAK, "Rewrite the given prompt so that it names four trees.", TREES),
    (Reason.SCAFFOLD_LEAK, "Name four trees. #Rewritten Prompt#", TREES),
    (Reason.SCAFFOLD_LEAK, "Name four trees, as the rewritten prompt says.", TREES),
    (Reason.SCAFFOLD_LEAK, "Use the created prompt to name four trees.", TREES),
    (Reason.SCAFFOLD_LEAK, "As a Prompt Rewriter, name four trees.", TREES),
    (Reason.SCAFFOLD_LEAK, "You are a prompt creator. Name four trees.", TREES),
    (Reason.SCAFFOLD_LEAK, "Name four trees.\n\n#Given Prompt#:\nName five shrubs.", TREES),
    (Reason.SCAFFOLD_LEAK, "Name four trees of #Conversation# above.", TREES),
    (Reason.SCAFFOLD_LEAK, "The input data to add: JSON data\nName four trees.", TREES),
    (
        Reason.SCAFFOLD_LEAK,
        "I went there.\n\nRewrite this task with one more requirement:\n\nI went there again.",
        TREES,
    ),
    # Refusals in the place of an instruction.
    (Reason.REFUSAL, "I'm sorry, but I can't help with that request.", TREES),
    (Reason.REFUSAL, "I am very sorry, I cannot rewrite this.", TREES),
    (Reason.REFUSAL, "Sorry, I cannot assist with that.", TREES),
    (Reason.REFUSAL, "I cannot fulfill this request.", TREES),
    (Reason.REFUSAL, "I can't provide a harder version of it.", TREES),
    (Reason.REFUSAL, "I'm unable to do so.", TREES),
    (Reason.REFUSAL, "As an AI language model, I do not have trees.", TREES),
    (Reason.REFUSAL, "Trees are nice. But as an AI, I can not see them.", TREES),
    (Reason.REFUSAL, "My apologies, this is not possible.", TREES),
    (Reason.REFUSAL, "Unfortunately, I can't help.", TREES),
    (Reason.REFUSAL, "很抱歉，我无法回答这个问题。", CHINESE),
    (Reason.REFUSAL, "Lo siento, no puedo ayudar con eso.", SPANISH),
    # Answers in the place of an instruction.
    (Reason.ANSWERED, "The capital of France is Paris.", FRANCE),
    (Reason.ANSWERED, "It is Paris, which is the largest city of the country.", FRANCE),
    (Reason.ANSWERED, "1. Oak\n2. Ash\n3. Elm", TREES),
    (Reason.ANSWERED, "- Oak\n- Ash\n- Elm", TREES),
    (Reason.ANSWERED, "Sure, three trees are the oak, the ash and the elm.", TREES),
    (Reason.ANSWERED, "Certainly! Oak, ash and elm.", TREES),
    (Reason.ANSWERED, "Name three trees and their fruits.\n\nAnswer: oak (acorn), apple, pear", TREES),
    (Reason.ANSWERED, "Name four trees.\nResponse: Oak, ash, elm, yew.", TREES),
    (Reason.ANSWERED, "What is the capital?\n\n**Answer:** Paris", FRANCE),
    (Reason.ANSWERED, "User: name trees\nAssistant: Oak and elm.", TREES),
    (Reason.ANSWERED, "Here are some tips for naming trees:\n1. Look at the leaves.", TREES),
    (Reason.ANSWERED, "Thank you! The trees are the oak and the elm.", TREES),
    (Reason.ANSWERED, "Great question! Paris has been the capital since 987.", FRANCE),
    (Reason.ANSWERED, "I'd be happy to help you with trees.", TREES),
    (
        Reason.ANSWERED,
        f"{FRANCE}\n\nThe capital of France is Paris, which lies on the Seine in the north of the country.",
        FRANCE,
    ),
    (
        Reason.ANSWERED,
        "The stereotype of a lawyer is that of a person who is clever, rich and not to be trusted.",
        "Explain the social stereotype of the following profession.\n\nlawyer",
    ),
    # Length.
    (Reason.TOO_SHORT, "Trees?", TREES),
    (Reason.TOO_SHORT, "Why", TREES),
    (Reason.TOO_LONG, "Name trees. " * 501, TREES),
    (Reason.TOO_LONG, "树" * 2100, CHINESE),
    (Reason.TOO_LONG, "Why " + "x" * 20_000 + " is it?", TREES),
    # Unchanged, or nearly so.
    (
        Reason.REFUSAL,
        "I am sorry, I am unable to assist you. You are requested to change your order.",
        "Say whether the user is satisfied.\n\n- Agent: I am sorry, we will cancel that order for you.",
    ),
    (Reason.INPUT_LOST, "Use a counterstereotype to finish the sentence.", "Complete it.\n\n..... are better at math."),
    (
        Reason.INPUT_LOST,
        "Write a subjective and polite title for the email.\n\nDear person",
        "Find a title for this.\n\nHi, I'm writing to ask whether you would be a panelist of our workshop in June.",
    ),
    (Reason.UNCHANGED, "Name three trees.", TREES),
    (Reason.UNCHANGED, "name   THREE trees!", TREES),
    (Reason.UNCHANGED, "Name three trees", TREES),
    (Reason.UNCHANGED, LONG.replace("town's", "city's"), LONG),
    (Reason.UNCHANGED, CHINESE.replace("。", ""), CHINESE),
    (Reason.UNCHANGED, "Sort these numbers.", "Sort these numbers.\n\n7, 2, 9"),
    # Another language than the seed's.
    (Reason.LANGUAGE_CHANGED, SPANISH, "Explain why the leaves of trees change colour in autumn."),
    (Reason.LANGUAGE_CHANGED, GERMAN, "Explain why the leaves of trees change colour in autumn."),
    (Reason.LANGUAGE_CHANGED, CHINESE, "Explain why the leaves of trees change colour in autumn."),
    (Reason.LANGUAGE_CHANGED, "Explain why the leaves of trees change colour in autumn, step by step.", CHINESE),
    (Reason.LANGUAGE_CHANGED, "Explain why the leaves of the trees change their colour in autumn.", RUSSIAN),
    (Reason.LANGUAGE_CHANGED, "Explain to a child why it is that the leaves of some trees never fall.", SPANISH),
    (Reason.LANGUAGE_CHANGED, GERMAN, SPANISH),
]

GOOD = [
    ("Name three trees that keep their leaves in winter.", TREES),
    ("Which three trees grow fastest in sandy soil, and why?", TREES),
    (f"{LONG} and name the two rules that contradict each other", LONG),
    ("What is the capital of France, and why did it move to Vichy in 1940?", FRANCE),
    ("Which river runs through the capital of France?", FRANCE),
    (f"{FRANCE} Answer in one word.", FRANCE),
    (f"{FRANCE}\n\nReply as a sentry of Napoleon would.", FRANCE),
    ("Fix the bug.\n\ndef f(x):\n  return x +", "Explain what a bug is."),
    ('At which hour can all meet?\n\n{"Lena": ["11:00"], "Tom": ["10:00"]}', "Plan a meeting."),
    ("Which item is cheapest?\n\n<a price='3'/><a price='2'/>", "Find the cheapest product."),
    ("Give the result in this form:\nAnswer: <number>\nWhat is 12 times 12?", "What is 3 times 4?"),
    ("Write a letter that begins with: I'm sorry for my late reply.", "Write a letter."),
    ("Write a note to Ida: I'm sorry I missed the train.", "Write a note."),
    ("How should a clerk say that he cannot assist a customer?", "How do clerks talk?"),
    ("Explain what an AI language model is to a farmer.", "Explain AI."),
    ("You are a tour guide. The group is late. Calm them down.", "Play a role."),
    ("The following sentence has a fault. Find it.\n\nHe go home.", "Correct a sentence."),
    ("I want to sell my bicycle. The brakes are old.", "Help me to sell something."),
    ("Imagine a city without cars.", "Write a story."),
    ("1. Name a tree.\n2. Name its fruit.", TREES),
    ("Write a prompt for an image model about rain.", "Write a prompt for an image model."),
    ("What does the shell prompt show?", "What does a shell show?"),
    ("¿Qué hojas no cambian de color en otoño, y qué árboles las tienen?", SPANISH),
    ("Nenne drei Bäume, die im Winter grün bleiben, und den Grund dafür.", GERMAN),
    ("Vergleiche zwei Bäume.", "Beschreibe einen Baum."),
    ("哪些树四季常青？请说明两个原因。", CHINESE),
    ("请比较松树和橡树的叶子，并用一句话总结。", CHINESE),
    ("Translate into Spanish: the leaves of the trees change colour in autumn.", "Translate a sentence."),
    (
        "Translate this sentence into English: Las hojas de los árboles cambian de color.",
        "Translate into English: Hola.",
    ),
    ("Write a function that parses `x = 1` and prints a tree.", "Write a parser."),
    ("Solve 3x + 4 = 10, then check.", "Solve x + 1 = 2."),
    ("1+2=?", "1+1=?"),
]


@pytest.mark.parametrize(("reason", "child", "parent"), BAD)
def test_a_bad_instruction_is_found(reason, child, parent):
    found = check_instruction(child, parent=parent, rules=RULES)
    assert found is not None
    assert found.reason is reason, dict(found.evidence)
    assert found.evidence or reason is Reason.EMPTY


@pytest.mark.parametrize(("child", "parent"), GOOD)
def test_a_sound_instruction_passes(child, parent):
    assert check_instruction(child, parent=parent, rules=Rules(min_words=1)) is None


def test_words_that_the_parent_has_are_no_leak():
    parent = "Identify the bias in the given prompt.\n\nCats are sly."
    child = "Identify the bias in the given prompt and its likely origin.\n\nCats are sly."
    assert check_instruction(child, parent=parent, rules=RULES) is None
    found = check_instruction(f"{child} #Created Prompt#", parent=parent, rules=RULES)
    assert found.evidence["words"] == ["#created prompt#"]


def test_a_child_like_an_ancestor_is_found_but_not_one_that_grew_from_it():
    parent = "Name three trees that keep their leaves in winter, and a bird that nests in each."
    found = check_instruction(
        "Name just three trees.", parent=parent, ancestors=("Name just three trees",), rules=RULES
    )
    assert found.reason is Reason.LIKE_ANCESTOR
    assert found.evidence["score"] == 1
    assert found.evidence["ancestor"] == "Name just three trees"
    grown = f"{LONG} and name the two rules that contradict each other the most"
    assert check_instruction(grown, parent=f"{LONG} and sum up.", ancestors=(LONG,), rules=RULES) is None


def test_new_words_in_a_long_text_are_a_change_and_fewer_are_not():
    assert check_instruction(f"{LONG} in two short sentences", parent=LONG, rules=RULES) is None
    assert check_instruction(f"{LONG} please", parent=LONG, rules=RULES).reason is Reason.UNCHANGED


def test_the_language_is_the_seeds_and_can_be_left_open():
    child, parent = "Explain to a child why it is that the leaves of some trees never fall.", SPANISH
    found = check_instruction(child, parent=parent, ancestors=(SPANISH,), rules=RULES)
    assert (found.evidence["from"], found.evidence["to"]) == ("es", "en")
    assert check_instruction(child, parent=parent, rules=Rules(language=False)) is None


def test_thresholds_are_the_recipes():
    assert check_instruction("Shrubs?", parent=TREES, rules=Rules(min_words=1)) is None
    assert check_instruction("Name four trees of it.", parent=TREES, rules=Rules(max_words=4)).reason is Reason.TOO_LONG
    strict = Rules(unchanged=0.8)
    assert check_instruction("Name three big trees.", parent=TREES, rules=strict).reason is Reason.UNCHANGED
    assert check_instruction("Name three big trees.", parent=TREES, rules=RULES) is None


def test_every_operations_scaffold_is_known():
    """A model that echoes the prompt it was given is caught whatever the operation."""
    from evolute.operations import load_operations

    for operation in load_operations().values():
        echoed = operation.messages("Name three trees.")[0].content
        assert check_instruction(echoed, parent=TREES, rules=RULES).reason is Reason.SCAFFOLD_LEAK
        short = operation.messages("Name three trees.", demonstrations=True)[-1].content
        found = check_instruction(short, parent=TREES, rules=RULES)
        assert found is not None, short
        assert re.search("task", str(found.evidence["words"]))

"""The five heuristics of Code Evol-Instruct (WizardCoder, arXiv:2306.08568, section 3.1)."""

import pytest

from evolute.operations import choose, load_judge, load_operations, weigh
from evolute.recipe import Rules
from evolute.text import check_instruction, clean_instruction

CODE = ["code-complexity", "code-constraints", "code-rare-requirement", "code-reasoning", "code-wrong-reference"]
OPERATIONS = load_operations()


def test_the_five_are_a_family_of_their_own():
    assert [name for name, operation in OPERATIONS.items() if operation.family == "code"] == CODE
    assert all("WizardCoder" in OPERATIONS[name].source for name in CODE)
    assert not set(weigh(OPERATIONS, {}, ("in-depth", "in-breadth"))) & set(CODE)


def test_complexity_is_asked_for_seldom():
    weights = weigh(OPERATIONS, {}, ("code",))
    drawn = [choose(OPERATIONS, weights, b"%d" % number).name for number in range(2000)]
    assert {drawn.count(name) > 350 for name in CODE if name != "code-complexity"} == {True}
    assert 60 < drawn.count("code-complexity") < 180


@pytest.mark.parametrize("name", CODE)
def test_the_prompt_says_what_the_heuristics_share(name):
    said = OPERATIONS[name].messages("Sort a list.")[0].content
    for words in ("difficulty", "a bit", "any means", "programming language", "fences", "Don't solve", "given prompt"):
        assert words in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("code-constraints", "about 10 additional words"),
        ("code-rare-requirement", "less common and more specific"),
        ("code-reasoning", "more steps of reasoning"),
        ("code-wrong-reference", "erroneous code as a reference"),
        ("code-complexity", "time or the memory"),
    ],
)
def test_each_asks_for_its_own_heuristic(name, words):
    assert words in OPERATIONS[name].messages("Sort a list.")[0].content


@pytest.mark.parametrize("name", CODE)
def test_no_code_operation_speaks_like_the_judge(name):
    for shown in (False, True):
        said = " ".join(m.content for m in OPERATIONS[name].messages("Sort a list.", demonstrations=shown))
        assert "not equal" not in said.lower()
    assert "Not Equal" in load_judge().messages("a", "b")[0].content


@pytest.mark.parametrize("name", CODE)
def test_the_demonstrations_pass_the_rules_that_their_likes_must_pass(name):
    shown = OPERATIONS[name].demonstrations
    assert len(shown) >= 3
    for pair in shown:
        cleaned = clean_instruction(f"New task: {pair.rewrite}", parent=pair.prompt)
        assert cleaned == pair.rewrite
        assert check_instruction(cleaned, parent=pair.prompt, family="code", rules=Rules()) is None


def test_erroneous_code_is_shown_in_a_fence():
    assert all("```" in pair.rewrite for pair in OPERATIONS["code-wrong-reference"].demonstrations)

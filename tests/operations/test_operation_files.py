import re
from pathlib import Path

import pytest

from evolute.errors import InputError, OperationError, RecipeError
from evolute.operations import (
    EQUALITY_PAIRS,
    load_judge,
    load_operations,
    restore,
    restore_judge,
    weigh,
)
from evolute.operations.files import SECTIONS, parse_sections, write_sections
from evolute.records import Message

PAPER = ["add-constraints", "complicate-input", "concretize", "deepen", "in-breadth", "increase-reasoning"]
MINE = """---
name: swap
family: in-depth
weight: 2.5
source: mine
extends: _in-depth.md
---
A note that is never sent.

## Method

swap the roles.

## Short template

{conversation}

Swap: {instruction}

## Demonstrations

### Prompt

A hires B.

### Rewrite

B hires A.
"""


def write(folder, text=MINE, name="swap.md"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_papers_six_are_shipped_with_equal_weights():
    operations = {name: operation for name, operation in load_operations().items() if operation.family != "code"}
    assert list(operations) == PAPER
    assert {operation.weight for operation in operations.values()} == {1.0}
    assert [operation.family for operation in operations.values()].count("in-breadth") == 1
    assert all("WizardLM" in operation.source for operation in operations.values())


@pytest.mark.parametrize("name", PAPER)
def test_each_shows_at_least_three_demonstrations_and_one_is_not_english(name):
    shown = load_operations()[name].demonstrations
    assert len(shown) >= 3
    assert any(
        not f"{pair.prompt}{pair.rewrite}".isascii() or pair.prompt.startswith(("Escribe", "Quali")) for pair in shown
    )


@pytest.mark.parametrize("name", PAPER)
def test_no_operation_speaks_like_the_judge(name):
    operation = load_operations()[name]
    for shown in (False, True):
        said = " ".join(message.content for message in operation.messages("Name a tree.", demonstrations=shown))
        assert "not equal" not in said.lower()
    judge = load_judge().messages("a", "b")[0].content
    assert "Equal" in judge
    assert "Not Equal" in judge


@pytest.mark.parametrize("name", [name for name in PAPER if name != "in-breadth"])
def test_the_in_depth_prompt_keeps_the_papers_constraints(name):
    said = load_operations()[name].messages("Name a tree.")[0].content
    for words in (
        "Prompt Rewriter",
        "a bit harder",
        "reasonable",
        "10 to 20 words",
        "tables, code",
        "language",
        "given prompt",
    ):
        assert words in said


def test_the_fixed_text_is_first_and_the_instruction_last():
    for operation in load_operations().values():
        (one,), (two,) = operation.messages("Name a tree."), operation.messages("Sing.")
        start = one.content.index("Name a tree.")
        assert one.content[:start] == two.content[:start]
        assert len(one.content) - start < 60


@pytest.mark.parametrize(
    "hostile",
    [
        "{method}",
        "{instruction}",
        "{}",
        "%s {0} {conversation}",
        "#Given Prompt#:\nx\n\n#Rewritten Prompt#:",
        "{turns}{first}",
        "\\1",
    ],
)
def test_placeholders_in_user_text_are_inert(hostile):
    history = (Message("user", hostile), Message("assistant", hostile))
    for operation in load_operations().values():
        for shown in (False, True):
            last = operation.messages(hostile, system=hostile, history=history, demonstrations=shown)[-1].content
            assert last.count(hostile) >= 4
    judge = load_judge().messages(hostile, "second", system=hostile)[0].content
    assert judge.count(hostile) == 2


def test_a_conversation_is_shown_before_the_instruction_and_only_its_last_turn_is_to_be_rewritten():
    history = (Message("user", "Hi, I grow tomatoes."), Message("assistant", "Lovely."))
    for operation in load_operations().values():
        said = operation.messages("When do I water?", system="You are a gardener.", history=history)[0].content
        assert "last user turn" in said
        order = [
            said.index(part) for part in ("System: You are a gardener.", "User: Hi,", "Assistant: Lovely.", "When do I")
        ]
        assert order == sorted(order)
        assert "#Conversation#" not in operation.messages("When do I water?")[0].content
        assert "{" not in operation.messages("When do I water?")[0].content.replace('{"', "").replace("{\n", "")


def test_the_draw_chooses_the_format_of_complicate_input():
    operation = load_operations()["complicate-input"]
    assert len(operation.variants) == 6
    wanted = {re.findall(r"to add: (.*)", operation.messages("x", draw=draw)[0].content)[-1] for draw in range(-6, 60)}
    assert wanted == set(operation.variants)
    # The demonstrations are part of the prompt for every model, one for each format.
    assert all(f"to add: {variant}\n" in operation.messages("x")[0].content for variant in operation.variants)


def test_demonstrations_are_sent_as_earlier_turns():
    messages = load_operations()["deepen"].messages("Name a tree.", demonstrations=True)
    assert [message.role for message in messages] == ["user", "assistant"] * 4 + ["user"]
    assert "Name a tree." in messages[-1].content


@pytest.mark.parametrize("name", PAPER)
def test_an_operation_comes_back_from_its_text(name):
    operation = load_operations()[name]
    again = restore(operation.name, operation.family, operation.text)
    assert again.hash == operation.hash
    assert again.messages("x", draw=3, system="s") == operation.messages("x", draw=3, system="s")
    assert write_sections(parse_sections(operation.text, name)) == operation.text
    judge = load_judge()
    assert restore_judge(judge.name, judge.text).messages("a", "b") == judge.messages("a", "b")


def test_the_hash_changes_with_the_prompt_and_with_nothing_else(tmp_path):
    first = load_operations([write(tmp_path / "a")])["swap"]
    same = (
        MINE.replace("weight: 2.5", "weight: 9").replace("A note", "Another note").replace("source: mine", "source: x")
    )
    assert load_operations([write(tmp_path / "b", same)])["swap"].hash == first.hash
    for old, new in (("swap the roles", "swap the people"), ("B hires A.", "B fires A."), ("Swap: ", "Turn: ")):
        assert load_operations([write(tmp_path / "c", MINE.replace(old, new))])["swap"].hash != first.hash


def test_a_users_file_takes_the_rest_from_the_shipped_one_and_wins_by_name(tmp_path):
    operations = load_operations([write(tmp_path)])
    assert set(operations) - set(load_operations()) == {"swap"}
    assert operations["swap"].weight == 2.5
    assert "Prompt Rewriter" in operations["swap"].messages("x")[0].content
    assert "A note" not in operations["swap"].text
    mine = load_operations([write(tmp_path / "again", MINE.replace("name: swap", "name: deepen"))])["deepen"]
    assert mine.path.startswith(str(tmp_path))
    assert "swap the roles" in mine.messages("x")[0].content


def test_a_readme_and_files_with_an_underscore_are_not_operations(tmp_path):
    write(tmp_path)
    write(tmp_path, "# About my operations", "README.md")
    write(tmp_path, "a draft", "_draft.md")
    assert "swap" in load_operations([tmp_path])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("---\nname", "name", "line 1"),
        ("extends: _in-depth.md\n---\n", "extends: _in-depth.md\n", "never closed"),
        ("weight: 2.5", "weight: heavy", "weight must be a number"),
        ("weight: 2.5", "weight: -1", "at least 0, got -1"),
        ("weight: 2.5", "weight: .nan", "weight must be a number"),
        ("weight: 2.5", "wieght: 2.5", "did you mean 'weight'"),
        ("family: in-depth", "family: depth", "family must be one of"),
        ("family: in-depth", "family: [", "not valid YAML"),
        ("name: swap", "name: Swap It", "small letters"),
        ("extends: _in-depth.md", "extends: _other.md", "no file '_other.md'"),
        ("extends: _in-depth.md", "source: none", "'Template' is missing"),
        ("## Method", "## Metod", "did you mean 'Method'"),
        ("## Short template", "## Method", "two sections 'Method'"),
        ("Swap: {instruction}", "Swap: {instuction}", "{instruction} once, it has it 0 times"),
        ("### Rewrite\n\nB hires A.", "", "after 0 pairs"),
        ("swap the roles.", "```\nswap", "never closed"),
        ("## Method", "## Variants\n\n- a\n\n## Method", "Variants"),
    ],
)
def test_a_wrong_file_is_named_with_its_remedy(tmp_path, old, new, said):
    text = MINE.replace("name: swap\n", "name: swap\n").replace(old, new, 1)
    if old.startswith("extends") and "source: none" in new:
        text = text.replace("source: mine\n", "")
    folder = write(tmp_path / "mine", text)
    with pytest.raises(OperationError, match=re.escape(said)) as caught:
        load_operations([folder])
    assert str(folder / "swap.md") in str(caught.value)


def test_a_file_that_says_nothing_of_conversations_shows_them_before_its_template(tmp_path):
    text = "---\nname: plain\nfamily: in-depth\n---\n## Template\n\nMake it harder: {instruction}\n"
    operation = load_operations([write(tmp_path / "mine", text)])["plain"]
    (alone,) = operation.messages("Where is it?")
    assert alone.content == "Make it harder: Where is it?"
    (shown,) = operation.messages("Where is it?", system="You are a pirate.")
    assert shown.content.endswith("\n\nMake it harder: Where is it?")
    assert "pirate" in shown.content


def test_a_folder_without_operations_and_two_files_with_one_name(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load_operations([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no operation"):
        load_operations([tmp_path / "empty"])
    write(tmp_path / "two")
    write(tmp_path / "two", MINE, "swap2.md")
    with pytest.raises(OperationError, match="is taken by"):
        load_operations([tmp_path / "two"])
    (tmp_path / "latin").mkdir()
    (tmp_path / "latin" / "a.md").write_bytes(b"---\nname: \xff\n---\n")
    with pytest.raises(OperationError, match="UTF-8"):
        load_operations([tmp_path / "latin"])


def test_headings_inside_a_code_block_are_text(tmp_path):
    text = MINE.replace("B hires A.", "Fix this:\n\n```md\n## Method\n### Prompt\n```")
    assert "## Method\n### Prompt" in load_operations([write(tmp_path, text)])["swap"].demonstrations[0].rewrite


def test_the_judge_wants_both_verdicts_and_comes_from_a_folder_too(tmp_path):
    judge = load_judge()
    text = f"---\nname: equality\nfamily: judge\n---\n{judge.text}"
    mine = load_judge(folders=[write(tmp_path / "ok", text.replace("Compare the two", "Weigh the two"), "j.md")])
    assert "Weigh the two" in mine.messages("a", "b")[0].content
    with pytest.raises(OperationError, match="'Not Equal' is missing"):
        load_judge(folders=[write(tmp_path / "bad", text.replace("Not Equal", "Different"), "j.md")])
    with pytest.raises(InputError, match="no judge 'other'; there are: equality"):
        load_judge("other")


def test_weights_come_from_the_recipe_or_the_files(tmp_path):
    operations = load_operations([write(tmp_path)])
    assert weigh(operations, {}, ("in-breadth",)) == {"in-breadth": 1.0}
    assert weigh(operations, {"swap": None, "deepen": 3.0}, ("in-depth",)) == {"swap": 2.5, "deepen": 3.0}
    for chosen, families, said in (
        ({"depen": 1.0}, ("in-depth",), "did you mean 'deepen'"),
        ({}, ("indepth",), "family 'indepth'"),
        ({"deepen": 0.0}, ("in-depth",), "every weight is 0"),
    ):
        with pytest.raises(RecipeError, match=said):
            weigh(operations, chosen, families)


def test_the_equality_pairs_are_thirty_and_balanced():
    import orjson

    pairs = [orjson.loads(line) for line in EQUALITY_PAIRS.read_bytes().splitlines()]
    assert len(pairs) == 30
    assert {tuple(pair) for pair in pairs} == {("first", "second", "verdict")}
    assert sum(pair["verdict"] == "Equal" for pair in pairs) == 15
    assert all(pair["verdict"] in load_judge().choices for pair in pairs)


def test_the_example_in_the_documentation_is_an_operation(tmp_path):
    page = (Path(__file__).resolve().parents[2] / "docs/operations.md").read_text(encoding="utf-8")
    example = re.search(r"```markdown\n(.*?)```", page, re.DOTALL)[1]
    operation = load_operations([write(tmp_path, example, "persona.md")])["persona"]
    assert operation.weight == 0.5
    assert "10 to 20 words" in operation.messages("x")[0].content
    assert operation.messages("x", demonstrations=True)[1].content.startswith("New task: I wait tables")
    for section in SECTIONS:
        assert f"| `{section}` |" in page

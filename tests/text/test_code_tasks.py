"""The rules for programming tasks: what they find, and that they let real tasks pass."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.recipe import Rules
from evolute.records import Reason
from evolute.seeds import SeedReader
from evolute.text import check_instruction, clean_instruction
from evolute.text.codetasks import check_code_task, code_spans, outside_code
from evolute.text.proglang import languages

SEEDS = Path(__file__).resolve().parents[3] / "shared" / "data" / "seeds"
TASK = "Write a Python function that adds two numbers."
BLOCK = "```python\ndef mean(values):\n    total = sum(values)\n    count = len(values)\n    return total / count\n```"
FIX = f"Fix the bug in this function.\n\n{BLOCK}"


def found(text, parent=TASK, ancestors=()):
    finding = check_instruction(text, parent=parent, ancestors=ancestors, family="code", rules=Rules())
    return finding and finding.reason


@pytest.mark.parametrize(
    "text",
    [
        "Write a Python function that adds two numbers given as Roman numerals.",
        f"Write a Python function that adds two numbers exactly. This attempt is wrong:\n\n{BLOCK}",
        "def add(a: str, b: str) -> str:\n    '''Add two Roman numerals and return the sum as one.'''",
        "Complete this code:\n\n```python\ndef add(a, b, c):\n    # TODO: add with overflow checks\n```",
        "What does the equivalent of `sum([a, b])` look like with recursion and without any loop in Python?",
        "Write a function that adds two numbers read from a CSV file at https://example.org/numbers.csv in Python.",
    ],
)
def test_sound_tasks_pass(text):
    assert found(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "def add(a, b):\n    return int(a) + int(b)",
        "```python\ndef add(first, second):\n    # adds them\n    return first + second\n```",
        "public class Adder {\n  static int add(int a, int b) { return a + b; }\n}",
        "const add = (a, b) => a + b;\nconsole.log(add(1, 2));",
    ],
)
def test_code_without_a_request(text):
    assert found(text) is Reason.CODE_ONLY


def test_code_without_a_request_may_have_a_parent_of_its_kind():
    assert found("def g(n):\n    x = n * 2\n    return x", parent="def f(n):\n    return n") is None


@pytest.mark.parametrize(
    "text",
    [
        "Debug the attached Python file and explain its three worst faults.",
        "Write a Python function that draws the chart shown in the screenshot below.",
        "Refactor the Python code from the following repository so that it adds two numbers.",
        "Fix the following Python function so that it adds numbers of any base.",
    ],
)
def test_material_that_is_not_there(text):
    assert found(text) is Reason.MATERIAL_MISSING


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        (TASK, "Write a Java method that adds two numbers of any length."),
        (TASK, "Add two numbers of any length:\n\n```java\nint add(int a, int b) {\n```".replace("{\n", "{}\n")),
        ("Write a Go function that sorts numbers.", "Write a Rust function that sorts numbers by their last digit."),
        ("Explain this query: SELECT a FROM b WHERE c", "Explain how R code selects the rows of b in three steps."),
    ],
)
def test_another_programming_language(parent, child):
    assert found(child, parent) is Reason.PROGRAMMING_LANGUAGE


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        ("Convert this Java class to Python.", "Convert this Python module and its tests to idiomatic Java 21."),
        ("Write a function that sorts numbers.", "Write a Rust function that sorts numbers by their last digit."),
        (TASK, "Write a function that adds two numbers of any length without converting them."),
        ("Write a C program for a queue.", "Write a C++ and a C program for a queue of a fixed size."),
        ("Write a Python script about a snake.", "Write a Python script that makes a snake go to the edge and rest."),
    ],
)
def test_the_same_programming_language(parent, child):
    assert found(child, parent) is None


def test_a_language_is_kept_over_a_task_that_names_none():
    between = "Write a function that adds two numbers of any length."
    assert found("Write a Ruby method that adds numbers of any base.", between, (TASK,)) is Reason.PROGRAMMING_LANGUAGE
    assert found("Write a Python function that adds numbers of any base.", between, (TASK,)) is None


@pytest.mark.parametrize(
    ("child", "sign"),
    [
        ("Fix both bugs in this function and add types.\n\n" + BLOCK[:-4], "unclosed fence"),
        ("Fix both bugs in this function, add types.\n\n" + BLOCK.replace("    return total / count\n", ""), "cut off"),
        ("Fix both bugs.\n\n```python\ndef mean(values):\n    # ... rest of the code\n    return 1\n```", "elided"),
        ("Fix both bugs in the code below, and add types to its two arguments.", "left out"),
    ],
)
def test_code_blocks_are_kept_whole(child, sign):
    finding = check_code_task(child, parent=FIX)
    assert finding is not None
    assert (finding.reason, finding.evidence["sign"]) == (Reason.CODE_CUT, sign)


def test_code_may_be_changed_or_left_behind():
    assert (
        found(
            "Fix two bugs in this function so that an empty list gives zero.\n\n"
            + BLOCK.replace("count\n", "count - 1\n"),
            FIX,
        )
        is None
    )
    assert found("Write a Python function for the harmonic mean of positive numbers.", FIX) is None


def test_the_parent_with_code_below_it_is_an_answer():
    assert found(f"{TASK}\n\n```python\ndef add(a, b):\n    return a + b\n```") is Reason.ANSWERED


def test_what_stands_around_the_same_code_is_compared():
    assert found(FIX.replace("this function.", "this function!"), FIX) is Reason.UNCHANGED
    assert found(FIX.replace("Fix the bug in", "Explain the two bugs in"), FIX) is None


def test_long_code_is_not_wordiness():
    long = "\n".join(f"x{number} = value({number})" for number in range(900))
    text = f"{TASK} Use each of these constants:\n\n```python\n{long}\n```"
    assert found(text) is None
    assert found(TASK + " word" * 1000) is Reason.TOO_LONG


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_cleaning_keeps_code_to_the_letter(end):
    code = ["```python", "def f(x):", '    """Halve it.', "", "    Note: the original list is not changed.", '    """']
    text = end.join(["Speed up this function.", "", *code, "\treturn x / 2  # as it was", "```"])
    assert clean_instruction(f"New task: {text}", parent=TASK) == text
    assert clean_instruction(f"{text}\n\nNote: I have added code to the original prompt.", parent=TASK) == text


@given(st.text(alphabet="`~ \n\tabpy#:{}()=.…TODO'\"", max_size=300), st.text(max_size=80))
def test_nothing_that_a_model_writes_makes_the_rules_fail(text, parent):
    check_code_task(text, parent=parent)
    check_code_task(parent, parent=text, ancestors=(text, parent))
    assert len(outside_code(text)) == len(text) - sum(end - start for start, end in code_spans(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Use C to go on", {"c"}),
        ("In C, write a queue.", {"c"}),
        ("Write it in C++ or C#", {"c++", "c#"}),
        ("JavaScript, not Java", {"javascript", "java"}),
        ("Let the snake go home, rest, and be swift", set()),
        ("```js\nx\n```", {"javascript"}),
        ("class A {\n  public static void main(String[] a) {}\n}", {"java", "c#"}),
        ("for x in range(3):\n    print(x)", {"python"}),
        ("An essay on Java's history is due", {"java"}),
        ("Count the files of a folder.", set()),
    ],
)
def test_programming_languages(text, expected):
    assert languages(text) == expected


def real(name):
    path = SEEDS / name
    if not path.is_file():
        pytest.skip(f"{path.name} is not in the shared data")
    return list(SeedReader([str(path)]))


@pytest.mark.parametrize("name", ["codealpaca_seed_tasks.jsonl", "gpteacher_codegen-instruct.json"])
def test_real_tasks_pass_with_one_more_requirement(name):
    seeds = real(name)[:600]
    more = "\n\nIt must also handle empty values and raise a clear error."
    assert [seed.text for seed in seeds if found(seed.text + more, seed.text)] == []
    assert [seed.text for seed in seeds if clean_instruction(seed.text, parent=TASK) != seed.text.strip()] == []


def test_most_answers_in_the_place_of_a_task_are_found():
    seeds = real("gpteacher_codegen-instruct.json")[:600]
    dropped = [found(seed.response, seed.text) is not None for seed in seeds if seed.response]
    assert sum(dropped) > 0.6 * len(dropped)


def test_the_shape_of_code_agrees_with_the_language_that_its_task_names():
    pairs = [(languages(s.text), languages(s.response or "")) for s in real("gpteacher_codegen-instruct.json")[:600]]
    told = [bool(named & shaped) for named, shaped in pairs if named and shaped]
    assert len(told) > 300
    assert sum(told) >= 0.98 * len(told)

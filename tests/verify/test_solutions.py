"""What an answer holds: solution, tests, signatures."""

import pytest

from evolute.records import Finding, Reason
from evolute.verify import Solution, find_solution, find_tests, signatures

ADD = "def add(a, b):\n    return a + b"


def fenced(*codes, language="python"):
    return "Here you are.\n" + "\n".join(f"```{language}\n{code}\n```\nand" for code in codes)


@pytest.mark.parametrize("answer", [fenced(ADD), fenced(ADD, language=""), ADD, fenced(ADD, "print(add(1, 2))")])
def test_the_solution_is_what_defines_something(answer):
    assert find_solution(answer) == Solution(ADD, ("add",), ())


def test_blocks_that_define_or_import_are_joined():
    solution = find_solution(fenced("import math", "class A:\n    pass", ADD))
    assert solution.names == ("add", "A")
    assert solution.code.startswith("import math\n\n\nclass A")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("A list is sorted by comparing its items.", Reason.CODE_MISSING),
        (fenced("print('hello')"), Reason.CODE_MISSING),
        (fenced("int add(int a, int b) { return a + b; }", language="c"), Reason.NOT_PYTHON),
        (fenced("SELECT 1;", language="sql"), Reason.NOT_PYTHON),
        ("", Reason.CODE_MISSING),
    ],
)
def test_an_answer_without_a_solution_says_why(answer, reason):
    found = find_solution(answer)
    assert isinstance(found, Finding)
    assert found.reason is reason


def test_broken_code_is_a_solution_whose_error_can_be_shown():
    assert find_solution(fenced("def add(a, b)\n    return a + b")) == Solution(
        "def add(a, b)\n    return a + b", (), ()
    )


TESTS = "from solution import add\n\ndef test_add():\n    assert add(1, 2) == 3"


@pytest.mark.parametrize("answer", [TESTS, fenced(TESTS)])
def test_tests_are_found(answer):
    assert find_tests(answer, find_solution(ADD)) == TESTS


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ("I would test it with numbers.", "no Python code"),
        (fenced("def test_add(:\n    assert add(1, 2)"), "line 1"),
        (fenced("def test_add():\n    add(1, 2)"), "assert nothing"),
        (fenced("def test_it():\n    assert 1 + 1 == 2"), "use none of add"),
        ("", "no Python code"),
    ],
)
def test_tests_that_test_nothing_say_why(answer, detail):
    found = find_tests(answer, find_solution(ADD))
    assert found.reason is Reason.TESTS_MISSING
    assert detail in found.evidence["detail"]


def test_signatures_show_no_body():
    code = """import os
def area(width: float, /, height=2, *rest, unit: str = 'm') -> float:
    '''The area.'''
    return width * height
class Box(dict):
    size = 3
    def grow(self, by): return SECRET
async def wait(): return SECRET
"""
    solution = find_solution(fenced(code))
    assert signatures(solution) == (
        "def area(width: float, /, height=2, *rest, unit: str='m') -> float: ...\n"
        "class Box(dict):\n    def grow(self, by): ...\nasync def wait(): ..."
    )


GOOD = "from solution import add\ndef test_a():\n    assert add(1, 2) == 3\n"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (
            "import unittest as u\nclass T(u.TestCase):\n    def test_b(self):\n        self.fail()",
            "class T",
        ),
        ("class TestAdd:\n    def test_b(self):\n        assert add(1, 1) == 9", "class TestAdd"),
        ("async def test_b():\n    assert add(1, 1) == 9", "test_b would not run"),
        ("def test_b():\n    assert add(1, 1) == 9\n    yield", "test_b would not run"),
        ("def test_b(tmp_path):\n    assert add(1, 1) == 9", "test_b would not run"),
        ("def test_b(*, case):\n    assert add(1, 1) == 9", "test_b would not run"),
        ("@skip\ndef test_b():\n    assert add(1, 1) == 9", "test_b would not run"),
        ("import pytest", "they import 'pytest'"),
        ("def test_b():\n    import numpy as np\n    assert np", "they import 'numpy'"),
    ],
)
def test_tests_that_would_not_run_are_none(more, why):
    solution = find_solution(fenced(ADD))
    assert find_tests(fenced(GOOD), solution) == GOOD
    found = find_tests(fenced(GOOD + more), solution)
    assert isinstance(found, Finding)
    assert found.reason is Reason.TESTS_MISSING
    assert why in found.evidence["detail"]


def test_a_helper_with_parameters_and_a_default_are_plain():
    tests = GOOD + "def check(x):\n    assert add(x, 0) == x\ndef test_b(x=1):\n    check(x)"
    assert find_tests(fenced(tests), find_solution(fenced(ADD))) == tests


def test_imports_from_the_future_come_first():
    solution = find_solution(fenced("import math", "from __future__ import annotations\n" + ADD))
    assert solution.code.startswith("from __future__ import annotations\nimport math")
    compile(solution.code, "solution", "exec")

"""Mutants and trivial programs: wrong programs that differ from the solution, the same ones each time."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.verify.coverage import HITS, instrumented, taken
from evolute.verify.mutants import mutants
from evolute.verify.trivial import trivial_programs

SOLUTION = '''"""Doc."""
import math

def clamp(x: int, low: int = 0, high: int = 9) -> int:
    """Keep x between two bounds."""
    if x < low and low <= high:
        return low
    while x > high:
        x -= 1
    return x if x else math.floor(x * 2)

if __name__ == "__main__":
    print(clamp(3))
'''


def ids(code, most=1000):
    return [mutant.id for mutant in mutants(ast.parse(code), most)]


def test_mutants_are_the_same_each_time_and_differ_from_the_solution_and_each_other():
    first, again = (mutants(ast.parse(SOLUTION), 1000) for _ in range(2))
    assert first == again
    codes = [mutant.code for mutant in first]
    assert len(set(codes)) == len(codes) > 10
    assert ast.unparse(ast.parse(SOLUTION)) not in codes
    for code in codes:
        compile(code, "mutant", "exec")


def test_the_solution_is_left_as_it_was():
    tree = ast.parse(SOLUTION + "class A:\n    def f(self, x):\n        return not x and 3 - x\n")
    before = ast.dump(tree, include_attributes=True)
    assert len(mutants(tree, 1000)) > len(mutants(ast.parse(SOLUTION), 1000))
    trivial_programs(tree, ast.parse("assert f(1) == 'x'"))
    instrumented(tree)
    assert ast.dump(tree, include_attributes=True) == before


def test_a_sample_is_bounded_and_part_of_the_whole():
    tree = ast.parse(SOLUTION)
    some, all_ = mutants(tree, 5), mutants(tree, 1000)
    assert len(some) == 5
    assert {mutant.code for mutant in some} < {mutant.code for mutant in all_}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def f(a, b):\n    return a < b", {"Lt to LtE", "Lt to GtE", "return None"}),
        ("def f(a, b):\n    return a and b", {"And to Or", "return None"}),
        ("def f(a):\n    return a + 1", {"Add to Sub", "1 to 2", "1 to 0", "return None"}),
        ("def f(a):\n    a *= 2", {"Mult to Add", "2 to 3", "2 to 1", "dropped"}),
        ("def f(a):\n    return 'x' if a else ''", {"condition negated", "'x' to ''", "'' to 'mutant'", "return None"}),
        ("def f(a):\n    return a is None", {"Is to IsNot", "return None"}),
        ("def f():\n    return True", {"True to False", "return None"}),
        ("def f(a):\n    for x in a:\n        break", {"dropped"}),
        ("def f():\n    raise ValueError('not ' + 'this')", {"dropped"}),
        ("def f(a: int = 3) -> 'text':\n    'doc'", {"3 to 4", "3 to 2"}),
        ("def f(a):\n    pass", set()),
    ],
)
def test_what_is_changed(code, expected):
    assert {said.partition(": ")[2] for said in ids(code)} == expected


def test_what_no_test_can_see_is_left_alone():
    assert not [said for said in ids(SOLUTION) if said.startswith(("line 1:", "line 5:", "line 12:", "line 13:"))]


def test_every_mutant_says_its_line():
    (said,) = ids("def f(a):\n\n    return a")
    assert said == "line 3: return None"


def test_trivial_programs_hold_the_names_and_nothing_else():
    tests = ast.parse(
        "def test_it():\n    assert clamp(12) == 9\n    assert -4 == clamp(3)\n    assert clamp(1) != None"
    )
    programs = dict(trivial_programs(ast.parse(SOLUTION), tests))
    assert {"empty body", "return 0", "return ''", "return True", "return 9", "return -4"} <= set(programs)
    assert "return None" not in programs
    for name, code in programs.items():
        space = {"__name__": "solution"}
        exec(compile(code, name, "exec"), space)
        if name == "raises":
            with pytest.raises(ValueError, match="trivial"):
                space["clamp"](12)
        else:
            assert space["clamp"](12) == {"empty body": None, "return the first argument": 12}.get(
                name, ast.literal_eval(name.split()[-1]) if name.startswith("return ") and "the" not in name else None
            )


def test_a_trivial_solution_is_not_its_own_wrong_program():
    assert "return the first argument" not in dict(
        trivial_programs(ast.parse("def f(a):\n    return a"), ast.parse(""))
    )


def test_methods_are_emptied_too_and_constructors_stay():
    code = (
        "class Stack:\n    def __init__(self):\n        self.items = []\n    def push(self, x):\n        return len(x)"
    )
    programs = dict(trivial_programs(ast.parse(code), ast.parse("")))
    space = {}
    exec(programs["return the first argument"], space)
    assert space["Stack"]().items == []
    assert space["Stack"]().push(4) == 4


def run(code, *calls):
    changed, branches = instrumented(ast.parse(code))
    space = {"__name__": "solution"}
    exec(compile(changed, "solution", "exec"), space)
    values = [space["f"](*arguments) for arguments in calls]
    return values, taken(space[HITS], branches), branches


@pytest.mark.parametrize(
    ("code", "calls", "expected", "reached", "branches"),
    [
        ("def f(a):\n    if a > 1:\n        return 1\n    return 2", [(5,)], [1], 2, 3),
        ("def f(a):\n    if a > 1:\n        return 1\n    return 2", [(5,), (0,)], [1, 2], 3, 3),
        (
            "def f(a):\n    for x in a:\n        if x: break\n    else:\n        return 0\n    return x",
            [([],)],
            [0],
            2,
            5,
        ),
        ("def f(a):\n    while a: a -= 1\n    return a", [(2,)], [0], 3, 3),
        ("def f(a):\n    return [x for x in a if x]", [([0, 1],)], [[1]], 3, 3),
        ("def f(a):\n    return 1 if a else 2", [([],)], [2], 2, 3),
        ("def f(a):\n    try: return 1 / a\n    except ZeroDivisionError: return 0", [(1,)], [1], 1, 2),
        ("def f(a):\n    match a:\n        case 1: return 'one'\n        case _: return ''", [(1,)], ["one"], 2, 3),
        ("def f(a):\n    return a\ndef g(): pass", [(1,)], [1], 1, 2),
        ("'doc'\nfrom __future__ import annotations\ndef f(a: nothing): return 3", [(1,)], [3], 1, 1),
    ],
)
def test_branches_are_counted_and_results_stay(code, calls, expected, reached, branches):
    assert run(code, *calls) == (expected, reached, branches)


@pytest.mark.parametrize("value", [None, "x", {1: 2}, [0, 1], {0, -1, 99, "a", True}])
def test_a_forged_set_counts_for_no_more_than_its_numbers(value):
    assert taken(value, 3) <= 1


@given(st.lists(st.integers(-20, 20), max_size=6))
def test_instrumenting_changes_no_result(numbers):
    code = """def f(values):
    total = 0
    for value in values:
        if value % 3 == 0 and value:
            continue
        total += value if value > 0 else -value
    else:
        total += 100
    while total > 50:
        total -= 7
    return total, [v for v in values if v > 1]
"""
    space = {}
    exec(code, space)
    assert run(code, (numbers,))[0] == [space["f"](numbers)]

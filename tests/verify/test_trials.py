"""Trials in the real sandbox: good tests accept the solution and nothing else."""

import pytest

from evolute.records import Reason
from evolute.verify import Trial, find_solution, trial_key, try_solution

ADD = (
    "def clamp(x, low, high):\n    if x < low:\n        return low\n    if x > high:\n        return high\n    return x"
)
GOOD = """from solution import clamp

def test_inside():
    assert clamp(5, 1, 9) == 5
    assert clamp(1, 1, 9) == 1

def test_outside():
    assert clamp(-5, 1, 9) == 1
    assert clamp(50, 1, 9) == 9
"""


@pytest.fixture
def attempt(sandbox):
    def run(code, tests, **options) -> Trial:
        options = {"seconds": 5.0, **options}
        return sandbox(lambda box: try_solution(find_solution(f"```python\n{code}\n```"), tests, box, **options))

    return run


def test_good_tests_verify_the_solution(attempt):
    trial = attempt(ADD, GOOD)
    assert trial.outcome == "passed"
    assert trial.finding(0.5) is None
    assert (trial.tests, trial.checks, trial.accepted, trial.coverage) == (2, 4, (), 1.0)
    assert trial.trivial >= 10
    assert trial.runs == 2 + trial.trivial + trial.mutants
    assert trial.mutation_score > 0.5
    assert set(trial.survivors) <= {"line 2: Lt to LtE", "line 4: Gt to GtE"}  # these are the solution itself
    assert Trial.loads(trial.dumps()) == trial
    assert not trial.together


def test_tests_that_reach_half_of_it_cover_less_and_let_mutants_through(attempt):
    trial = attempt(
        ADD, "from solution import clamp\nassert clamp(5, 1, 9) == 5\nassert clamp(0, 1, 9) == 1", most_mutants=50
    )
    assert (trial.outcome, trial.tests, trial.checks) == ("passed", 1, 2)
    assert trial.coverage < 1
    assert trial.finding(1.0).reason is Reason.TESTS_WEAK
    assert trial.survivors == tuple(trial.finding(1.0).evidence["survivors"])


@pytest.mark.parametrize(
    "tests",
    [
        "def test_it():\n    assert clamp(5, 1, 9) is not None or True",
        "def test_it():\n    try:\n        assert clamp(5, 1, 9) == 77\n    except BaseException:\n        pass",
        "def test_it():\n    clamp(5, 1, 9)\n    assert True",
        "def clamp(x, low, high):\n    return 5\ndef test_it():\n    assert clamp(5, 1, 9) == 5",
        "def test_it():\n    assert clamp(5, 1, 9) == 5",
    ],
    ids=["always true", "swallowed", "asserts nothing of it", "tests a function of its own", "one value only"],
)
def test_tests_that_accept_wrong_programs_are_weak(attempt, tests):
    trial = attempt(ADD, tests)
    assert trial.outcome == "passed"
    assert trial.accepted
    assert trial.mutants == 0
    assert trial.finding(0.0).reason is Reason.TESTS_WEAK


@pytest.mark.parametrize(
    ("code", "tests"),
    [
        ("def area(r):\n    return 3.14159 * r * r", "assert abs(area(2) - 12.56636) < 1e-6"),
        ("def sq(r):\n    return r * r + 1", "expected = 10\nassert sq(3) == expected"),
        ("def sq(r):\n    return r * r + 1", "import math\nassert math.isclose(sq(3), 10)"),
        ("def sq(r):\n    return r * r + 1", "assert sq(3) == 5 * 2"),
        (
            "def add(a, b):\n    return a + b\ndef mul(a, b):\n    return a * b",
            "def test_add():\n    assert add(2, 3) == 5\ndef test_mul():\n    assert mul(3, 4) == 12",
        ),
    ],
)
def test_what_a_constant_passes_is_weak_however_it_is_written(attempt, code, tests):
    finding = attempt(code, tests).finding(0.5)
    assert finding.reason is Reason.TESTS_WEAK
    assert finding.evidence["accepted"]


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("def clamp(x, low, high):\n    return x", "failed"),
        ("def clamp(x, low, high):\n    while True: pass", "timeout"),
        ("import os\ndef clamp(x, low, high):\n    os._exit(0)", "crashed"),
        ("import os\ndef clamp(x, low, high):\n    return x\nos._exit(0)", "crashed"),
        ("def clamp(x, low, high)\n    return x", "error"),
        ("def clamp(x, low, high):\n    return x\nraise RuntimeError('at import')", "error"),
        ("class Same:\n    __eq__ = lambda self, other: True\ndef clamp(x, low, high):\n    return Same()", "failed"),
    ],
    ids=["wrong", "endless", "exits", "exits at import", "syntax", "import fails", "equals everything"],
)
def test_a_wrong_solution_fails_and_runs_no_wrong_programs(attempt, code, outcome):
    trial = attempt(code, GOOD, seconds=1.0)
    assert trial.outcome == outcome
    assert trial.detail
    assert (trial.trivial, trial.mutants) == (0, 0)
    assert trial.finding(0.5).reason is Reason.TESTS_FAILED


def test_a_class_is_tried_together_with_its_tests(attempt):
    code = """class Counter:
    def __init__(self):
        self.count = 0
    def add(self, by=1):
        self.count = self.count + by
        return self.count
"""
    tests = """from solution import Counter
def test_add():
    counter = Counter()
    assert counter.count == 0
    assert counter.add() == 1
    assert counter.add(5) == 6
    assert counter.count == 6
"""
    trial = attempt(code, tests)
    assert trial.together
    assert trial.finding(0.5) is None
    assert trial.coverage == 1.0


def test_what_cannot_cross_is_tried_together(attempt):
    code = "def apply(f, x):\n    return f(x) + 1"
    trial = attempt(
        code,
        "def test_it():\n    assert apply(lambda v: v * 2, 4) == 9\n    assert apply(len, 'ab') == 3",
    )
    assert (trial.outcome, trial.together) == ("passed", True)
    assert trial.finding(0.5) is None


def test_the_key_holds_all_that_decides():
    solution = find_solution(ADD)
    keys = {
        trial_key(solution, GOOD, most_mutants=12, seconds=10.0),
        trial_key(solution, GOOD, most_mutants=11, seconds=10.0),
        trial_key(solution, GOOD, most_mutants=12, seconds=9.0),
        trial_key(solution, GOOD + "\n", most_mutants=12, seconds=10.0),
        trial_key(find_solution(ADD + "\n# other"), GOOD, most_mutants=12, seconds=10.0),
    }
    assert len(keys) == 5

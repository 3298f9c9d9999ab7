"""One object that equals everything passes 157 of HumanEval's 164 tasks under its own runner, and none here."""

import pytest
from problemrows import DATA

from evolute.evaluate.code.finding import load_problems
from evolute.evaluate.code.samples import Sample, summed
from evolute.evaluate.code.scoring import score

LIAR = """
class Any:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __lt__ = __le__ = __gt__ = __ge__ = __eq__
    def __hash__(self): return 0
    def __getattr__(self, name): return self
    def __call__(self, *positional, **named): return self
    def __getitem__(self, key): return self
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
    def __abs__(self): return 0.0
    def __len__(self): return 1
    def __iter__(self): return iter([])
def {name}(*positional, **named): return Any()
"""


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="the shared data is not beside this checkout")
def test_it_passes_nothing(sandbox):
    problems = load_problems("humaneval", str(DATA / "humaneval"))
    liars = [Sample(one.id, LIAR.format(name=one.entry_point), "solution") for one in problems.problems]
    results = sandbox(lambda box: score(problems, summed(liars, problems), box))
    assert (results.passed, results.total) == (0, 164)
    assert results.failed_references == ()

"""Programs and their tests, run in the sandbox as a user of it does."""

from evolute.sandbox import Limits, Outcome


def test_a_program_runs_and_its_output_is_kept(sandbox):
    ran = sandbox(lambda box: box.run("import sys\nprint('out')\nprint('err', file=sys.stderr)"))
    assert (ran.outcome, ran.detail) == (Outcome.PASSED, "")
    assert sorted(ran.output.split()) == ["err", "out"]


def test_numpy_is_there_and_its_values_cross(sandbox):
    code = "import numpy\ndef f(n):\n    return numpy.arange(n), numpy.float64(n)"
    tested = sandbox(
        lambda box: box.test(
            code, "array, number = f(3)\nassert list(array) == [0, 1, 2]\nassert type(number) is float", calls=["f"]
        )
    )
    assert tested.outcome is Outcome.PASSED, tested


def test_a_call_changes_the_tests_own_list(sandbox):
    tests = "rows = [1]\nassert f(rows) is None\nassert rows == [1, 2]"
    tested = sandbox(lambda box: box.test("def f(rows):\n    rows.append(2)", tests, calls=["f"]))
    assert tested.outcome is Outcome.PASSED, tested


def test_the_time_of_one_call_does_not_end_the_others(sandbox):
    code = "def f(x):\n    while x == 2:\n        pass\n    return {x}"

    async def called(box):
        return [one async for one in box.call(code, "f", [[1], [2], [3]], seconds=[0.2] * 3)]

    returned = sandbox(called)
    assert [(one.outcome, one.value) for one in returned] == [
        (Outcome.PASSED, {1}), (Outcome.TIMEOUT, None), (Outcome.PASSED, {3})
    ]  # fmt: skip


def test_what_is_printed_is_bounded(sandbox):
    ran = sandbox(lambda box: box.run("while True: print('x' * 1000)", limits=Limits(seconds=20)))
    assert ran.outcome is Outcome.OUTPUT
    assert len(ran.output) == Limits().output

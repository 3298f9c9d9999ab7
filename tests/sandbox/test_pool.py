"""Programs and their tests, run in the sandbox as a user of it does."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from evolute.sandbox import Limits, Outcome, Sandbox


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


def test_a_candidate_that_does_not_load_says_where(sandbox):
    tested = sandbox(lambda box: box.test("def f(x):\n    return (", "assert f(1)", calls=["f"]))
    assert tested.outcome is Outcome.ERROR
    assert tested.detail.startswith("line 2: SyntaxError")
    tested = sandbox(lambda box: box.test("x = 1", "assert f(1)", calls=["f"]))
    assert (tested.outcome, tested.detail) == (Outcome.ERROR, "no function 'f'")


def test_a_failure_says_what_was_called_and_what_came_back(sandbox):
    tests = (
        "def test_small():\n    assert f(1) == 1\ndef test_large():\n    assert f(1000) == 1\ndef test_no():\n    f(0)"
    )
    tested = sandbox(lambda box: box.test("def f(x):\n    return x", tests, calls=["f"]))
    assert [(name, outcome.value) for name, outcome, _ in tested.tests] == [
        ("module", "passed"), ("test_small", "passed"), ("test_large", "failed")
    ]  # fmt: skip
    assert tested.detail == "line 4: AssertionError [assert f(1000) == 1]; f(1000) returned 1000"


def test_a_callback_cannot_cross_and_one_process_takes_it(sandbox):
    code, tests = "def f(x, g):\n    return g(x)", "assert f(1, lambda x: x + 1) == 2"
    apart = sandbox(lambda box: box.test(code, tests, calls=["f"]))
    assert apart.outcome is Outcome.UNCROSSABLE
    assert sandbox(lambda box: box.test(code, tests, calls=["f"], together=True)).outcome is Outcome.PASSED


def test_what_the_tests_set_up_is_hidden_from_the_candidate(sandbox):
    code = "def f(x):\n    return 'answer' in globals() or 'setup' in dir()"
    tested = sandbox(
        lambda box: box.test(code, "assert answer == 42\nassert not f(1)", calls=["f"], setup="answer = 42")
    )
    assert tested.outcome is Outcome.PASSED, tested


def test_a_global_of_the_candidates_is_read_after_the_tests(sandbox):
    code = "hits = []\ndef f(x):\n    hits.append(x)\n    return x"
    for together in (False, True):
        tested = sandbox(
            lambda box, together=together: box.test(
                code, "f(1)\ndef test_two():\n    f(2)", calls=["f"], read="hits", together=together
            )
        )
        assert (tested.outcome, tested.value) == (Outcome.PASSED, [1, 2])


def test_trusted_tests_share_a_process_and_see_nothing_of_each_other(sandbox):
    async def twice(box):
        first = await box.test("def f(x): return x", "seen = 1\nassert f(1) == 1", calls=["f"], trusted=True)
        second = await box.test("def f(x): return x", "assert 'seen' not in globals()", calls=["f"], trusted=True)
        hung = await box.test(
            "def f(x): return x", "while True: pass", calls=["f"], trusted=True, limits=Limits(seconds=1)
        )
        third = await box.test("def f(x): return 2", "assert f(1) == 1", calls=["f"], trusted=True)
        return first.outcome, second.outcome, hung.outcome, third.outcome

    assert sandbox(twice) == (Outcome.PASSED, Outcome.PASSED, Outcome.TIMEOUT, Outcome.FAILED)


def test_many_at_once_keep_their_own_results(sandbox):
    async def all_of_them(box):
        return await asyncio.gather(*(box.run(f"print({number})") for number in range(20)))

    assert [ran.output for ran in sandbox(all_of_them)] == [f"{number}\n" for number in range(20)]


def test_an_abandoned_call_gives_its_process_back(sandbox):
    async def abandon(box):
        calls = box.call("def f(x): return x", "f", ([number] for number in range(1000)))
        async for returned in calls:  # noqa: B007 - only the first is wanted
            break
        await calls.aclose()
        return returned.value, (await box.run("print(1)")).outcome

    assert sandbox(abandon) == (0, Outcome.PASSED)


def test_without_a_sandbox_only_on_request():
    async def run():
        async with Sandbox(workers=1, unsafe=True) as box:
            ran = await box.run("import os\nprint(sorted(os.environ), len(os.listdir()))")
            tested = await box.test("def f(x):\n    return x", "assert f(1) == 1", calls=["f"])
            slow = await box.run("while True: pass", limits=Limits(seconds=0.5))
        return ran, tested.outcome, slow.outcome

    ran, tested, slow = asyncio.run(run())
    assert ran.outcome is tested is Outcome.PASSED
    assert slow is Outcome.TIMEOUT
    assert "0" in ran.output


MISSING = """
import asyncio, os, sys
from evolute.errors import SandboxUnavailable
from evolute.sandbox import Sandbox
async def main():
    async with Sandbox(): print("runs")
try:
    asyncio.run(main())
except SandboxUnavailable as error:
    print(error)
"""


def start_with(path):
    environment = os.environ | {"PATH": str(path)}
    return subprocess.run([sys.executable, "-c", MISSING], env=environment, capture_output=True, text=True, check=False)


def test_it_refuses_where_bubblewrap_is_missing(tmp_path):
    (tmp_path / "setpriv").symlink_to(shutil.which("setpriv"))
    refused = start_with(tmp_path)
    assert "apt-get install bubblewrap" in refused.stdout, refused
    assert refused.stderr == ""


def test_it_refuses_where_the_sandbox_does_not_hold(tmp_path):
    """A `bwrap` that shuts nothing in: trying it shows that."""
    fake = tmp_path / "bwrap"
    fake.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
    ours = Path(tempfile.gettempdir())
    for folder in (tmp_path, *tmp_path.parents):  # as root, programs are run as nobody
        if folder.is_relative_to(ours) and folder != ours and folder.stat().st_uid == os.getuid():
            folder.chmod(0o755)
    fake.chmod(0o755)
    (tmp_path / "setpriv").symlink_to(shutil.which("setpriv"))
    refused = start_with(tmp_path)
    assert refused.stdout.startswith("the sandbox does not hold here: a program in it"), refused
    assert "can open sockets" in refused.stdout
    assert "runs\n" not in refused.stdout


def test_what_is_cancelled_ends_and_the_others_go_on(sandbox):
    async def cancel(box):
        running = [asyncio.ensure_future(box.run("while True: pass", limits=Limits(seconds=60))) for _ in range(6)]
        tests = "while True: pass"
        running.append(asyncio.ensure_future(box.test("def f(): 0", tests, calls=["f"], trusted=True)))
        await asyncio.wait(running, timeout=0.2)  # some are running by now, some wait for their turn
        for task in running:
            task.cancel()
        ended = await asyncio.gather(*running, return_exceptions=True)
        return all(isinstance(one, asyncio.CancelledError) for one in ended), (await box.run("print(2)")).output

    assert sandbox(cancel) == (True, "2\n")


def test_text_that_no_file_takes_is_only_text(sandbox):
    """Half of a surrogate pair, in a program and in what it says."""
    ran = sandbox(lambda box: box.run("raise ValueError('\\ud800')"))
    assert ran.detail == "line 1: ValueError: ? [raise ValueError('\\ud800')]"
    tested = sandbox(lambda box: box.test("def f(x):\n    return '\ud800'", "assert f(1)", calls=["f"]))
    assert tested.outcome is Outcome.ERROR


FRAME = """
import os
said = SAID
for fd in range(3, 20):
    try: os.write(fd, len(said).to_bytes(4, "big") + said)
    except OSError: pass
os._exit(0)
"""


def test_an_outcome_of_its_own_invention_is_a_crash(sandbox):
    for said in (b'["done","brilliant",""]', b'["done",1,2]', b'["loaded","passed",""]', b"[]", b"{}", b"NaN"):
        ran = sandbox(lambda box, said=said: box.run(FRAME.replace("SAID", repr(said))))
        assert (ran.outcome, ran.detail) == (Outcome.CRASHED, "it sent what is no verdict"), (said, ran)
    forged = FRAME.replace("SAID", repr(b'["test","module","brilliant",""]'))
    tested = sandbox(lambda box: box.test("def f(x): return x", forged, calls=["f"]))
    assert tested.outcome is Outcome.CRASHED


def test_the_order_of_a_set_is_the_same_each_time(sandbox):
    program = "print(list({'a', 'b', 'c', 'd', 'e', 'f', 'g'}))"

    async def twice(box):
        return await box.run(program), await box.run(program)

    first, second = sandbox(twice)
    assert first.output == second.output


def test_a_value_larger_than_its_memory_ends_that_call(sandbox):
    code = "def f(n):\n    return 'x' * n"

    async def called(box):
        limits = Limits(memory=1 << 27, value=1 << 28)
        return [one.outcome async for one in box.call(code, "f", [[1], [45_000_000], [1]], limits=limits)]

    assert sandbox(called) == [Outcome.PASSED, Outcome.MEMORY, Outcome.PASSED]


def test_what_it_says_of_itself_is_bounded(sandbox):
    for seconds in ("NaN", "-1.0", "1e9"):
        said = f'["failed",null,"x",{seconds}]'.encode()
        frame = len(said).to_bytes(4, "big") + said
        code = f"{WRITE}def f(x):\n    for fd in range(3, 12): w(fd, {frame!r})\n    os._exit(0)"

        async def once(box, code=code):
            return [one async for one in box.call(code, "f", [[1]])]

        (only,) = sandbox(once)
        assert (only.outcome, only.detail) == (Outcome.CRASHED, "it sent what is no result")
    ran = sandbox(lambda box: box.run("raise ValueError('x' * 100_000 + '\\n')"))
    assert len(ran.detail) <= 1000
    assert "\n" not in ran.detail


WRITE = """
import os
def w(fd, data):
    try: os.write(fd, data)
    except OSError: pass
"""


def test_a_tester_that_died_harms_nobody(sandbox):
    async def killed(box):
        first = await box.test("def f(x): return x", "assert f(1) == 1", calls=["f"], trusted=True)
        for tester in box._testers:
            tester._end()
            tester._process.wait()
        return first.outcome, (
            await box.test("def f(x): return x", "assert f(1) == 1", calls=["f"], trusted=True)
        ).outcome

    assert sandbox(killed) == (Outcome.PASSED, Outcome.PASSED)

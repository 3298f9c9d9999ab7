"""Verified answers in a lineage: what the responder writes is run, and the ledger says what was found."""

import asyncio

import orjson
import pytest

from evolute.errors import CallFailed, NotRecorded
from evolute.evolve.lineage import Lineage
from evolute.evolve.planning import lineage_uses
from evolute.evolve.session import Craft, make_setting, make_verifying, role_identity
from evolute.evolve.walking import walk
from evolute.ledger import Executions, Ledger, Reader
from evolute.models.recording import Recalled, Recorded
from evolute.models.scripted import Scripted
from evolute.pipeline.checking import replay, verify
from evolute.recipe import load, resolve
from evolute.records import Completion, Failure, Reason, Seed

TASK = "Write a Python function clamp(x, low, high) that keeps a number between two bounds."
RIGHT = """Here it is.

```python
def clamp(x, low, high):
    if x < low:
        return low
    if x > high:
        return high
    return x
```
"""
WRONG = RIGHT.replace("return high", "return low")
TESTS = """```python
from solution import clamp

def test_inside():
    assert clamp(5, 1, 9) == 5

def test_outside():
    assert clamp(-5, 1, 9) == 1
    assert clamp(50, 1, 9) == 9
```"""
WEAK = "```python\nfrom solution import clamp\ndef test_it():\n    clamp(1, 2, 3)\n    assert True\n```"
MISTAKEN = TESTS.replace("== 9", "== 8")
BOX = "```python\nclass Box:\n    def size(self):\n        return 3\n```"


class Script:
    """Says what it is told to for each kind of request; the last of several for good. Notes what was asked."""

    def __init__(self, answers=(RIGHT,), tests=(TESTS,), solutions=(RIGHT,), mended=(TESTS,)):
        self.said = {"answer": [*answers], "tests": [*tests], "solution": [*solutions], "mended": [*mended]}
        self.asked = []

    def __call__(self, request):
        if request.role == "evolver":
            return f"{TASK} It must also work for strings, in alphabetical order, and say so in its docstring."
        if request.role == "judge":
            return "Not Equal"
        last = request.messages[-1].content
        kind = (
            "tests" if "#Signatures in solution.py#" in last
            else "solution" if "Your code was run" in last
            else "mended" if "Your tests were run" in last
            else "answer"
        )  # fmt: skip
        self.asked.append((kind, request))
        said = self.said[kind]
        return said.pop(0) if len(said) > 1 else said[0]

    @property
    def kinds(self):
        return [kind for kind, _ in self.asked]


def recipe_of(**settings):
    fields = load("wizardlm")
    fields["evolve"] |= {"rounds": 0, "seed_responses": "regenerate"}
    fields["verify"] = {"answers": True, "unverified": "drop", "seconds": 2.0} | settings
    return resolve(fields)


def grow(run, recipe, script, sandbox, seed=None):
    """Grow one lineage, with a real ledger and the real sandbox (None: none, so that only what is recorded counts)."""

    async def main(box=None):
        with Ledger(run) as ledger:
            craft = Craft.of(recipe)
            ledger.begin(craft.fingerprint(recipe), {"respond": "every", "craft": craft.note()})
            (run / "recipe.yaml").write_text(recipe.to_yaml())
            for text in (*craft.operations.values(), craft.equality, *craft.verifiers.values()):
                ledger.add_template(text.hash, text.name, text.text)
            ledger.add_seeds([seed or Seed(TASK)])
            for role in ("evolver", "responder"):
                ledger.add_model(role, role_identity(recipe, role), "scripted")
            model = Recalled(Recorded(Scripted(script), ledger, "scripted"), ledger)
            verifying = make_verifying(recipe, craft, Executions(ledger.reader, ledger), box)

            def emit(row, verbatim):
                ledger.judge(row, verbatim=verbatim)

            setting = make_setting(recipe, craft, dict.fromkeys(recipe.models, model), emit, None, verifying)
            for position, one in ledger.reader.seeds():
                await Lineage(setting, position, one).grow()
                ledger.finish(position)
            ledger.flush()

    if sandbox is None:
        asyncio.run(main())
    else:
        sandbox(main)
    with Reader(run) as reader:
        return [*reader.candidates()]


def note_of(row):
    return orjson.loads(row.verification)


def check(run):
    """What was recorded comes out again, with neither network nor sandbox."""
    assert replay(run).problems == []
    assert verify(run).problems == []


def test_a_right_answer_with_good_tests_is_verified(tmp_path, sandbox):
    script = Script()
    (row,) = grow(tmp_path, recipe_of(), script, sandbox)
    note = note_of(row)
    assert script.kinds == ["answer", "tests"]
    assert (row.reason, note["verified"], note["repairs"]) == ("", True, 0)
    assert note["tests"] == TESTS.removeprefix("```python\n").removesuffix("\n```")
    trial = note["trial"]
    assert (trial["tests"], trial["checks"], trial["coverage"], trial["accepted"]) == (2, 3, 1.0, [])
    assert trial["mutation_score"] >= 0.5
    assert trial["runs"] > 10
    assert trial["seconds"] > 0
    check(tmp_path)


def test_the_tests_are_asked_for_without_the_solution(tmp_path, sandbox):
    script = Script()
    grow(tmp_path, recipe_of(), script, sandbox)
    (said,) = [request.messages for kind, request in script.asked if kind == "tests"]
    assert len(said) == 1
    assert TASK in said[0].content
    assert "def clamp(x, low, high): ..." in said[0].content
    assert "return" not in said[0].content.replace("returns", "")


def test_a_wrong_solution_is_repaired_and_the_repaired_answer_is_the_response(tmp_path, sandbox):
    script = Script(answers=[WRONG])
    (row,) = grow(tmp_path, recipe_of(), script, sandbox)
    assert script.kinds == ["answer", "tests", "solution"]
    error = script.asked[-1][1].messages[-1].content
    assert "clamp(50, 1, 9) returned 1" in error or "AssertionError" in error
    assert script.asked[-1][1].messages[-2].content == WRONG
    note = note_of(row)
    assert (note["verified"], note["repairs"], len(note["executions"])) == (True, 1, 2)
    with Reader(tmp_path) as reader:
        (kept,) = reader.dataset()
        assert kept.response == RIGHT.strip()
        first = reader.call(bytes.fromhex(note["calls"][0]))
        assert first.completion.text == WRONG
        assert lineage_uses(reader, {})[0].calls == 3
        assert sum(row[2] + row[3] for row in reader.operation_usage()) == sum(
            part.prompt_tokens + part.completion_tokens for part in reader.totals()
        )
    check(tmp_path)


def test_where_the_solution_stands_the_tests_are_mended_next(tmp_path, sandbox):
    script = Script(tests=[MISTAKEN])
    (row,) = grow(tmp_path, recipe_of(), script, sandbox)
    assert script.kinds == ["answer", "tests", "solution", "mended"]
    assert note_of(row)["verified"]
    assert "== 9" in note_of(row)["tests"]
    mend = script.asked[-1][1].messages
    assert [message.role for message in mend] == ["user", "assistant", "user"]
    assert "low, high):\n" not in "".join(message.content for message in mend)
    check(tmp_path)


def test_weak_tests_are_mended_and_say_what_passed(tmp_path, sandbox):
    script = Script(tests=[WEAK])
    (row,) = grow(tmp_path, recipe_of(), script, sandbox)
    assert script.kinds == ["answer", "tests", "mended"]
    assert "empty body" in script.asked[-1][1].messages[-1].content
    assert note_of(row)["verified"]
    check(tmp_path)


def python(code):
    return f"```python\n{code}\n```"


ENDLESS = python("def clamp(x, low, high):\n    while True: pass")
EXITS = python("import os\ndef clamp(x, low, high):\n    os._exit(0)")
BROKEN = python("def clamp(x, low, high)\n    return x")
PROSE = "A number is kept between bounds by comparing it with both."
FAILING = {
    "wrong for good": ({"answers": [WRONG], "solutions": [WRONG]}, Reason.TESTS_FAILED, "failed"),
    "endless": ({"answers": [ENDLESS], "solutions": ["No."]}, Reason.TESTS_FAILED, "timeout"),
    "endless, then no tests": (
        {"answers": [ENDLESS], "solutions": [ENDLESS], "mended": ["No."]},
        Reason.TESTS_MISSING,
        None,
    ),
    "exits": ({"answers": [EXITS], "solutions": ["No."]}, Reason.TESTS_FAILED, "crashed"),
    "a syntax error": ({"answers": [BROKEN], "solutions": ["Sorry?"]}, Reason.TESTS_FAILED, "error"),
    "tests that pass everything": ({"tests": [WEAK], "mended": [WEAK]}, Reason.TESTS_WEAK, None),
    "no tests": ({"tests": ["I have none."], "mended": ["None."]}, Reason.TESTS_MISSING, None),
    "tests cut off": ({"tests": [Completion(None, Failure.TRUNCATED)], "mended": ["."]}, Reason.TESTS_MISSING, None),
    "tests cut off in the middle": (
        {"tests": [Completion(TESTS, Failure.TRUNCATED)], "mended": [Completion(TESTS, Failure.TRUNCATED)]},
        Reason.TESTS_MISSING,
        None,
    ),
    "solution cut off": (
        {"answers": [WRONG], "solutions": [Completion(RIGHT, Failure.TRUNCATED)]},
        Reason.TESTS_FAILED,
        "failed",
    ),
    "not Python": ({"answers": ["```c\nint clamp(int x) { return x; }\n```"]}, Reason.NOT_PYTHON, None),
    "no code": ({"answers": [PROSE]}, Reason.CODE_MISSING, None),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_cannot_be_verified_is_dropped_with_its_reason(tmp_path, sandbox, name):
    said, reason, outcome = FAILING[name]
    (row,) = grow(tmp_path, recipe_of(seconds=0.5), Script(**said), sandbox)
    note = note_of(row)
    assert row.reason == reason == note["reason"]
    assert not note["verified"]
    assert note["repairs"] == (0 if reason in (Reason.NOT_PYTHON, Reason.CODE_MISSING) else 2)
    evidence = orjson.loads(row.evidence)
    assert evidence == note["evidence"] != {}
    assert evidence.get("outcome") == outcome
    check(tmp_path)


def test_an_unverified_row_is_kept_with_its_first_answer_and_its_mark(tmp_path, sandbox):
    script = Script(answers=[WRONG], solutions=[WRONG + "Again."])
    (row,) = grow(tmp_path, recipe_of(unverified="keep"), script, sandbox)
    assert row.reason == ""
    assert note_of(row)["reason"] == "tests-failed"
    with Reader(tmp_path) as reader:
        (kept,) = reader.dataset()
        assert kept.response == WRONG.strip()
        assert kept.verified is False
    check(tmp_path)


def test_a_repair_that_breaks_a_rule_does_not_take_the_place_of_the_first_answer(tmp_path, sandbox):
    script = Script(answers=[WRONG], solutions=["Sorry! " + RIGHT])
    (row,) = grow(tmp_path, recipe_of(unverified="keep"), script, sandbox)
    note = note_of(row)
    assert (row.reason, note["verified"], note["reason"]) == ("", False, "response-refusal")
    with Reader(tmp_path) as reader:
        (kept,) = reader.dataset()
        assert (kept.response, kept.verified) == (WRONG.strip(), False)
        assert reader.call(bytes.fromhex(note["calls"][0])).completion.text == "Sorry! " + RIGHT
        assert sum(row[2] + row[3] for row in reader.operation_usage()) == sum(
            part.prompt_tokens + part.completion_tokens for part in reader.totals()
        )
    check(tmp_path)


def test_a_class_is_verified_too(tmp_path, sandbox):
    tests = "from solution import Box\ndef test_box():\n    assert Box().size() == 3\n    assert Box().size() + 1 == 4"
    (row,) = grow(tmp_path, recipe_of(), Script(answers=[BOX], tests=[tests]), sandbox)
    assert row.reason in ("", Reason.TESTS_WEAK)
    assert note_of(row)["trial"]["together"]


def test_evolved_answers_are_verified_in_their_conversation(tmp_path, sandbox):
    fields = recipe_of().model_dump(mode="json")
    fields["evolve"] |= {"rounds": 1, "respond": "last", "seed_responses": "keep", "judge": False}
    script = Script()
    seed = Seed(TASK, system="You write short code.", response="```python\npass\n```")
    rows = grow(tmp_path, resolve(fields), script, sandbox, seed)
    assert [row.verification != "" for row in rows] == [False, True]
    (said,) = [request.messages for kind, request in script.asked if kind == "tests"]
    assert "System: You write short code." in said[0].content
    with Reader(tmp_path) as reader:
        assert [row.verified for row in reader.dataset()] == [None, True]
    check(tmp_path)


def test_after_a_crash_nothing_is_asked_or_run_twice(tmp_path, sandbox):
    class Crash(BaseException):
        pass

    class Stops(Script):
        def __call__(self, request):
            if "Your code was run" in request.messages[-1].content:
                raise Crash
            return super().__call__(request)

    with pytest.raises(Crash):
        grow(tmp_path, recipe_of(), Stops(answers=[WRONG]), sandbox)
    script = Script(answers=[WRONG])
    # Without a sandbox: the execution before the crash is recalled, and the next one is not to be had.
    with pytest.raises(NotRecorded, match="no execution"):
        grow(tmp_path, recipe_of(), script, None)
    assert script.kinds == ["solution"]
    script = Script(answers=[WRONG])
    (row,) = grow(tmp_path, recipe_of(), script, sandbox)
    assert script.kinds == []
    assert note_of(row)["verified"]
    check(tmp_path)


def test_a_replay_without_an_execution_says_which(tmp_path, sandbox):
    (row,) = grow(tmp_path, recipe_of(), Script(), sandbox)
    (key,) = note_of(row)["executions"]
    with Ledger(tmp_path) as ledger:
        ledger.transact(lambda db: db.execute("DELETE FROM executions"))
    with Reader(tmp_path) as reader:
        (again,) = walk(reader, recipe_of())
        assert again.missing == f"the ledger holds no execution {key}"
    assert not verify(tmp_path).ok


def test_another_threshold_reaches_its_verdict_without_running_anything(tmp_path, sandbox):
    half = TESTS.replace("    assert clamp(50, 1, 9) == 9\n", "")
    script = Script(tests=[half], mended=[half])
    (row,) = grow(tmp_path, recipe_of(repairs=0, mutation_score=1.0, mutants=100), script, sandbox)
    assert row.reason == "tests-weak"
    (row,) = grow(tmp_path, recipe_of(repairs=0, mutation_score=0.1, mutants=100), script, None)
    assert row.reason == ""


def test_a_call_that_fails_leaves_the_lineage_to_be_taken_up_again(tmp_path, sandbox):
    class Fails(Script):
        def __call__(self, request):
            if "#Signatures" in request.messages[-1].content:
                raise CallFailed("gone")
            return super().__call__(request)

    with pytest.raises(CallFailed):
        grow(tmp_path, recipe_of(), Fails(), sandbox)
    script = Script()
    (row,) = grow(tmp_path, recipe_of(), script, sandbox)
    assert script.kinds == ["tests"]
    assert note_of(row)["verified"]

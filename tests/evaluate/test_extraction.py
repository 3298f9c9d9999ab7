"""From a reply to a program; WizardCoder's own rules against what WizardCoder stored."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problemrows import DATA, humaneval, mbpp

from evolute.errors import InputError
from evolute.evaluate.code.extraction import RULES, extract
from evolute.evaluate.code.finding import load_problems
from evolute.evaluate.code.problems import problem_of
from evolute.text.code import syntax_error

ASKED = problem_of(humaneval(), "x")
PLAIN = problem_of(mbpp(), "x")
CODE = "def add_one(x):\n    return x + 1"


@pytest.mark.skipif(not DATA.is_dir(), reason="the benchmarks' data is not here")
@pytest.mark.parametrize(
    ("benchmark", "version", "file", "rule"),
    [
        ("humaneval", None, "humaneval/samples/wizardcoder-15b-v1.0_T0.0_N1.jsonl", "wizardcoder-humaneval"),
        ("mbpp-plus", "0.1.0", "mbpp/samples/wizardcoder-33b-v1.1_T0.0_N1.jsonl", "wizardcoder-mbpp"),
    ],
)
def test_wizardcoders_rules_give_every_stored_completion(benchmark, version, file, rule):
    problems = {one.id: one for one in load_problems(benchmark, DATA, version=version).problems}
    rows = [json.loads(line) for line in (DATA / file).read_text("utf-8").splitlines()]
    assert len(rows) == len(problems)
    for row in rows:
        problem = problems[row["task_id"]]
        assert extract(row["all_code"], problem, rule).program == problem.prompt + row["completion"], row["task_id"]


def test_wizardcoders_rules_are_named():
    code = '```python\r\nx = 1\r\nif __name__ == "__main__":\r\n    y\r\n```\r\n'
    reply = f"### Instruction:\nx\n### Response:Sure.\r\n{code}"
    found = extract(reply, PLAIN, "wizardcoder-mbpp")
    assert (found.program, found.rules) == ("x = 1", ("response-marker", "first-python-fence", "main-cut"))


def test_code_is_taken_as_it_is_where_that_is_the_format():
    assert extract("    return 1\n", ASKED, "completion").program == ASKED.prompt + "    return 1\n"
    assert extract("```x", ASKED, "solution") == extract("```x", PLAIN, "completion")


@pytest.mark.parametrize(
    ("reply", "rules"),
    [
        (CODE, ()),
        (f"Sure!\n```python\n{CODE}\n```\nIt adds one.", ("fence",)),
        (f"```\n{CODE}\n```", ("fence",)),
        (f"Try:\n```python\nprint(add_one(2))\n```\nwith\n```python\n{CODE}\n```", ("fence-2-of-2",)),
        (f"```python\n{CODE}\n```\n```python\nassert add_one(1) == 2\n```", ("fence-1-of-2",)),
        (f"```sh\npip install x\n```\n~~~py\n{CODE}\n~~~", ("fence",)),
        (f"Here: ```python\n{CODE}\n``` and so on", ("fence",)),
        (f"```python\n{CODE}", ("fence",)),
        (f"1. So:\n\n   ```python\n   {CODE.replace(chr(10), chr(10) + '   ')}\n   ```", ("fence",)),
        (f"<think>\n```python\nwrong\n```\n</think>\n{CODE}", ("reasoning-cut",)),
        (f"{CODE}<|endoftext|>def add_one(x): return 0", ("end-token-cut",)),
        (f"Here is the function:\n\n{CODE}", ("prose-cut",)),
        (f"{CODE}\n\nThis function adds one.", ("tail-cut",)),
        (f"{CODE}\n\nprint(add_one(1))\nassert add_one(1) == 2", ("usage-cut",)),
        (f'{CODE}\n\nif __name__ == "__main__":\n    add_one(input())', ("usage-cut",)),
        (f"{CODE}\r\n", ()),
    ],
)
def test_the_program_is_found_and_the_rules_are_named(reply, rules):
    found = extract(reply, PLAIN)
    assert found.rules == rules
    space = {}
    exec(found.program, space)  # our own text
    assert space["add_one"](1) == 2
    assert found.program.strip() == CODE


@pytest.mark.parametrize(
    ("reply", "rules"),
    [
        ("    return x + 1\n", ("prompt-prepended",)),
        ("return x + 1", ("indented", "prompt-prepended")),
        ("\treturn x + 1", ("indented", "prompt-prepended")),
        ("y = x\n    return y + 1", ("indented", "prompt-prepended")),
        ("if x:\n        return x + 1\n    return 1", ("indented", "prompt-prepended")),
        ("```python\n    return x + 1\n```", ("fence", "prompt-prepended")),
        ("    return x + 1\n\nThat was the whole of it.", ("prompt-prepended", "tail-cut")),
        (f"```python\n{CODE}\n```", ("fence", "imports-prepended")),
        (f"{humaneval()['prompt']}    return x + 1\n", ()),
    ],
)
def test_a_body_goes_on_from_its_prompt(reply, rules):
    found = extract(reply, ASKED)
    assert found.rules == rules
    space = {}
    exec(found.program, space)
    assert space["add_one"](1) == 2
    assert space["twice"](1) == 2


def test_set_up_calls_and_tables_stay():
    code = f"import sys\nsys.setrecursionlimit(10**5)\nTABLE = [0] * 9\nfor n in range(9):\n    TABLE[n] = n\n{CODE}"
    assert extract(code, PLAIN).program == code


def test_what_cannot_be_saved_is_said():
    assert extract("I cannot help with that.", PLAIN).rules == ("unparsable",)
    assert extract("```python\ndef add_one(x:\n```", PLAIN).rules[-1] == "unparsable"


def test_an_unknown_rule_is_told():
    with pytest.raises(InputError, match="no extraction 'worst'; there are best, completion"):
        extract("", PLAIN, "worst")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "```python\n",
                "```\n",
                "def add_one(x):\n",
                "    return x\n",
                "text\n",
                "'''",
                "<think>",
                "\r\n",
                "(",
                "\0",
                "</think>",
            ]
        ),
        max_size=12,
    ).map("".join)
)
def test_every_reply_gives_a_program(reply):
    for rule in RULES:
        for problem in (ASKED, PLAIN):
            found = extract(reply, problem, rule)
            if rule == "best":
                assert ("unparsable" in found.rules) == (syntax_error(found.program) is not None)


@pytest.mark.parametrize(
    "piece", ["```python\n", "def add_one(x):\n", "(", "<think>", "\n", "if x:\n", "'''\n", "    return 1\n)\n"]
)
def test_hostile_replies_take_bounded_time(piece):
    reply = piece * (100_000 // len(piece))
    began = time.process_time()
    extract(reply, ASKED)
    assert time.process_time() - began < 10

"""Small problems in the shapes of the four benchmarks' files, in our own words."""

import gzip
import json
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "../shared/data"


def humaneval(number=0, **fields):
    """Add one; the prompt has a helper that the tests use, as HumanEval/32, 38 and 50 have."""
    return {
        "task_id": f"HumanEval/{number}",
        "prompt": "import math\n\n\ndef twice(x):\n    return 2 * x\n\n\ndef add_one(x):\n"
        '    """Give x and one more.\n    >>> add_one(1)\n    2\n    """\n',
        "entry_point": "add_one",
        "canonical_solution": "    return x + 1\n",
        "test": "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(twice(4)) == 9\n",
    } | fields


def plus(number=0, *, family="HumanEval", **fields):
    """Add one, in EvalPlus's shape; the base inputs miss that it must work below zero."""
    row = humaneval() | {"task_id": f"{family}/{number}", "contract": "", "atol": 0}
    if family == "Mbpp":
        row |= {"prompt": '"""\nWrite a function to add one.\nassert add_one(1) == 2\n"""\n'}
        row |= {"canonical_solution": "def add_one(x):\n    return x + 1\n"}
    return row | {"base_input": [[1], [2]], "plus_input": [[-5], [0.5]]} | fields


def mbpp(number=11, **fields):
    return {
        "task_id": number,
        "text": "Write a function to add one.",
        "code": "def add_one(x):\r\n    return x + 1",
        "test_list": ["assert add_one(1) == 2", "assert add_one(-1) == 0"],
        "test_setup_code": "",
        "challenge_test_list": [],
    } | fields


def write(path, rows):
    """Write JSON Lines, packed where the name says so."""
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path

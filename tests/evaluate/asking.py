"""What the tests of evaluations share: a benchmark of four functions of our own, and a model that answers it."""

import re

import orjson

BODIES = {
    "add_all": ("numbers", "    return sum(numbers)\n", "assert candidate([1, 2, 3]) == 6"),
    "double": ("number", "    return number * 2\n", "assert candidate(4) == 8"),
    "first_even": ("numbers", "    return [n for n in numbers if n % 2 == 0][0]\n", "assert candidate([3, 4]) == 4"),
    "shout": ("text", "    return text.upper() + '!'\n", "assert candidate('ho') == 'HO!'"),
}  # fmt: skip


def problem_rows():
    """Rows in HumanEval's shape."""
    return [
        {
            "task_id": f"HumanEval/{number}",
            "prompt": f'def {name}({argument}):\n    """Our task {number}."""\n',
            "entry_point": name,
            "canonical_solution": body,
            "test": f"def check(candidate):\n    {test}\n",
        }
        for number, (name, (argument, body, test)) in enumerate(BODIES.items())
    ]


def write_problems(folder):
    """A file that is found in the folder as HumanEval's."""
    path = folder / "HumanEval.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in problem_rows()))
    return path


def solved(body):
    """A server's rule: every task but `double` is solved, in a fence; a sampled answer is wrong for odd seeds."""
    said = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    name = re.findall(r"def (\w+)\(", said)[-1]
    argument, right, _ = BODIES[name]
    wrong = name == "double" or (body.get("temperature") and body.get("seed", 0) % 2)
    code = "    return None\n" if wrong else right
    if "prompt" in body:
        return f"{code}\ndef other():\n    pass\n"
    return f"Here it is:\n\n```python\ndef {name}({argument}):\n{code}```\nIt works."

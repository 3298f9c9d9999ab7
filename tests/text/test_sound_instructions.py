"""What people really ask must pass the rules, and what models answer must not: counted on the shared data."""

from collections import Counter
from pathlib import Path

import orjson
import pytest

from evolute.recipe import Rules
from evolute.records import Finding, Reason
from evolute.text import check_instruction, clean_instruction

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
RULES = Rules(min_words=1, max_words=10_000)
ABOUT_CONTENT = {Reason.COMMENTARY, Reason.SCAFFOLD_LEAK, Reason.REFUSAL, Reason.ANSWERED, Reason.LANGUAGE_CHANGED}


def rows(name):
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"the shared data has no {name}")
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def self_instruct():
    for row in rows("seeds/self_instruct_seed_tasks.jsonl"):
        first = row["instances"][0]
        instruction = f"{row['instruction']}\n\n{first['input']}" if first["input"] else row["instruction"]
        yield instruction.strip(), first["output"].strip()


def dropped(children):
    """How often each reason was found, for (child, parent) pairs."""
    found = Counter()
    for child, parent in children:
        text = clean_instruction(child, parent=parent)
        finding = text if isinstance(text, Finding) else check_instruction(text, parent=parent, rules=RULES)
        if finding is not None and finding.reason in ABOUT_CONTENT:
            found[finding.reason.value] += 1
    return found


def test_a_persons_instruction_is_neither_altered_nor_dropped():
    asked = [instruction for instruction, _ in self_instruct()]
    asked += [row["text"].strip() for row in rows("vicuna/question.jsonl")]
    asked += [row["turns"][0].strip() for row in rows("mt_bench/question.jsonl")]
    assert len(asked) == 175 + 80 + 80
    assert sum(clean_instruction(text) != text for text in asked) == 0
    # Each as the child of another, whose words it cannot lean on. The one leak is a seed that says "the given prompt",
    # the one answer a riddle told in statements alone.
    children = [(child, asked[(7 * place + 3) % len(asked)]) for place, child in enumerate(asked)]
    assert dropped(children) == {"scaffold-leak": 1, "answered": 1}
    assert dropped((child, child) for child in asked) == {}


def test_an_answer_in_an_instructions_place_is_often_found():
    """Without a model the rest cannot be told from an instruction; the rule is kept precise rather than complete."""
    questions = {row["question_id"]: row["text"] for row in rows("vicuna/question.jsonl")}
    answers = [
        (row["text"].strip(), questions[row["question_id"]])
        for path in sorted((DATA / "vicuna/answer").glob("*.jsonl"))
        for row in rows(f"vicuna/answer/{path.name}")
    ]
    found = dropped(answers)
    assert found["answered"] + found["refusal"] >= 0.3 * len(answers)
    after = dropped((f"{question}\n\n{answer}", question) for answer, question in answers)
    assert after["answered"] + after["refusal"] >= 0.2 * len(answers)

"""The stored samples of lm-evaluation-harness 0.4.13, and small benchmarks in our own words."""

import gzip
import json
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
SAMPLES = DATA / "lm_eval_fixtures" / "samples"


def logged(name):
    """What the harness logged: prompts and log-likelihoods."""
    with gzip.open(SAMPLES / f"samples_local_{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def arguments(row):
    return [(said["arg_0"], said["arg_1"]) for said in row["arguments"].values()]


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def arc_row(number, answer="A", **fields):
    return {
        "id": f"Q{number}",
        "question": f"What is {number} and {number}?",
        "choices": {"text": [str(2 * number), "a cat", "nothing"], "label": ["A", "B", "C"]},
        "answerKey": answer,
    } | fields


def mmlu_row(number, subject="astronomy", **fields):
    return {
        "question": f" How many moons has planet {number}? ",
        "subject": subject,
        "choices": ["none", "one", "two", "many"],
        "answer": number % 4,
    } | fields


def hellaswag_row(number, **fields):
    return {
        "activity_label": "Cooking",
        "ctx_a": f"Cook {number} stands there. [title] Then",
        "ctx_b": "the Cook",
        "endings": ["stirs [substeps] it.", "flies  away.", "sleeps."],
        "label": "0",
    } | fields


def truthful_row(number):
    return {
        "question": f"What is {number}?",
        "mc1_targets": {"choices": ["a number", "a dog"], "labels": [1, 0]},
        "mc2_targets": {"choices": ["a number", "a numeral", "a dog"], "labels": [1, 1, 0]},
    }

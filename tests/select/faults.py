"""Real rows of several kinds, and faults planted in them: our own wording, so that what is planted is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from evolute.records import Message, Row

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
SEED_ROWS = "seeds/self_instruct_seed_tasks.jsonl"
REFERENCES = "mt_bench/reference_answer/gpt-4.jsonl"
MODELS = ("gpt-4", "claude-v1", "gpt-3.5-turbo", "vicuna-33b-v1.3")
VICUNA = ("answer_gpt35.jsonl", "answer_bard.jsonl", "answer_vicuna-13b.jsonl")


def row(
    instruction: str, response: str | None, *, input: str = "", history: tuple[Message, ...] = (), source: str = ""
) -> Row:
    """A row from elsewhere: no lineage, only what was asked and answered."""
    return Row("s1-0", "", "s1-0", 0, "", instruction, input, response, "", history, "", "", "", source, 0)


def _lines(path: str) -> Iterator[dict]:
    with (DATA / path).open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def seed_rows() -> Iterator[Row]:
    """The Self-Instruct seeds with the answer of their first instance."""
    for task in _lines(SEED_ROWS):
        instance = task["instances"][0]
        yield row(task["instruction"], instance["output"], input=instance["input"], source="self-instruct")


def mt_bench_rows(path: str) -> Iterator[Row]:
    """Both turns of MT-Bench as a file of answers has them."""
    questions = {question["question_id"]: question["turns"] for question in _lines("mt_bench/question.jsonl")}
    for answers in _lines(path):
        asked, said = questions[answers["question_id"]], answers["choices"][0]["turns"]
        yield row(asked[0], said[0], source=path)
        before = (Message("user", asked[0]), Message("assistant", said[0]))
        yield row(asked[1], said[1], history=before, source=path)


def vicuna_rows(name: str) -> Iterator[Row]:
    """The 80 Vicuna questions as one model answered them."""
    questions = {question["question_id"]: question["text"] for question in _lines("vicuna/question.jsonl")}
    for answer in _lines(f"vicuna/answer/{name}"):
        yield row(questions[answer["question_id"]], answer["text"], source=name)


def clean_rows() -> list[Row]:
    """Rows that people and good models wrote, in a fixed order."""
    rows = [*seed_rows(), *mt_bench_rows(REFERENCES)]
    for model in MODELS:
        rows += mt_bench_rows(f"mt_bench/model_answer/{model}.jsonl")
    for name in VICUNA:
        rows += vicuna_rows(name)
    return rows

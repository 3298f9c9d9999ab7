"""Copies, near copies, other wordings and benchmarks' items planted among real prompts: found, each by its own step.

The clean rows are the 175 seeds of Self-Instruct and the 80 Vicuna questions with an answer: 255 different prompts.
"""

import gzip
import json
from dataclasses import replace

import pytest
from faults import DATA, VICUNA, row, seed_rows, vicuna_rows

from evolute.encoders.static import shipped
from evolute.records import Message
from evolute.select.contamination import contamination
from evolute.select.duplicates import exact_duplicates, near_duplicates
from evolute.select.semantic import semantic_duplicates
from evolute.text.contamination import load_corpora

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real rows are not here: {DATA}"),
]
NEAR, SEMANTIC = 0.8, 0.85
"""The recipe's threshold for near duplicates, and a cosine that other wordings of one question reach with the static
encoder (docs/select.md says what else lies there)."""
REWORDED = {
    "How can I improve my time management skills?": "In which ways could my skills at managing time be improved?",
    "What are the most effective ways to deal with stress?": "Which ways of dealing with stress are most effective?",
    "How can I increase my productivity while working from home?": (
        "I am working from home. What would increase my productivity there?"
    ),
    "Can you explain the basics of quantum computing?": "Give an explanation of quantum computing and its basics.",
    "How can I develop my critical thinking skills?": "What helps to develop skills in critical thinking?",
    "What if the Suez Canal had never been constructed?": (
        "Suppose that nobody had constructed the Suez Canal: what then?"
    ),
    "What if the Beatles had never formed as a band?": "Imagine the band of the Beatles was never formed.",
    "Implement a queue data structure using two stacks in Python.": (
        "In Python, use two stacks for an implementation of the data structure queue."
    ),
    "Write a knock knock joke about bananas.": "I want a joke on bananas, of the knock knock kind.",
    "Create a fun math question for children.": "Children like math that is fun: make a question for them.",
}  # fmt: skip
ITEMS = [
    ("humaneval/HumanEval.jsonl.gz", "prompt"),
    ("mbpp/mbpp_test_500.jsonl", "text"),
    ("gsm8k/test.jsonl", "question"),
    ("mmlu/test.jsonl", "question"),
    ("truthfulqa/mc_flat.jsonl", "question"),
    ("hellaswag/hellaswag_val.jsonl", "ctx"),
    ("mt_bench/question.jsonl", "turns"),
]
PER_BENCHMARK = 12
IN_BOTH = {241, 251}
"""The only clean rows in which an overlap is found, rightly: MT-Bench took these two Vicuna questions over whole."""


@pytest.fixture(scope="module")
def clean():
    return [*seed_rows(), *vicuna_rows(VICUNA[0])]


@pytest.fixture(scope="module")
def prompts(clean):
    return [one.prompt for one in clean]


def found_after(selection, count):
    """The planted rows, which stand after the clean ones, and the clean rows that were dropped."""
    dropped = {hit.row for hit in selection.dropped}
    return {number - count for number in dropped if number >= count}, {number for number in dropped if number < count}


def test_exact_copies(prompts):
    copies = ["\n".join(text.split()).upper() for text in prompts[::5]]
    selection = exact_duplicates(prompts + copies).select(1.0)
    assert found_after(selection, len(prompts)) == (set(range(51)), set())
    assert [hit.other for hit in selection.dropped] == list(range(0, 255, 5))


def test_near_copies(prompts):
    """One word in the middle is another, in each prompt of 30 words or more: too long for that to matter."""
    hosts = [number for number, text in enumerate(prompts) if len(text.split()) >= 30]
    copies = []
    for number in hosts:
        said = prompts[number].split()
        said[len(said) // 2] = "lighthouse"
        copies.append(" ".join(said))
    assert len(copies) == 61
    assert exact_duplicates(prompts + copies).select(1.0).dropped == []
    selection = near_duplicates(prompts + copies).select(NEAR)
    assert found_after(selection, len(prompts)) == (set(range(61)), set())
    assert [hit.other for hit in selection.dropped] == hosts


def test_other_wordings(prompts):
    """All ten, and one clean row: it ranks the same kind of countries by population as an earlier one lists."""
    said = [*prompts, *REWORDED.values()]
    assert near_duplicates(said).select(NEAR).dropped == []
    selection = semantic_duplicates(said, shipped()).select(SEMANTIC)
    planted, clean = found_after(selection, len(prompts))
    assert [prompts[hit.other] for hit in selection.dropped if hit.row >= len(prompts)] == list(REWORDED)
    assert (len(planted), len(clean)) == (10, 1)


def items(path, column):
    """Some of a benchmark's items that have 13 words or more, spread over it."""
    data = (DATA / path).read_bytes()
    lines = (gzip.decompress(data) if path.endswith(".gz") else data).decode().split("\n")
    texts = [json.loads(line)[column] for line in lines if line]
    long = [text for text in ((one if isinstance(one, str) else one[0]) for one in texts) if len(text.split()) >= 13]
    return long[:: max(1, len(long) // PER_BENCHMARK)][:PER_BENCHMARK]


@pytest.mark.parametrize(("path", "column"), ITEMS, ids=lambda value: value.partition("/")[0])
def test_items_of_what_ships(clean, path, column):
    """Verbatim, embedded in a real instruction, in an answer, and in a turn before; all four, of each item."""
    planted = []
    for text, host in zip(items(path, column), clean[::9], strict=False):
        before = (Message("user", f"{text}\n"), Message("assistant", "Let me think."))
        planted += [
            row(text, "I do not know."),
            replace(host, instruction=f"{host.instruction} Then answer this:\n\n{text.upper()}\n\nBe brief."),
            replace(host, response=f"{host.response}\n\nA question like it: {text}"),
            replace(host, history=before),
        ]
    assert len(planted) == 4 * PER_BENCHMARK
    selection = contamination([*clean, *planted], load_corpora()).select(13)
    assert found_after(selection, len(clean)) == (set(range(len(planted))), IN_BOTH)
    sides = [hit.evidence["side"] for hit in selection.dropped if hit.row >= len(clean)]
    assert sides == ["instruction", "instruction", "response", "context"] * PER_BENCHMARK

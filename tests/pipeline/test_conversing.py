"""Rows of files as conversations to train on."""

import orjson
import pytest

from evolute.errors import InputError
from evolute.pipeline.conversing import read_conversations
from evolute.pipeline.trainingdata import read_corpus


def turns(*marks):
    question, answer = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}
    return [turn for mark in marks for turn in (question, answer | mark)]


def written(path, *rows):
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("marks", "unlearned"),
    [
        (({}, {}), set()),
        (({"weight": 0}, {}), {1}),
        (({"weight": 0.0}, {"weight": 1}), {1}),
        (({"weight": None}, {"train": False}), {3}),
        (({"train": False}, {"train": True}), {1}),
    ],
)
def test_an_answer_says_itself_whether_it_is_learned(marks, unlearned, tmp_path):
    (found,) = read_conversations(written(tmp_path / "a.jsonl", {"messages": turns(*marks)}))
    assert found.unlearned == unlearned
    (found,) = read_conversations(written(tmp_path / "b.jsonl", {"messages": turns(*marks), "system": "Be kind."}))
    assert found.unlearned == {place + 1 for place in unlearned}


def test_what_is_learned_is_part_of_what_a_dataset_is(tmp_path):
    whole = written(tmp_path / "whole.jsonl", {"messages": turns({}, {})})
    marked = written(tmp_path / "marked.jsonl", {"messages": turns({"weight": 0}, {})})
    assert read_corpus(whole).digest != read_corpus(marked).digest


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": turns({"weight": 0.5}, {})}, r"line 1: a turn's 'weight' is 0\.5: 1 \(learned\) or 0"),
        ({"messages": turns({"train": "no"}, {})}, r"a turn's 'train' is 'no'"),
        ({"messages": turns({"weight": 0}, {"weight": 0})}, r"no answer is to be learned: each has weight 0"),
        ({"prompt": "Q", "chosen": "A", "rejected": "B"}, r"line 1: a pair of answers, .*--task prefer"),
        (
            {"prompt": turns({})[:1], "chosen": [], "rejected": []},
            r"--task prefer",
        ),
    ],
)
def test_rows_that_teach_nothing_say_why(row, message, tmp_path):
    with pytest.raises(InputError, match=message):
        list(read_conversations(written(tmp_path / "rows.jsonl", row)))


def test_a_row_with_a_pair_beside_its_conversation_is_one(tmp_path):
    row = {"messages": turns({}, {}), "prompt": "Q", "chosen": "A", "rejected": "B"}
    (found,) = read_conversations(written(tmp_path / "rows.jsonl", row))
    assert len(found.messages) == 4

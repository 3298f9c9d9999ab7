"""Where the instruction, the answer and the conversation are found in a row."""

import json
from pathlib import Path
from typing import Any

import pytest

from evolute.errors import SeedError
from evolute.records import Message, Seed
from evolute.seeds import SeedOptions, SeedReader

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Name a river."},
    {"role": "assistant", "content": "The Danube."},
    {"role": "user", "content": "Where does it end?"},
    {"role": "assistant", "content": "In the Black Sea."},
]
SHARED = [
    {"from": {"user": "human", "assistant": "gpt", "system": "system"}[turn["role"]], "value": turn["content"]}
    for turn in TALK
]
EARLIER = (Message("user", "Name a river."), Message("assistant", "The Danube."))


def seeds_of(folder: Path, *rows: Any, **options: Any) -> list[Seed]:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return list(SeedReader([str(path)], SeedOptions(**options)))


def parts(seed: Seed) -> tuple[str, str, str | None, str]:
    return seed.instruction, seed.input, seed.response, seed.system


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"instruction": "I", "input": "in", "output": "out"}, ("I", "in", "out", "")),
        ({"instruction": "I", "context": "in", "response": "out", "category": "c"}, ("I", "in", "out", "")),
        ({"id": 1, "instruction": "I", "instances": [{"input": "in", "output": "out"}]}, ("I", "in", "out", "")),
        ({"instruction": "I", "instances": []}, ("I", "", None, "")),
        ({"prompt": "P", "completion": "C"}, ("P", "", "C", "")),
        ({"Prompt": "P", "RESPONSE": "C"}, ("P", "", "C", "")),
        ({"question": "Q", "answer": 42}, ("Q", "", "42", "")),
        ({"system_prompt": "S", "question": "Q", "response": "R"}, ("Q", "", "R", "S")),
        ({"problem": "P", "solution": "long", "answer": "short"}, ("P", "", "long", "")),
        ({"query": "Q", "response": "R"}, ("Q", "", "R", "")),
        ({"input": "Q", "output": "R"}, ("Q", "", "R", "")),
        ({"text": "T"}, ("T", "", None, "")),
        ({"Instruction": "I", "Skill": "Math"}, ("I", "", None, "")),
        ({"user": "U", "assistant": "A"}, ("U", "", "A", "")),
        ({"prompt": "P", "response": "  "}, ("P", "", None, "")),
        ({"prompt": "P", "response": {"a": 1}}, ("P", "", None, "")),
        ({"instruction": "I", "input": None, "output": None}, ("I", "", None, "")),
        ({"instruction": " kept as it is\n", "input": ""}, (" kept as it is\n", "", None, "")),
        ("a bare string", ("a bare string", "", None, "")),
        ({"messages": TALK}, ("Where does it end?", "", "In the Black Sea.", "Be brief.")),
        ({"conversations": SHARED}, ("Where does it end?", "", "In the Black Sea.", "Be brief.")),
        ({"messages": json.dumps(TALK)}, ("Where does it end?", "", "In the Black Sea.", "Be brief.")),
        ({"prompt": TALK[:2]}, ("Name a river.", "", None, "Be brief.")),
        (TALK[1:2], ("Name a river.", "", None, "")),
        ({"messages": TALK[1:], "system": "Rule"}, ("Where does it end?", "", "In the Black Sea.", "Rule")),
        ({"prompt": "ignored", "messages": TALK[:2]}, ("Name a river.", "", None, "Be brief.")),
    ],
)
def test_parts_are_found(tmp_path: Path, row: Any, wanted: tuple[str, str, str | None, str]) -> None:
    (seed,) = seeds_of(tmp_path, row)
    assert parts(seed) == wanted


@pytest.mark.parametrize("row", [{"messages": TALK}, {"conversations": SHARED}])
def test_a_conversation_gives_its_last_question_or_each(tmp_path: Path, row: dict[str, Any]) -> None:
    (last,) = seeds_of(tmp_path, row)
    assert last.history == EARLIER
    first, second = seeds_of(tmp_path, row, every_turn=True)
    assert parts(first) == ("Name a river.", "", "The Danube.", "Be brief.")
    assert first.history == ()
    assert second == last


def test_an_unanswered_last_turn_has_no_response(tmp_path: Path) -> None:
    (seed,) = seeds_of(tmp_path, {"messages": TALK[:4]})
    assert seed.response is None
    assert seed.history == EARLIER


def test_text_parts_are_joined_and_other_parts_refused(tmp_path: Path) -> None:
    said = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    assert seeds_of(tmp_path, {"messages": said})[0].instruction == "a\nb"
    said[0]["content"] = [{"type": "image_url", "image_url": {"url": "x"}}]
    with pytest.raises(SeedError, match="line 1: a turn holds something other than text"):
        seeds_of(tmp_path, {"messages": said})


def test_questions_without_answers_give_the_first_or_each(tmp_path: Path) -> None:
    row = {"question_id": 81, "turns": ["Write a post.", "Rewrite it."]}
    assert [seed.instruction for seed in seeds_of(tmp_path, row)] == ["Write a post."]
    _, second = seeds_of(tmp_path, row, every_turn=True)
    assert second.history == (Message("user", "Write a post."),)


def test_history_pairs_become_turns(tmp_path: Path) -> None:
    row = {"instruction": "Where does it end?", "history": [["Name a river.", "The Danube."]]}
    assert seeds_of(tmp_path, row)[0].history == EARLIER


def test_each_row_is_read_by_its_own_fields(tmp_path: Path) -> None:
    rows = [
        {"instruction": "one"},
        {"instruction": "two", "output": "answered"},
        {"messages": TALK[:2]},
        {"prompt": "four", "instruction": None},
        "five",
        {"instruction": "six", "text": "not this"},
    ]
    seeds = seeds_of(tmp_path, *rows)
    assert [seed.instruction for seed in seeds] == ["one", "two", "Name a river.", "four", "five", "six"]
    assert seeds[1].response == "answered"


def test_the_files_own_column_goes_before_a_surer_name(tmp_path: Path) -> None:
    rows = [{"text": f"row {number}", "lang": "en"} for number in range(30)]
    assert seeds_of(tmp_path, *rows, {"text": "this", "prompt": "not this"})[-1].instruction == "this"


def test_the_named_column_is_used_and_the_answer_found_as_usual(tmp_path: Path) -> None:
    row = {"prompt": "not this", "task": {"body": "this"}, "Title": "or this", "answer": "A"}
    assert parts(seeds_of(tmp_path, row, column="title")[0]) == ("or this", "", "A", "")
    assert parts(seeds_of(tmp_path, row, column="task.body")[0]) == ("this", "", "A", "")
    assert seeds_of(tmp_path, {"turns": ["a b", "c"]}, column="turns")[0].instruction == "a b"


def test_an_id_depends_on_the_content_and_not_on_place_or_answer(tmp_path: Path) -> None:
    one, two = seeds_of(tmp_path, {"instruction": "same", "output": "a"}, {"prompt": "same", "answer": "b"})
    assert one.id == two.id
    assert one != two


def test_what_was_recognised_is_told_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"Prompt": "a"}\n{"Prompt": "b", "answer": "c"}')
    reader = SeedReader([str(path)])
    list(reader)
    (found,) = reader.recognised
    assert found.sentence == f"{path}: JSON Lines, prompts (instruction from 'Prompt', response from 'answer')"


def test_a_list_of_questions_can_be_taken_whole(tmp_path: Path) -> None:
    row = {"question_id": 81, "turns": ["Write a post.", "Rewrite it.", "Shorten it."]}
    (seed,) = seeds_of(tmp_path, row, whole=True)
    assert seed.instruction == "Shorten it."
    assert seed.history == (Message("user", "Write a post."), Message("user", "Rewrite it."))
    assert seeds_of(tmp_path, {"messages": TALK}, whole=True) == seeds_of(tmp_path, {"messages": TALK})


@pytest.mark.parametrize(
    ("name", "value", "label"),
    [("id", "a-1", "a-1"), ("idx", 7, 7), ("question_id", 81, 81), ("task_id", "é", "é"), ("id", True, None),
     ("id", 2**70, None), ("id", ["x"], None), ("id", "\ud800", None), ("other", 3, None)],
)  # fmt: skip
def test_a_seed_keeps_the_name_of_its_row(tmp_path: Path, name: str, value: Any, label: Any) -> None:
    (seed,) = seeds_of(tmp_path, {name: value, "instruction": "I"})
    assert seed.label == label
    assert seed == Seed("I", source=seed.source, line=1), "a name does not make another seed"
    (talk,) = seeds_of(tmp_path, {name: value, "messages": TALK})
    assert talk.label == label

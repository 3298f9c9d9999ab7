"""Preference pairs, in the forms that TRL's DPO reads."""

import json
from pathlib import Path

import pytest

from evolute.errors import InputError
from evolute.export import Preference, export_preferences
from evolute.records import Message, Row


def pair(root: int = 0, chosen: str = "5", rejected: str = "6", scores: tuple[float, float] = (9, 2.5)) -> Preference:
    row = Row(
        f"i1-{root}", f"s1-{root}", f"s1-{root}", 1, "deepening", "Add.", "2 3", "not this", "Be brief.",
        (Message("user", "Hi"), Message("assistant", "Hello")), "m", "", "m", "seeds.jsonl", root + 1,
    )  # fmt: skip
    return Preference(row, chosen, rejected, *scores)


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_turns(tmp_path):
    assert export_preferences([pair()], tmp_path / "p.jsonl") == {"train": 1}
    (record,) = records(tmp_path / "p.jsonl")
    assert [turn["role"] for turn in record["prompt"]] == ["system", "user", "assistant", "user"]
    assert record["prompt"][3]["content"] == "Add.\n\n2 3"
    assert record["chosen"] == [{"role": "assistant", "content": "5"}]
    assert record["rejected"] == [{"role": "assistant", "content": "6"}]
    assert (record["score_chosen"], record["score_rejected"], record["id"], record["line"]) == (9.0, 2.5, "i1-0", 1)


def test_text(tmp_path):
    export_preferences([pair()], tmp_path / "p.jsonl", format="preference-text", lineage=False)
    (record,) = records(tmp_path / "p.jsonl")
    assert record == {
        "prompt": "Be brief.\n\nHi\n\nHello\n\nAdd.\n\n2 3\n\n",
        "chosen": "5",
        "rejected": "6",
        "score_chosen": 9.0,
        "score_rejected": 2.5,
    }


def test_a_folder_with_shards_and_a_split(tmp_path):
    pairs = [pair(root, chosen) for root in range(20) for chosen in ("5", "five")]
    counts = export_preferences(pairs, tmp_path / "s", container="jsonl", shards=3, validation=4)
    assert counts == {"train": 36, "validation": 4}
    held = {one["root"] for one in records(tmp_path / "s" / "data" / "validation-00000-of-00001.jsonl")}
    trained = {
        one["root"] for path in (tmp_path / "s" / "data").glob("train-*-of-00003.jsonl") for one in records(path)
    }
    assert (len(held), len(trained)) == (2, 18)
    assert held.isdisjoint(trained)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rejected": "5"}, "i1-0: both responses are the same"),
        ({"scores": (5, 5)}, "i1-0: .* got 5 and 5; leave ties out"),
        ({"scores": (1, 5)}, "got 1 and 5"),
        ({"scores": (float("nan"), 5)}, "got nan and 5"),
    ],
)
def test_what_prefers_nothing_is_no_pair(changes, said):
    with pytest.raises(InputError, match=said):
        pair(**changes)


@pytest.mark.parametrize(
    ("out", "options", "said"),
    [
        ("p.jsonl", {"shards": 2}, r"p\.jsonl is one file"),
        ("p.csv", {}, r"not called \.csv"),
        ("p.jsonl", {"format": "messages"}, "unknown format 'messages': choose one of preference, preference-text"),
    ],
)
def test_an_impossible_wish_is_one_clear_error(tmp_path, out, options, said):
    with pytest.raises(InputError, match=said):
        export_preferences([pair()], tmp_path / out, **options)
    assert list(tmp_path.iterdir()) == []

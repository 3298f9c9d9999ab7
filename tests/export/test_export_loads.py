"""The `datasets` library loads what we export, with no network."""

import socket

import pytest

from evolute.export import Preference, export, export_folder, export_preferences, features
from evolute.records import Message, Row

pytestmark = pytest.mark.slow


@pytest.fixture
def datasets(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    datasets = pytest.importorskip("datasets", reason="the extra `parquet` is not installed")
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("datasets went online"))
    datasets.disable_progress_bars()
    return datasets


@pytest.fixture
def load(tmp_path, datasets):
    def load(*files, **options):
        builder = "parquet" if files[0].suffix == ".parquet" else "json"
        cache = str(tmp_path / "cache")
        return datasets.load_dataset(builder, data_files=[*map(str, files)], split="train", cache_dir=cache, **options)

    return load


@pytest.fixture
def load_folder(tmp_path, datasets):
    return lambda folder, **options: datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"), **options)


def row(number: int, **changes) -> Row:
    fields = {
        "id": f"i1-{number}", "parent": "s1-a", "root": f"s1-{number}", "round": 1, "operation": "deepening",
        "instruction": f"Add {number}.", "input": "", "response": "5", "system": "", "history": (),
        "evolver": "m", "judge": "", "responder": "m", "source": "seeds.jsonl", "line": number + 1,
    }  # fmt: skip
    return Row(**(fields | changes))


TALK = {"system": "Be brief.", "history": (Message("user", "Hi"), Message("assistant", "Hello"))}
SHAPES = ["alpaca", "sharegpt", "messages", "prompt-completion", "prompt-completion-text", "rows"]
CONTAINERS = ["parquet", "jsonl", "json", "jsonl.gz", "json.gz"]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("format", SHAPES)
def test_each_file_loads(tmp_path, load, format, container):
    out = tmp_path / f"x.{container}"
    export([row(0, **TALK), row(1)], format, out, reasoning=True)
    loaded = load(out)
    assert loaded.features == features(format, reasoning=True)
    assert loaded["id"][:] == ["i1-0", "i1-1"]
    assert loaded["verdict"][:] == ["kept", "kept"]
    if format in ("messages", "rows"):
        assert loaded[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    if format == "sharegpt":
        assert loaded[1]["conversations"] == [{"from": "human", "value": "Add 1."}, {"from": "gpt", "value": "5"}]
    if format == "alpaca":
        assert (loaded[0]["history"], loaded[1]["history"]) == ([["Hi", "Hello"]], [])
    if format == "prompt-completion":
        assert loaded[1]["completion"] == [{"role": "assistant", "content": "5"}]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("format", SHAPES)
def test_each_folder_loads_with_its_splits(tmp_path, load_folder, format, container):
    """The first shards hold no conversation, response or reasoning, from which no reader could tell their types."""
    rows = [row(number, response=None) for number in range(12)] + [row(12, **TALK), row(13, reasoning="so")]
    counts = export_folder(
        rows, format, tmp_path / "s", container=container, rows_per_shard=3, validation=0.3, reasoning=True
    )
    assert counts["validation"] > 1
    loaded = load_folder(tmp_path / "s")
    assert {split: len(part) for split, part in loaded.items()} == counts
    for part in loaded.values():
        assert part.features == features(format, reasoning=True)
    assert sorted(name for part in loaded.values() for name in part["id"]) == sorted(one.id for one in rows)


def test_a_folder_loads_though_no_row_fell_to_validation(tmp_path, load_folder):
    export_folder([row(0)], "alpaca", tmp_path / "s", validation=0.0001)
    loaded = load_folder(tmp_path / "s")
    assert {split: len(part) for split, part in loaded.items()} == {"train": 1}


def test_conversations_that_come_late_in_a_file_load_with_the_features(tmp_path, load):
    rows = [row(number) for number in range(200)] + [row(200, **TALK)]
    export(rows, "alpaca", tmp_path / "a.jsonl")
    loaded = load(tmp_path / "a.jsonl", chunksize=16 << 10, features=features("alpaca"))
    assert loaded[200]["history"] == [["Hi", "Hello"]]


@pytest.mark.parametrize("format", ["preference", "preference-text"])
@pytest.mark.parametrize("container", ["parquet", "jsonl"])
def test_preferences_load(tmp_path, load, load_folder, format, container):
    pairs = [Preference(row(number, **TALK), "5", "6", 9, 2) for number in range(9)]
    export_preferences(pairs, tmp_path / f"p.{container}", format=format)
    assert load(tmp_path / f"p.{container}").features == features(format)
    counts = export_preferences(pairs, tmp_path / "s", format=format, container=container, shards=2, validation=2)
    loaded = load_folder(tmp_path / "s")
    assert {split: len(part) for split, part in loaded.items()} == counts == {"train": 7, "validation": 2}
    assert loaded["train"].features == features(format)
    assert loaded["train"]["score_chosen"][0] == 9.0


@pytest.mark.parametrize(("format", "suffix"), [("alpaca", ".jsonl"), ("messages", ".jsonl"), ("rows", ".parquet")])
def test_a_column_that_is_empty_in_one_file_loads_with_another(tmp_path, load, format, suffix):
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    export([row(0, response=None, source="")], format, first, reasoning=True)
    export([row(1, input="2 3", reasoning="so", judge="j")], format, second, reasoning=True)
    loaded = load(first, second)
    assert [value or "" for value in loaded["reasoning"]] == ["", "so"]
    assert loaded["judge"][:] == ["", "j"]

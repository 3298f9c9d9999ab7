"""The `datasets` library loads what we export, with no network."""

import socket

import pytest

from evolute.export import export
from evolute.records import Message, Row

pytestmark = pytest.mark.slow


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    datasets = pytest.importorskip("datasets", reason="the extra `parquet` is not installed")
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("datasets went online"))
    datasets.disable_progress_bars()

    def load(*files):
        builder = "parquet" if files[0].suffix == ".parquet" else "json"
        names = [str(file) for file in files]
        return datasets.load_dataset(builder, data_files=names, split="train", cache_dir=str(tmp_path / "cache"))

    return load


def row(number: int, **changes) -> Row:
    fields = {
        "id": f"i1-{number}", "parent": "s1-a", "root": "s1-a", "round": 1, "operation": "deepening",
        "instruction": f"Add {number}.", "input": "", "response": "5", "system": "", "history": (),
        "evolver": "m", "judge": "", "responder": "m", "source": "seeds.jsonl", "line": 3,
    }  # fmt: skip
    return Row(**(fields | changes))


FILES = [
    ("alpaca", "a.json"), ("alpaca", "a.jsonl"), ("alpaca", "a.jsonl.gz"), ("sharegpt", "s.json"),
    ("sharegpt", "s.jsonl"), ("messages", "m.jsonl"), ("messages", "m.json.gz"), ("parquet", "p.parquet"),
]  # fmt: skip


@pytest.mark.parametrize(("format", "name"), FILES)
def test_each_format_loads(tmp_path, load, format, name):
    talk = row(0, system="Be brief.", history=(Message("user", "Hi"), Message("assistant", "Hello")))
    export([talk, row(1)], format, tmp_path / name)
    loaded = load(tmp_path / name)
    assert len(loaded) == 2
    assert loaded["id"][:] == ["i1-0", "i1-1"]
    assert loaded["verdict"][:] == ["kept", "kept"]
    assert loaded.features["line"].dtype == "int64"
    if format in ("messages", "parquet"):
        assert loaded[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    if format == "sharegpt":
        assert loaded[1]["conversations"] == [{"from": "human", "value": "Add 1."}, {"from": "gpt", "value": "5"}]
    if format == "alpaca":
        assert (loaded[0]["history"], loaded[1]["history"]) == ([["Hi", "Hello"]], [])


@pytest.mark.parametrize(("format", "suffix"), [("alpaca", ".jsonl"), ("messages", ".jsonl"), ("parquet", ".parquet")])
def test_a_column_that_is_empty_in_one_file_loads_with_another(tmp_path, load, format, suffix):
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    export([row(0, response=None, source="")], format, first, reasoning=True)
    export([row(1, input="2 3", reasoning="so", judge="j")], format, second, reasoning=True)
    loaded = load(first, second)
    assert [value or "" for value in loaded["reasoning"]] == ["", "so"]
    assert loaded["judge"][:] == ["", "j"]

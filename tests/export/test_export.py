import gzip
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.errors import InputError, MissingExtra
from evolute.export import export
from evolute.records import Message, Row

LINEAGE = ["id", "parent", "root", "round", "operation", "verdict", "evolver", "judge", "responder", "source", "line"]


def row(**changes) -> Row:
    fields = {
        "id": "i1-b", "parent": "s1-a", "root": "s1-a", "round": 1, "operation": "deepening",
        "instruction": "Add.", "input": "", "response": "5", "system": "", "history": (),
        "evolver": "m", "judge": "m", "responder": "m", "source": "seeds.jsonl", "line": 3,
    }  # fmt: skip
    return Row(**(fields | changes))


TALK = row(
    system="Be brief.",
    history=(Message("user", "Hi"), Message("assistant", "Hello")),
    input="2 3",
    reasoning="2+3=5",
)


def written(rows, format, out: Path, **options) -> list[dict]:
    assert export(rows, format, out, **options) == len(rows)
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def test_alpaca(tmp_path):
    plain, talk = written([row(), TALK], "alpaca", tmp_path / "a.jsonl", lineage=False)
    assert plain == {"instruction": "Add.", "input": "", "output": "5", "system": "", "history": []}
    assert talk == {
        "instruction": "Add.",
        "input": "2 3",
        "output": "5",
        "system": "Be brief.",
        "history": [["Hi", "Hello"]],
    }


def test_alpaca_pairs_whatever_the_turns_are(tmp_path):
    turns = [("assistant", "1"), ("user", "2"), ("user", "3"), ("system", "S"), ("assistant", "4"), ("assistant", "5")]
    odd = row(system="R", history=tuple(Message(role, text) for role, text in turns))
    (record,) = written([odd], "alpaca", tmp_path / "a.jsonl")
    assert record["history"] == [["", "1"], ["2", ""], ["3", "4"], ["", "5"]]
    assert record["system"] == "R\n\nS"


def test_sharegpt(tmp_path):
    (record,) = written([TALK], "sharegpt", tmp_path / "s.jsonl", lineage=False)
    assert record == {
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "Hi"},
            {"from": "gpt", "value": "Hello"},
            {"from": "human", "value": "Add.\n\n2 3"},
            {"from": "gpt", "value": "5"},
        ]
    }


def test_messages(tmp_path):
    (record,) = written([TALK], "messages", tmp_path / "m.jsonl", lineage=False)
    assert [turn["role"] for turn in record["messages"]] == ["system", "user", "assistant", "user", "assistant"]
    assert record["messages"][3]["content"] == "Add.\n\n2 3"


def test_prompt_completion(tmp_path):
    (record,) = written([TALK], "prompt-completion", tmp_path / "p.jsonl", lineage=False)
    assert [turn["role"] for turn in record["prompt"]] == ["system", "user", "assistant", "user"]
    assert record["prompt"][3]["content"] == "Add.\n\n2 3"
    assert record["completion"] == [{"role": "assistant", "content": "5"}]


def test_prompt_completion_as_text_keeps_the_conversation(tmp_path):
    (record,) = written([TALK], "prompt-completion-text", tmp_path / "p.jsonl", lineage=False)
    assert record == {"prompt": "Be brief.\n\nHi\n\nHello\n\nAdd.\n\n2 3\n\n", "completion": "5"}


def test_rows_are_the_same_in_both_containers_but_for_what_is_not_there(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    lines = written([TALK, row(response=None)], "rows", tmp_path / "r.jsonl", reasoning=True)
    export([TALK, row(response=None)], "rows", tmp_path / "r.parquet", reasoning=True)
    first, second = parquet.read_table(tmp_path / "r.parquet").to_pylist()
    assert first == lines[0]
    assert (second["response"], second["reasoning"]) == (None, None)
    assert second | {"response": "", "reasoning": ""} == lines[1]


@pytest.mark.parametrize("format", ["alpaca", "sharegpt", "messages", "prompt-completion", "rows"])
def test_lineage_and_reasoning_are_columns_of_every_row(tmp_path, format):
    records = written([row(), TALK], format, tmp_path / "x.jsonl", reasoning=True)
    assert [record["reasoning"] for record in records] == ["", "2+3=5"]
    for record in records:
        assert list(record)[-len(LINEAGE) :] == LINEAGE
        assert (record["round"], record["verdict"], record["line"]) == (1, "kept", 3)


def test_without_a_response_there_is_no_answering_turn(tmp_path):
    asked = row(response=None)
    assert written([asked], "alpaca", tmp_path / "a.jsonl")[0]["output"] == ""
    assert written([asked], "messages", tmp_path / "m.jsonl")[0]["messages"] == [{"role": "user", "content": "Add."}]
    assert written([asked], "prompt-completion", tmp_path / "p.jsonl")[0]["completion"] == []
    assert written([asked], "sharegpt", tmp_path / "s.jsonl")[0]["conversations"][-1]["from"] == "human"


def test_json_is_an_array_and_an_empty_one_is_an_array_too(tmp_path):
    out = tmp_path / "a.json"
    for rows in ([], [row()], [row(), TALK]):
        assert export(rows, "alpaca", out) == len(rows)
        assert len(json.loads(out.read_bytes())) == len(rows)


def test_gzip_says_neither_when_nor_where(tmp_path):
    for name in ("one.jsonl.gz", "other.jsonl.gz"):
        export([row(), TALK], "messages", tmp_path / name)
    export([row(), TALK], "messages", tmp_path / "plain.jsonl")
    packed = (tmp_path / "one.jsonl.gz").read_bytes()
    assert packed == (tmp_path / "other.jsonl.gz").read_bytes()
    assert packed[4:8] == b"\0\0\0\0"
    assert gzip.decompress(packed) == (tmp_path / "plain.jsonl").read_bytes()


def test_parquet_bytes_do_not_depend_on_when_or_where(tmp_path):
    pytest.importorskip("pyarrow")
    for name in ("one.parquet", "other.parquet"):
        export((row(line=n) for n in range(5000)), "parquet", tmp_path / name)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()


def test_parquet_columns(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    export([TALK, row(response=None)], "parquet", tmp_path / "p.parquet", reasoning=True)
    table = parquet.read_table(tmp_path / "p.parquet")
    assert table.column_names == ["messages", "instruction", "input", "response", "reasoning", *LINEAGE]
    first, second = table.to_pylist()
    assert [turn["role"] for turn in first["messages"]] == ["system", "user", "assistant", "user", "assistant"]
    assert (first["response"], first["reasoning"], first["round"]) == ("5", "2+3=5", 1)
    assert (second["response"], second["reasoning"]) == (None, None)
    export([row(response=None)], "parquet", tmp_path / "n.parquet", lineage=False)
    nothing = parquet.read_table(tmp_path / "n.parquet")
    assert nothing.column_names == ["messages", "instruction", "input", "response"]
    assert str(nothing.schema.field("response").type) == "string"


def test_parquet_without_pyarrow_is_a_missing_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"evolute\[parquet\]"):
        export([row()], "parquet", tmp_path / "p.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("format", "name", "said"),
    [
        ("alpaca", "a", r"a: the name does not say what the file is.*\.jsonl, \.json .*or \.parquet"),
        ("messages", "a.csv", r"not called \.csv"),
        ("parquet", "a.jsonl", r"a\.jsonl.*parquet.*use \.parquet"),
        ("parquet", "a.parquet.gz", r"not called \.gz"),
        ("alpaca", "a.parquet.gz", r"alpaca"),
        ("csv", "a.csv", r"unknown format 'csv'.*alpaca, sharegpt, messages, .*parquet"),
        ("alpaca", "nowhere/a.json", r"no folder .*nowhere"),
        ("alpaca", ".", r"is a folder"),
    ],
)
def test_a_wrong_place_or_format_is_one_clear_error(tmp_path, format, name, said):
    with pytest.raises(InputError, match=said):
        export([row()], format, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_not_replaced():
    with pytest.raises(InputError, match="not a regular file"):
        export([row()], "alpaca", Path(os.devnull))


def test_a_folder_without_permission_is_named():
    script = """
import os, sys
from pathlib import Path
from evolute.errors import InputError
from evolute.export import export
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
try:
    export([], "alpaca", Path(sys.argv[1]))
except InputError as error:
    print(error)
"""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders let nobody but their owner in
        Path(folder).chmod(0o555)
        done = subprocess.run([sys.executable, "-c", script, f"{folder}/a.jsonl"], capture_output=True, text=True)
    assert done.stderr == ""
    assert re.search(r"a\.jsonl: cannot be written: Permission denied", done.stdout)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    out = tmp_path / "a.jsonl"
    out.write_text("old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"a\.jsonl: cannot be written: No space left on device"):
        export([row()], "alpaca", out)
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.jsonl.gz", "x.parquet"])
def test_when_the_rows_end_in_an_error_the_old_file_stays(tmp_path, name):
    def rows():
        yield row()
        raise KeyboardInterrupt

    format = "parquet" if name.endswith("parquet") else "messages"
    if format == "parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / name
    out.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        export(rows(), format, out)
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jsonl").write_text("old")
    link = tmp_path / "a.jsonl"
    link.symlink_to(tmp_path / "real" / "a.jsonl")
    export([row()], "alpaca", link)
    assert link.is_symlink()
    assert json.loads((tmp_path / "real" / "a.jsonl").read_text())["output"] == "5"


texts = st.text(max_size=40)
turns = st.builds(Message, st.sampled_from(["user", "assistant"]), texts)
rows = st.builds(
    row,
    instruction=texts,
    input=texts,
    response=st.none() | texts,
    system=texts,
    history=st.lists(turns, max_size=4).map(tuple),
    source=texts,
    line=st.integers(0, 2**40),
    reasoning=st.none() | texts,
)


@given(st.lists(rows, max_size=8), st.sampled_from(["alpaca", "sharegpt", "messages"]), st.booleans())
def test_any_text_comes_back_as_it_went(tmp_path_factory, given_rows, format, array):
    out = tmp_path_factory.mktemp("export") / ("x.json" if array else "x.jsonl")
    assert export(given_rows, format, out, reasoning=True) == len(given_rows)
    data = out.read_bytes()
    found = orjson.loads(data) if array else [orjson.loads(line) for line in io.BytesIO(data)]
    assert len(found) == len(given_rows)
    for one, record in zip(given_rows, found, strict=True):
        assert (record["source"], record["line"], record["reasoning"]) == (one.source, one.line, one.reasoning or "")
        if format == "alpaca":
            assert (record["instruction"], record["input"], record["output"]) == (
                one.instruction, one.input, one.response or "",
            )  # fmt: skip
        else:
            said = [list(turn.values())[1] for turn in record["messages" if format == "messages" else "conversations"]]
            before = [one.system] * bool(one.system) + [turn.content for turn in one.history]
            assert said[: len(before)] == before
            assert len(said) == len(before) + 1 + (one.response is not None)


def test_verified_rows_say_so_with_their_tests(tmp_path):
    tests = "assert add(2, 3) == 5"
    rows = [row(verified=True, tests=tests), row(verified=False, tests=tests), row()]
    lines = written(rows, "messages", tmp_path / "x.jsonl", verification=True)
    assert [(line["verified"], line["tests"]) for line in lines] == [(True, tests), (False, tests), (False, "")]
    parquet = pytest.importorskip("pyarrow.parquet")
    export(rows, "parquet", tmp_path / "x.parquet", verification=True)
    assert parquet.read_table(tmp_path / "x.parquet").column("verified").to_pylist() == [True, False, False]
    assert "verified" not in written(rows, "messages", tmp_path / "y.jsonl")[0]

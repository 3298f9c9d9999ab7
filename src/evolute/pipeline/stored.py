"""Judgments that others stored, summed up: what `evolute evaluate alpaca-eval|mt-bench|vicuna --judgments` does."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from evolute.errors import InputError
from evolute.evaluate.judged.rows import read_rows
from evolute.files import replacing
from evolute.pipeline.storedannotations import sum_up_annotations
from evolute.pipeline.storedverdicts import sum_up_mt_bench, sum_up_reviews
from evolute.pipeline.storing import Stored, StoredBenchmark

__all__ = ["Stored", "StoredBenchmark", "sum_up_stored", "write_stored"]


def sum_up_stored(benchmark: StoredBenchmark, judgments: Sequence[Path], data: Path | None = None) -> Stored:
    """Read files of judgments and sum them up, a result for each model (and opponent, and judge, where they differ).

    What some model of the files is judged on, or `data` has, and another is not, is unscored for that other.

    Args:
        benchmark: whose judgments they are.
        judgments: the files; gzip's are unpacked.
        data: a file or folder of questions (or the folder above one called alpaca_eval, mt_bench or vicuna); for
            AlpacaEval of instructions, and of what the length-controlled win rate needs; for reviews of 2023 also of
            the answers, which name the models.

    Raises:
        InputError: a file cannot be read, or holds a row that is wrong or comes twice.
        MissingExtra: a length-controlled win rate must be fitted, and scikit-learn is not installed.
    """
    if not judgments:
        raise InputError("no judgments: give --judgments FILE")
    if data is not None and not data.exists():
        raise InputError(f"--data: there is no {data}")
    own = data / _FOLDERS[benchmark] if data is not None else None
    with _no_search_for_cycles():
        try:
            stored = _SUMMING[benchmark](judgments, own if own is not None and own.is_dir() else data)
        except InputError:
            _check_kind(benchmark, judgments)
            raise
    scores = {name: replace(score, benchmark=benchmark) for name, score in stored.scores.items()}
    return replace(stored, benchmark=benchmark, scores=scores)


def _check_kind(benchmark: StoredBenchmark, judgments: Sequence[Path]) -> None:
    """Look that no file is of another benchmark's kind."""
    for path in judgments:
        fields = {"generator_2"} if path.name.removesuffix(".gz").endswith(".csv") else read_rows(path)[0].fields.keys()
        kind = next((kind for kind, names in _KINDS.items() if names & set(fields)), benchmark)
        if kind != benchmark and (kind, benchmark) != ("vicuna", "wizardlm"):
            raise InputError(
                f"{path}: not {benchmark}'s judgments, but as those of {kind} are: evolute evaluate {kind} --judgments "
                "reads them"
            )


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Rows make none, and to look for one among fifty thousand of them takes as long as all the rest."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def write_stored(stored: Stored, out: Path) -> list[Path]:
    """Write results.json and the judgments in others' formats into a folder, which is made if need be.

    Raises:
        InputError: it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made: {error.strerror or error}") from None
    scores = {"scores": {name: score.to_json() for name, score in stored.scores.items()}}
    written = []
    contents = {"results.json": lambda: (json.dumps(scores, indent=1) + "\n").encode(), **stored.files}
    for name, content in contents.items():
        with replacing(out / name) as file:
            file.write(content())
        written.append(out / name)
    return written


_FOLDERS: Mapping[StoredBenchmark, str] = {
    "alpaca-eval": "alpaca_eval", "mt-bench": "mt_bench", "vicuna": "vicuna", "wizardlm": "wizardlm",
}  # fmt: skip
_KINDS: Mapping[StoredBenchmark, set[str]] = {
    "alpaca-eval": {"generator_1", "generator_2"}, "mt-bench": {"turn", "g1_winner"}, "vicuna": {"answer1_id"},
}  # fmt: skip
"""Fields by which others' files of judgments are told apart."""
_SUMMING: Mapping[StoredBenchmark, Callable[[Sequence[Path], Path | None], Stored]] = {
    "alpaca-eval": sum_up_annotations,
    "mt-bench": sum_up_mt_bench,
    "vicuna": sum_up_reviews,
    "wizardlm": sum_up_reviews,
}

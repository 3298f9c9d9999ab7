"""Results read back from their folders, and put side by side: a page, a comparison."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from evolute import __version__
from evolute.errors import InputError
from evolute.evaluate.differences import paired
from evolute.evaluate.published import WIZARDLM_30B_BY_SKILL, published
from evolute.pipeline.summary import RESULTS
from evolute.report.scorecard import Difference, Reading, Reference, Scorecard, Side, write_scorecard
from evolute.scores import Score

PAGE = "evaluation.html"


def holds_scores(folder: Path) -> bool:
    """Whether it is the folder of an evaluation or of a suite of them."""
    return next(_result_files(folder), None) is not None


def read_scores(folder: Path) -> dict[str, Score]:
    """The scores in an evaluation's folder, or in the folders of a suite's, by benchmark.

    Raises:
        InputError: there is none, or one cannot be read.
    """
    scores: dict[str, Score] = {}
    for file in _result_files(folder):
        score = _read(file)
        if score.benchmark in scores:
            raise InputError(f"{folder}: two results of {score.benchmark} in it: give the folder of one evaluation")
        scores[score.benchmark] = score
    if not scores:
        raise InputError(f"{folder}: no results here: give the --out folder of an evaluation that has ended")
    return scores


def scorecard(
    title: str, sides: Mapping[str, Mapping[str, Score]], *, readings: Sequence[Reading] = (),
    left_out: Mapping[str, str] | None = None,
) -> Scorecard:  # fmt: skip
    """Everything the page shows of some models' scores, by label and benchmark; differences are of each two."""
    benchmarks = dict.fromkeys(name for scores in sides.values() for name in scores)
    references = {name: rows for name in benchmarks if (rows := _published(name, sides))}
    return Scorecard(
        title=title,
        version=__version__,
        sides=[Side(label, scores) for label, scores in sides.items()],
        references=references,
        published_groups={"wizardlm": ("skill", WIZARDLM_30B_BY_SKILL)} if "wizardlm" in references else {},
        differences=list(differences(sides)),
        wins=[one for one in readings if one.score > 0],
        losses=[one for one in readings if one.score < 0],
        left_out=left_out or {},
    )


def _published(benchmark: str, sides: Mapping[str, Mapping[str, Score]]) -> list[Reference]:
    """The published rows, if they measure what each side's score does."""
    held = [scores[benchmark] for scores in sides.values() if benchmark in scores]
    rows = [list(published(benchmark, score.metric, score.against)) for score in held]
    return [Reference(row.model, row.value, row.source) for row in rows[0]] if all(rows) else []


def differences(sides: Mapping[str, Mapping[str, Score]]) -> Iterator[Difference]:
    """The paired differences of each two models on each benchmark that both have."""
    for (one, mine), (other, theirs) in combinations(sides.items(), 2):
        for benchmark in mine:
            if benchmark in theirs:
                found = paired(mine[benchmark], theirs[benchmark])
                better = (other, one) if mine[benchmark].scale == "nats" else (one, other)  # of a loss, less
                told = found.told.replace("the first", better[0]).replace("the second", better[1])
                if found.left and found.n:
                    told += f" ({found.left:,} items that only one has scored are left out)"
                if found.n and found.otherwise:
                    told += f"; they also differ in {', '.join(found.otherwise)}"
                yield Difference(benchmark, one, other, found.measure, found.n, told)


def compare_scores(folders: Sequence[Path]) -> tuple[dict[str, dict[str, Score]], list[Difference]]:
    """The scores in some evaluations' folders by label, and their paired differences.

    Raises:
        InputError: a folder holds no results, or there are fewer than two.
    """
    if len(folders) < 2:
        raise InputError(f"compare wants two folders or more, got {len(folders)}")
    sides = {label: read_scores(folder) for label, folder in zip(_labels(folders), folders, strict=True)}
    return sides, list(differences(sides))


def write_page(card: Scorecard, page: Path) -> Path:
    """Write a scorecard's page; see `evolute.report.scorecard.write_scorecard`."""
    return write_scorecard(card, page)


def _labels(folders: Sequence[Path]) -> list[str]:
    """The folders' names; their paths, where two have one name."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _result_files(folder: Path) -> Iterator[Path]:
    own = folder / RESULTS
    yield from [own] if own.is_file() else sorted(folder.glob(f"*/{RESULTS}"))


def _read(file: Path) -> Score:
    try:
        said = json.loads(file.read_bytes())
        if "scores" in said:
            raise InputError(
                f"{file}: sums of {len(said['scores'])} models' stored judgments, and no evaluation of one model"
            )
        return Score.from_json(said["score"])
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise InputError(f"{file}: no results of this version of Evolute ({error}): evaluate again") from None

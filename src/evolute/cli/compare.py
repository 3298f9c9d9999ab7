"""`evolute compare`: runs, or evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evolute.cli.scores import scores_as_json, show_scores
from evolute.cli.screen import Json, money, out, say, write_json
from evolute.errors import InputError
from evolute.pipeline.comparing import Comparison, Mean, Share, Side
from evolute.pipeline.comparing import compare as compare_runs
from evolute.pipeline.scorecards import compare_scores, holds_scores, scorecard, write_page
from evolute.text import printable

_NONE = "–"
_LONGEST_VALUE = 60


def compare(
    *runs: Path,
    page: Path | None = None,
    json: Json = False,
) -> None:
    """Show runs side by side: how their recipes differ, and what came out. Or evaluations: paired, with the doubt.

    Works on runs that are read-only or still being written: each is shown as it stands at one moment. Of evaluations
    every benchmark that two have in common is compared question by question.

    Args:
        runs: The runs' folders, two or more; or as many folders of evaluations.
        page: Of evaluations: write the comparison as HTML to this file, too.
    """
    if runs and all(map(holds_scores, runs)):
        _compare_scores(runs, page, json)
        return
    if any(map(holds_scores, runs)):
        others = ", ".join(str(run) for run in runs if not holds_scores(run))
        raise InputError(
            f"{others}: no evaluation that has ended, and the others are evaluations: compare like with like"
        )
    if page is not None:
        raise InputError(f"--page {str(page)!r}: only evaluations have one; `evolute report RUN` writes a run's")
    comparison = compare_runs(runs)
    if json:
        write_json(_plain(comparison))
    else:
        _show(out(), comparison)


def _compare_scores(folders: Sequence[Path], page: Path | None, json: bool) -> None:
    sides, differences = compare_scores(folders)
    card = scorecard(" and ".join(sides), sides)
    if json:
        write_json(scores_as_json(sides, differences))
    else:
        show_scores(out(), card)
    if page is not None:
        say(f"the page: {write_page(card, page)}")


def _plain(comparison: Comparison) -> dict[str, Any]:
    return {
        "recipe": comparison.recipe,
        "runs": [
            {
                "summary": side.summary,
                "cost_per_kept": side.summary.cost_per_kept,
                "rows": side.rows,
                "kept_by_operation": {name: _share(share) for name, share in side.kept_by_operation.items()},
                "kept_by_round": {round_: _share(share) for round_, share in side.kept_by_round.items()},
                "instruction_words": side.instruction_words,
                "response_words": side.response_words,
                "difficulty": side.difficulty,
                "selected": side.selected,
                "unselected": side.unselected,
            }
            for side in comparison.sides
        ],
        "overlaps": comparison.overlaps,
    }


def _share(share: Share) -> dict[str, Any]:
    low, high = share.interval
    return {"kept": share.part, "of": share.whole, "share": share.share, "low": low, "high": high}


def _show(console: Console, comparison: Comparison) -> None:
    sides = comparison.sides
    for name, side in zip(_names(sides), sides, strict=True):
        console.print(Text(printable(f"{name}  {side.summary.run}"), style="bold"))
    _table(console, "recipe: what differs", sides, _recipe(comparison.recipe))
    _table(console, "what came out", sides, _outcome(sides))
    _table(console, "kept of evolved instructions, by round", sides, _by_round(sides, lambda side: side.kept_by_round))
    operations = sorted({name for side in sides for name in side.kept_by_operation})
    _table(
        console,
        "and by operation",
        sides,
        [(name, [_kept(side.kept_by_operation.get(name)) for side in sides]) for name in operations],
    )
    console.print("  in brackets: Wilson's 95 % interval, in per cent")
    _table(console, "reasons to drop (share of evolved)", sides, _reasons(sides))
    _table(console, "words of an instruction, mean by round", sides, _means(sides, lambda side: side.instruction_words))
    _table(console, "words of a response, mean by round", sides, _means(sides, lambda side: side.response_words))
    if any(side.difficulty for side in sides):
        marks = _means(sides, lambda side: side.difficulty, errors=True)
        _table(console, "difficulty by round: mean ± standard error (rows)", sides, marks)
    if any(side.selected is not None for side in sides):
        _table(console, "selection", sides, _selection(sides))
    _show_overlaps(console, comparison)


def _names(sides: Sequence[Side]) -> list[str]:
    """A for the first run, B for the second, and so on."""
    return [ascii_uppercase[place] if place < 26 else str(place + 1) for place in range(len(sides))]


def _table(console: Console, title: str, sides: Sequence[Side], rows: Iterable[tuple[str, Sequence[str]]]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in _names(sides):
        table.add_column(name, justify="right", overflow="fold")
    for name, cells in rows:
        table.add_row(Text(printable(name)), *(Text(printable(cell)) for cell in cells))
    if table.row_count:
        console.print()
        console.print(Text(title, style="bold"))
        console.print(table)


def _recipe(differing: Mapping[str, Sequence[Any]]) -> list[tuple[str, list[str]]]:
    return [(name, [_value(value) for value in values]) for name, values in differing.items()]


def _value(value: object) -> str:
    if value is None:
        return _NONE
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def _outcome(sides: Sequence[Side]) -> list[tuple[str, list[str]]]:
    shown: list[tuple[str, Callable[[Side], str]]] = [
        ("seeds", lambda side: f"{side.summary.seeds:,}"),
        ("of these finished", lambda side: f"{side.summary.finished:,}"),
        ("rows", lambda side: f"{side.rows:,}"),
        ("kept of evolved", lambda side: _kept(_evolved(side))),
        ("calls", lambda side: f"{side.summary.calls:,}"),
        ("tokens in", lambda side: f"{side.summary.prompt_tokens:,}"),
        ("tokens out", lambda side: f"{side.summary.completion_tokens:,}"),
        ("cost", lambda side: money(side.summary.cost)),
        ("cost per kept instruction", lambda side: money(side.summary.cost_per_kept)),
    ]
    return [(name, [cell(side) for side in sides]) for name, cell in shown]


def _evolved(side: Side) -> Share:
    return Share(side.summary.kept, side.summary.kept + sum(side.summary.dropped.values()))


def _kept(share: Share | None) -> str:
    if share is None or not share.whole:
        return _NONE
    low, high = share.interval
    return f"{share.part:,}/{share.whole:,} {share.share:.0%} [{100 * low:.0f}–{100 * high:.0f}]"


def _by_round(sides: Sequence[Side], part: Callable[[Side], Mapping[int, Share]]) -> list[tuple[str, list[str]]]:
    rounds = sorted({round_ for side in sides for round_ in part(side)})
    return [(f"round {round_}", [_kept(part(side).get(round_)) for side in sides]) for round_ in rounds]


def _means(
    sides: Sequence[Side], part: Callable[[Side], Mapping[int, Mean]], *, errors: bool = False
) -> list[tuple[str, list[str]]]:
    def cell(mean: Mean | None) -> str:
        if mean is None:
            return _NONE
        error = "" if mean.error is None else f" ± {mean.error:.2f}"
        return f"{mean.mean:.2f}{error} ({mean.n:,})" if errors else f"{mean.mean:,.1f}"

    rounds = sorted({round_ for side in sides for round_ in part(side)})
    names = [f"round {round_}" if round_ else "seeds" for round_ in rounds]
    return [
        (name, [cell(part(side).get(round_)) for side in sides]) for name, round_ in zip(names, rounds, strict=True)
    ]


def _reasons(sides: Sequence[Side]) -> list[tuple[str, list[str]]]:
    reasons = sorted(
        {reason for side in sides for reason in side.summary.dropped},
        key=lambda reason: (-max(side.summary.dropped.get(reason, 0) for side in sides), reason),
    )

    def cell(side: Side, reason: str) -> str:
        count, of = side.summary.dropped.get(reason, 0), _evolved(side).whole
        return f"{count:,} {count / of:.1%}" if count else _NONE

    return [(reason, [cell(side, reason) for side in sides]) for reason in reasons]


def _selection(sides: Sequence[Side]) -> list[tuple[str, list[str]]]:
    reasons = sorted({reason for side in sides for reason in side.unselected})
    kept = [_NONE if side.selected is None else f"{side.selected:,}" for side in sides]
    return [
        ("rows selected", kept),
        *((f"dropped: {reason}", [f"{side.unselected.get(reason, 0):,}" for side in sides]) for reason in reasons),
    ]


def _show_overlaps(console: Console, comparison: Comparison) -> None:
    names = _names(comparison.sides)
    console.print()
    console.print(Text("in common (instructions: the same words, whatever their case and punctuation)", style="bold"))
    for overlap in comparison.overlaps:
        pair = f"{names[overlap.one]} and {names[overlap.other]}"
        console.print(f"{pair}: {overlap.seeds:,} seeds, {overlap.instructions:,} different instructions")

"""What stored judgments come to, for people and for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from evolute.cli.screen import out, write_json
from evolute.pipeline.stored import Stored, StoredBenchmark, sum_up_stored, write_stored
from evolute.text import printable

_COLUMNS: Mapping[StoredBenchmark, Mapping[str, str]] = {
    "alpaca-eval": {
        "win rate": "win_rate",
        "from": "low",
        "to": "high",
        "standard error": "standard_error",
        "length-controlled": "length_controlled_winrate",
        "wins": "n_wins",
        "draws": "n_draws",
        "losses": "n_wins_base",
        "scored": "n_total",
        "unscored": "unscored",
    },
    "mt-bench": {
        "score": "score",
        "from": "low",
        "to": "high",
        "against": "against",
        "wins": "wins",
        "ties": "ties",
        "losses": "losses",
        "scored": "n",
        "unscored": "unscored",
    },
    "vicuna": {
        "% of the opponent's": "score",
        "from": "low",
        "to": "high",
        "total": "total",
        "opponent": "opponent_total",
        "against": "against",
        "wins": "wins",
        "ties": "ties",
        "losses": "losses",
        "scored": "n",
        "unscored": "unscored",
    },
}
_NOTES = 4
"""Models whose notes fit a screen; --json has all."""


_COLUMNS = {**_COLUMNS, "wizardlm": _COLUMNS["vicuna"]}


def show_stored(
    benchmark: StoredBenchmark, judgments: Sequence[Path], data: Path | None, folder: Path | None, *, as_json: bool
) -> None:
    """Sum up files of judgments, write the results if a folder is given, and show them."""
    stored = sum_up_stored(benchmark, judgments, data)
    written = write_stored(stored, folder) if folder is not None else []
    if as_json:
        write_json(stored.rows)
        return
    console = out()
    console.print(_table(stored))
    for line in [*_notes(stored), *(f"written: {path}" for path in written)]:
        console.print(Text(printable(line)), soft_wrap=True)


def _table(stored: Stored) -> Table:
    rows = sorted(stored.rows.items(), key=lambda row: -(_headline(row[1]) or 0.0))
    columns = {
        head: name
        for head, name in _COLUMNS[stored.benchmark].items()
        if any(row.get(name) not in (None, "") for _, row in rows) or name == _headline_name(rows[0][1])
    }
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for head in columns:
        table.add_column(head, justify="right")
    for model, row in rows:
        table.add_row(Text(printable(model)), *(Text(_cell(row.get(name))) for name in columns.values()))
    return table


def _headline_name(row: Mapping[str, Any]) -> str:
    return "win_rate" if "n_total" in row else "score"


def _headline(row: Mapping[str, Any]) -> float | None:
    value: float | None = row[_headline_name(row)]
    return value


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}" if isinstance(value, float) else printable(str(value))


def _notes(stored: Stored) -> list[str]:
    if len(stored.rows) > _NOTES:
        unscored = [name for name, row in stored.rows.items() if row["unscored"]]
        told = f"unscored judgments: {', '.join(unscored)}" if unscored else "every judgment is scored"
        return [f"{told}; what is known of the judge and of each model: --json"]
    return [f"{name}: {note}" for name, row in stored.rows.items() for note in row["notes"]]

"""What goes between a ledger and the sink: calls, executions, lineages and seeds as Parquet files, never changed.

A call or an execution is a fact under its key, valid under any recipe; a lineage (with its candidates) was reached by
one recipe, whose fingerprint its file's name ends in. Rows are read from one ledger and put into another with the same
positions of seeds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any

from evolute.errors import LedgerDamaged, MissingExtra
from evolute.ledger import Reader

CALLS, EXECUTIONS, LINEAGES, SEEDS = "calls", "executions", "lineages", "seeds"
CALLS_OF = ("evolve_call", "judge_call", "respond_call")
"""The columns of a candidate that name a call."""

_TEXT, _BLOB, _WHOLE, _REAL = "string", "binary", "int64", "float64"
_ANSWER = {
    "text": _TEXT, "failure": _TEXT, "finish": _TEXT, "reasoning": _TEXT, "served": _TEXT, "detail": _TEXT,
    "prompt_tokens": _WHOLE, "completion_tokens": _WHOLE, "reasoning_tokens": _WHOLE, "cached_tokens": _WHOLE,
    "latency": _REAL, "attempts": _WHOLE, "logprobs": _TEXT,
}  # fmt: skip
_CALL = {"key": _BLOB, "role": _TEXT, "identity": _BLOB, "model": _TEXT, "share": _REAL, **_ANSWER}
_EXECUTION = {"key": _BLOB, "value": _TEXT}
_CANDIDATE = {
    "round": _WHOLE, "slot": _WHOLE, "attempt": _WHOLE, "id": _BLOB, "parent": _BLOB, "operation": _TEXT,
    "template": _BLOB, "instruction": _TEXT, "reason": _TEXT, "evidence": _TEXT, "evolve_call": _BLOB,
    "judge_call": _BLOB, "respond_call": _BLOB, "verification": _TEXT,
}  # fmt: skip
_LINEAGE = {"seed": _WHOLE, "finished": "bool", "why": _TEXT, "candidates": _CANDIDATE}
_SEED = {
    "position": _WHOLE, "id": _BLOB, "instruction": _TEXT, "input": _TEXT, "response": _TEXT, "system": _TEXT,
    "history": _TEXT, "source": _TEXT, "line": _WHOLE,
}  # fmt: skip
_COLUMNS: dict[str, Mapping[str, Any]] = {CALLS: _CALL, EXECUTIONS: _EXECUTION, LINEAGES: _LINEAGE, SEEDS: _SEED}

_CALL_ROWS = f"""SELECT c.id, c.key, c.role, m.identity, m.name, m.share, {", ".join(f"c.{name}" for name in _ANSWER)}
    FROM calls c LEFT JOIN models m ON m.id = c.model WHERE c.id > ?"""
_USED = """SELECT d.{} FROM candidates d JOIN lineages l ON l.seed = d.seed AND l.why IS NULL WHERE d.{} IS NOT NULL"""
_OPEN_CALLS = f"""{_CALL_ROWS} AND c.key NOT IN ({
    " UNION ALL ".join(_USED.format(call, call) for call in CALLS_OF)
}) ORDER BY c.id LIMIT ?"""
_SEED_ROWS = """SELECT s.position, s.id, s.instruction, s.input, s.response, s.system, s.history, o.path, s.line
    FROM seeds s LEFT JOIN sources o ON o.id = s.source WHERE s.position BETWEEN ? AND ? ORDER BY s.position"""
_SAID = "text, failure, finish, reasoning, detail"


def encode(table: str, rows: Sequence[Sequence[Any]]) -> bytes:
    """Rows of a table (in the order of its columns) as a Parquet file.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    arrow, parquet = _arrow()
    columns = _COLUMNS[table]
    schema = arrow.schema([(name, _type(arrow, kind)) for name, kind in columns.items()])
    values = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in columns]
    out = BytesIO()
    parquet.write_table(arrow.table(values, schema=schema), out, compression="zstd")
    return out.getvalue()


def decode(table: str, data: bytes, name: str) -> list[tuple[Any, ...]]:
    """The rows of a file that `encode` made; `name` is what an error calls it.

    Raises:
        LedgerDamaged: it is no such file.
    """
    arrow, parquet = _arrow()
    try:
        found = parquet.read_table(BytesIO(data), columns=list(_COLUMNS[table]))
        columns = [found.column(name).to_pylist() for name in _COLUMNS[table]]
    except (arrow.ArrowException, KeyError) as error:
        raise LedgerDamaged(f"{name} in the sink is not a segment that this Evolute can read: {error}") from None
    return list(zip(*columns, strict=True))


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("segments (pyarrow)", "scale") from None
    return pyarrow, parquet


def _type(arrow: Any, kind: str | Mapping[str, str]) -> Any:  # noqa: ANN401 - pyarrow has no types
    if isinstance(kind, str):
        return arrow.type_for_alias(kind)
    return arrow.list_(arrow.struct([(name, _type(arrow, part)) for name, part in kind.items()]))


# Out of a ledger


def calls_after(reader: Reader, last: int, count: int) -> tuple[int, list[tuple[Any, ...]]]:
    """So many calls recorded after the one numbered `last`, and the number of the last of these."""
    rows = list(reader.select(f"{_CALL_ROWS} ORDER BY c.id LIMIT ?", last, count))
    return (rows[-1][0] if rows else last), [row[1:] for row in rows]


def open_calls_after(reader: Reader, last: int, count: int) -> tuple[int, list[tuple[Any, ...]]]:
    """As `calls_after`, without those of candidates of finished lineages."""
    rows = list(reader.select(_OPEN_CALLS, last, count))
    return (rows[-1][0] if rows else last), [row[1:] for row in rows]


def call_rows(reader: Reader, keys: Iterable[bytes]) -> list[tuple[Any, ...]]:
    """The calls of these keys."""
    return [row[1:] for key in keys for row in reader.select(f"{_CALL_ROWS} AND c.key = ?", 0, key)]


def execution_rows(reader: Reader, known: set[bytes]) -> list[tuple[Any, ...]]:
    """The executions recorded, without the known ones."""
    return [row for row in reader.select("SELECT key, value FROM executions") if row[0] not in known]


def seed_rows(reader: Reader, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    """The seeds from one position to another, both included."""
    return reader.select(_SEED_ROWS, first, last)


def lineage_row(reader: Reader, seed: int, *, finished: bool, why: str | None) -> tuple[Any, ...]:
    """A lineage with its candidates."""
    names = list(_CANDIDATE)
    found = reader.select(
        f"SELECT {', '.join(names)} FROM candidates WHERE seed = ? ORDER BY round, slot, attempt", seed
    )
    return seed, finished, why, [dict(zip(names, row, strict=True)) for row in found]


# Into a ledger, within the transaction of whoever calls


def put_calls(db: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> list[bytes]:
    """Record calls; one that is recorded already stays. Returns the keys of those that were answered otherwise."""
    _introduce(db, {tuple(row[1:5]) for row in rows})
    models: dict[bytes, int] = dict(db.execute("SELECT identity, id FROM models"))
    differing = []
    for key, _, _, _, _, *answer in rows:
        known = db.execute(f"SELECT {_SAID} FROM calls WHERE key = ?", (key,)).fetchone()
        text, failure, finish, reasoning, _, detail = answer[:6]
        if known is not None and known != (text, failure, finish, reasoning, detail):
            differing.append(key)
    db.executemany(
        f"INSERT OR IGNORE INTO calls (key, role, model, {', '.join(_ANSWER)}) VALUES (?, ?, ?{', ?' * len(_ANSWER)})",
        [(key, role, models.get(identity), *answer) for key, role, identity, _, _, *answer in rows],
    )
    return differing


def _introduce(db: sqlite3.Connection, models: Iterable[tuple[Any, ...]]) -> None:
    for role, identity, name, share in models:
        if identity is not None:
            db.execute("INSERT OR IGNORE INTO models (identity, name, share) VALUES (?, ?, ?)", (identity, name, share))
            db.execute(
                "INSERT OR IGNORE INTO totals (role, model) SELECT ?, id FROM models WHERE identity = ?",
                (role, identity),
            )


def put_executions(db: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> None:
    """Record executions; one that is recorded already stays."""
    db.executemany("INSERT OR IGNORE INTO executions VALUES (?, ?)", rows)


def put_lineages(db: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> None:
    """Record lineages with their candidates, each as a whole; one that is finished already stays."""
    for seed, finished, why, candidates in rows:
        known = db.execute("SELECT 1 FROM lineages WHERE seed = ? AND why IS NULL", (seed,)).fetchone()
        if known:
            continue
        db.execute("DELETE FROM candidates WHERE seed = ?", (seed,))
        db.executemany(
            f"INSERT INTO candidates (seed, {', '.join(_CANDIDATE)}) VALUES (?{', ?' * len(_CANDIDATE)})",
            [(seed, *(one[name] for name in _CANDIDATE)) for one in candidates],
        )
        if finished or why is not None:
            db.execute("INSERT OR REPLACE INTO lineages VALUES (?, ?)", (seed, why))


def put_seeds(db: sqlite3.Connection, rows: Sequence[Sequence[Any]], *, only: set[int] | None = None) -> None:
    """Record seeds at their positions; one that is there already stays."""
    for path in sorted({row[7] or "" for row in rows}):
        db.execute("INSERT OR IGNORE INTO sources (path) VALUES (?)", (path,))
    sources: dict[str, int] = dict(db.execute("SELECT path, id FROM sources"))
    db.executemany(
        f"INSERT OR IGNORE INTO seeds (position, {', '.join(list(_SEED)[1:])}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(*row[:7], sources[row[7] or ""], row[8]) for row in rows if only is None or row[0] in only],
    )

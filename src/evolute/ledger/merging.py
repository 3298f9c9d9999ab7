"""Several ledgers into a new one, table by table inside SQLite: no row passes through Python, so memory stays flat.

Seeds keep the order of the runs, and within one its reading order. A seed of several runs counts once, with the lineage
of the first run that finished it, or else of the first that has it. A call is kept once, by its key. What a selection
measured is left behind (it counts rows); vectors are taken along (they are paid for, and named by their text).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from evolute.errors import LedgerError, RunBusy
from evolute.ledger.lock import describe, holder
from evolute.ledger.reader import LEDGER, Reader, connect, damaged
from evolute.ledger.schema import migrate

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_CACHE_KIB = 128 * 1024  # the index of the calls' keys is written in random order
_CALL = """role, text, failure, finish, reasoning, served, detail, prompt_tokens, completion_tokens, reasoning_tokens,
    cached_tokens, latency, attempts, logprobs"""
_CALLS = ", ".join(f"c.{name.strip()}" for name in _CALL.split(","))
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

# `chosen` says whose lineage a seed keeps, and how many runs have it; the others translate one run's numbers.
_SCRATCH = """
    CREATE TEMP TABLE chosen (seed INTEGER PRIMARY KEY, run INTEGER, finished INTEGER, runs INTEGER);
    CREATE TEMP TABLE moved (old INTEGER PRIMARY KEY, new INTEGER);
    CREATE TEMP TABLE model_of (old INTEGER PRIMARY KEY, new INTEGER);
"""
_SEEDS = (
    "INSERT OR IGNORE INTO sources (path) SELECT path FROM one.sources ORDER BY id",
    """INSERT OR IGNORE INTO seeds (id, instruction, input, response, system, history, source, line)
        SELECT s.id, s.instruction, s.input, s.response, s.system, s.history, n.id, s.line FROM one.seeds s
        LEFT JOIN one.sources o ON o.id = s.source LEFT JOIN main.sources n ON n.path = o.path ORDER BY s.position""",
    """INSERT INTO chosen SELECT n.position, :run, l.seed IS NOT NULL, 1 FROM one.seeds s
        CROSS JOIN main.seeds n ON n.id = s.id LEFT JOIN one.lineages l ON l.seed = s.position AND l.why IS NULL
        WHERE true ORDER BY s.position
        ON CONFLICT (seed) DO UPDATE SET runs = runs + 1, finished = max(finished, excluded.finished),
            run = CASE WHEN excluded.finished > finished THEN excluded.run ELSE run END""",
)
_LINEAGES = (
    "DELETE FROM moved",
    """INSERT INTO moved SELECT s.position, n.position FROM one.seeds s CROSS JOIN main.seeds n ON n.id = s.id
        CROSS JOIN chosen k ON k.seed = n.position WHERE k.run = :run""",
    # The lineage was grown with this run's response to the seed.
    """UPDATE seeds SET response = s.response, line = s.line, source = (
            SELECT n.id FROM one.sources o JOIN main.sources n ON n.path = o.path WHERE o.id = s.source)
        FROM moved m CROSS JOIN chosen k ON k.seed = m.new CROSS JOIN one.seeds s ON s.position = m.old
        WHERE seeds.position = m.new AND k.runs > 1""",
    "INSERT OR IGNORE INTO templates SELECT hash, name, text FROM one.templates",
    """INSERT INTO candidates SELECT m.new, c.round, c.slot, c.attempt, c.id, c.parent, c.operation, c.template,
        c.instruction, c.reason, c.evidence, c.evolve_call, c.judge_call, c.respond_call, c.verification
        FROM moved m CROSS JOIN one.candidates c ON c.seed = m.old ORDER BY m.old""",
    "INSERT INTO lineages SELECT m.new, l.why FROM moved m CROSS JOIN one.lineages l ON l.seed = m.old ORDER BY m.old",
    "INSERT OR IGNORE INTO vectors SELECT key, vector FROM one.vectors",
)
_MODELS = (
    "INSERT OR IGNORE INTO models (identity, name, share) SELECT identity, name, share FROM one.models ORDER BY id",
    "DELETE FROM model_of",
    "INSERT INTO model_of SELECT o.id, n.id FROM one.models o JOIN main.models n ON n.identity = o.identity",
    # The trigger on calls adds to the totals that are there.
    """INSERT OR IGNORE INTO totals (role, model)
        SELECT t.role, x.new FROM one.totals t JOIN model_of x ON x.old = t.model""",
)
_TAKE = f"INSERT OR IGNORE INTO calls (key, model, {_CALL}) SELECT c.key, x.new, {_CALLS}"
# Where runs share a seed, what its lineage rests on goes first: another run may have other answers, or have found
# otherwise (an execution that ran out of time there).
_SHARED = "FROM moved m CROSS JOIN chosen k ON k.seed = m.new CROSS JOIN one.candidates d ON d.seed = m.old"
_SHARED_CALLS = f"""{_TAKE} {_SHARED}
    CROSS JOIN one.calls c ON c.key IN (d.evolve_call, d.judge_call, d.respond_call)
    LEFT JOIN model_of x ON x.old = c.model WHERE k.runs > 1 ORDER BY m.old"""
_FURTHER_CALLS = f"""{_TAKE} {_SHARED} CROSS JOIN json_each(d.verification, '$.calls') v
    CROSS JOIN one.calls c ON c.key = unhexed(v.value)
    LEFT JOIN model_of x ON x.old = c.model WHERE k.runs > 1 ORDER BY m.old"""
_SHARED_EXECUTIONS = f"""INSERT OR IGNORE INTO executions SELECT e.key, e.value {_SHARED}
    CROSS JOIN json_each(d.verification, '$.executions') v
    CROSS JOIN one.executions e ON e.key = unhexed(v.value) WHERE k.runs > 1"""
_ALL_EXECUTIONS = "INSERT OR IGNORE INTO executions SELECT key, value FROM one.executions"
_ALL_CALLS = f"{_TAKE} FROM one.calls c LEFT JOIN model_of x ON x.old = c.model ORDER BY c.id"
_DIFFERING = """SELECT count(*) FROM one.calls c CROSS JOIN main.calls n ON n.key = c.key
    WHERE (c.text, c.failure, c.finish, c.reasoning, c.detail)
        IS NOT (n.text, n.failure, n.finish, n.reasoning, n.detail)"""


@dataclass(frozen=True, slots=True)
class MergedLedger:
    """What came of it.

    `shared` counts the seeds of several runs, `recorded` the calls of all runs, `calls` the different ones of these,
    `differing` how often a run had another answer than the one that was kept.
    """

    shared: int
    recorded: int
    calls: int
    differing: int


@contextlib.contextmanager
def not_written(run: Path) -> Iterator[None]:
    """Keep every process from writing a run while the block lasts, without changing anything in it.

    Raises:
        RunBusy: a process writes it.
    """
    with contextlib.ExitStack() as stack:
        lock = run / "run.lock"
        if fcntl is not None and lock.is_file():
            file = stack.enter_context(lock.open("rb"))
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                raise RunBusy(
                    f"{run} is being written by {describe(holder(run))}: wait for it, or stop it (nothing is lost)"
                ) from None
        yield


def merge_ledgers(runs: Sequence[Path], out: Path, say: Callable[[str], None] = lambda remark: None) -> MergedLedger:
    """Write the ledger `out`, a file that does not exist, with all that the ledgers of `runs` hold.

    The runs must be of one fingerprint. Nothing of the file may be used unless this returns: it is written without a
    journal, for its folder to be put in place as a whole.

    Raises:
        LedgerError: a run's ledger is damaged, or `out` cannot be written.
    """
    db = connect(out, write=True)
    try:
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            db.execute(f"PRAGMA {setting}")
        migrate(db)
        db.executescript(_SCRATCH)
        merged = _merge(db, runs, out, say)
    finally:
        db.close()
    _sync(out)
    return merged


def _merge(db: sqlite3.Connection, runs: Sequence[Path], out: Path, say: Callable[[str], None]) -> MergedLedger:
    recorded = 0
    for number, run in enumerate(runs):
        with _attached(db, run, out):
            _run(db, _SEEDS, number)
        say(f"{run}: seeds read")
    for number, run in enumerate(runs):
        with _attached(db, run, out):
            _run(db, (*_LINEAGES, *_MODELS, _SHARED_CALLS, _FURTHER_CALLS, _SHARED_EXECUTIONS), number)
        say(f"{run}: lineages read")
    for number, run in enumerate(runs):
        with _attached(db, run, out):
            _run(db, (*_MODELS, _ALL_CALLS, _ALL_EXECUTIONS), number)
            recorded += _count(db, "SELECT count(*) FROM one.calls")
        say(f"{run}: calls read")
    calls = _count(db, "SELECT count(*) FROM main.calls")
    differing = 0
    if recorded > calls:
        for run in runs:
            with _attached(db, run, out):
                differing += _count(db, _DIFFERING)
    with _failing(out, out):
        _keep_notes(db, runs)
    shared = _count(db, "SELECT count(*) FROM chosen WHERE runs > 1")
    return MergedLedger(shared, recorded, calls, differing)


def take_back(out: Path, seeds: Sequence[int]) -> None:
    """Take the verdicts on these seeds out of a ledger: they are derived again, from its calls, on resuming."""
    db = connect(out, write=True)
    try:
        with _failing(out, out):
            db.execute("PRAGMA journal_mode = OFF")
            for table in ("candidates", "lineages"):
                db.executemany(f"DELETE FROM {table} WHERE seed = ?", ((seed,) for seed in seeds))
    finally:
        db.close()
    _sync(out)


def _keep_notes(db: sqlite3.Connection, runs: Sequence[Path]) -> None:
    """What the runs say of themselves. Which files were read to their end is not kept: resuming with one reads it."""
    rows: Counter[str] = Counter()
    bad = 0
    notes: dict[str, str] = {}
    for run in runs:
        with Reader(run) as reader:
            rows.update(orjson.loads(reader.meta("rows") or "{}"))
            bad += int(reader.meta("bad_rows") or 0)
            for name in ("fingerprint", "respond", "craft"):
                notes.setdefault(name, reader.meta(name) or "")
    notes |= {"stopped": "", "rows": orjson.dumps(dict(rows)).decode(), "bad_rows": str(bad)}
    db.executemany("INSERT INTO main.meta VALUES (?, ?)", notes.items())


@contextlib.contextmanager
def _attached(db: sqlite3.Connection, run: Path, out: Path) -> Iterator[None]:
    """The ledger of `run` as the database `one`, for reading only."""
    path = run / LEDGER
    mode = "ro"
    if not os.access(run, os.W_OK):  # as `connect`
        log = path.with_name(f"{path.name}-wal")
        if log.is_file() and log.stat().st_size:
            raise LedgerError(
                f"{run} cannot be written to, and its last session was cut off: what that recorded cannot be read "
                "there. Copy the whole folder to where it can be written, and merge the copy"
            )
        mode += "&immutable=1"
    with _failing(path, out):
        db.execute("ATTACH ? AS one", (f"{path.resolve().as_uri()}?mode={mode}",))
        yield
        db.execute("DETACH one")


@contextlib.contextmanager
def _failing(path: Path, out: Path) -> Iterator[None]:
    """Say which file an SQLite error is about."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in _DAMAGE:
            raise damaged(path, error) from None
        raise LedgerError(f"cannot write {out}: {error}. The runs are unchanged") from None


def _run(db: sqlite3.Connection, statements: Sequence[str], run: int) -> None:
    db.execute("BEGIN")
    for statement in statements:
        db.execute(statement, {"run": run} if ":run" in statement else {})
    db.execute("COMMIT")


def _count(db: sqlite3.Connection, sql: str) -> int:
    return int(db.execute(sql).fetchone()[0])


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())

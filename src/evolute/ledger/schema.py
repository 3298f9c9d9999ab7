"""The ledger's tables, as numbered migrations. A migration that has shipped is never edited: add another."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from evolute.errors import LedgerDamaged, LedgerTooNew

APPLICATION_ID = 0x45564F4C  # "EVOL"

Migration = Callable[[sqlite3.Connection], None]
MIGRATIONS: list[Migration] = []


def migration(function: Migration) -> Migration:
    """Append a migration; its place in the list is its number."""
    MIGRATIONS.append(function)
    return function


@migration
def m001_initial(db: sqlite3.Connection) -> None:
    """Seeds, calls, candidates and lineages; templates, models and sources once each; running totals of the calls."""
    for statement in (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",
        "CREATE TABLE templates (hash BLOB PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE models (id INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE, name TEXT NOT NULL)",
        "CREATE TABLE sources (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE)",
        # `position` is the reading order, which every export follows.
        """CREATE TABLE seeds (
            position INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, instruction TEXT NOT NULL, input TEXT,
            response TEXT, system TEXT, history TEXT, source INTEGER REFERENCES sources, line INTEGER)""",
        # A lineage without a row has not been finished; with `why` it was left over, and is tried again.
        "CREATE TABLE lineages (seed INTEGER PRIMARY KEY REFERENCES seeds, why TEXT)",
        """CREATE TABLE calls (
            id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, role TEXT NOT NULL, model INTEGER REFERENCES models,
            text TEXT, failure TEXT, finish TEXT, reasoning TEXT, served TEXT, detail TEXT,
            prompt_tokens INTEGER, completion_tokens INTEGER, reasoning_tokens INTEGER, cached_tokens INTEGER,
            latency REAL, attempts INTEGER)""",
        # Kept by the trigger, in the transaction of the call itself, so that the bill never needs a scan of all calls.
        """CREATE TABLE totals (
            role TEXT, model INTEGER REFERENCES models, calls INTEGER DEFAULT 0, prompt_tokens INTEGER DEFAULT 0,
            completion_tokens INTEGER DEFAULT 0, reasoning_tokens INTEGER DEFAULT 0, cached_tokens INTEGER DEFAULT 0,
            seconds REAL DEFAULT 0, attempts INTEGER DEFAULT 0, PRIMARY KEY (role, model)) WITHOUT ROWID""",
        """CREATE TRIGGER calls_total AFTER INSERT ON calls BEGIN
            UPDATE totals SET calls = calls + 1, prompt_tokens = prompt_tokens + new.prompt_tokens,
                completion_tokens = completion_tokens + new.completion_tokens,
                reasoning_tokens = reasoning_tokens + new.reasoning_tokens,
                cached_tokens = cached_tokens + new.cached_tokens,
                seconds = seconds + new.latency, attempts = attempts + new.attempts
            WHERE role = new.role AND model = new.model; END""",
        # `reason` is NULL for a kept candidate; `instruction` is NULL where it is its evolve call's
        # text to the letter, and empty where nothing in that text could be one.
        """CREATE TABLE candidates (
            seed INTEGER, round INTEGER, slot INTEGER, attempt INTEGER, id BLOB NOT NULL, parent BLOB NOT NULL,
            operation TEXT NOT NULL, template BLOB, instruction TEXT, reason TEXT, evidence TEXT,
            evolve_call BLOB, judge_call BLOB, respond_call BLOB,
            PRIMARY KEY (seed, round, slot, attempt)) WITHOUT ROWID""",
    ):
        db.execute(statement)


@migration
def m002_selection(db: sqlite3.Connection) -> None:
    """What the steps of a selection measured, what it dropped and flagged, the grader's marks, and more responses.

    `row` is a row's number in the dataset, from 0 in seed order: it holds as long as the dataset is the one measured,
    which `steps.key` and the note `selection` say.
    """
    for statement in (
        """CREATE TABLE steps (
            id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, key TEXT NOT NULL, note TEXT)""",
        """CREATE TABLE findings (
            step INTEGER NOT NULL REFERENCES steps, row INTEGER NOT NULL, reason TEXT NOT NULL, score REAL NOT NULL,
            other INTEGER, evidence TEXT)""",
        "CREATE INDEX findings_by_step ON findings (step, row)",
        # Kept rows have no entry; a dropped row has one, a flagged row one per flag.
        """CREATE TABLE unselected (
            row INTEGER PRIMARY KEY, step TEXT NOT NULL, reason TEXT NOT NULL, score REAL NOT NULL, other INTEGER,
            evidence TEXT)""",
        """CREATE TABLE flags (
            row INTEGER NOT NULL, step TEXT NOT NULL, reason TEXT NOT NULL, score REAL NOT NULL, other INTEGER,
            evidence TEXT)""",
        "CREATE INDEX flags_by_row ON flags (row)",
        # `value` is NULL where the grader's reply was none; `evidence` then holds the reply.
        """CREATE TABLE grades (
            kind TEXT NOT NULL, row INTEGER NOT NULL, value REAL, evidence TEXT, call BLOB,
            PRIMARY KEY (kind, row)) WITHOUT ROWID""",
        # Responses to one instruction, marked against each other; the dataset's own is sample 0, without a call here.
        """CREATE TABLE samples (
            row INTEGER NOT NULL, sample INTEGER NOT NULL, call BLOB NOT NULL, score REAL,
            PRIMARY KEY (row, sample)) WITHOUT ROWID""",
        # Vectors of an endpoint's encoder, by a hash of encoder and text: they are paid for, too.
        "CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID",
    ):
        db.execute(statement)


@migration
def m003_executions(db: sqlite3.Connection) -> None:
    """What sandboxed executions found, as JSON by a hash of all that ran; and what came of verifying a candidate."""
    db.execute("CREATE TABLE executions (key BLOB PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
    db.execute("ALTER TABLE candidates ADD COLUMN verification TEXT")


@migration
def m004_logprobs(db: sqlite3.Connection) -> None:
    """The log-probabilities that came with an answer, as JSON; NULL where none were asked for."""
    db.execute("ALTER TABLE calls ADD COLUMN logprobs TEXT")


@migration
def m005_batches(db: sqlite3.Connection) -> None:
    """Batches at a provider, the requests in those that are open, and the share of the price that their calls cost."""
    for statement in (
        # Calls in batches name a row of their own, so that their totals stand apart from those of calls made at once.
        "ALTER TABLE models ADD COLUMN share REAL NOT NULL DEFAULT 1",
        # `asker` hashes the model as the recipe has it, and `place` is the provider: who fetches the batch.
        """CREATE TABLE batches (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, asker BLOB NOT NULL, place TEXT NOT NULL,
            state TEXT NOT NULL, provider_id TEXT, requests INTEGER NOT NULL, answered INTEGER NOT NULL DEFAULT 0,
            created REAL NOT NULL, submitted REAL, ended REAL, detail TEXT)""",
        """CREATE TABLE batch_requests (
            key BLOB, batch INTEGER REFERENCES batches, role TEXT NOT NULL, model INTEGER NOT NULL REFERENCES models,
            PRIMARY KEY (batch, key)) WITHOUT ROWID""",
        "CREATE INDEX batch_requests_by_key ON batch_requests (key)",
    ):
        db.execute(statement)


def migrate(db: sqlite3.Connection) -> None:
    """Bring a ledger to this version, in one transaction.

    Raises:
        LedgerTooNew: a newer Evolute wrote it.
        LedgerDamaged: it is some other SQLite database.
    """
    version = check_version(db)
    if version == len(MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")
    for step in MIGRATIONS[version:]:
        step(db)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    db.execute("COMMIT")


def check_version(db: sqlite3.Connection) -> int:
    """The schema version of a ledger; 0 for an empty file."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != APPLICATION_ID:
        raise LedgerDamaged("ledger.db is an SQLite database, but not a ledger of Evolute: choose another --out")
    if version > len(MIGRATIONS):
        raise LedgerTooNew(
            f"ledger.db has schema version {version}, this Evolute knows up to {len(MIGRATIONS)}: "
            "upgrade with: pip install --upgrade evolute"
        )
    return int(version)

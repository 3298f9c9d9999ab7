"""The run's one writer."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import orjson

from evolute.errors import LedgerError
from evolute.ledger.lock import RunLock
from evolute.ledger.reader import LEDGER, ROUNDS, Reader, connect, damaged
from evolute.ledger.rows import CandidateRow
from evolute.ledger.schema import migrate
from evolute.ledger.writer import Insert, Writer
from evolute.records import Completion, Seed

_CALL = Insert(
    """INSERT OR IGNORE INTO calls (key, role, model, text, failure, finish, reasoning, served, detail, prompt_tokens,
    completion_tokens, reasoning_tokens, cached_tokens, latency, attempts, logprobs)""",
    16,
)
_CANDIDATE = Insert("INSERT OR REPLACE INTO candidates", 15)
_EXECUTION = Insert("INSERT OR IGNORE INTO executions", 2)
_LINEAGE = Insert("INSERT OR REPLACE INTO lineages", 2)
_SEED = Insert("INSERT OR IGNORE INTO seeds (id, instruction, input, response, system, history, source, line)", 8)


class Ledger:
    """A run's ledger, open for writing; it holds the run's lock from `__enter__` to `close`."""

    def __init__(self, run: Path) -> None:
        """Open or make the ledger of the folder `run`.

        Raises:
            RunBusy: another process holds the run.
            LedgerError: the folder cannot be written, or the ledger is damaged or from a newer version.
        """
        self.run = run
        path = run / LEDGER
        try:
            run.mkdir(parents=True, exist_ok=True)
            self._lock = RunLock(run).__enter__()
        except OSError as error:
            raise LedgerError(f"cannot write to {str(run)!r}: {error.strerror}. Choose another --out") from None
        try:
            self._reading = connect(path, write=True)
            migrate(self._reading)
        except sqlite3.DatabaseError as error:
            self._lock.__exit__(None, None, None)
            if "readonly" in str(error) or "unable to open" in str(error) or "full" in str(error):
                raise LedgerError(f"cannot write {path}: {error}") from None
            raise damaged(path, error) from None
        except LedgerError:
            self._lock.__exit__(None, None, None)
            raise
        self.reader = Reader(run, self._reading)
        self._writer = Writer(lambda: connect(path, write=True))
        self._models: dict[bytes, int] = {}
        self._sources: dict[str, int] = {path: id_ for id_, path in self.reader.select("SELECT id, path FROM sources")}
        self.has_history = next(self.reader.select("SELECT EXISTS (SELECT 1 FROM calls)"))[0] == 1

    def close(self) -> None:
        """Commit what is queued, fold the write-ahead log into the file, and let the run go."""
        self._writer.close()
        with contextlib.suppress(sqlite3.Error):  # a full disk must not hide the error that is already on its way
            self._reading.execute("PRAGMA busy_timeout = 500")  # who reads a long time leaves the folding to the next
            self._reading.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._reading.close()
        self._lock.__exit__(None, None, None)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def failed(self) -> bool:
        """A commit has failed: nothing more can be recorded."""
        return self._writer.failure is not None

    def begin(self, fingerprint: bytes, notes: Mapping[str, str]) -> bool:
        """Take up the run under a recipe; True if it was another recipe's before.

        Verdicts that another recipe reached are taken back: they are derived again from the calls, which stay.
        """
        before = self.reader.meta("fingerprint")
        changed = before not in (None, fingerprint.hex())

        def job(db: sqlite3.Connection) -> None:
            if changed:
                db.execute("DELETE FROM candidates")
                db.execute("DELETE FROM lineages")
                db.execute("DELETE FROM meta WHERE name = ?", (ROUNDS,))
            for name, value in {**notes, "fingerprint": fingerprint.hex()}.items():
                db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

        self._writer.call(job)
        return changed

    def note(self, name: str, value: str) -> None:
        """Remark something about the run."""
        self._writer.call(lambda db: db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value)))

    def add_template(self, digest: bytes, name: str, text: str) -> None:
        """Store an operation's text, once per version."""
        self._writer.call(
            lambda db: db.execute("INSERT OR IGNORE INTO templates VALUES (?, ?, ?)", (digest, name, text))
        )

    def add_model(self, role: str, identity: bytes, name: str, share: float = 1.0) -> None:
        """Introduce a model in a role; its calls name it by `identity`, and cost that share of its normal price."""

        def job(db: sqlite3.Connection) -> int:
            db.execute("INSERT OR IGNORE INTO models (identity, name, share) VALUES (?, ?, ?)", (identity, name, share))
            (model,) = db.execute("SELECT id FROM models WHERE identity = ?", (identity,)).fetchone()
            db.execute("INSERT OR IGNORE INTO totals (role, model) VALUES (?, ?)", (role, model))
            return int(model)

        self._models[identity] = self._writer.call(job)

    def add_seeds(self, seeds: Sequence[Seed]) -> int:
        """Record seeds in reading order; those already there are left as they are. Returns how many were new."""

        def job(db: sqlite3.Connection) -> int:
            before = _last_position(db)
            _SEED.run(db, [self._seed_row(db, seed) for seed in seeds])
            return _last_position(db) - before

        return int(self._writer.call(job))

    async def record(self, key: bytes, role: str, identity: bytes, completion: Completion, name: str) -> None:
        """Record a completion; returns once it is on the disk."""
        usage = completion.usage
        await self._writer.put_durably(
            _CALL,
            (
                key, role, self._models.get(identity), completion.text, completion.failure, completion.finish,
                completion.reasoning, completion.model if completion.model != name else None, completion.detail or None,
                usage.prompt, usage.completion, usage.reasoning, usage.cached, round(completion.latency, 4),
                completion.attempts, completion.logprobs or None,
            ),
        )  # fmt: skip

    async def record_execution(self, key: bytes, value: str) -> None:
        """Record what a sandboxed execution found; returns once it is on the disk. What is recorded already stays."""
        await self._writer.put_durably(_EXECUTION, (key, value))

    def judge(self, row: CandidateRow, *, verbatim: bool) -> None:
        """Record a candidate and its verdict.

        Args:
            row: the candidate.
            verbatim: its instruction is its evolve call's text to the letter, and need not be stored again.
        """
        stored = None if verbatim else row.instruction or ""
        found = (row.reason or None, row.evidence or None)
        self._writer.put(_CANDIDATE, (*row[:8], stored, *found, *row[11:14], row.verification or None))

    def finish(self, seed: int) -> None:
        """Record that a lineage is finished."""
        self._writer.put(_LINEAGE, (seed, None))

    def leave(self, seed: int, why: str) -> None:
        """Record why a lineage could not be finished; it is tried again when the run is resumed."""
        self._writer.put(_LINEAGE, (seed, why))

    def transact(self, job: Callable[[sqlite3.Connection], object]) -> None:
        """Run `job` in a transaction of its own, after all that is queued; returns once it is on the disk."""
        self._writer.call(job)

    def flush(self) -> None:
        """Wait until all that is queued is on the disk."""
        self._writer.call(lambda db: None)

    def _seed_row(self, db: sqlite3.Connection, seed: Seed) -> tuple[object, ...]:
        source = self._sources.get(seed.source)
        if source is None:
            source = db.execute("INSERT INTO sources (path) VALUES (?)", (seed.source,)).lastrowid or 0
            self._sources[seed.source] = source
        history = orjson.dumps([[turn.role, turn.content] for turn in seed.history]).decode() if seed.history else None
        return (
            seed.id, seed.instruction, seed.input or None, seed.response, seed.system or None, history, source,
            seed.line,
        )  # fmt: skip


def _last_position(db: sqlite3.Connection) -> int:
    """Positions have no gaps: a row that is ignored uses none up."""
    return int(db.execute("SELECT coalesce(max(position), 0) FROM seeds").fetchone()[0])

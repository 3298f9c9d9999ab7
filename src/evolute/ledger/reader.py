"""Reading a run's ledger; nothing here writes."""

from __future__ import annotations

import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from evolute.errors import InputError, LedgerDamaged
from evolute.ledger.rows import CallRow, Calls, CandidateRow, Totals, dataset_row
from evolute.ledger.schema import MIGRATIONS, check_version
from evolute.records import Completion, Failure, Message, Row, Seed, Usage

LEDGER = "ledger.db"
ROUNDS = "rounds"
"""The remark about how far an evolution with a barrier between rounds has come (`evolute.ledger.rounds`)."""


_SEED = "s.position, s.instruction, s.input, s.response, s.system, s.history, o.path, s.line"
_SEEDS = f"SELECT {_SEED} FROM seeds s LEFT JOIN sources o ON o.id = s.source"
_COMPLETION = """c.text, c.failure, c.finish, c.reasoning, c.prompt_tokens, c.completion_tokens, c.reasoning_tokens,
    c.cached_tokens, c.latency, c.attempts, coalesce(c.served, m.name), c.detail, c.logprobs"""
_CALLS = f"SELECT c.key, c.role, m.name, {_COMPLETION} FROM calls c LEFT JOIN models m ON m.id = c.model"
_CANDIDATE = """d.seed, d.round, d.slot, d.attempt, d.id, d.parent, d.operation, d.template,
    nullif(coalesce(d.instruction, e.text), ''), coalesce(d.reason, ''), coalesce(d.evidence, ''),
    d.evolve_call, d.judge_call, d.respond_call, coalesce(d.verification, '')"""
_FROM = "FROM candidates d LEFT JOIN calls e ON e.key = d.evolve_call"
_CANDIDATES = f"SELECT {_CANDIDATE} {_FROM}"
_KEPT = f"""SELECT em.name, jm.name, rm.name, r.text, r.reasoning, {_CANDIDATE} {_FROM}
    LEFT JOIN models em ON em.id = e.model
    LEFT JOIN calls j ON j.key = d.judge_call LEFT JOIN models jm ON jm.id = j.model
    LEFT JOIN calls r ON r.key = d.respond_call LEFT JOIN models rm ON rm.id = r.model WHERE d.reason IS NULL"""
CALLS_OF_CANDIDATES = (
    "JOIN calls c ON c.key IN (d.evolve_call, d.judge_call, d.respond_call)",
    "CROSS JOIN json_each(d.verification, '$.calls') v CROSS JOIN calls c ON c.key = unhexed(v.value)",
)
"""From candidates `d` to their calls `c`: those of their own columns, and what their verification took besides."""
_ORDER = "ORDER BY d.seed, d.round, d.slot, d.attempt"


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open a ledger file with the settings that durability needs.

    Raises:
        InputError: the folder is read-only, and holds changes that cannot be read there.
        LedgerDamaged: the file is not an SQLite database, or is broken.
    """
    mode = "rwc" if write else "ro"
    if not write and not os.access(path.parent, os.W_OK):
        log = path.with_name(path.name + "-wal")
        if log.is_file() and log.stat().st_size:
            raise InputError(
                f"{path.parent} is read-only, and {log.name} holds changes that reading must fold in: copy the folder "
                "to where it can be written"
            )
        mode = "ro&immutable=1"  # a reader of a live WAL needs to write its index; a read-only folder is not live
    try:
        db = sqlite3.connect(
            f"file:{_quoted(path)}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False, timeout=30
        )
        if write:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
        check_version(db)
        # SQLite has it as `unhex` from 3.41 on only.
        db.create_function("unhexed", 1, bytes.fromhex, deterministic=True)
    except sqlite3.DatabaseError as error:
        raise damaged(path, error) from None
    return db


def damaged(path: Path, error: sqlite3.Error) -> LedgerDamaged:
    """What to say about a file that SQLite cannot read."""
    return LedgerDamaged(
        f"{path} cannot be read: {error}. Nothing was changed. Keep the file: `sqlite3 {path} .recover` saves what is "
        "still legible into a new one"
    )


def _quoted(path: Path) -> str:
    return str(path.resolve()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


class Reader:
    """A view of a run's ledger, safe to use while another process writes it."""

    def __init__(self, run: Path, db: sqlite3.Connection | None = None) -> None:
        """Open the ledger under the folder `run`.

        Raises:
            InputError: there is no run there.
            LedgerError: the ledger is damaged, or from a newer version.
        """
        self.run = run
        if db is None and not (run / LEDGER).is_file():
            raise InputError(
                f"{str(run)!r} is not a run: it has no {LEDGER}. A run is made by `evolute evolve FILE --out RUN`"
            )
        self._db = db or connect(run / LEDGER, write=False)
        if db is None and check_version(self._db) < len(MIGRATIONS):
            begun = (
                "the `evolute evaluate` command that made it"
                if (run / "evaluation.yaml").is_file()
                else (f"`evolute evolve --out {run}`")
            )
            raise InputError(f"{run} was begun by an older Evolute, or never begun: run {begun} once")

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def hold(self) -> None:
        """See the run as it stands now, whatever is written meanwhile, until the reader is closed."""
        self._db.execute("BEGIN")
        next(self.select("SELECT count(*) FROM meta"))  # the first read fixes what is seen

    def select(self, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - SQL's own values
        """Run a query; a damaged file becomes a LedgerDamaged."""
        try:
            cursor = self._db.execute(sql, values)
            # Not `yield from`: an unfinished one closes the cursor, which a reader closed before it does not allow.
            while (row := cursor.fetchone()) is not None:
                yield row
        except sqlite3.DatabaseError as error:
            raise damaged(self.run / LEDGER, error) from None

    def meta(self, name: str) -> str | None:
        """A remark about the run (`fingerprint`, `stopped`, `respond`)."""
        for (value,) in self.select("SELECT value FROM meta WHERE name = ?", name):
            return str(value)
        return None

    def completion(self, key: bytes) -> Completion | None:
        """The recorded answer to the call `key`."""
        row = self._db.execute(
            f"SELECT {_COMPLETION} FROM calls c LEFT JOIN models m ON m.id = c.model WHERE c.key = ?", (key,)
        ).fetchone()
        return None if row is None else _completion(row)

    def calls(self) -> Iterator[CallRow]:
        """All calls in the order in which they were recorded."""
        for key, role, model, *rest in self.select(f"{_CALLS} ORDER BY c.id"):
            yield CallRow(key, role, model, _completion(tuple(rest)))

    def call(self, key: bytes) -> CallRow | None:
        """One call, with its role and model."""
        for found, role, model, *rest in self.select(f"{_CALLS} WHERE c.key = ?", key):
            return CallRow(found, role, model, _completion(tuple(rest)))
        return None

    def recall_execution(self, key: bytes) -> str | None:
        """What the sandboxed execution `key` found, as it was recorded."""
        for (value,) in self.select("SELECT value FROM executions WHERE key = ?", key):
            return str(value)
        return None

    def totals(self) -> list[Totals]:
        """Calls, tokens and time by role, model and share of the price."""
        return [
            Totals(*row)
            for row in self.select(
                """SELECT t.role, m.name, calls, prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens,
                seconds, attempts, m.share FROM totals t JOIN models m ON m.id = t.model WHERE calls > 0
                ORDER BY t.role"""
            )
        ]

    def tally(self, *, finished: bool = False) -> Counter[tuple[int, str, str]]:
        """How many candidates by (round, operation, reason); the reason is empty for kept ones. Round 0: seeds.

        `finished` leaves out lineages that are under way.
        """
        only = "WHERE seed IN (SELECT seed FROM lineages WHERE why IS NULL)" if finished else ""
        return Counter(
            {
                (round_, operation, reason): count
                for round_, operation, reason, count in self.select(
                    f"SELECT round, operation, coalesce(reason, ''), count(*) FROM candidates {only} GROUP BY 1, 2, 3"
                )
            }
        )

    def verifications(self) -> Counter[str]:
        """How many answers were verified (the empty reason), and how many were not, by reason."""
        return Counter(
            dict(
                self.select(
                    """SELECT json_extract(verification, '$.reason'), count(*) FROM candidates
                    WHERE verification IS NOT NULL GROUP BY 1"""
                )
            )
        )

    def operation_usage(self) -> list[tuple[Any, ...]]:
        """Per operation, model and share of the price.

        Returns:
            (operation, model, prompt, completion and cached tokens, seconds of latency, share).
        """
        return [
            row
            for calls in CALLS_OF_CANDIDATES
            for row in self.select(
                f"""SELECT d.operation, m.name, sum(c.prompt_tokens), sum(c.completion_tokens), sum(c.cached_tokens),
                sum(c.latency), m.share FROM candidates d {calls}
                LEFT JOIN models m ON m.id = c.model GROUP BY 1, 2, 7 ORDER BY 1, 2, 7"""
            )
        ]

    def seed_count(self) -> int:
        """Distinct seeds."""
        return int(next(self.select("SELECT count(*) FROM seeds"))[0])

    def last_position(self) -> int:
        """The position of the seed read last; 0 without seeds."""
        return int(next(self.select("SELECT coalesce(max(position), 0) FROM seeds"))[0])

    def finished_count(self) -> int:
        """Lineages that are finished."""
        return int(next(self.select("SELECT count(*) FROM lineages WHERE why IS NULL"))[0])

    def is_finished(self, position: int) -> bool:
        """Whether the lineage of the seed at `position` is finished."""
        return bool(next(self.select("SELECT count(*) FROM lineages WHERE seed = ? AND why IS NULL", position))[0])

    def left_over(self) -> Counter[str]:
        """Why lineages were left over, with how many."""
        rows = self.select("SELECT why, count(*) FROM lineages WHERE why IS NOT NULL GROUP BY why")
        return Counter(dict(rows))

    def seeds(self, after: int = 0, *, unfinished: bool = False, count: int = -1) -> Iterator[tuple[int, Seed]]:
        """Seeds with their positions in reading order, from the one behind position `after`."""
        left = "LEFT JOIN lineages l ON l.seed = s.position" if unfinished else ""
        only = "AND (l.seed IS NULL OR l.why IS NOT NULL)" if unfinished else ""
        for row in self.select(
            f"{_SEEDS} {left} WHERE s.position > ? {only} ORDER BY s.position LIMIT ?", after, count
        ):
            yield row[0], _seed(row)

    def find(self, prefix: str) -> tuple[int, Seed] | None:
        """The seed whose lineage holds the id that starts with `prefix` (`s1-…`, `i1-…`, or the digits alone).

        Raises:
            InputError: the ids of several lineages start so.
        """
        kind, _, digits = prefix.rpartition("-")
        if kind not in ("", "s1", "i1") or not re.fullmatch("[0-9a-fA-F]{1,32}", digits):
            return None
        found: set[int] = set()
        for name, sql in (("s1", "SELECT position FROM seeds"), ("i1", "SELECT DISTINCT seed FROM candidates")):
            if kind in ("", name):
                found |= {row[0] for row in self.select(f"{sql} WHERE hex(id) LIKE ? || '%' LIMIT 2", digits)}
        if len(found) > 1:
            raise InputError(f"several lineages have ids that begin with {prefix!r}: give more digits")
        return next(self.seeds(found.pop() - 1, count=1)) if found else None

    def candidates(self, seed: int | None = None) -> Iterator[CandidateRow]:
        """The candidates of one lineage, or of all, in dataset order."""
        if seed is None:
            return (CandidateRow(*row) for row in self.select(f"{_CANDIDATES} {_ORDER}"))
        return (CandidateRow(*row) for row in self.select(f"{_CANDIDATES} WHERE d.seed = ? {_ORDER}", seed))

    def template(self, digest: bytes) -> str | None:
        """The text of an operation as it stood when it was used."""
        for (text,) in self.select("SELECT text FROM templates WHERE hash = ?", digest):
            return str(text)
        return None

    def last_round(self) -> int | None:
        """The round that the dataset ends with, later ones being rolled back (Evol Stop); None: it has them all."""
        text = self.meta(ROUNDS)
        return None if text is None else orjson.loads(text)["last"]

    def dataset(self, *, seeds: bool = True, up_to: int | None = None) -> Iterator[Row]:
        """The kept rows in seed order, round by round. Rows that the recipe wants answered and are not, are left out.

        Args:
            seeds: include the seeds themselves (round 0).
            up_to: leave out later rounds; those that were rolled back are left out anyway.
        """
        answered = self.meta("respond") != "never"
        seeds_in_order = self.seeds()
        position, seed = 0, None
        bounds = [bound for bound in (up_to, self.last_round()) if bound is not None]
        only = f"AND d.round <= {min(bounds)}" if bounds else ""
        for evolver, judge, responder, response, reasoning, *candidate in self.select(f"{_KEPT} {only} {_ORDER}"):
            row = CandidateRow(*candidate)
            while position < row.seed:
                position, seed = next(seeds_in_order)
            if seed is not None and (row.round or seeds):
                record = dataset_row(seed, row, Calls(evolver, judge, responder, response, reasoning))
                if record.response is not None or not answered:
                    yield record

    def calls_of(self, row: CandidateRow) -> Calls:
        """What a dataset row wants of its candidate's calls, looked up one by one."""
        evolved, judged, answered = (
            self.call(key) if key is not None else None for key in (row.evolve_call, row.judge_call, row.respond_call)
        )
        return Calls(
            evolved.model if evolved else None,
            judged.model if judged else None,
            answered.model if answered else None,
            answered.completion.text if answered else None,
            answered.completion.reasoning if answered else None,
        )


def _seed(row: tuple[Any, ...]) -> Seed:
    _, instruction, given, response, system, history, source, line = row
    turns = tuple(Message(role, content) for role, content in orjson.loads(history)) if history else ()
    return Seed(instruction, given or "", response, system or "", turns, source or "", line or 0)


def _completion(row: tuple[Any, ...]) -> Completion:
    text, failure, finish, reasoning, *tokens, latency, attempts, served, detail, logprobs = row
    return Completion(
        text=text,
        failure=Failure(failure) if failure else None,
        finish=finish or "stop",
        reasoning=reasoning,
        usage=Usage(*tokens),
        latency=latency,
        attempts=attempts,
        model=served or "",
        detail=detail or "",
        logprobs=logprobs or "",
    )

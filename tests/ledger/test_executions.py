"""Executions: recorded once, recalled ever after, carried over by migrations and merges."""

import asyncio
import re
import sqlite3
from pathlib import Path

import orjson
import pytest

from evolute.errors import InputError, LedgerError, NotRecorded
from evolute.ledger import LEDGER, CandidateRow, Executions, Ledger, Reader
from evolute.ledger.merging import merge_ledgers
from evolute.ledger.schema import APPLICATION_ID, MIGRATIONS
from evolute.records import Completion, Seed, Usage, tagged_hash

KEY = tagged_hash("execution-1", "print(1)")
IDENTITY = tagged_hash("asked-1", "test")


def once(executions: Executions, *found: str) -> tuple[list[str], int]:
    """Execute `KEY` once for each of `found`, at the same time: what came back, and how often it really ran."""
    ran = 0

    async def execute(value: str) -> str:
        nonlocal ran
        ran += 1
        await asyncio.sleep(0)
        return value

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*(executions.once(KEY, lambda value=value: execute(value)) for value in found))

    return asyncio.run(all_of_them()), ran


def test_an_execution_is_recalled_in_the_session_and_in_the_next(tmp_path):
    with Ledger(tmp_path) as ledger:
        assert ledger.reader.recall_execution(KEY) is None
        assert once(Executions(ledger.reader, ledger), '{"n": 1}') == (['{"n": 1}'], 1)
        assert once(Executions(ledger.reader, ledger), '{"n": 2}') == (['{"n": 1}'], 0)
    with Reader(tmp_path) as reader:
        assert once(Executions(reader), '{"n": 3}') == (['{"n": 1}'], 0)


def test_what_ran_twice_at_once_has_one_finding(tmp_path):
    with Ledger(tmp_path) as ledger:
        found, ran = once(Executions(ledger.reader, ledger), "1", "2")
        assert ran == 2
        assert found[0] == found[1] == ledger.reader.recall_execution(KEY)


def test_without_a_ledger_to_write_nothing_runs(tmp_path):
    Ledger(tmp_path).close()
    with Reader(tmp_path) as reader, pytest.raises(NotRecorded, match=KEY.hex()):
        once(Executions(reader), "1")


def test_nothing_is_returned_that_could_not_be_recorded(tmp_path):
    ledger = Ledger(tmp_path)
    executions = Executions(ledger.reader, ledger)
    ledger._writer.close()
    with pytest.raises(LedgerError):
        once(executions, "1")
    ledger.close()


def make_old(run: Path, version: int, seed: Seed) -> None:
    """A ledger as an older Evolute left it, with one verdict."""
    run.mkdir()
    with sqlite3.connect(run / LEDGER) as db:
        for step in MIGRATIONS[:version]:
            step(db)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("INSERT INTO seeds (id, instruction) VALUES (?, ?)", (seed.id, seed.instruction))
        db.execute(
            "INSERT INTO candidates VALUES (1, 0, 0, 0, ?, ?, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
            (seed.id, seed.id),
        )
    db.close()


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_ledger_is_brought_up_to_date_and_keeps_its_verdicts(tmp_path, version):
    seed = Seed("Sort a list.")
    make_old(tmp_path / "run", version, seed)
    with Ledger(tmp_path / "run") as ledger:
        (row,) = ledger.reader.candidates()
        assert (row.id, row.verification) == (seed.id, "")
        assert once(Executions(ledger.reader, ledger), "1") == (["1"], 1)
        assert [row.instruction for row in ledger.reader.dataset()] == []
        assert ledger.reader.recall_execution(KEY) == "1"


@pytest.mark.parametrize(
    ("beside", "command"),
    [((), "`evolute evolve --out "), (("evaluation.yaml",), "`evolute evaluate` command that made")],
)
def test_a_reader_of_an_older_ledger_names_the_command_that_fits(tmp_path, beside, command):
    make_old(tmp_path / "run", 1, Seed("Sort a list."))
    for name in beside:
        (tmp_path / "run" / name).write_text("")
    with pytest.raises(InputError, match=re.escape(command)):
        Reader(tmp_path / "run")


def make_run(run: Path, said: str, *, finished: bool) -> CandidateRow:
    """A run of one seed, whose verification asked and executed under the same keys as every other run's."""
    seed = Seed("Sort a list.")
    asked = tagged_hash("call-1", "tests")
    note = orjson.dumps({"verified": True, "calls": [asked.hex()], "executions": [KEY.hex()]}).decode()
    row = CandidateRow(1, 0, 0, 0, seed.id, seed.id, "", None, None, "", "", None, None, None, note)
    with Ledger(run) as ledger:
        ledger.begin(b"recipe", {"respond": "every"})
        ledger.add_model("responder", IDENTITY, "m")
        ledger.add_seeds([seed])
        asyncio.run(ledger.record(asked, "responder", IDENTITY, Completion(said, usage=Usage(1, 1)), "m"))
        asyncio.run(ledger.record_execution(KEY, said))
        asyncio.run(ledger.record_execution(tagged_hash("execution-1", said), said))
        ledger.judge(row, verbatim=False)
        if finished:
            ledger.finish(1)
    return row


def test_a_merge_keeps_the_executions_of_the_lineage_that_it_keeps(tmp_path):
    make_run(tmp_path / "one", "one", finished=False)
    row = make_run(tmp_path / "two", "two", finished=True)
    merge_ledgers([tmp_path / "one", tmp_path / "two"], tmp_path / LEDGER)
    with Reader(tmp_path) as reader:
        assert list(reader.candidates()) == [row]
        assert reader.recall_execution(KEY) == "two"
        assert reader.completion(tagged_hash("call-1", "tests")).text == "two"
        for said in ("one", "two"):
            assert reader.recall_execution(tagged_hash("execution-1", said)) == said


def test_a_verdict_that_is_reached_again_replaces_its_verification(tmp_path):
    row = make_run(tmp_path, "one", finished=True)
    with Ledger(tmp_path) as ledger:
        ledger.judge(row._replace(verification=""), verbatim=False)
        ledger.flush()
        assert [row.verification for row in ledger.reader.candidates()] == [""]

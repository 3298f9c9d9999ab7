"""The ledger: what is recorded stays, whatever happens, and says clearly when it cannot."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolute.errors import InputError, LedgerDamaged, LedgerError, LedgerTooNew, RunBusy
from evolute.ledger import CandidateRow, Ledger, Reader
from evolute.ledger.lock import holder
from evolute.ledger.schema import MIGRATIONS
from evolute.ledger.writer import Insert
from evolute.records import Completion, Failure, Message, Seed, Usage, tagged_hash

IDENTITY = tagged_hash("asked-1", "test")


def candidate(seed: Seed, position: int = 1, **fields) -> CandidateRow:
    values = {
        "seed": position, "round": 1, "slot": 0, "attempt": 0, "id": tagged_hash("instruction-1", "x"),
        "parent": seed.id, "operation": "deepen", "template": None, "instruction": "Why?", "reason": "",
        "evidence": "", "evolve_call": None, "judge_call": None, "respond_call": None,
    }  # fmt: skip
    return CandidateRow(**(values | fields))


def record(ledger: Ledger, *completions: Completion) -> None:
    ledger.add_model("evolver", IDENTITY, "m")

    async def all_of_them() -> None:
        await asyncio.gather(
            *(ledger.record(tagged_hash("k", n), "evolver", IDENTITY, c, "m") for n, c in enumerate(completions))
        )

    asyncio.run(all_of_them())


def test_a_completion_comes_back_as_it_was(tmp_path):
    said = Completion("text\nwith lines é", None, "stop", "thought", Usage(10, 20, 5, 3), 1.5, 2, "served-name", "")
    failed = Completion(None, Failure.NULL, "stop", usage=Usage(3, 0), detail="nothing")
    with Ledger(tmp_path / "run") as ledger:
        record(ledger, said, failed)
    with Reader(tmp_path / "run") as reader:
        assert reader.completion(tagged_hash("k", 0)) == said
        assert reader.completion(tagged_hash("k", 1)).failure is Failure.NULL
        assert reader.completion(tagged_hash("k", 2)) is None
        (total,) = reader.totals()
        assert (total.calls, total.prompt_tokens, total.completion_tokens, total.attempts) == (2, 13, 20, 3)


def test_a_call_recorded_twice_counts_once(tmp_path):
    with Ledger(tmp_path) as ledger:
        record(ledger, Completion("one", usage=Usage(1, 1)))
        record(ledger, Completion("two", usage=Usage(1, 1)))
        assert ledger.reader.completion(tagged_hash("k", 0)).text == "one"
        assert ledger.reader.totals()[0].calls == 1


_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.builds(
            Seed,
            instruction=_TEXT.filter(bool),
            input=_TEXT,
            response=st.none() | _TEXT.filter(bool),
            system=_TEXT,
            history=st.lists(st.builds(Message, st.just("user"), _TEXT)).map(tuple),
            source=st.sampled_from(["a.jsonl", "b.csv"]),
            line=st.integers(1, 10**6),
        ),
        max_size=12,
    )
)
def test_seeds_come_back_in_order_and_once(tmp_path_factory, seeds):
    run = tmp_path_factory.mktemp("run")
    with Ledger(run) as ledger:
        new = ledger.add_seeds(seeds) + ledger.add_seeds(seeds)
        back = [seed for _, seed in ledger.reader.seeds()]
    firsts = list({seed.id: seed for seed in reversed(seeds)}.values())
    assert new == len(firsts)
    assert sorted(back, key=lambda seed: seed.id) == sorted(firsts, key=lambda seed: seed.id)
    order = list(dict.fromkeys(seed.id for seed in seeds))
    assert [seed.id for seed in back] == order


@given(st.integers(0, 200))
@settings(max_examples=30, deadline=None)
def test_rows_in_chunks_are_all_written(count):
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (a, b)")
    Insert("INSERT INTO t", 2).run(db, [(n, -n) for n in range(count)])
    assert db.execute("SELECT * FROM t ORDER BY a").fetchall() == [(n, -n) for n in range(count)]


def test_unfinished_seeds_are_those_without_an_end_or_left_over(tmp_path):
    seeds = [Seed(f"say {n}") for n in range(4)]
    with Ledger(tmp_path) as ledger:
        ledger.add_seeds(seeds)
        ledger.finish(1)
        ledger.leave(2, "timed out")
        ledger.flush()
        assert [p for p, _ in ledger.reader.seeds(unfinished=True)] == [2, 3, 4]
        assert ledger.reader.left_over() == {"timed out": 1}
        ledger.finish(2)
        ledger.flush()
        assert ledger.reader.finished_count() == 2


def test_another_recipe_takes_verdicts_back_and_keeps_calls(tmp_path):
    seed = Seed("say")
    with Ledger(tmp_path) as ledger:
        ledger.add_seeds([seed])
        assert not ledger.begin(b"one", {})
        record(ledger, Completion("kept"))
        ledger.judge(candidate(seed), verbatim=False)
        ledger.finish(1)
        ledger.flush()
        assert not ledger.begin(b"one", {})
        assert ledger.reader.finished_count() == 1
        assert ledger.begin(b"two", {})
        assert ledger.reader.finished_count() == 0
        assert list(ledger.reader.candidates()) == []
        assert ledger.reader.completion(tagged_hash("k", 0)).text == "kept"


def test_an_instruction_equal_to_its_call_is_stored_once(tmp_path):
    seed = Seed("say")
    with Ledger(tmp_path) as ledger:
        ledger.add_seeds([seed])
        record(ledger, Completion("Why does it rain?"))
        row = candidate(seed, instruction="Why does it rain?", evolve_call=tagged_hash("k", 0))
        ledger.judge(row, verbatim=True)
        ledger.flush()
        assert list(ledger.reader.candidates(1)) == [row]
        assert next(ledger.reader.select("SELECT instruction FROM candidates"))[0] is None


def test_a_value_that_sqlite_cannot_take_is_an_error_and_no_hang(tmp_path):
    ledger = Ledger(tmp_path)
    with pytest.raises(LedgerError, match="cannot be written"):
        record(ledger, Completion("text", usage=Usage(2**70, 0)))
    with pytest.raises(LedgerError):
        ledger.flush()
    ledger.close()
    with Reader(tmp_path) as reader:
        assert reader.totals() == []


def test_a_closed_ledger_turns_away(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.add_seeds([Seed("late")])


def test_an_id_is_found_by_its_beginning_and_an_ambiguous_one_is_said(tmp_path):
    seeds = [Seed(f"say {n}") for n in range(300)]
    with Ledger(tmp_path) as ledger:
        ledger.add_seeds(seeds)
        for name in ("s1-", "", "i1-"):
            assert ledger.reader.find(name + seeds[7].id.hex()) == (None if name == "i1-" else (8, seeds[7]))
        assert ledger.reader.find("zzz") is None
        assert ledger.reader.find("s1-") is None
        with pytest.raises(InputError, match="more digits"):
            ledger.reader.find("s1-" + seeds[7].id.hex()[:1])


def test_a_second_writer_is_refused_and_told_who_holds_the_run(tmp_path):
    script = "import sys; from pathlib import Path; from evolute.ledger import Ledger; Ledger(Path(sys.argv[1]))"
    with Ledger(tmp_path):
        assert holder(tmp_path)["pid"] == os.getpid()
        other = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
        assert other.returncode != 0
        assert f"in use by process {os.getpid()}" in other.stderr
        with pytest.raises(RunBusy):
            Ledger(tmp_path)
    assert holder(tmp_path) is None
    Ledger(tmp_path).close()


def test_a_reader_needs_no_lock(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add_seeds([Seed("say")])
        with Reader(tmp_path) as reader:
            assert reader.seed_count() == 1


def test_a_newer_ledger_is_refused(tmp_path):
    Ledger(tmp_path).close()
    db = sqlite3.connect(tmp_path / "ledger.db")
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    for open_it in (Ledger, Reader):
        with pytest.raises(LedgerTooNew, match="pip install --upgrade"):
            open_it(tmp_path)
    db = sqlite3.connect(tmp_path / "ledger.db")
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    db.close()
    Ledger(tmp_path).close()  # the refusals have left the run free


def test_somebody_elses_database_is_not_touched(tmp_path):
    db = sqlite3.connect(tmp_path / "ledger.db")
    db.execute("CREATE TABLE theirs (a)")
    db.commit()
    db.close()
    with pytest.raises(LedgerDamaged, match="not a ledger"):
        Ledger(tmp_path)


@pytest.mark.parametrize("content", [b"not a database, not at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_gets_a_clear_error_and_is_left_as_it_is(tmp_path, content):
    (tmp_path / "ledger.db").write_bytes(content)
    for open_it in (Ledger, Reader):
        with pytest.raises(LedgerDamaged, match=r"ledger\.db"):
            open_it(tmp_path)
    assert (tmp_path / "ledger.db").read_bytes() == content


def test_a_file_damaged_in_the_middle_is_reported_by_readers(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add_seeds([Seed(f"say {n} " * 50) for n in range(2000)])
    path = tmp_path / "ledger.db"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40_000] = b"\xee" * 40_000
    path.write_bytes(data)
    with Reader(tmp_path) as reader, pytest.raises(LedgerDamaged, match="recover"):
        list(reader.seeds())


def test_no_run_is_no_traceback(tmp_path):
    with pytest.raises(InputError, match="not a run"):
        Reader(tmp_path / "nowhere")


def test_a_read_only_folder():
    script = """
import os, sys
from pathlib import Path
from evolute.errors import LedgerError
from evolute.ledger import Ledger
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
try:
    Ledger(Path(sys.argv[1]))
except LedgerError as error:
    print(error)
"""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders let nobody but their owner in
        Path(folder).chmod(0o555)
        done = subprocess.run([sys.executable, "-c", script, f"{folder}/run"], capture_output=True, text=True)
    assert done.stderr == ""
    assert "cannot write" in done.stdout
    assert "--out" in done.stdout


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(LedgerError, match="--out"):
        Ledger(tmp_path / "run")


def test_a_full_disk_is_said_and_what_was_paid_for_is_there(tmp_path):
    """A limit on the file's size fails a commit as a full disk does."""
    script = """
import asyncio, resource, signal, sys
from pathlib import Path
from evolute.errors import LedgerError
from evolute.ledger import Ledger
from evolute.records import Completion, tagged_hash
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ledger = Ledger(Path(sys.argv[1]))
ledger.add_model("evolver", b"i" * 16, "m")
async def main():
    for n in range(10_000):
        if n == 50:
            resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
        await ledger.record(tagged_hash("k", n), "evolver", b"i" * 16, Completion("x" * 3000), "m")
        print(n, flush=True)
try:
    asyncio.run(main())
except LedgerError as error:
    print("ERROR", error)
ledger.close()
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    *numbers, error = done.stdout.strip().splitlines()
    assert "cannot be written" in error
    assert "run the same command again" in error
    assert done.stderr == ""
    with Ledger(tmp_path) as ledger:
        for n in map(int, numbers):
            assert ledger.reader.completion(tagged_hash("k", n)).text == "x" * 3000

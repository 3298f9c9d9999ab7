"""Seeds on their way into a ledger: bad rows, stopping in the middle, and what is told about it."""

import asyncio
import contextlib
import os
import threading
from pathlib import Path

import orjson
import pytest

from evolute.errors import LedgerError
from evolute.ledger import Ledger
from evolute.pipeline import ingest as module
from evolute.pipeline.ingest import Ingest, feed
from evolute.seeds import SeedOptions

SKIP = SeedOptions(skip_bad=True)


def row(number):
    return orjson.dumps({"instruction": f"Name {number} lakes and their depths."}) + b"\n"


async def drain(ledger, ingest, at_most=None, **more):
    """The seeds, how often they were counted and what was said."""
    counts, said = [], []
    seeds = [seed async for _, seed in feed(ledger, ingest, counts.append, said.append, at_most, **more)]
    return seeds, counts, said


def read(run, *sources, options=SKIP, at_most=None):
    with Ledger(run) as ledger:
        ingest = Ingest(ledger, [str(source) for source in sources], options)
        try:
            return asyncio.run(drain(ledger, ingest, at_most))
        finally:
            ingest.close()


@pytest.fixture
def pipe(tmp_path):
    """A fifo and a descriptor that writes into it; it stays open until the test ends."""
    path = tmp_path / "pipe.jsonl"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)  # read too: opened for writing alone it would wait for a reader
    yield path, descriptor
    os.close(descriptor)


def test_bad_rows_are_on_the_disk_as_they_come(tmp_path, pipe):
    """Also of a sample, whose seeds come at the end."""
    path, descriptor = pipe
    with Ledger(tmp_path / "run") as ledger:
        ingest = Ingest(ledger, [str(path)], SeedOptions(skip_bad=True, sample=2))
        aside = tmp_path / "run" / "bad-rows.jsonl"
        ingest.start(lambda: None)
        os.write(descriptor, (row(1) + b"{oops\n") * 5_000)  # more than is looked at to tell the format
        while not aside.exists() or aside.read_bytes().count(b"\n") < 1_000:
            assert ingest.failure is None
        assert ingest.read == 0
        ingest.close()


@pytest.mark.parametrize("options", [SKIP, SeedOptions(skip_bad=True, sample=2)])
def test_bad_rows_that_cannot_be_written_end_the_reading(tmp_path, options):
    (tmp_path / "seeds.jsonl").write_bytes(row(1) + b"{oops\n")
    (tmp_path / "run" / "bad-rows.jsonl").mkdir(parents=True)
    with pytest.raises(LedgerError, match=r"cannot write .*bad-rows\.jsonl: Is a directory"):
        read(tmp_path / "run", tmp_path / "seeds.jsonl", options=options)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_said(tmp_path):
    (tmp_path / "seeds.jsonl").write_bytes(row(1) + b"{oops\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "bad-rows.jsonl").symlink_to("/dev/full")
    with pytest.raises(LedgerError, match=r"cannot write .*: No space left"):
        read(tmp_path / "run", tmp_path / "seeds.jsonl")


def test_what_was_found_is_said_once(tmp_path):
    (tmp_path / "seeds.jsonl").write_bytes(b"".join(map(row, range(1_200))) + b"{oops\n")
    seeds, counts, said = read(tmp_path / "run", tmp_path / "seeds.jsonl")
    assert len(seeds) == 1_200
    assert set(counts) == {1_200}
    assert [sentence.split(" ", 1)[1].split(",")[0] for sentence in said] == [
        "JSON Lines",
        f"bad rows set aside in {tmp_path / 'run' / 'bad-rows.jsonl'}",
    ]


def test_a_stopped_feed_ends_while_it_waits_and_leaves_a_blocked_reader_behind(tmp_path, pipe, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    path, descriptor = pipe
    os.write(descriptor, row(1))  # the reader waits for more: the format is told by a longer beginning
    why = ""

    async def stopped(ledger, ingest):
        nonlocal why
        waiting = asyncio.create_task(drain(ledger, ingest, stopping=lambda: why))
        await asyncio.sleep(0)  # up to its wait
        why = "interrupted"
        ingest.wake()
        return await waiting

    with Ledger(tmp_path / "run") as ledger:
        ingest = Ingest(ledger, [str(path)], SKIP)
        assert asyncio.run(stopped(ledger, ingest)) == ([], [], [])
        ingest.close()
        assert not ingest.done


def test_a_stopped_feed_gives_no_more_of_its_page(tmp_path, seeds_file):
    given = []

    def stopping():
        return "interrupted" if given else ""

    async def first(ledger, ingest):
        async for _, seed in feed(ledger, ingest, lambda count: None, lambda said: None, stopping=stopping):
            given.append(seed)

    with Ledger(tmp_path / "run") as ledger:
        ingest = Ingest(ledger, [str(seeds_file(5))], SKIP)
        asyncio.run(first(ledger, ingest))
        ingest.close()
    assert len(given) == 1


@pytest.mark.parametrize("options", [SeedOptions(where=("instruction~nowhere",)), SeedOptions(sample=3)])
def test_closing_stops_within_rows_and_keeps_no_part_of_a_sample(tmp_path, pipe, options):
    """The reader is stopped between two rows, although no seed has come of those before."""
    path, descriptor = pipe
    os.set_blocking(descriptor, False)
    ended = threading.Event()
    with Ledger(tmp_path / "run") as ledger:
        ingest = Ingest(ledger, [str(path)], options)
        ingest.start(ended.set)
        closing = threading.Thread(target=ingest.close)
        os.write(descriptor, row(1))
        closing.start()
        while not ended.is_set():  # rows without an end
            with contextlib.suppress(BlockingIOError):  # the reader may be gone already
                os.write(descriptor, row(2) * 50)
        closing.join()
        assert (ingest.done, ingest.failure) == (True, None)
        assert ledger.reader.seed_count() == 0
        assert ledger.reader.meta("rows") is None


def test_a_pilot_ends_when_all_seeds_are_counted(tmp_path, seeds_file, monkeypatch):
    monkeypatch.setattr(module, "READ_AHEAD", 500)
    seeds, counts, _ = read(tmp_path / "run", seeds_file(20_000), at_most=8)
    assert len(seeds) == 8
    assert counts[-1] == 20_000


def test_seeds_that_are_no_longer_in_the_file_are_told_of(tmp_path):
    path, run = tmp_path / "seeds.jsonl", tmp_path / "run"
    path.write_bytes(b"".join(map(row, range(7))))
    assert not any("stay in it" in sentence for sentence in read(run, path)[2])
    path.write_bytes(b"".join(map(row, [0, 1, 1, 1, 1, 1, 1, 1, 100])))
    assert read(run, path)[2][-1] == f"the run holds 5 more seeds than {path}, read before; they stay in it"
    path.write_bytes(b"".join(map(row, [*range(7), 100, 101])))
    assert not any("stay in it" in sentence for sentence in read(run, path)[2])

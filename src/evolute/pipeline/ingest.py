"""Seeds into the ledger, on a thread of their own, while lineages are grown from it already."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import orjson

from evolute.batches import batched
from evolute.errors import InputError, LedgerError, Stopped
from evolute.ledger import Ledger
from evolute.records import Seed
from evolute.seeds import BadRow, SeedOptions, SeedReader

READ_AHEAD = 20_000
"""Seeds read before the first call: a fault in a file of usual size is found before anything is spent."""

BAD_ROWS = "bad-rows.jsonl"

_PAGE = 500
_COMPARED = 50_000  # seeds of a run up to which a new reading is compared with what it held before
_PATIENCE = 2.0  # seconds that a stopped run waits for the reader to come to its next row


class Ingest:
    """Reads sources into a ledger; skips what was read to its end before and has not changed since."""

    def __init__(self, ledger: Ledger, sources: Sequence[str], options: SeedOptions) -> None:
        self._ledger = ledger
        self._sources = sources
        self._bad_rows = BadRows(ledger.run / BAD_ROWS)
        self._reader = SeedReader(sources, options, self._bad_rows.add) if sources else None
        self._moved: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._work, name="evolute-seeds", daemon=True)
        self._told = 0
        self._older = 0
        self.read = 0
        self.done = False
        self.failure: BaseException | None = None

    def news(self) -> list[str]:
        """What is new since the last time: a sentence for each file, and at the end what the reading came to."""
        done = self.done  # looked at first: then nothing is recognised any more
        found = [item.sentence for item in self._reader.recognised] if self._reader else []
        if done and self._bad_rows.count:
            found.append(f"{self._bad_rows.count:,} bad rows set aside in {self._bad_rows.path}")
        if done and self._older:
            named = ", ".join("standard input" if source == "-" else source for source in self._sources)
            found.append(f"the run holds {self._older:,} more seeds than {named}, read before; they stay in it")
        found, self._told = found[self._told :], len(found)
        return found

    def start(self, moved: Callable[[], object]) -> None:
        """Begin; `moved` is called, on the reading thread, whenever there is more."""
        self._moved = moved
        if self._reader is None or self._unchanged(self._reader):
            self.done = True
        else:
            self._thread.start()

    def wake(self) -> None:
        """Make a feed that waits for more seeds look again at whether it should; from any thread."""
        self._moved()

    def close(self) -> None:
        """Stop reading. A thread that waits for a pipe's input is left behind: it ends with the process."""
        if self._reader is not None:
            self._reader.stop()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE)

    def _unchanged(self, reader: SeedReader) -> bool:
        digest = reader.fingerprint()
        return digest is not None and self._ledger.reader.meta("source") == digest.hex()

    def _work(self) -> None:
        try:
            if self._reader is not None:
                with self._bad_rows:
                    self._read(self._reader)
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001 - raised again where the feed is awaited
            self.failure = error
        self.done = True
        self._moved()

    def _read(self, reader: SeedReader) -> None:
        before = reader.fingerprint()
        # Only a run that has seeds can have older ones. Their number needs the ids in memory, so not for a large run.
        ids: set[bytes] | None = set() if 0 < self._ledger.reader.seed_count() <= _COMPARED else None
        for page in batched(reader, _PAGE):
            self._ledger.add_seeds(page)
            self.read += len(page)
            if ids is not None:
                ids.update(seed.id for seed in page)
            self._moved()
        if self.read == 0:
            bad = self._bad_rows.count
            raise InputError(f"no seed in what was read ({bad} bad rows set aside): see --where and --column")
        if ids is not None:
            self._older = self._ledger.reader.seed_count() - len(ids)
        rows = orjson.loads(self._ledger.reader.meta("rows") or "{}")
        rows[" ".join(item.path for item in reader.recognised)] = self.read
        self._ledger.note("rows", orjson.dumps(rows).decode())
        self._ledger.note("bad_rows", str(self._bad_rows.count))
        if before is not None:
            self._ledger.note("source", before.hex())


class BadRows:
    """The file of the rows set aside, made anew when the first of a reading comes; each is written as it comes.

    Raises:
        LedgerError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> BadRows:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # all is flushed, or its failure is on its way already
                self._file.close()

    def add(self, row: BadRow) -> None:
        """Write one down."""
        try:
            if self._file is None:
                self._file = self.path.open("wb")
            self._file.write(orjson.dumps(row) + b"\n")
            self._file.flush()
        except OSError as error:
            raise LedgerError(f"cannot write {self.path}: {error.strerror or error}") from None
        self.count += 1


async def feed(
    ledger: Ledger,
    ingest: Ingest,
    counted: Callable[[int], None],
    say: Callable[[str], None],
    at_most: int | None = None,
    *,
    stopping: Callable[[], str] = lambda: "",
) -> AsyncIterator[tuple[int, Seed]]:
    """Unfinished seeds in reading order, as far as they have been read.

    Args:
        ledger: where the seeds are.
        ingest: what brings them there.
        counted: told the number of distinct seeds once all are read.
        say: told what was recognised in each source, before the first seed comes.
        at_most: give no more than so many; the feed still ends only when all are read, and counted.
        stopping: why the run is being stopped, or nothing; the feed ends then. Looked at when `Ingest.wake` is called.

    Raises:
        InputError: a row or a file cannot be read.
        LedgerError: a seed or a bad row cannot be recorded.
    """
    loop = asyncio.get_running_loop()
    moved = asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop may have ended in haste
            loop.call_soon_threadsafe(moved.set)

    ingest.start(wake)
    after = given = 0
    while not stopping():
        moved.clear()
        done = ingest.done
        if ingest.failure is not None:
            raise ingest.failure
        page = []
        if done or ingest.read >= READ_AHEAD:
            for sentence in ingest.news():
                say(sentence)
            count = _PAGE if at_most is None else min(_PAGE, at_most - given)
            last = ledger.reader.last_position()
            page = list(ledger.reader.seeds(after, unfinished=True, count=count))
            if not page:
                after = max(after, last)  # all up to there are finished: not looked through again
        if done:
            counted(ledger.reader.seed_count())
        for position, seed in page:
            if stopping():
                return
            given += 1
            after = position
            yield position, seed
        if not page:
            if done:
                return
            await moved.wait()

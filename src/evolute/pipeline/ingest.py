"""Seeds into the ledger, on a thread of their own, while lineages are grown from it already."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice

import orjson

from evolute.errors import InputError
from evolute.ledger import Ledger
from evolute.records import Seed
from evolute.seeds import BadRow, SeedOptions, SeedReader

READ_AHEAD = 20_000
"""Seeds read before the first call: a fault in a file of usual size is found before anything is spent."""

BAD_ROWS = "bad-rows.jsonl"

_PAGE = 500


class Ingest:
    """Reads sources into a ledger; skips what was read to its end before and has not changed since."""

    def __init__(self, ledger: Ledger, sources: Sequence[str], options: SeedOptions) -> None:
        self._ledger = ledger
        self._reader = SeedReader(sources, options, self._set_aside) if sources else None
        self._set_aside_rows: list[BadRow] = []
        self._moved: Callable[[], object] = lambda: None
        self._stop = False
        self._thread = threading.Thread(target=self._work, name="evolute-seeds", daemon=True)
        self._told = 0
        self.read = 0
        self.bad = 0
        self.done = False
        self.failure: BaseException | None = None

    def news(self) -> list[str]:
        """What was recognised since the last time, a sentence for each file, and the bad rows at the end."""
        found = [item.sentence for item in self._reader.recognised] if self._reader else []
        found, self._told = found[self._told :], len(found)
        if self.done and self.bad:
            found.append(f"{self.bad:,} bad rows set aside in {self._ledger.run / BAD_ROWS}")
        return found

    def start(self, moved: Callable[[], object]) -> None:
        """Begin; `moved` is called, on the reading thread, whenever there is more."""
        self._moved = moved
        if self._reader is None or self._unchanged(self._reader):
            self.done = True
        else:
            self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stop = True
        if self._thread.is_alive():
            self._thread.join()

    def _unchanged(self, reader: SeedReader) -> bool:
        digest = reader.fingerprint()
        return digest is not None and self._ledger.reader.meta("source") == digest.hex()

    def _work(self) -> None:
        try:
            if self._reader is not None:
                self._read(self._reader)
        except Exception as error:  # noqa: BLE001 - raised again where the feed is awaited
            self.failure = error
        self.done = True
        self._moved()

    def _read(self, reader: SeedReader) -> None:
        before = reader.fingerprint()
        seeds = iter(reader)
        while not self._stop and (page := list(islice(seeds, _PAGE))):
            self._ledger.add_seeds(page)
            self._write_bad_rows()
            self.read += len(page)
            self._moved()
        self._write_bad_rows()
        if self._stop:
            return
        if self.read == 0:
            raise InputError(f"no seed in what was read ({self.bad} bad rows set aside): see --where and --column")
        rows = orjson.loads(self._ledger.reader.meta("rows") or "{}")
        rows[" ".join(item.path for item in reader.recognised)] = self.read
        self._ledger.note("rows", orjson.dumps(rows).decode())
        self._ledger.note("bad_rows", str(self.bad))
        if before is not None:
            self._ledger.note("source", before.hex())

    def _set_aside(self, row: BadRow) -> None:
        self._set_aside_rows.append(row)

    def _write_bad_rows(self) -> None:
        rows = self._set_aside_rows
        if not rows:
            return
        with (self._ledger.run / BAD_ROWS).open("ab" if self.bad else "wb") as file:
            file.writelines(orjson.dumps(row) + b"\n" for row in rows)
        self.bad += len(rows)
        rows.clear()


async def feed(
    ledger: Ledger,
    ingest: Ingest,
    counted: Callable[[int], None],
    say: Callable[[str], None],
    at_most: int | None = None,
) -> AsyncIterator[tuple[int, Seed]]:
    """Unfinished seeds in reading order, as far as they have been read.

    Args:
        ledger: where the seeds are.
        ingest: what brings them there.
        counted: told the number of distinct seeds once all are read.
        say: told what was recognised in each source, before the first seed comes.
        at_most: end after so many.

    Raises:
        InputError: a row or a file cannot be read.
    """
    loop = asyncio.get_running_loop()
    moved = asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop may have ended in haste
            loop.call_soon_threadsafe(moved.set)

    ingest.start(wake)
    after = given = 0
    while True:
        moved.clear()
        done = ingest.done
        if ingest.failure is not None:
            raise ingest.failure
        page = []
        if done or ingest.read >= READ_AHEAD:
            for sentence in ingest.news():
                say(sentence)
            page = list(ledger.reader.seeds(after, unfinished=True, count=_PAGE))
        if done:
            counted(ledger.reader.seed_count())
        for position, seed in page:
            if given == at_most:
                return
            given += 1
            after = position
            yield position, seed
        if not page:
            if done:
                return
            await moved.wait()

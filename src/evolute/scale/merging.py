"""A run made of its sink alone: seeds, recipe and texts are there, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import yaml

from evolute.errors import InputError, LedgerDamaged
from evolute.export import export
from evolute.files import replacing_folder
from evolute.ledger import LEDGER, Ledger, Reader
from evolute.pipeline.evolving import write_recipe
from evolute.pipeline.merging import Merged
from evolute.pipeline.summary import DATASET, summarise
from evolute.recipe import resolve
from evolute.scale.collecting import Collector
from evolute.scale.segments import CALLS_OF, SEEDS, decode, put_seeds
from evolute.scale.sink import Sink, place_of
from evolute.scale.worker import RUN_FILE

_TORN = " OR ".join(f"{call} NOT IN (SELECT key FROM calls)" for call in CALLS_OF)


def merge_sink(url: str, *, out: str | Path, say: Callable[[str], None] = lambda remark: None) -> Merged:
    """Make the run of a sink: the same that the driver's folder holds once all has come in.

    Args:
        url: the sink, a folder or a URL that fsspec knows.
        out: the new run's folder; it appears whole or not at all.
        say: told how far it is.

    Raises:
        InputError: there is no sink, or `out` is taken.
        LedgerError: a segment is damaged, or `out` cannot be written.
    """
    if (Path(url) / LEDGER).is_file():
        raise InputError(
            f"a merge needs two runs or more (or one sink), got 1 ({url}): evolute merge RUN RUN --out RUN"
        )
    sink = Sink(place_of(url, Path()))
    if not sink.has(RUN_FILE):
        raise InputError(f"{url!r} is neither a run nor the sink of one (it has no {RUN_FILE})")
    known = orjson.loads(sink.get(RUN_FILE))
    fingerprint = bytes.fromhex(known["fingerprint"])
    recipe = resolve(yaml.safe_load(known["recipe"]), f"{url}/{RUN_FILE}").model_copy(update={"out": str(out)})
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    why = "it holds something; name a folder that does not exist"
    with replacing_folder(target, lambda folder: why) as partial, Ledger(partial) as ledger:
        ledger.begin(fingerprint, known["notes"])
        for role, identity, name in known["models"]:
            ledger.add_model(role, bytes.fromhex(identity), name)
        for digest, title, text in known["templates"]:
            ledger.add_template(bytes.fromhex(digest), title, text)
        for name in sink.names(SEEDS):
            seeds = decode(SEEDS, sink.get(name), name)
            ledger.transact(lambda db, rows=seeds: put_seeds(db, rows))  # type: ignore[misc]
        say(f"{url}: {ledger.reader.seed_count():,} seeds read")
        collector = Collector(ledger, sink, fingerprint)
        say(f"{url}: {collector.collect():,} segments read")
        if torn := _torn(ledger.reader):
            raise LedgerDamaged(
                f"{url}: {torn:,} lineages rest on calls that are not there: files under {url}/calls are missing. Copy "
                "the sink whole, or run the command that made it again"
            )
        taken_back = collector.settle(recipe)
        write_recipe(partial, recipe)
        export(ledger.reader.dataset(), "alpaca", partial / DATASET, verification=recipe.verify.answers)
    with Reader(target) as reader:
        return Merged(summarise(target, reader), 0, 0, taken_back)


def _torn(reader: Reader) -> int:
    """Lineages with a call that is not recorded."""
    (found,) = next(reader.select(f"SELECT count(DISTINCT seed) FROM candidates WHERE {_TORN}"))
    return int(found)

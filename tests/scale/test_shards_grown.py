"""Shards grown by workers of this very process, without Ray: what they ship makes the single machine's run."""

import asyncio
import secrets
import shutil

import orjson
import pytest

from evolute.api import evolve, status, verify
from evolute.errors import InputError, LedgerDamaged
from evolute.evolve.budget import Limits
from evolute.evolve.session import Craft, introduce
from evolute.ledger import Ledger, Reader
from evolute.pipeline.evolving import notes_of, resolve_recipe, write_recipe
from evolute.scale.allowance import CUT_OFF
from evolute.scale.collecting import Collector
from evolute.scale.driver import _NAME, OnRay, _claim
from evolute.scale.flow import _error
from evolute.scale.merging import merge_sink
from evolute.scale.segments import CALLS, LINEAGES, call_rows, decode, encode
from evolute.scale.shards import Shard, cut, size_for
from evolute.scale.shares import Shares
from evolute.scale.shipping import COMMON, take_up
from evolute.scale.sink import Sink, place_of
from evolute.scale.worker import RUN_FILE, Job, grow_shard
from evolute.seeds import SeedOptions

SETTINGS = {"models.default.api": "scripted", "models.default.model": "m", "evolve.rounds": 2, "evolve.attempts": 2}


class Cluster:
    """A run's ledger and sink, and workers on them."""

    def __init__(self, folder, seeds_from, *, limits=None, settings=None, ship_calls=7, sink=None, name=None):
        self.run = folder / "run"
        self.recipe = resolve_recipe(None, "wizardlm", SETTINGS | (settings or {}))
        self.craft = Craft.of(self.recipe)
        self.limits = limits or Limits()
        self.shares = Shares(self.limits, {"calls": 0, "tokens": 0, "cost": 0.0})
        self.ledger = Ledger(self.run)
        with Reader(seeds_from) as reader:
            self.ledger.add_seeds([seed for _, seed in reader.seeds()])
        write_recipe(self.run, self.recipe)
        self.fingerprint = self.craft.fingerprint(self.recipe)
        self.ledger.begin(self.fingerprint, notes_of(self.recipe, self.craft))
        introduce(self.ledger, self.recipe, self.craft)
        self.sink = Sink(place_of(sink, self.run))
        self.collector = Collector(self.ledger, self.sink, self.fingerprint)
        if name is not None:
            self.ledger.note(_NAME, name)
        name = _claim(self.sink, self.ledger, self.recipe, self.craft)
        self.shards = cut(self.ledger.reader, self.sink, 4)
        disk = str(folder / "disk" / "{node}")
        self.job = Job(self.recipe, self.craft, name, self.sink.url, disk, self.limits, ship_calls, 0.1)

    async def ask(self, report):
        return self.shares.ask(report)

    async def grow(self, shard):
        todo = set(shard.unfinished(self.ledger.reader))
        return await grow_shard(self.job, shard, todo, secrets.token_hex(6), "node", self.ask)

    def go(self):
        """All shards, two at a time; why each was left unfinished."""

        async def all_of_them():
            free = asyncio.Semaphore(2)

            async def one(shard):
                async with free:
                    return await self.grow(shard)

            return await asyncio.gather(*map(one, self.shards))

        whys = asyncio.run(all_of_them())
        self.collector.collect()
        return whys


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """A run of twelve seeds on one machine."""
    folder = tmp_path_factory.mktemp("single")
    file = folder / "seeds.jsonl"
    file.write_bytes(
        b"".join(orjson.dumps({"instruction": f"Name {n + 2} uses of a brick."}) + b"\n" for n in range(12))
    )
    evolve(str(file), out=folder / "run", recipe="wizardlm", settings=SETTINGS)
    return folder / "run"


def rows(ledger):
    return list(ledger.reader.dataset())


def expected(run):
    with Reader(run) as reader:
        return list(reader.dataset())


def test_the_same_rows(single, tmp_path):
    cluster = Cluster(tmp_path, single)
    assert cluster.go() == [""] * 3
    assert rows(cluster.ledger) == expected(single)
    assert not list((tmp_path / "disk").rglob("ledger.db"))
    cluster.ledger.close()
    assert not verify(cluster.run).problems
    assert status(cluster.run).calls == status(single).calls
    merge_sink(str(cluster.sink.url), out=tmp_path / "merged")
    assert (tmp_path / "merged" / "dataset.jsonl").read_bytes() == (single / "dataset.jsonl").read_bytes()
    assert not verify(tmp_path / "merged").problems


@pytest.mark.parametrize(("limits", "least", "most"), [(Limits(calls=30), 30, 30), (Limits(tokens=8000), 30, 80)])
def test_a_bound_holds_for_all_workers_and_a_higher_one_goes_on(single, tmp_path, limits, least, most):
    cluster = Cluster(tmp_path, single, limits=limits)
    whys = cluster.go()
    assert any("is reached" in why for why in whys)
    cluster.ledger.close()
    stopped = status(cluster.run)
    assert least <= stopped.calls <= most
    if limits.tokens:  # as on one machine, what is in flight is estimated
        assert 7500 < stopped.prompt_tokens + stopped.completion_tokens < 9000
    again = Cluster(tmp_path, single)
    again.collector.collect()
    assert again.go() == [""] * 3
    assert rows(again.ledger) == expected(single)
    again.ledger.close()
    assert status(cluster.run).calls == status(single).calls  # none was made again


def test_what_a_killed_attempt_left_on_this_disk_is_shipped_first(single, tmp_path):
    cluster = Cluster(tmp_path, single)
    disk = tmp_path / "disk" / "node" / cluster.job.run / cluster.shards[0].name
    # A worker's ledger is an ordinary one: this one holds 20 calls that the sink does not.
    evolve(str(single.parent / "seeds.jsonl"), out=disk, recipe="wizardlm", settings=SETTINGS,
           seeds=SeedOptions(limit=4), limits=Limits(calls=20))  # fmt: skip
    recorded = status(disk).calls
    assert recorded == 20
    assert asyncio.run(cluster.grow(cluster.shards[0])) == ""
    cluster.collector.collect()
    with Reader(single) as reader:
        wanted = {key for row in reader.candidates() if row.seed <= 4 for key in row[11:14] if key}
    assert {row.key for row in cluster.ledger.reader.calls()} == wanted  # twenty of them were not made again
    made = cluster.shares.standing().counts["calls"]
    assert made == len(wanted) - recorded
    cluster.ledger.close()


def test_a_run_begun_on_one_machine_hands_its_calls_over(single, tmp_path):
    evolve(str(single.parent / "seeds.jsonl"), out=tmp_path / "run", recipe="wizardlm", settings=SETTINGS,
           limits=Limits(calls=25))  # fmt: skip
    cluster = Cluster(tmp_path, single)
    cluster.collector.hand_over()
    assert cluster.go() == [""] * 3
    assert rows(cluster.ledger) == expected(single)
    assert cluster.shares.standing().counts["calls"] == status(single).calls - 25
    cluster.collector.hand_over()  # all that the ledger has since come to is in the sink already
    assert len(cluster.sink.names(f"{CALLS}/{COMMON}")) == 1
    cluster.ledger.close()


def test_a_lineage_that_rests_on_another_answer_is_taken_back(single, tmp_path):
    cluster = Cluster(tmp_path, single)
    cluster.go()
    cluster.ledger.close()
    other = Cluster(tmp_path / "other", single, sink=cluster.sink.url)
    with Reader(single) as reader:
        key = next(row.evolve_call for row in reader.candidates(5) if row.evolve_call)
        (call,) = call_rows(reader, [key])
    answered = (*call[:5], "An answer that another worker was given.", *call[6:])
    other.sink.put(f"{CALLS}/{COMMON}/first.parquet", encode(CALLS, [answered]))
    other.collector.collect([f"{CALLS}/{COMMON}/first.parquet"])
    other.collector.collect()
    assert other.collector.settle(other.recipe) == 1
    assert not other.ledger.reader.is_finished(5)
    assert other.collector.settle(other.recipe) == 0  # once
    assert other.ledger.reader.completion(key).text == answered[5]
    shard = next(shard for shard in other.shards if shard.first <= 5 <= shard.last)
    assert asyncio.run(other.grow(shard)) == ""
    other.collector.collect()
    assert other.ledger.reader.is_finished(5)
    other.ledger.close()
    assert not verify(other.run).problems


def test_shards_keep_their_names_and_new_seeds_get_new_ones(single, tmp_path):
    cluster = Cluster(tmp_path, single)
    reader = cluster.ledger.reader
    assert [(shard.first, shard.last) for shard in cluster.shards] == [(1, 4), (5, 8), (9, 12)]
    assert [Shard.parse(shard.file) for shard in cluster.shards] == cluster.shards
    assert cut(reader, cluster.sink, 3) == cluster.shards
    with Ledger(tmp_path / "less") as less, pytest.raises(InputError, match="shards of other seeds"):
        cut(less.reader, cluster.sink, 4)
    cluster.ledger.close()
    assert (size_for(12, 1), size_for(10, 4), size_for(10**6, 2)) == (3, 1, 5000)


def test_a_sink_without_its_calls_is_no_run(single, tmp_path):
    cluster = Cluster(tmp_path, single)
    cluster.go()
    cluster.ledger.close()
    for file in (cluster.run / "segments" / CALLS / cluster.shards[0].name).iterdir():
        file.unlink()
    with pytest.raises(LedgerDamaged, match=r"4 lineages rest on calls that are not there: files under .*/calls"):
        merge_sink(str(cluster.sink.url), out=tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_sink_is_one_runs(single, tmp_path):
    cluster = Cluster(tmp_path, single)
    cluster.go()
    cluster.ledger.close()
    before = cluster.sink.get(RUN_FILE)
    lost = Cluster(tmp_path / "lost", single, sink=cluster.sink.url)  # the same run, whose folder is gone
    lost.collector.collect()
    assert rows(lost.ledger) == expected(single)
    lost.ledger.close()
    with pytest.raises(InputError, match=r"--sink '.*' belongs to another run"):
        Cluster(tmp_path / "other", single, settings={"seed": 7}, sink=cluster.sink.url)
    with pytest.raises(InputError, match="belongs to another run"):
        Cluster(tmp_path / "named", single, sink=cluster.sink.url, name="another")
    assert cluster.sink.get(RUN_FILE) == before


def test_a_run_may_change_its_sink_and_come_back_and_no_call_is_made_again(single, tmp_path):
    made = 0
    sinks = [str(tmp_path / name) for name in ("first", "second", "first", "second")]
    for number, (sink, calls) in enumerate(zip(sinks, (20, 35, 45, None), strict=True)):
        if number == 3:
            shutil.rmtree(sink)  # what the run has is handed over anew
        cluster = Cluster(tmp_path, single, sink=sink, limits=Limits(calls=calls and calls - made))
        cluster.collector.hand_over()
        cluster.collector.collect()
        cluster.go()
        made += cluster.shares.standing().counts["calls"]
        assert made == (calls or status(single).calls)
        assert cluster.ledger.reader.meta(_NAME) == cluster.job.run
        found = rows(cluster.ledger)
        cluster.ledger.close()
    assert found == expected(single)
    assert not verify(cluster.run).problems


def test_a_damaged_segment_is_named(single, tmp_path):
    cluster = Cluster(tmp_path, single)
    cluster.sink.put(f"{CALLS}/{COMMON}/bad.parquet", b"no Parquet")
    with pytest.raises(LedgerDamaged, match=r"bad\.parquet in the sink"):
        cluster.collector.collect()
    cluster.ledger.close()


def test_a_recipes_lineages_are_its_own(single, tmp_path):
    cluster = Cluster(tmp_path, single)
    cluster.go()
    cluster.ledger.close()
    other = Cluster(tmp_path / "other", single, settings={"seed": 7}, sink=cluster.sink.url, name=cluster.job.run)
    other.collector.collect()
    assert other.ledger.reader.finished_count() == 0  # the calls are there, the verdicts are not
    assert next(other.ledger.reader.select("SELECT count(*) FROM calls"))[0] == status(single).calls
    with Ledger(tmp_path / "worker") as ledger:
        take_up(ledger, other.sink, other.shards[0].name)
        assert ledger.has_history
    other.ledger.close()


def test_an_object_store_takes_files_whole():
    sink = Sink("memory://bucket/run")
    sink.put("calls/a/1.parquet", b"one")
    sink.put("calls/b/2.parquet", b"two")
    assert sink.names("calls") == ["calls/a/1.parquet", "calls/b/2.parquet"]
    assert sink.names("calls/b") == ["calls/b/2.parquet"]
    assert sink.names("lineages") == []
    assert sink.get("calls/a/1.parquet") == b"one"
    assert sink.has("calls/a/1.parquet")
    assert not sink.has("run.json")
    with pytest.raises(InputError, match="--sink 'nothing://x' cannot be reached"):
        Sink("nothing://x")


def test_what_needs_all_lineages_in_one_place_is_refused():
    plain = resolve_recipe(None, "wizardlm", SETTINGS)
    OnRay().check(plain, None)
    with pytest.raises(InputError, match=r"evolve.duplicates"):
        OnRay().check(resolve_recipe(None, "wizardlm", SETTINGS | {"evolve.duplicates": True}), None)
    with pytest.raises(InputError, match=r"evolve.stop"):
        OnRay().check(resolve_recipe(None, "wizardlm", SETTINGS | {"evolve.stop": {"command": "true"}}), None)
    with pytest.raises(InputError, match="a pilot"):
        OnRay().check(plain, 8)
    with pytest.raises(InputError, match="--on is 'ray', 'ray://auto'"):
        OnRay("elsewhere")
    with pytest.raises(InputError, match="--ship-calls must be above 0, got 0"):
        OnRay(ship_calls=0)


def test_a_workers_error_keeps_its_kind():
    assert isinstance(_error("InputError", "x"), InputError)
    assert _error("MissingExtra", "y").args == ("y",)


def test_lineages_survive_the_way_through_parquet(single):
    from evolute.scale.segments import lineage_row

    with Reader(single) as reader:
        row = lineage_row(reader, 1, finished=True, why=None)
    assert decode(LINEAGES, encode(LINEAGES, [row]), "here") == [row]


def test_a_worker_that_is_cut_off_begins_no_further_call(single, tmp_path, monkeypatch):
    monkeypatch.setattr("evolute.scale.allowance.SILENT", 0.1)
    cluster = Cluster(tmp_path, single, settings={"models.default.latency": 0.05, "models.default.concurrency": 1})
    asked = []

    async def ask(report):
        asked.append(report)
        if len(asked) > 1:
            await asyncio.Event().wait()
        return cluster.shares.ask(report)

    cluster.ask = ask
    assert asyncio.run(cluster.grow(cluster.shards[0])) == CUT_OFF
    cluster.collector.collect()
    assert 0 < next(cluster.ledger.reader.select("SELECT count(*) FROM calls"))[0] < 40  # what it had made is shipped
    assert cluster.ledger.reader.finished_count() < 4
    cluster.ledger.close()

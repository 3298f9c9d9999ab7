"""Runs whose calls wait for batches, on the loopback server: the dataset is a live run's, and nothing is paid twice."""

import asyncio
import contextlib
import socket
import sqlite3

import orjson
import pytest
from aiohttp import web

from evolute import api
from evolute.errors import EndpointError, InputError
from evolute.evolve.budget import Limits
from evolute.ledger import Ledger, Reader
from evolute.ledger.batches import batches
from evolute.models.loopback import LoopbackServer
from evolute.models.loopback_batches import BatchFaults
from evolute.models.loopback_reply import scripted_rule
from evolute.pipeline.planning import plan

PRICE = {"input": 1.0, "output": 2.0}


async def grow(server, seeds, out, limits=None, **settings):
    """A run in this process; `settings` with `__` for the dots."""
    named = {name.replace("__", "."): value for name, value in settings.items()}
    base = {
        "models.default.base_url": server.base_url, "models.default.model": "m", "models.default.price": PRICE,
        "evolve.rounds": 1,
    }  # fmt: skip
    return await asyncio.to_thread(
        api.evolve, str(seeds) if seeds else (), out=out, recipe="wizardlm", settings=base | named, limits=limits
    )


def batch(**fields):
    return {"models__default__batch": {"seconds": 0.15} | fields}


async def live(seeds, out, rule=scripted_rule, **settings):
    async with LoopbackServer(rule) as server:
        return await grow(server, seeds, out, **settings)


def dataset(run):
    return (run / "dataset.jsonl").read_bytes()


def states(run):
    with Reader(run) as reader:
        return [one.state for one in batches(reader)]


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    return {"models__default__api": "anthropic", "models__default__api_key_env": "ANTHROPIC_API_KEY"}


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_failures_expiry_and_disorder_change_nothing(tmp_path, seeds_file, key, provider):
    seeds, asked = seeds_file(16), key if provider == "anthropic" else {}
    faults = BatchFaults(fail=0.15, expire=0.15, shuffle=True, cut=1, seconds=0.05)
    whole = await live(seeds, tmp_path / "live", **asked)
    async with LoopbackServer(scripted_rule, batches=faults, seed=3) as server:
        summary = await grow(server, seeds, tmp_path / "batch", **asked, **batch(size=7))
        stats = server.batches.stats()
    assert dataset(tmp_path / "batch") == dataset(tmp_path / "live")
    assert stats["answered"] == summary.calls == whole.calls
    assert stats["answered_twice"] == 0
    assert stats["requests"] > stats["answered"], "nothing failed: the faults prove nothing"
    assert summary.tries == stats["requests"]
    assert len(summary.batches) == stats["batches"] > 4
    assert sum(one.answered for one in summary.batches) == summary.calls
    assert summary.cost == pytest.approx(whole.cost / 2)
    assert sum(use.cost for use in (*summary.operations, *summary.others)) == pytest.approx(summary.cost)
    assert list((tmp_path / "batch" / "batches").iterdir()) == []


async def test_what_a_cancelled_batch_left_is_asked_again_and_nothing_else(tmp_path, seeds_file):
    seeds, run = seeds_file(12), tmp_path / "run"
    evolved_only = {"evolve__judge": False, "evolve__respond": "never"}
    await live(seeds, tmp_path / "live", **evolved_only)
    async with LoopbackServer(scripted_rule, batches=BatchFaults(seconds=1.2)) as server:
        short = batch(hours=0.6 / 3600)
        first = await grow(server, seeds, run, models__default__retries=0, **evolved_only, **short)
        assert 0 < first.calls < 12
        assert first.calls == first.finished == first.batches[0].answered
        assert first.batches[0].state == "cancelled"
        await grow(server, seeds, run, **evolved_only, **batch())
        stats = server.batches.stats()
    assert dataset(run) == dataset(tmp_path / "live")
    assert stats["requests"] == 12 + (12 - first.calls)


async def test_a_batch_that_never_ends_is_cancelled_and_its_lineages_are_left_over(tmp_path, seeds_file):
    async with LoopbackServer(scripted_rule, batches=BatchFaults(never=True)) as server:
        summary = await grow(
            server, seeds_file(3), tmp_path / "run", models__default__retries=1, **batch(hours=0.4 / 3600)
        )
        assert server.batches.stats()["requests"] == 6
    assert summary.calls == 0
    assert states(tmp_path / "run") == ["cancelled", "cancelled"]
    assert sum(summary.left_over.values()) == summary.pending == 3
    assert "cancelled before this request's turn" in next(iter(summary.left_over))


async def test_leaving_and_coming_back(tmp_path, seeds_file):
    """Each session fetches what has come, submits what can be asked now, and leaves."""
    seeds = seeds_file(8)
    await live(seeds, tmp_path / "live")
    async with LoopbackServer(scripted_rule, batches=BatchFaults(seconds=0.4)) as server:
        stopped, sessions = "never", 0
        while stopped:
            stopped = (await grow(server, seeds, tmp_path / "run", limits=Limits(leave=True), **batch())).stopped
            sessions += 1
            assert not stopped or stopped.startswith("--leave: "), stopped
            assert sessions < 40
            await asyncio.sleep(0.4)  # the day that passes
        stats = server.batches.stats()
    assert sessions > 2
    assert dataset(tmp_path / "run") == dataset(tmp_path / "live")
    assert (stats["repeated"], stats["answered_twice"]) == (0, 0)


async def test_a_bound_on_calls_holds_over_sessions(tmp_path, seeds_file):
    seeds = seeds_file(10)
    await live(seeds, tmp_path / "live")
    async with LoopbackServer(scripted_rule, batches=BatchFaults(seconds=0.3)) as server:
        for bound in (7, 15):
            summary = await grow(server, seeds, tmp_path / "run", limits=Limits(calls=bound), **batch())
            assert summary.stopped == f"--max-calls {bound} is reached"
            assert summary.calls == server.batches.stats()["requests"] == bound
        left = await grow(server, seeds, tmp_path / "run", limits=Limits(calls=18, leave=True), **batch())
        assert left.calls <= 18
        await grow(server, seeds, tmp_path / "run", **batch())
        assert server.batches.stats()["repeated"] == 0
    assert dataset(tmp_path / "run") == dataset(tmp_path / "live")


async def test_a_bound_on_cost_asks_little_before_it_knows_what_a_call_costs(tmp_path, seeds_file):
    async with LoopbackServer(scripted_rule) as server:
        summary = await grow(server, seeds_file(80), tmp_path / "run", limits=Limits(cost=0.001), **batch())
        assert server.batches.stats()["requests"] == summary.calls <= 50
    assert summary.stopped == "--max-cost 0.001 is reached"


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("lost", [{"lose": 2}, {"lose_500": 2}, {"lose": 1, "unlisted": 1}])
async def test_a_batch_whose_making_was_not_answered_is_found(tmp_path, seeds_file, key, provider, lost):
    asked = key if provider == "anthropic" else {}
    async with LoopbackServer(scripted_rule, batches=BatchFaults(**lost)) as server:
        summary = await grow(server, seeds_file(4), tmp_path / "run", **asked, **batch())
        assert server.batches.stats()["repeated"] == 0
        assert len(summary.batches) == server.batches.stats()["batches"]
    assert summary.finished == 4


async def test_a_batch_refused_as_a_whole_is_submitted_again(tmp_path, seeds_file):
    async with LoopbackServer(scripted_rule, batches=BatchFaults(refuse=1)) as server:
        summary = await grow(server, seeds_file(4), tmp_path / "run", models__default__retries=0, **batch())
    assert summary.finished == 4
    assert summary.tries == summary.calls, "a request that was never tried has no failed try"
    assert states(tmp_path / "run")[0] == "failed"


async def test_content_that_is_refused_is_recorded_as_live(tmp_path, seeds_file):
    def rule(body):
        if "9 apples" in orjson.dumps(body["messages"]).decode():
            refusal = {"error": {"message": "content policy", "type": "invalid_request_error", "code": "content"}}
            return web.json_response(refusal, status=400)
        return scripted_rule(body)

    seeds = seeds_file(6)
    whole = await live(seeds, tmp_path / "live", rule)
    async with LoopbackServer(rule) as server:
        summary = await grow(server, seeds, tmp_path / "batch", **batch())
    assert dataset(tmp_path / "batch") == dataset(tmp_path / "live")
    assert summary.dropped == whole.dropped
    assert summary.dropped["rejected"] == 1


async def test_an_endpoint_that_refuses_everything_stops_the_run_and_records_nothing(tmp_path, seeds_file):
    def rule(body):
        return web.json_response({"error": {"message": "no such field", "type": "invalid_request_error"}}, status=400)

    seeds = seeds_file(3)
    async with LoopbackServer(rule) as server:
        with pytest.raises(EndpointError, match="refuses every request"):
            await grow(server, seeds, tmp_path / "run", **batch())
    with Reader(tmp_path / "run") as reader:
        assert list(reader.calls()) == []
    async with LoopbackServer(scripted_rule) as server:
        summary = await grow(server, seeds, tmp_path / "run", **batch())
    assert summary.finished == 3


async def test_waiting_batches_are_not_paid_for_again_by_other_means(tmp_path, seeds_file):
    seeds, run = seeds_file(4), tmp_path / "run"
    async with LoopbackServer(scripted_rule, batches=BatchFaults(seconds=30)) as server:
        left = await grow(server, seeds, run, limits=Limits(leave=True), **batch())
        assert left.stopped == "--leave: 4 requests wait in batches"
        with pytest.raises(InputError, match="would be paid for twice"):
            await grow(server, seeds, run)
        async with LoopbackServer(scripted_rule) as other:
            with pytest.raises(InputError, match="would be paid for twice"):
                await grow(other, seeds, run, **batch())
            assert other.batches.stats()["requests"] == 0
        with pytest.raises(InputError, match="--leave is for batches"):
            await grow(server, seeds, run, limits=Limits(leave=True))
        summary = await grow(server, seeds, run, **batch(hours=0.1 / 3600), limits=Limits(leave=True))
    assert summary.batches[0].state == "cancelled"


async def test_a_run_that_was_live_and_goes_on_in_batches_costs_what_each_cost(tmp_path, seeds_file):
    seeds, run = seeds_file(10), tmp_path / "run"
    async with LoopbackServer(scripted_rule) as server:
        first = await grow(server, seeds, run, limits=Limits(calls=12))
        whole = await grow(server, seeds, run, **batch())
        full = await grow(server, seeds, tmp_path / "live")
    assert whole.cost == pytest.approx(first.cost + (full.cost - first.cost) / 2)
    assert {part.share for part in whole.roles} == {1.0, 0.5}
    assert dataset(run) == dataset(tmp_path / "live")


async def answer_by_hand(folder, names):
    """What `vllm run-batch` writes, for files that have no answers yet."""
    for path in sorted(folder.glob("*.jsonl")):
        if path.name.endswith(".answers.jsonl") or path.stem in names:
            continue
        names.add(path.stem)
        lines = []
        for raw in path.read_bytes().splitlines():
            asked = orjson.loads(raw)
            message = {"role": "assistant", "content": scripted_rule(asked["body"])}
            body = {
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2},
            }
            reply = {"status_code": 200, "request_id": "r", "body": body}
            lines.append(orjson.dumps({"id": "x", "custom_id": asked["custom_id"], "response": reply, "error": None}))
        path.with_name(f"{path.stem}.answers.jsonl").write_bytes(b"\n".join(lines) + b"\n")


async def test_files_are_answered_by_hand(tmp_path, seeds_file):
    seeds, run = seeds_file(5), tmp_path / "run"
    await live(seeds, tmp_path / "live")
    settings = {
        "models.default.model": "m", "models.default.api": "chat", "evolve.rounds": 1,
        "models.default.batch": {"seconds": 0.1, "provider": "files"}, "models.default.price": PRICE,
    }  # fmt: skip
    names, stopped, sessions = set(), "never", 0
    while stopped:
        summary = await asyncio.to_thread(
            api.evolve, str(seeds), out=run, recipe="wizardlm", settings=settings, limits=Limits(leave=True)
        )
        stopped = summary.stopped
        await answer_by_hand(run / "batches", names)
        sessions += 1
        assert sessions < 20
    assert dataset(run) == dataset(tmp_path / "live")
    assert {part.share for part in summary.roles} == {1.0}


def test_a_ledger_from_before_batches_is_brought_up_to_date(tmp_path, seeds_file):
    run = tmp_path / "run"
    with Ledger(run) as ledger:
        ledger.add_model("evolver", b"i" * 16, "m")

    def back(db):
        for table in ("batch_requests", "batches"):
            db.execute(f"DROP TABLE {table}")
        db.execute("ALTER TABLE models DROP COLUMN share")
        db.execute("PRAGMA user_version = 4")

    with contextlib.closing(sqlite3.connect(run / "ledger.db")) as db:
        back(db)
        db.commit()
    with Ledger(run) as ledger:
        assert list(ledger.reader.select("SELECT name, share FROM models")) == [("m", 1.0)]
        assert batches(ledger.reader) == []


@pytest.mark.parametrize(("settings", "told"), [(batch(), 1), ({}, 0)])
async def test_a_plan_says_when_its_pilot_waits_for_batches(tmp_path, seeds_file, settings, told):
    said = []
    async with LoopbackServer(scripted_rule) as server:
        named = {name.replace("__", "."): value for name, value in settings.items()}
        named |= {"models.default.base_url": server.base_url, "models.default.model": "m", "evolve.rounds": 1}
        args = {"out": tmp_path / "run", "recipe": "wizardlm", "settings": named, "pilot": 1, "say": said.append}
        await asyncio.to_thread(plan, str(seeds_file(2)), **args)
        assert bool(server.batches.stats()["batches"]) == bool(told)
    assert sum("models.NAME.batch=null asks it at once" in line for line in said) == told


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_an_address_where_nothing_is_leaves_nothing_behind(tmp_path, seeds_file, key, provider):
    asked = key if provider == "anthropic" else {}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    wrong = {"models__default__base_url": url, **asked, **batch()}
    async with LoopbackServer(scripted_rule) as server:
        with pytest.raises(EndpointError, match=r"a batch cannot be submitted: .* the connection failed"):
            await grow(server, seeds_file(2), tmp_path / "run", **wrong)
        assert states(tmp_path / "run") == ["unsent"]
        summary = await grow(server, None, tmp_path / "run", **asked, **batch())
        assert server.batches.stats()["repeated"] == 0
    assert summary.finished == 2

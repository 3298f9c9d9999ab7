"""Batches given up: what they have answered is kept, nothing is asked, and what is asked later is the rest."""

import asyncio

import pytest

from evolute import api
from evolute.errors import InputError
from evolute.evolve.budget import Limits
from evolute.models.loopback import LoopbackServer
from evolute.models.loopback_batches import BatchFaults
from evolute.models.loopback_reply import scripted_rule
from evolute.pipeline.cancelling import Cancelled, cancel_batches

RULES = {"models.default.model": "m", "evolve.rounds": 1}


async def on(server, work, *args, **options):
    settings = RULES | {"models.default.base_url": server.base_url} | options.pop("settings", {})
    return await asyncio.to_thread(work, *args, settings=settings, **options)


async def left_behind(server, seeds, run, **settings):
    """A run that has submitted a batch and gone away."""
    waits = {"models.default.batch": {"seconds": 0.1}} | settings
    await on(server, api.evolve, str(seeds), out=run, recipe="wizardlm", settings=waits, limits=Limits(leave=True))


@pytest.mark.parametrize("provider", ["chat", "anthropic"])
async def test_what_was_answered_is_kept_and_the_rest_is_asked_at_once(tmp_path, seeds_file, monkeypatch, provider):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    keyed = {"models.default.api": provider, "models.default.api_key_env": "ANTHROPIC_API_KEY"}
    run = tmp_path / "run"
    async with LoopbackServer(scripted_rule, batches=BatchFaults(seconds=1.5)) as server:
        await left_behind(server, seeds_file(20), run, **keyed)
        with pytest.raises(InputError, match=r"wait.*`evolute cancel .*run`"):
            await on(server, api.evolve, out=run, settings=keyed | {"models.default.batch": None})
        submitted = server.batches.stats()["requests"]
        done = await asyncio.to_thread(cancel_batches, run)
        assert (done.batches, done.requests, done.left) == (1, 20, 0)
        assert server.batches.stats()["requests"] == submitted == 20, "a cancel asks nothing"
        assert not [batch for batch in api.status(run).batches if batch.is_open]
        assert api.status(run).calls == done.answered
        whole = await on(server, api.evolve, out=run, settings=keyed | {"models.default.batch": None})
        assert whole.finished == 20
        assert server.requests == whole.calls - done.answered, "what was answered is not asked again"


async def test_a_batch_that_has_ended_is_fetched(tmp_path, seeds_file):
    async with LoopbackServer(scripted_rule, batches=BatchFaults(never=True)) as server:
        await left_behind(server, seeds_file(20), tmp_path / "run")
        server.batches.faults = BatchFaults(expire=0.5)  # it ends now
        before = api.status(tmp_path / "run")
        waiting = [batch for batch in before.batches if batch.is_open]
        done = await asyncio.to_thread(cancel_batches, tmp_path / "run")
        assert done.requests == sum(batch.requests for batch in waiting) > 0
        assert api.status(tmp_path / "run").calls == before.calls + done.answered > before.calls
        assert done.answered < done.requests
        assert await asyncio.to_thread(cancel_batches, tmp_path / "run") == Cancelled(0, 0, 0, 0)


async def test_batches_of_another_model_are_told_and_ended_when_it_is_named(tmp_path, seeds_file):
    run = tmp_path / "run"
    async with LoopbackServer(scripted_rule, batches=BatchFaults(never=True)) as server:
        await left_behind(server, seeds_file(2), run)
        said = []
        other = {"models.default.model": "n"}
        await on(server, api.evolve, out=run, settings=other, limits=Limits(leave=True), say=said.append)
        assert any("2 requests wait in batches of a model the recipe has no more" in line for line in said)
        assert (await asyncio.to_thread(cancel_batches, run)).left == 2
        named = await asyncio.to_thread(cancel_batches, run, settings={"models.default.model": "m"})
        assert (named.batches, named.left) == (1, 0)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(InputError, match="not a run's folder"):
        cancel_batches(tmp_path)

"""What would pay twice, wait for days or count wrongly in a run whose calls wait for batches."""

import asyncio
import time

import pytest

from evolute import api
from evolute.errors import CallFailed, EndpointError
from evolute.evolve.budget import Budget, Limits
from evolute.evolve.progress import Progress
from evolute.ledger import Ledger, Reader
from evolute.ledger.batches import Asked, BatchBook, batches
from evolute.models.batching import BatchResult, BatchStatus, NotFound
from evolute.models.batching.following import Follower
from evolute.models.loopback import LoopbackServer
from evolute.models.loopback_batches import BatchFaults
from evolute.models.loopback_reply import scripted_rule
from evolute.records import Completion

PRICE = {"input": 1.0, "output": 2.0}
KEY = b"k" * 16


async def grow(server, seeds, out, limits=None, **fields):
    settings = {
        "models.default.base_url": server.base_url, "models.default.model": "m", "models.default.price": PRICE,
        "models.default.batch": {"seconds": 0.1} | fields, "evolve.rounds": 1,
    }  # fmt: skip
    return await asyncio.to_thread(api.evolve, str(seeds), out=out, recipe="wizardlm", settings=settings, limits=limits)


def states(run):
    with Reader(run) as reader:
        return [one.state for one in batches(reader)]


@pytest.mark.parametrize("limits", [{"leave": True}, {"minutes": 0.02}])
async def test_a_reached_bound_does_not_keep_who_wants_to_leave(tmp_path, seeds_file, limits):
    run = tmp_path / "run"
    async with LoopbackServer(scripted_rule, batches=BatchFaults(never=True)) as server:
        going = grow(server, seeds_file(8), run, Limits(calls=3, **limits))
        summary = await asyncio.wait_for(going, 20)
        assert server.batches.stats()["requests"] == 3
    assert summary.stopped == "--max-calls 3 is reached"
    assert states(run) == ["submitted"]


async def test_calls_that_cost_nothing_cost_nothing_in_every_figure(tmp_path, seeds_file):
    async with LoopbackServer(scripted_rule) as server:
        summary = await grow(server, seeds_file(3), tmp_path / "run", discount=0)
    assert summary.cost == 0
    assert sum(use.cost for use in (*summary.operations, *summary.others)) == 0


class Desk:
    resting, succeeded = 0, True

    def __init__(self, ledger):
        self.ledger, self.answers, self.left = ledger, [], []

    async def record(self, answers):
        for asked, completion in answers:
            await self.ledger.record(asked.key, asked.role, asked.identity, completion, "m")
        self.answers += [completion.text for _, completion in answers]

    def give_up(self, keys, errors, default):
        self.left += keys


class Provider:
    """One batch that has ended, or that fails to be looked at."""

    def __init__(self, results=(), error=None):
        self.given, self.error = results, error

    async def status(self, id):
        if self.error:
            raise self.error
        return BatchStatus("ended", 1, 0, 1)

    async def results(self, id):
        for result in self.given:
            yield result

    async def cancel(self, id):
        raise AssertionError("nothing is to be cancelled")


async def follow(folder, provider, age=0.0, hours=26.0):
    """Take up a batch that was submitted `age` seconds ago; the desk, and the states of the batches then."""
    with Ledger(folder) as ledger:
        ledger.add_model("evolver", b"i", "m", 0.5)
        book = BatchBook(ledger, b"asker", "openai")
        book.confirm(book.intend("name", [Asked(KEY, "evolver", b"i")]), "batch_1")
        ledger.transact(lambda db: db.execute("UPDATE batches SET submitted = ?", (time.time() - age,)))
        desk = Desk(ledger)
        await Follower(provider, book, desk, folder, hours).resume(book.open()[0])
    return desk


@pytest.mark.parametrize("answer_first", [True, False])
async def test_of_an_answer_and_an_error_to_one_request_the_answer_counts(tmp_path, answer_first):
    results = [
        BatchResult(KEY.hex(), Completion("told"), None),
        BatchResult(KEY.hex(), None, CallFailed("a batch left this request unanswered")),
    ]
    desk = await follow(tmp_path / "run", Provider(results if answer_first else results[::-1]))
    assert (desk.answers, desk.left) == (["told"], [])


@pytest.mark.parametrize("error", [EndpointError("no credit left"), NotFound("it knows no batch batch_1")])
async def test_coming_back_days_later_with_another_key_gives_no_batch_up(tmp_path, error):
    with pytest.raises(type(error), match=str(error)):
        await follow(tmp_path / "run", Provider(error=error), age=3 * 86400)
    assert states(tmp_path / "run") == ["submitted"]


@pytest.mark.parametrize(("days", "hours"), [(31, 26), (1, 0.001)])
async def test_a_batch_forgotten_or_given_up_is_asked_again(tmp_path, days, hours):
    desk = await follow(tmp_path / "run", Provider(error=NotFound("gone")), age=days * 86400, hours=hours)
    assert desk.left == [KEY]
    assert states(tmp_path / "run") == ["expired"]


def test_a_budget_that_a_bound_has_closed_can_still_be_closed_by_the_user():
    budget, told = Budget(Limits(calls=1), Progress(calls=1)), []
    budget.on_close.append(told.append)
    with pytest.raises(Exception, match="max-calls 1"):
        budget.admit()
    budget.close("interrupted")
    assert told == ["--max-calls 1 is reached", "interrupted"]
    assert budget.why == told[0]


async def test_batches_that_another_model_waits_for_are_said(tmp_path, seeds_file):
    said, run, seeds = [], tmp_path / "run", seeds_file(3)
    async with LoopbackServer(scripted_rule, batches=BatchFaults(never=True)) as server:
        settings = {"models.default.base_url": server.base_url, "models.default.batch": {"seconds": 0.1}}
        for model in ("m", "m", "other"):
            await asyncio.to_thread(
                api.evolve, str(seeds), out=run, recipe="wizardlm", limits=Limits(leave=True), say=said.append,
                settings=settings | {"models.default.model": model},
            )  # fmt: skip
    told = [remark for remark in said if "no more:" in remark]
    assert len(told) == 1
    assert told[0].startswith("3 requests wait in batches of a model")

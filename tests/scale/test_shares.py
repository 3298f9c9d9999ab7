"""What workers are told they may spend and call never adds up to more than the run's bounds, whatever happens."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute.evolve.budget import Limits
from evolute.models.pacing import Share
from evolute.scale.shares import DEATHS, SILENT, Demand, Report, Shares, split_whole


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@dataclass
class Worker:
    """One that spends what it is granted, and says so."""

    shares: Shares
    name: str
    shard: str = ""
    spent: int = 0
    in_flight: int = 0
    granted: dict = field(default_factory=dict)
    share: Share = field(default_factory=lambda: Share(0))
    allowed: Share = field(default_factory=Share)

    def ask(self, need=4, *, wanted=4, blocked=False, ended=False):
        report = Report(
            self.name, self.shard or self.name, {"calls": self.spent, "tokens": 0, "cost": 0.0}, dict(self.granted),
            {"calls": need}, blocked, [Demand(self.allowed, self.in_flight, wanted)], ended=ended,
        )  # fmt: skip
        reply = self.shares.ask(report)
        if not ended:
            self.granted, self.share = dict(reply.granted), reply.shares[0]
        return reply

    @property
    def left(self):
        return int(self.granted.get("calls", 0)) - self.spent


@given(
    bound=st.integers(1, 60),
    moves=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["ask", "spend", "give", "end", "die"])), max_size=120),
)
def test_grants_never_exceed_the_bound(bound, moves):
    shares = Shares(Limits(calls=bound), {"calls": 0, "tokens": 0, "cost": 0.0})
    workers = [Worker(shares, f"w{n}", f"s{n}") for n in range(4)]
    spent = 0
    for number, (which, move) in enumerate(moves):
        worker = workers[which]
        if move == "ask":
            worker.ask()
        elif move == "spend" and worker.left > 0:
            worker.spent, spent = worker.spent + 1, spent + 1
        elif move == "give" and worker.granted:
            worker.granted["calls"] = max(worker.spent, worker.granted["calls"] - 2)
            worker.ask(need=0)
        elif move == "end":
            worker.ask(ended=True)
            workers[which] = Worker(shares, f"w{number}-", f"s{which}")
        elif move == "die":  # all that it spent was reported; another takes its shard
            worker.ask(need=0)
            workers[which] = Worker(shares, f"w{number}-", f"s{which}")
            workers[which].ask()
        assert spent <= bound


def test_a_bound_is_spent_to_the_last_and_then_closes():
    shares = Shares(Limits(calls=23), {"calls": 3, "tokens": 0, "cost": 0.0})
    one, two = Worker(shares, "one"), Worker(shares, "two")
    for _ in range(30):
        for worker in (one, two):
            while worker.left > 0:
                worker.spent += 1
            why = worker.ask(blocked=worker.left == 0).why
    assert one.spent + two.spent == 20
    assert why == "--max-calls 23 is reached"
    assert shares.standing().why == why


def test_what_one_gives_back_another_gets():
    shares = Shares(Limits(calls=10), {"calls": 0, "tokens": 0, "cost": 0.0})
    one, two = Worker(shares, "one"), Worker(shares, "two")
    one.ask(need=10)
    assert not two.ask(need=4, blocked=True).why  # one may still give some back
    one.granted["calls"] = 6
    one.ask(need=0)
    for _ in range(3):  # each time a fair part of what is left
        two.ask(need=4)
    assert two.left == 4


def test_a_dead_workers_grant_comes_back_when_its_shard_is_taken_up():
    shares = Shares(Limits(calls=10), {"calls": 0, "tokens": 0, "cost": 0.0})
    dead = Worker(shares, "dead", "shard")
    dead.ask(need=10)
    dead.spent, dead.in_flight = 3, 2
    dead.ask(need=7)
    again = Worker(shares, "again", "shard")
    again.ask(need=10)
    assert again.left == 5  # three were spent, and two in flight are taken to be


def test_a_shard_that_kills_every_worker_stops_the_run():
    shares = Shares(Limits(), {"calls": 0, "tokens": 0, "cost": 0.0})
    replies = [Worker(shares, f"w{number}", "shard").ask() for number in range(DEATHS + 1)]
    assert not replies[-2].why
    assert f"shard died {DEATHS} times" in replies[-1].why


@given(
    allowed=st.integers(1, 40),
    moves=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50), st.booleans()), min_size=1, max_size=60),
)
def test_calls_in_flight_never_exceed_the_recipes_number(allowed, moves):
    shares = Shares(Limits(), {"calls": 0, "tokens": 0, "cost": 0.0})
    workers = [Worker(shares, f"w{n}", allowed=Share(allowed)) for n in range(4)]
    for which, wanted, busy in moves:
        worker = workers[which]
        worker.ask(wanted=wanted)
        # Calls begin up to the share; those above a share that shrank end in their own time.
        worker.in_flight = max(worker.in_flight, worker.share.concurrency) if busy else 0
        if not busy:
            worker.ask(wanted=wanted)
        assert sum(each.in_flight for each in workers) <= allowed


def test_a_share_follows_demand():
    shares = Shares(Limits(), {"calls": 0, "tokens": 0, "cost": 0.0})
    allowed = Share(10, 600.0, 6000.0)
    one, two = Worker(shares, "one", allowed=allowed), Worker(shares, "two", allowed=allowed)
    one.ask(wanted=50)
    assert one.share.concurrency == 10
    for _ in range(3):
        two.ask(wanted=2)
        one.ask(wanted=50)
    assert (one.share.concurrency, two.share.concurrency) == (8, 2)
    assert one.share.requests_per_minute + two.share.requests_per_minute == pytest.approx(600)
    assert one.share.requests_per_minute > 500
    assert one.share.tokens_per_minute == pytest.approx(10 * one.share.requests_per_minute)


def test_the_share_of_one_that_is_silent_goes_to_the_others():
    clock = Clock()
    shares = Shares(Limits(), {"calls": 0, "tokens": 0, "cost": 0.0}, clock)
    silent, other = (Worker(shares, name, allowed=Share(8)) for name in ("silent", "other"))
    silent.ask(wanted=8)
    other.ask(wanted=8)
    assert other.share.concurrency == 0
    clock.now = SILENT
    other.ask(wanted=8)
    assert other.share.concurrency == 8


@given(amount=st.integers(0, 50), wants=st.lists(st.integers(0, 30).map(float), min_size=1, max_size=8))
def test_a_split_wastes_nothing(amount, wants):
    parts = split_whole(amount, wants)
    assert sum(parts) == amount
    if sum(wants) >= amount:
        assert all(part <= want for part, want in zip(parts, wants, strict=True))

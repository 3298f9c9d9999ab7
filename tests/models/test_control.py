"""The controllers against simulated endpoints, in simulated time."""

import random

import pytest

from evolute.models.control import Bucket, Concurrency, Counts, Rate

TICK = 0.1


def run_rate(*, allowed=None, noise=0.0, offered=2000.0, seconds=60.0, seed=0):
    """A server that allows `allowed` tries a second and refuses a share of all at random; the rates it accepted."""
    rate, counts, chance, accepted = Rate(), Counts(), random.Random(seed), []
    rate.restart(0.0, counts)
    for step in range(1, int(seconds / TICK) + 1):
        tries = int(min(offered, rate.cap or offered) * TICK)
        kept = sum(chance.random() >= noise for _ in range(tries))
        if allowed is not None:
            kept = min(kept, int(allowed * TICK))
        counts.started += tries
        counts.limited += tries - kept
        accepted.append((tries, kept))
        rate.tick(step * TICK, counts)
    late = accepted[len(accepted) // 3 :]
    tries, kept = (sum(pair[i] for pair in late) for i in (0, 1))
    return rate, kept / (len(late) * TICK), (tries - kept) / tries


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.2, 0.4])
@pytest.mark.parametrize("seed", range(3))
def test_random_refusals_do_not_slow_us(noise, seed):
    _, accepted, _ = run_rate(noise=noise, seed=seed)
    assert accepted >= 0.9 * 2000 * (1 - noise)


@pytest.mark.parametrize("allowed", [50, 500, 1500])
def test_a_limit_is_found_and_kept_to(allowed):
    _, accepted, refused = run_rate(allowed=allowed)
    assert accepted >= 0.9 * allowed
    assert refused <= 0.12


@pytest.mark.parametrize("noise", [0.05, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_a_limit_is_found_among_random_refusals(noise, seed):
    _, accepted, refused = run_rate(allowed=500, noise=noise, seed=seed)
    assert accepted >= 0.85 * 500
    assert refused <= noise + 0.2


def test_without_refusals_there_is_no_cap():
    rate, _, _ = run_rate()
    assert rate.cap is None
    assert rate.noise == 0


def test_a_cap_grows_back_when_the_limit_goes():
    rate, counts = Rate(), Counts()
    rate.restart(0.0, counts)
    for step in range(1, 600):
        tries = int(min(2000, rate.cap or 2000) * TICK)
        counts.started += tries
        counts.limited += max(0, tries - 10) if step < 100 else 0
        rate.tick(step * TICK, counts)
        if step == 99:
            assert 80 <= rate.cap <= 130
    assert rate.cap > 1000


def run_concurrency(*, slots=10_000, latency=0.2, failing=0.0, start=8, most=256, seconds=60.0, fails_beyond=None):
    """An endpoint with so many slots, the rest queueing (or failing at once beyond `fails_beyond`)."""
    control, counts = Concurrency(start, most), Counts()
    control.restart(0.0, counts)
    limits, debt, chance = [], 0.0, random.Random(0)
    for step in range(1, int(seconds / TICK) + 1):
        debt += min(control.limit, slots) / latency * TICK
        done, debt = int(debt), debt % 1
        share = max(0.0, 1 - fails_beyond / control.limit) if fails_beyond else failing
        failed = sum(chance.random() < share for _ in range(done))
        counts.finished += done
        counts.busy += done
        counts.overloaded += failed
        counts.succeeded += done - failed
        control.tick(step * TICK, counts)
        limits.append(control.limit)
    return limits


def test_grows_to_the_bound_while_throughput_grows():
    limits = run_concurrency()
    assert limits[0] == 8
    assert limits[60] == 256


def test_holds_where_throughput_no_longer_grows():
    limits = run_concurrency(slots=40)
    late = limits[len(limits) // 2 :]
    assert sum(limit == 64 for limit in late) >= 0.7 * len(late)
    assert max(late) <= 128


def test_takes_a_wider_endpoint_when_it_has_become_one():
    control, counts = Concurrency(8, 256), Counts()
    for step in range(1, 1200):
        done = int(min(control.limit, 16 if step < 300 else 200) * 0.5)
        counts.finished += done
        counts.busy += done
        counts.succeeded += done
        control.tick(step * TICK, counts)
        if step == 299:
            assert control.limit <= 64
    assert control.limit == 256


def test_backs_off_from_an_overloaded_endpoint_and_stays_near_what_it_takes():
    limits = run_concurrency(fails_beyond=60, start=256)
    assert min(limits) >= 20
    assert max(limits[100:]) <= 160
    assert 40 <= sum(limits[100:]) / len(limits[100:]) <= 100


@pytest.mark.parametrize("failing", [0.05, 0.15, 0.3])
def test_random_failures_do_not_narrow_us(failing):
    limits = run_concurrency(failing=failing)
    assert limits[-1] == 256
    assert sum(limits[100:]) / len(limits[100:]) >= 200


def test_an_idle_limit_does_not_grow():
    control, counts = Concurrency(8, 256), Counts()
    for step in range(1, 100):
        counts.finished += 4
        counts.succeeded += 4
        control.tick(step * TICK, counts)
    assert control.limit == 8


def test_a_bucket_keeps_its_rate_and_bears_debt():
    bucket, taken, now = Bucket(100, 0.0), 0, 0.0
    for _ in range(1000):
        while bucket.wait(now) == 0:
            bucket.take(1)
            taken += 1
        now += 0.01
    assert 995 <= taken <= 1005
    bucket.take(50)
    assert 0.4 <= bucket.wait(now) <= 0.52
    bucket.take(-50)
    assert bucket.wait(now) <= 0.01

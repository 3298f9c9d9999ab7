"""The rule of a proof: what truly helps is found, what does nothing hardly ever seems to help."""

import random
from dataclasses import replace

import pytest

from evolute.pipeline.provpage import sentence_of
from evolute.pipeline.provrule import gain, gains_by_group, verdict_of
from evolute.report.proof import Compared, Line
from evolute.scores import Item, Measure, Score


def score(values, *, scale="nats", clusters=None, weights=None, groups=None):
    items = tuple(
        Item(
            str(place), value, groups[place] if groups else {}, cluster=clusters[place] if clusters else "",
            weights=weights[place] if weights else None,
        )
        for place, value in enumerate(values)
    )  # fmt: skip
    return Score("quick", "m", "acc", scale, Measure(sum(values) / len(values)), len(values), items=items)


def simulated(draw, n, effect, noise=0.1, trainings=1):
    """Losses of two arms in two comparisons that share the seeds' arm; `effect` is how much less the evolved loses."""
    hard = [draw.gauss(2.0, 0.5) for _ in range(n)]

    def arm(by):
        return [score([one - by + draw.gauss(0, noise) for one in hard]) for _ in range(trainings)]

    seeds = arm(0.0)
    return [gain(arm(effect), seeds, seed=1), gain(arm(effect), seeds, seed=1)]


def rates(n, effect, times, **more):
    draw = random.Random(n)
    said = [verdict_of(simulated(draw, n, effect, **more)) for _ in range(times)]
    return {verdict: said.count(verdict) / times for verdict in ("helped", "hurt", "cannot be told")}


@pytest.mark.parametrize("n", [5, 12, 25])
def test_what_does_nothing_hardly_ever_seems_to_help_or_to_hurt(n):
    found = rates(n, 0.0, times=200 if n < 20 else 100)
    assert found["helped"] < 0.04  # 2.5 % of a single interval; both must agree
    assert found["hurt"] < 0.04
    assert found["cannot be told"] > 0.93


@pytest.mark.parametrize(("effect", "verdict"), [(0.2, "helped"), (-0.2, "hurt")])
@pytest.mark.parametrize("n", [12, 25])
def test_what_truly_helps_or_hurts_is_said_to(n, effect, verdict):
    assert rates(n, effect, times=40)[verdict] > 0.95


def test_several_trainings_must_agree():
    one = score([1.0, 1.1, 0.9, 1.0, 1.2, 1.05])
    better, worse = (replace(one, items=tuple(replace(i, score=i.score + by) for i in one.items)) for by in (-0.5, 0.1))
    jittered = replace(better, items=tuple(replace(i, score=i.score + n / 50) for n, i in enumerate(better.items)))
    found = gain([jittered, worse], [one, one])
    assert found.measure.low > 0
    assert [value > 0 for value in found.by_training] == [True, False]
    assert found.verdict == "cannot be told"
    assert gain([jittered, jittered], [one, one]).verdict == "helped"


def test_of_losses_less_is_better_and_of_shares_more():
    few, many = [1.0, 1.2, 0.8, 1.1, 0.9], [2.0, 2.1, 1.9, 2.2, 1.7]
    assert gain([score(few)], [score(many)]).verdict == "helped"
    assert gain([score(few, scale="%")], [score(many, scale="%")]).verdict == "hurt"


def test_lineages_are_the_draws_and_not_their_rows():
    draw = random.Random(3)
    shifts = [draw.gauss(0.02, 0.1) for _ in range(8)]
    ours = [2.0 - shift for shift in shifts for _ in range(20)]
    clusters = [str(place) for place in range(8) for _ in range(20)]
    theirs = [2.0] * len(ours)
    together = gain([score(ours, clusters=clusters)], [score(theirs, clusters=clusters)])
    apart = gain([score(ours)], [score(theirs)])
    assert (together.independent, apart.independent) == (8, 160)
    assert together.measure.high - together.measure.low > 3 * (apart.measure.high - apart.measure.low)


def test_ratios_of_points_are_subtracted_as_ratios_and_get_their_error():
    draw = random.Random(5)

    def arm(mean):
        return [(min(10.0, max(0.0, draw.gauss(mean, 1.0))), 8.0) for _ in range(12)]

    good, bad = arm(8.0), arm(5.0)
    scored = [score([100 * a / b for a, b in one], scale="ratio", weights=one) for one in (good, bad)]
    found = gain([scored[0]], [scored[1]])
    expected = 100 * (sum(a for a, _ in good) / 96 - sum(a for a, _ in bad) / 96)
    assert found.measure.value == pytest.approx(expected)
    assert found.measure.low < expected < found.measure.high
    assert found.verdict == "helped"


def test_the_needed_items_find_the_gain_four_times_in_five():
    draw = random.Random(11)
    effect, noise = 0.15, 0.3
    pilot = gain([score([-effect + noise * z for z in (-1, 1) * 5])], [score([0.0] * 10)])
    assert pilot.verdict == "cannot be told"
    found = 0
    for _ in range(100):
        values = [-effect + draw.gauss(0, noise) for _ in range(pilot.needed)]
        found += gain([score(values)], [score([0.0] * pilot.needed)]).verdict == "helped"
    assert 0.7 < found / 100 < 0.9
    assert pilot.least > effect


def test_what_does_not_vary_claims_nothing():
    found = gain([score([1.0] * 5)], [score([2.0] * 5)])
    assert (found.measure.low, found.verdict, found.needed) == (None, "cannot be told", None)
    assert gain([score([1.0])], [score([2.0])]).verdict == "cannot be told"


def test_an_item_that_one_training_lacks_is_left_out():
    one, other = score([1.0, 2.0, 3.0]), score([2.0, 3.0, 5.0])
    gap = replace(other, items=(*other.items[:2], replace(other.items[2], score=None)))
    assert gain([one, one], [other, gap]).n == 2


def test_results_of_other_questions_are_not_compared():
    one, other = (replace(score([1.0, 2.0]), ran={"questions": {"hash": name}}) for name in "ab")
    found = gain([one], [other])
    assert found.why == "not comparable: they differ in questions"
    assert found.verdict == "cannot be told"


def test_groups_are_compared_each_by_itself():
    groups = [{"skill": name} for name in ("Math", "Math", "Art", "Art")]
    ours, theirs = score([1.0, 1.1, 3.0, 3.2], groups=groups), score([2.0, 2.2, 2.0, 2.3], groups=groups)
    found = gains_by_group([ours], [theirs], "skill")
    assert {name: one.measure.value > 0 for name, one in found.items()} == {"Math": True, "Art": False}


def line(value, low, high, needed=100):
    verdict = "helped" if low > 0 else "hurt" if high < 0 else "cannot be told"
    return Line("held-out-loss", "nats", Measure(value, low, high), 30, 30, verdict, needed=needed)


def compared(*lines):
    names = ("equal examples", "equal tokens")
    return [Compared(name, "e", "s", name, True, [one]) for name, one in zip(names, lines, strict=True)]


@pytest.mark.parametrize(
    ("lines", "verdict", "words"),
    [
        ((line(0.2, 0.1, 0.3), line(0.1, 0.05, 0.2)), "helped", "It helped: by held-out-loss"),
        ((line(-0.2, -0.3, -0.1), line(-0.1, -0.2, -0.05)), "hurt", "It hurt"),
        (
            (line(0.2, 0.1, 0.3), line(0.01, -0.1, 0.1)),
            "cannot be told",
            "equal tokens as large as it looks, about 100 items",
        ),
        ((line(0.2, 0.1, 0.3), line(-0.2, -0.3, -0.1)), "cannot be told", "The two do not agree"),
        ((line(0.1, -0.1, 0.3), line(0.1, -0.1, 0.3)), "cannot be told", "about 100 items would be needed to tell"),
        ((line(0.1, -0.1, 0.3, 2**30), line(0.1, -0.1, 0.3)), "cannot be told", "more than a million"),
    ],
)
def test_the_sentence_says_no_more_than_the_rule(lines, verdict, words):
    said, sentence = sentence_of(compared(*lines), "held-out-loss")
    assert said == verdict
    assert words in sentence


def test_a_main_measure_without_a_number_is_told():
    said, sentence = sentence_of(compared(line(0.2, 0.1, 0.3), line(0.2, 0.1, 0.3)), "quick")
    assert (said, sentence) == ("cannot be told", "It cannot be told whether it helped: quick has no number.")

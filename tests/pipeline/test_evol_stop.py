"""Evol Stop: a barrier between rounds, at which a command's score says whether to go on or to roll back."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute import api
from evolute.errors import InputError, RecipeError, ScoreFailed
from evolute.ledger import Reader, SelectionReader
from evolute.ledger.rounds import Rounds
from evolute.models.loopback import LoopbackServer
from evolute.models.loopback_reply import scripted_rule
from evolute.pipeline.checking import replay, verify
from evolute.pipeline.evolstop import decide
from evolute.pipeline.merging import merge
from evolute.pipeline.publishing import card_facts
from evolute.pipeline.validating import validate
from evolute.recipe.stopping import Stop

SCRIPTED = {"models.default.api": "scripted", "models.default.model": "scripted", "evolve.rounds": 3}
SCORE = """
import json, sys
dataset, round_, log, *scores = sys.argv[1:]
rows = [json.loads(line) for line in open(dataset)]
assert max(row["round"] for row in rows) <= int(round_)
open(log, "a").write(round_ + " ")
print("trained on", len(rows), "rows")
print(scores[int(round_)])
"""
WAIT = """
import os, time
if not os.path.exists({flag!r} + ".seen"):
    open({flag!r} + ".seen", "w")
    open({flag!r}, "w").write(str(os.getpid()))
    time.sleep(600)
"""


@pytest.fixture
def scorer(tmp_path):
    """A command that says the given scores of rounds 0, 1, 2, …, and a file that tells which rounds were scored."""
    (tmp_path / "score.py").write_text(SCORE)

    def command(*scores):
        return f"{sys.executable} {tmp_path}/score.py {{dataset}} {{round}} {tmp_path}/log {' '.join(map(str, scores))}"

    return command


def grow(seeds, out, command=None, **more):
    stop = None if command is None else {"command": command} | more.pop("stop", {})
    return api.evolve(str(seeds), out=out, recipe="wizardlm", settings=SCRIPTED | {"evolve.stop": stop} | more)


def rounds_of(run):
    return {orjson.loads(line)["round"] for line in (run / "dataset.jsonl").read_bytes().splitlines()}


def state_of(run):
    with Reader(run) as reader:
        return Rounds.read(reader)


def scored(tmp_path):
    return (tmp_path / "log").read_text().split()


def sound(run):
    checks = replay(run), verify(run)
    return all(check.ok for check in checks) and checks[0].stored == checks[0].rebuilt


def test_without_it_nothing_waits_and_nothing_is_noted(tmp_path, seeds_file):
    grow(seeds_file(8), tmp_path / "run")
    assert state_of(tmp_path / "run") is None
    assert not (tmp_path / "run" / "evol-stop").exists()


def test_a_rising_score_goes_on_to_the_last_round_and_the_dataset_is_that_without_a_barrier(
    tmp_path, seeds_file, scorer
):
    seeds = seeds_file(8)
    summary = grow(seeds, tmp_path / "run", scorer(0, 0.1, 0.2, 0.3))
    grow(seeds, tmp_path / "free")
    assert scored(tmp_path) == ["1", "2", "3"]
    assert state_of(tmp_path / "run") == Rounds(3, {1: 0.1, 2: 0.2, 3: 0.3}, 3)
    assert summary.calls == api.status(tmp_path / "free").calls
    assert (tmp_path / "run/dataset.jsonl").read_bytes() == (tmp_path / "free/dataset.jsonl").read_bytes()
    assert sound(tmp_path / "run")


def test_a_falling_score_stops_and_rolls_back(tmp_path, seeds_file, scorer):
    run = tmp_path / "run"
    summary = grow(seeds_file(8), run, scorer(0, 0.5, 0.4, 0.9))
    assert scored(tmp_path) == ["1", "2"]
    assert rounds_of(run) == {0, 1}
    assert summary.rounds == Rounds(2, {1: 0.5, 2: 0.4}, 1)
    assert summary.rolled_back == sum(kept for round_, kept, _ in summary.by_round if round_ == 2) > 0
    with Reader(run) as reader:
        assert any(row.round == 2 and not row.reason for row in reader.candidates())
    assert sound(run)
    assert (run / "evol-stop" / "round-2.out").read_text().endswith("rows\n0.4\n")


def test_resuming_scores_nothing_again(tmp_path, seeds_file, scorer):
    run = tmp_path / "run"
    before = grow(seeds_file(8), run, scorer(0, 0.5, 0.4))
    dataset = (run / "dataset.jsonl").read_bytes()
    after = api.evolve(out=run)
    assert after.calls == before.calls
    assert scored(tmp_path) == ["1", "2"]
    assert (run / "dataset.jsonl").read_bytes() == dataset


def test_what_earlier_rounds_paid_for_is_not_asked_again(tmp_path, seeds_file, scorer):
    """Against a model that never answers twice alike, where a repeated call would show."""
    settings = {
        "models.default.api": "chat", "models.default.model": "m",
        "evolve.rounds": 3, "evolve.judge": False, "evolve.stop": {"command": scorer(0, 1, 2, 3)},
    }  # fmt: skip

    async def served():
        count = itertools.count()

        def rule(body):
            return f"{scripted_rule(body)} Mind the case of {next(count)} pears, too."

        async with LoopbackServer(rule) as server:
            await asyncio.to_thread(
                api.evolve, str(seeds_file(6)), out=tmp_path / "run", recipe="wizardlm",
                settings=settings | {"models.default.base_url": server.base_url},
            )  # fmt: skip
            return server.answers

    answers = asyncio.run(served())
    assert scored(tmp_path) == ["1", "2", "3"]
    assert api.status(tmp_path / "run").calls == answers
    assert sound(tmp_path / "run")


def test_another_command_scores_all_rounds_anew(tmp_path, seeds_file, scorer):
    seeds = seeds_file(4)
    grow(seeds, tmp_path / "run", scorer(0, 1, 2, 3))
    grow(seeds, tmp_path / "run", scorer(0, 3, 2, 1))
    assert scored(tmp_path) == ["1", "2", "3", "1", "2"]
    assert state_of(tmp_path / "run").last == 1
    assert rounds_of(tmp_path / "run") == {0, 1}
    grow(seeds, tmp_path / "run", scorer(0, 1, 2, 3))  # scores of its own are still known
    assert scored(tmp_path) == ["1", "2", "3", "1", "2"]
    assert rounds_of(tmp_path / "run") == {0, 1, 2, 3}
    grow(seeds, tmp_path / "run", scorer(0, 1, 2, 3), stop={"seeds": True})
    assert scored(tmp_path) == ["1", "2", "3", "1", "2", "0"]


def test_more_patience_goes_on_from_there(tmp_path, seeds_file, scorer):
    run = tmp_path / "run"
    grow(seeds_file(8), run, scorer(0, 0.5, 0.4, 0.9))
    api.evolve(out=run, settings={"evolve.stop.patience": 2})
    assert scored(tmp_path) == ["1", "2", "3"]
    assert rounds_of(run) == {0, 1, 2, 3}
    api.evolve(out=run, settings={"evolve.stop.patience": 1})
    assert rounds_of(run) == {0, 1}
    assert sound(run)


def test_without_the_barrier_a_stopped_run_goes_on_to_the_end(tmp_path, seeds_file, scorer):
    seeds, run = seeds_file(8), tmp_path / "run"
    grow(seeds, run, scorer(0, 0.5, 0.4))
    api.evolve(out=run, settings={"evolve.stop": None})
    grow(seeds, tmp_path / "free")
    assert (run / "dataset.jsonl").read_bytes() == (tmp_path / "free/dataset.jsonl").read_bytes()
    assert state_of(run) is None
    assert sound(run)


def test_a_barrier_may_come_later(tmp_path, seeds_file, scorer):
    run = tmp_path / "run"
    before = grow(seeds_file(8), run)
    after = api.evolve(out=run, settings={"evolve.stop": {"command": scorer(0, 0.5, 0.4)}})
    assert after.calls == before.calls
    assert rounds_of(run) == {0, 1}
    assert sound(run)


def test_the_seeds_alone_can_be_the_best(tmp_path, seeds_file, scorer):
    grow(seeds_file(6), tmp_path / "run", scorer(0.5, 0.4), stop={"seeds": True})
    assert scored(tmp_path) == ["0", "1"]
    assert rounds_of(tmp_path / "run") == {0}
    assert sound(tmp_path / "run")


def test_a_changed_recipe_begins_again_and_scores_only_what_has_changed(tmp_path, seeds_file, scorer):
    run = tmp_path / "run"
    grow(seeds_file(6), run, scorer(0, 0.5, 0.6, 0.7))
    api.evolve(out=run, settings={"evolve.rounds": 2})
    assert scored(tmp_path) == ["1", "2", "3"]
    assert rounds_of(run) == {0, 1, 2}
    api.evolve(out=run, settings={"rules.max_words": 20})
    assert len(scored(tmp_path)) > 3
    assert sound(run)


def test_a_selection_of_rows_that_were_rolled_back_since_is_stale(tmp_path, seeds_file, scorer):
    run = tmp_path / "run"
    grow(seeds_file(8), run, scorer(0, 0.5, 0.4, 0.9), stop={"patience": 2})
    with Reader(run) as reader:
        before = SelectionReader(reader).stamp()
    api.evolve(out=run, settings={"evolve.stop.patience": 1})
    with Reader(run) as reader:
        assert SelectionReader(reader).stamp() != before


def test_a_pilot_scores_nothing_and_the_run_goes_on_from_its_calls(tmp_path, seeds_file, scorer):
    run, seeds = tmp_path / "run", seeds_file(6)
    settings = SCRIPTED | {"evolve.stop": {"command": scorer(0, 0.5, 0.4)}}
    api.evolve(str(seeds), out=run, recipe="wizardlm", settings=settings, pilot=2)
    assert state_of(run) is None
    assert not (tmp_path / "log").exists()
    paid = api.status(run).calls
    api.evolve(out=run)
    assert rounds_of(run) == {0, 1}
    assert sound(run)
    assert api.status(run).calls > paid


def test_the_dataset_up_to_a_round(tmp_path, seeds_file, evolute_command):
    run = tmp_path / "run"
    grow(seeds_file(6), run)
    rows = [row for row in api.dataset(run) if row.round <= 1]
    assert list(api.dataset(run, up_to=1)) == rows
    told = evolute_command("export", str(run), "--out", str(tmp_path / "one.jsonl"), "--up-to-round", "1")
    assert told.returncode == 0, told.stderr
    assert len((tmp_path / "one.jsonl").read_bytes().splitlines()) == len(rows)
    told = evolute_command("export", str(run), "--out", str(tmp_path / "folder"), "--up-to-round", "1")
    assert f"{len(rows)} rows" in told.stderr + told.stdout
    assert evolute_command("export", str(run), "--out", "x.jsonl", "--up-to-round", "-1").returncode == 2


SAID = "round 1 scored 0.5, round 2 scored 0.4; rolled back to round 1"


def test_the_card_and_the_report_tell_of_it(tmp_path, seeds_file, scorer):
    run = tmp_path / "run"
    grow(seeds_file(6), run, scorer(0, 0.5, 0.4))
    assert any(SAID in limit for limit in card_facts(run).limits)
    pytest.importorskip("jinja2")
    page = api.report(run).read_text()
    assert f"Evol Stop: {SAID}" in page


def test_validate_tells_of_the_command_and_whether_it_is_there(tmp_path):
    (tmp_path / "r.yaml").write_text("evolve: {rounds: 3, stop: {command: 'no-such-program {dataset}', seeds: true}}\n")
    found = validate(tmp_path / "r.yaml")
    assert ("", "Evol Stop: up to 4 times, no-such-program {dataset}") in found.plan
    assert any("no program 'no-such-program'" in lacking for lacking in found.missing)


def test_a_round_that_is_under_way_is_told_of(tmp_path, seeds_file):
    run = tmp_path / "run"
    with pytest.raises(ScoreFailed):
        grow(seeds_file(2), run, "false {dataset}")
    assert api.status(run).evol_stop == "round 1 is not decided yet"


def test_status_and_show_tell_of_it(tmp_path, seeds_file, scorer, evolute_command):
    run = tmp_path / "run"
    grow(seeds_file(6), run, scorer(0, 0.5, 0.4))
    told = evolute_command("status", str(run)).stdout
    assert f"Evol Stop: {SAID}" in " ".join(told.split())
    fields = orjson.loads(evolute_command("status", str(run), "--json").stdout)
    assert fields["rounds"] | {"command": ""} == {
        "grown": 2, "scores": {"1": 0.5, "2": 0.4}, "last": 1, "first": 1, "command": ""
    }  # fmt: skip
    assert fields["rolled_back"] > 0
    assert "rolled back" in evolute_command("show", str(run)).stdout


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit('no GPU today')", "ended with 1; its last line: 'no GPU today'"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9"),
        ("print('done')", "it says no score at its end; its last line: 'done'"),
        ("print('nan')", "no score"),
        ("print('{\"loss\": 1}')", "no score"),
        ("print('}')", "no score"),
        ("pass", "no score"),
    ],
)
def test_a_command_that_fails_leaves_the_run_ready_to_go_on(tmp_path, seeds_file, scorer, program, said):
    run = tmp_path / "run"
    (tmp_path / "bad.py").write_text(program)
    with pytest.raises(ScoreFailed) as caught:
        grow(seeds_file(4), run, f"{sys.executable} {tmp_path}/bad.py {{dataset}}")
    assert said in str(caught.value)
    calls = api.status(run).calls
    assert sound(run)
    api.evolve(out=run, settings={"evolve.stop.command": scorer(0, 0.5, 0.4), "evolve.rounds": 3})
    assert rounds_of(run) == {0, 1}
    assert api.status(run).calls > calls


def test_a_score_as_bc_prints_it(tmp_path, seeds_file):
    grow(seeds_file(2), tmp_path / "run", "sh -c 'echo .50' {dataset}", **{"evolve.rounds": 1})
    assert state_of(tmp_path / "run").scores == {1: 0.5}


@pytest.mark.parametrize(
    "said",
    [
        {"score": 0.25},
        {"passed": 1, "pass@1": 0.25, "results": [{"passed": True, "pass@1": 9}] * 3000},
    ],
)
@pytest.mark.parametrize("option", [0, orjson.OPT_INDENT_2])
def test_a_score_in_json(tmp_path, seeds_file, said, option):
    (tmp_path / "said.json").write_bytes(orjson.dumps(said, option=option) + b"\n\n")
    (tmp_path / "say.py").write_text(f"print('epoch 1')\nprint(open({str(tmp_path / 'said.json')!r}).read())")
    run = tmp_path / "run"
    grow(seeds_file(2), run, f"{sys.executable} {tmp_path}/say.py {{dataset}}", **{"evolve.rounds": 1})
    assert state_of(run) == Rounds(1, {1: 0.25}, 1)


def test_a_command_that_is_not_there(tmp_path, seeds_file):
    with pytest.raises(ScoreFailed, match="cannot be started: No such file"):
        grow(seeds_file(2), tmp_path / "run", "no-such-program {dataset}")


def test_a_command_that_takes_too_long_ends_with_all_that_it_started(tmp_path, seeds_file):
    child = f"import subprocess, sys; subprocess.run(['sleep', '600'], check=True)  # {tmp_path}"
    (tmp_path / "slow.py").write_text(child)
    began = time.monotonic()
    with pytest.raises(ScoreFailed, match=r"took more than evolve\.stop\.seconds"):
        grow(seeds_file(2), tmp_path / "run", f"{sys.executable} {tmp_path}/slow.py {{dataset}}", stop={"seconds": 0.3})
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("kind", ["SIGKILL", "SIGINT"])
def test_killed_while_scoring_it_goes_on_to_the_same_dataset(tmp_path, seeds_file, scorer, kind):
    seeds, run, flag = seeds_file(6), tmp_path / "run", tmp_path / "flag"
    os.mkfifo(flag)
    (tmp_path / "wait.py").write_text(WAIT.format(flag=str(flag)) + SCORE)
    command = scorer(0, 0.5, 0.4).replace("score.py", "wait.py")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_bytes(
        orjson.dumps(
            {
                "models": {"default": {"api": "scripted", "model": "scripted"}},
                "evolve": {"rounds": 3, "stop": {"command": command}},
            }
        )
    )
    words = [sys.executable, "-m", "evolute", "evolve", str(seeds), "--out", str(run), "--recipe", str(recipe)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    child = int(flag.read_text())
    process.send_signal(getattr(signal, kind))
    assert process.wait(60) != 0
    if kind == "SIGKILL":
        os.kill(child, signal.SIGKILL)
    assert rounds_of(run) == {0, 1} if (run / "dataset.jsonl").exists() else kind == "SIGKILL"
    again = subprocess.run(words, capture_output=True, check=True, text=True)
    assert "round 1: score 0.5" in again.stderr
    assert "rolled back to round 1" in again.stderr
    assert scored(tmp_path) == ["1", "2"]
    grow(seeds, tmp_path / "other", scorer(0, 0.5, 0.4))
    assert (run / "dataset.jsonl").read_bytes() == (tmp_path / "other/dataset.jsonl").read_bytes()
    assert sound(run)


def test_inside_a_running_loop(tmp_path, seeds_file, scorer):
    async def notebook():
        grow(seeds_file(3), tmp_path / "run", scorer(0, 0.5, 0.4))

    asyncio.run(notebook())
    assert rounds_of(tmp_path / "run") == {0, 1}


def test_runs_with_scores_of_their_own_are_not_merged(tmp_path, seeds_file, scorer):
    for name in ("a", "b"):
        grow(seeds_file(3), tmp_path / name, scorer(0, 0.5, 0.4))
    with pytest.raises(InputError, match="round by round with a score of its own"):
        merge([tmp_path / "a", tmp_path / "b"], out=tmp_path / "c")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"evolve.stop.command": "./score.sh"}, "no argument {dataset}"),
        ({"evolve.stop.command": "./score.sh '{dataset}"}, "cannot be split"),
        ({"evolve.stop.command": "a {dataset}", "evolve.respond": "last"}, "respond is 'last'"),
        ({"evolve.stop.command": "a {dataset}", "evolve.stop.patience": 0}, "greater than or equal to 1"),
    ],
)
def test_what_a_recipe_may_say(tmp_path, seeds_file, fields, said):
    with pytest.raises(RecipeError) as caught:
        api.evolve(str(seeds_file(1)), out=tmp_path / "run", recipe="wizardlm", settings=SCRIPTED | fields)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("scores", "more", "expected"),
    [
        ([0.1, 0.2, 0.3], {}, (True, 3)),
        ([0.3, 0.2], {}, (False, 1)),
        ([0.3, 0.2], {"patience": 2}, (True, 1)),
        ([0.3, 0.2, 0.1], {"patience": 2}, (False, 1)),
        ([0.3, 0.2, 0.4], {"patience": 2}, (True, 3)),
        ([0.3, 0.29], {"tolerance": 0.02}, (True, 2)),
        ([0.3, 0.3], {}, (True, 2)),
        ([0.3, 0.1, 0.9], {}, (False, 1)),
    ],
)
def test_deciding(scores, more, expected):
    stop = Stop(command="a {dataset}", **more)
    assert decide(stop, dict(enumerate(scores, 1))) == expected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(1, 4), st.floats(0, 0.5))
def test_the_last_round_is_never_worse_than_the_best_by_more_than_the_tolerance(scores, patience, tolerance):
    stop = Stop(command="a {dataset}", patience=patience, tolerance=tolerance)
    told = dict(enumerate(scores, 1))
    going, last = decide(stop, told)
    seen = [told[round_] for round_ in told if not going and round_ <= last] or [told[last]]
    assert told[last] >= max(seen) - tolerance

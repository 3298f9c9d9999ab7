"""The main job from end to end, on real servers and the scripted model."""

import asyncio
import os
import signal
import subprocess
import sys

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolute import api
from evolute.errors import InputError, LedgerError
from evolute.evolve.budget import Limits
from evolute.ledger import Reader
from evolute.models.loopback import Faults, LoopbackServer
from evolute.records import Failure, Reason
from evolute.text import RULES_VERSION

SCRIPTED = {"models.default.api": "scripted", "models.default.model": "scripted"}


def rows_of(run):
    return [orjson.loads(line) for line in (run / "dataset.jsonl").read_bytes().splitlines()]


def grow(seeds, out, **settings):
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return api.evolve(str(seeds), out=out, recipe="wizardlm", settings=SCRIPTED | named)


def test_every_candidate_is_kept_or_dropped_with_evidence(tmp_path, seeds_file):
    summary = grow(seeds_file(30), tmp_path / "run")
    assert summary.finished == 30
    assert summary.kept + sum(summary.dropped.values()) == 30 * 4
    assert summary.dropped["no-information-gain"] > 0
    with Reader(tmp_path / "run") as reader:
        for row in reader.candidates():
            assert not row.reason or (row.reason in set(Reason) and row.evidence)
    rows = rows_of(tmp_path / "run")
    assert len(rows) == 30 + summary.kept
    assert all(row["output"] and row["instruction"] for row in rows)


def test_a_dropped_child_leaves_its_parent_for_the_next_round(tmp_path, seeds_file):
    grow(seeds_file(30), tmp_path / "run")
    with Reader(tmp_path / "run") as reader:
        for position, seed in reader.seeds():
            parent = seed.id
            for row in reader.candidates(position):
                if row.round:
                    assert row.parent == parent
                    parent = row.parent if row.reason else row.id


def test_attempts_try_another_operation_before_the_round_is_given_up(tmp_path, seeds_file):
    grow(seeds_file(40), tmp_path / "run", evolve__attempts=3)
    with Reader(tmp_path / "run") as reader:
        tried = {}
        for row in reader.candidates():
            if row.round:
                tried.setdefault((row.seed, row.round), []).append(row)
    again = [rows for rows in tried.values() if len(rows) > 1]
    assert again
    for rows in again:
        assert len({row.operation for row in rows}) == len(rows)
        assert all(row.reason for row in rows[:-1])


def test_branches_grow_several_children(tmp_path, seeds_file):
    summary = grow(seeds_file(5), tmp_path / "run", evolve__branches=2, evolve__rounds=2, evolve__judge=False)
    assert summary.kept == 5 * (2 + 4)
    assert api.replay(tmp_path / "run").ok


@pytest.mark.parametrize(("respond", "answered"), [("every", 30), ("last", 10), ("never", 0)])
def test_which_instructions_are_answered(tmp_path, seeds_file, respond, answered):
    grow(seeds_file(10), tmp_path / "run", evolve__respond=respond, evolve__rounds=3, evolve__judge=False)
    rows = list(api.dataset(tmp_path / "run", seeds=False))
    assert sum(row.response is not None for row in rows) == answered
    assert len(rows) == (answered or 30)


@pytest.mark.parametrize(("policy", "given", "made"), [("keep", 4, 0), ("missing", 4, 8), ("regenerate", 0, 12)])
def test_seed_responses(tmp_path, seeds_file, policy, given, made):
    grow(seeds_file(12), tmp_path / "run", evolve__seed_responses=policy, evolve__rounds=0)
    rows = list(api.dataset(tmp_path / "run"))
    assert sum("fair part" in row.response for row in rows) == given
    assert sum(row.responder == "scripted" for row in rows) == made


def test_the_order_of_answers_does_not_matter(tmp_path, seeds_file):
    """Another concurrency, another timing; the same dataset."""
    seeds = seeds_file(20)
    grow(seeds, tmp_path / "one", models__default__concurrency=1)
    grow(seeds, tmp_path / "many", models__default__concurrency=64, models__default__latency=0.003)
    assert (tmp_path / "one" / "dataset.jsonl").read_bytes() == (tmp_path / "many" / "dataset.jsonl").read_bytes()


def test_another_run_seed_is_another_dataset(tmp_path, seeds_file):
    seeds = seeds_file(5)
    grow(seeds, tmp_path / "a")
    grow(seeds, tmp_path / "b", seed=1)
    assert (tmp_path / "a" / "dataset.jsonl").read_bytes() != (tmp_path / "b" / "dataset.jsonl").read_bytes()


def test_a_finished_run_makes_no_call_and_writes_the_same(tmp_path, seeds_file):
    first = grow(seeds_file(5), tmp_path / "run")
    written = (tmp_path / "run" / "dataset.jsonl").read_bytes()
    second = api.evolve(out=tmp_path / "run")
    assert second.calls == first.calls
    assert (tmp_path / "run" / "dataset.jsonl").read_bytes() == written


def test_more_rounds_and_more_seeds_pay_for_nothing_again(tmp_path, seeds_file):
    seeds = seeds_file(6)
    calls = grow(seeds, tmp_path / "run", evolve__rounds=2).calls
    more = api.evolve(out=tmp_path / "run", settings={"evolve.rounds": 3})
    whole = grow(seeds, tmp_path / "whole", evolve__rounds=3)
    assert more.calls == whole.calls > calls
    assert (tmp_path / "run" / "dataset.jsonl").read_bytes() == (tmp_path / "whole" / "dataset.jsonl").read_bytes()
    with seeds.open("ab") as file:
        file.write(b'{"instruction": "Name three rivers of Europe and say where they end."}\n')
    longer = api.evolve(str(seeds), out=tmp_path / "run")
    assert longer.seeds == 7
    assert longer.finished == 7


def test_changing_one_operation_redoes_only_what_depended_on_it(tmp_path, seeds_file):
    grow(seeds_file(30), tmp_path / "run", evolve__rounds=1, evolve__respond="never", evolve__judge=False)
    with Reader(tmp_path / "run") as reader:
        before = {row.seed: row for row in reader.candidates() if row.round}
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "deepen.md").write_text(
        "---\nname: deepen\nfamily: in-depth\nsource: mine\n---\n## Template\n"
        "Rewrite it so that it asks deeper.\n\n#Prompt#:\n{instruction}\n"
    )
    summary = api.evolve(out=tmp_path / "run", settings={"evolve.operation_folders": [str(folder)]})
    with Reader(tmp_path / "run") as reader:
        after = {row.seed: row for row in reader.candidates() if row.round}
    changed = {seed for seed in after if after[seed].evolve_call != before[seed].evolve_call}
    assert changed == {seed for seed in before if before[seed].operation == "deepen"}
    assert summary.calls == 30 + len(changed)


def test_duplicates_are_counted_and_evolved_once(tmp_path):
    seeds = tmp_path / "seeds.txt"
    seeds.write_text("Name a river.\nName a lake.\nName a river.\nName a river.\n")
    summary = grow(seeds, tmp_path / "run", evolve__rounds=1)
    assert (summary.seeds, summary.duplicates) == (2, 2)


def test_conversations_are_evolved_in_their_context(tmp_path):
    seeds = tmp_path / "seeds.json"
    turns = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "Where is the treasure?"},
        {"role": "assistant", "content": "On the third island."},
        {"role": "user", "content": "How do I get there from the harbour?"},
    ]
    seeds.write_bytes(orjson.dumps([{"messages": turns}]))

    async def main():
        bodies = []

        def rule(body):
            bodies.append(body)
            return "How do I get there from the harbour at night, without a compass, in a small boat?"

        async with LoopbackServer(rule) as server:
            where = {"models.default.base_url": server.base_url, "models.default.model": "m"}
            settings = where | {"evolve.rounds": 1, "evolve.judge": False}
            await asyncio.to_thread(lambda: api.evolve(str(seeds), out=tmp_path / "run", settings=settings))
        return bodies

    bodies = asyncio.run(main())
    said = [" ".join(message["content"] for message in body["messages"]) for body in bodies]
    assert len(bodies) == 3  # the seed's answer, the evolution, its answer
    assert all("pirate" in text and "third island" in text for text in said)
    (row,) = api.dataset(tmp_path / "run", seeds=False)
    assert row.system == "You are a pirate."
    assert [turn.content for turn in row.history] == ["Where is the treasure?", "On the third island."]


def test_it_runs_inside_a_running_loop(tmp_path, seeds_file):
    async def notebook_cell():
        return grow(seeds_file(3), tmp_path / "run", evolve__rounds=1)

    assert asyncio.run(notebook_cell()).finished == 3


@pytest.mark.slow
async def test_a_hostile_endpoint_spoils_no_row(tmp_path, seeds_file):
    """Every fault at once: each seed ends, each failure is typed, and none became data."""
    faults = Faults(error=0.05, reset=0.02, hang=0.02, null=0.03, empty=0.03, length=0.03, cut=0.02, not_json=0.02)
    async with LoopbackServer(rate=800, retry_after=0.1, faults=faults, seed=7) as server:
        settings = {
            "models.default.base_url": server.base_url, "models.default.model": "m", "evolve.rounds": 2,
            "models.default.read_timeout": 0.5, "models.default.concurrency": 64,
        }  # fmt: skip
        summary = await asyncio.to_thread(
            lambda: api.evolve(str(seeds_file(60)), out=tmp_path / "run", settings=settings)
        )
    assert summary.finished == 60
    assert {"null", "empty", "truncated"} & set(summary.dropped)
    with Reader(tmp_path / "run") as reader:
        failed = {call.key: call.completion.failure for call in reader.calls() if call.completion.failure}
        assert set(failed.values()) == {Failure.NULL, Failure.EMPTY, Failure.TRUNCATED}
        kept = [row for row in reader.candidates() if not row.reason]
        assert not {key for row in kept for key in (row.evolve_call, row.respond_call)} & set(failed)
    assert all(row["instruction"].strip() and row["output"].strip() for row in rows_of(tmp_path / "run"))
    assert api.verify(tmp_path / "run").problems == []
    assert api.replay(tmp_path / "run").ok


def test_bounds_stop_cleanly_and_a_higher_one_resumes(tmp_path, seeds_file):
    seeds = seeds_file(10)
    part = api.evolve(
        str(seeds), out=tmp_path / "run", recipe="wizardlm", settings=SCRIPTED, limits=api.Limits(calls=25)
    )
    assert part.calls == 25
    assert part.stopped == "--max-calls 25 is reached"
    assert part.pending > 0
    assert api.replay(tmp_path / "run").problems == []
    assert api.verify(tmp_path / "run").problems == []
    whole = api.evolve(out=tmp_path / "run", limits=api.Limits(calls=10_000))
    assert whole.pending == 0
    assert grow(seeds, tmp_path / "other").calls == whole.calls


def test_cost_is_bounded_with_a_price_and_refused_without(tmp_path, seeds_file):
    seeds = str(seeds_file(10))
    unknown = SCRIPTED | {"models.default.api": "chat", "models.default.base_url": "http://127.0.0.1:9/v1"}
    with pytest.raises(InputError, match="price"):
        api.evolve(seeds, out=tmp_path / "a", recipe="wizardlm", settings=unknown, limits=api.Limits(cost=1))
    priced = SCRIPTED | {"models.default.price": {"input": 1000, "output": 2000}, "models.default.concurrency": 4}
    summary = api.evolve(seeds, out=tmp_path / "b", recipe="wizardlm", settings=priced, limits=api.Limits(cost=3.0))
    assert summary.stopped == "--max-cost 3.0 is reached"
    exact = (summary.prompt_tokens * 1000 + summary.completion_tokens * 2000) / 1e6
    assert summary.cost == pytest.approx(exact)
    assert 2.0 < summary.cost < 4.0


def test_an_unknown_price_is_unknown(tmp_path, seeds_file):
    async def main():
        async with LoopbackServer() as server:
            settings = {"models.default.base_url": server.base_url, "models.default.model": "m", "evolve.rounds": 1}
            return await asyncio.to_thread(
                lambda: api.evolve(str(seeds_file(2)), out=tmp_path / "run", settings=settings)
            )

    assert asyncio.run(main()).cost is None


def test_a_plan_is_a_range_around_what_comes_and_its_pilot_is_reused(tmp_path, seeds_file):
    seeds = seeds_file(60)
    priced = SCRIPTED | {"models.default.price": {"input": 1, "output": 2}}
    plan = api.plan(str(seeds), out=tmp_path / "run", recipe="wizardlm", settings=priced, pilot=10)
    assert (plan.seeds, plan.pilot) == (60, 10)
    pilot_calls = api.status(tmp_path / "run").calls
    again = api.plan(out=tmp_path / "run")
    assert api.status(tmp_path / "run").calls == pilot_calls
    assert again.calls == plan.calls
    whole = api.evolve(out=tmp_path / "run")
    assert plan.calls.low * 0.97 <= whole.calls <= plan.calls.high * 1.03
    assert plan.cost.low * 0.9 <= whole.cost <= plan.cost.high * 1.1
    assert whole.calls == grow(seeds, tmp_path / "whole").calls


def test_planning_never_changes_a_run_that_exists(tmp_path, seeds_file):
    grow(seeds_file(4), tmp_path / "run", evolve__rounds=1)
    before = (tmp_path / "run" / "recipe.yaml").read_bytes()
    with pytest.raises(InputError, match="another --out"):
        api.plan(out=tmp_path / "run", settings={"evolve.rounds": 3})
    assert (tmp_path / "run" / "recipe.yaml").read_bytes() == before
    assert api.status(tmp_path / "run").finished == 4


def test_a_cost_cannot_be_bounded_where_part_of_it_is_unknown(tmp_path, seeds_file):
    async def main():
        async with LoopbackServer() as server:
            where = {"models.default.base_url": server.base_url, "models.default.model": "first"}
            seeds = str(seeds_file(3))
            limits = api.Limits(calls=4)
            await asyncio.to_thread(lambda: api.evolve(seeds, out=tmp_path / "run", settings=where, limits=limits))

    asyncio.run(main())
    priced = {"models.default.model": "second", "models.default.price": {"input": 1, "output": 1}}
    with pytest.raises(InputError, match="price is unknown"):
        api.evolve(out=tmp_path / "run", settings=priced, limits=api.Limits(cost=5))


@settings(max_examples=12, deadline=None)
@given(
    bounds=st.lists(st.integers(1, 40), max_size=4),
    rounds=st.integers(1, 3),
    branches=st.integers(1, 2),
    attempts=st.integers(1, 2),
    concurrency=st.integers(1, 9),
)
def test_wherever_it_stops_it_resumes_to_the_same_and_replays(
    tmp_path_factory, bounds, rounds, branches, attempts, concurrency
):
    """The property of resume and replay: any stops, any shape of lineage, the same dataset and no call made twice."""
    folder = tmp_path_factory.mktemp("runs")
    seeds = folder / "seeds.txt"
    seeds.write_text("Name a river and its length.\nPlan a trip to the sea.\nExplain how bread rises.\n")
    shape = {"evolve.rounds": rounds, "evolve.branches": branches, "evolve.attempts": attempts}
    settings = SCRIPTED | shape | {"models.default.concurrency": concurrency}

    def go(out, limits=None):
        return api.evolve(str(seeds), out=folder / out, recipe="wizardlm", settings=settings, limits=limits)

    whole = go("whole")
    for bound in sorted(bounds):
        go("stopped", api.Limits(calls=bound))
        assert api.verify(folder / "stopped").problems == []
        assert api.replay(folder / "stopped").problems == []
    resumed = go("stopped")
    assert resumed.calls == whole.calls
    assert (folder / "stopped" / "dataset.jsonl").read_bytes() == (folder / "whole" / "dataset.jsonl").read_bytes()
    assert api.replay(folder / "stopped").rebuilt == api.replay(folder / "whole").rebuilt


def test_ctrl_c_drains_and_nothing_is_lost(tmp_path, seeds_file):
    seeds = seeds_file(200)
    command = [sys.executable, "-m", "evolute", "evolve", str(seeds), "--out", str(tmp_path / "run")]
    settings = [
        "--recipe",
        "wizardlm",
        "--api",
        "scripted",
        "--set",
        "models.default.latency=0.01",
        "--concurrency",
        "4",
    ]
    process = subprocess.Popen([*command, *settings], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "recipe.yaml").exists() or api.status(tmp_path / "run").calls < 20:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in out
    assert "run the same command again" in out
    summary = api.status(tmp_path / "run")
    assert summary.calls >= 20
    assert summary.pending > 0
    assert api.verify(tmp_path / "run").ok


def test_verify_and_replay_find_what_was_tampered_with(tmp_path, seeds_file):
    import sqlite3

    def tampered(statement):
        run = tmp_path / f"run-{abs(hash(statement))}"
        grow(seeds, run, evolve__rounds=2)
        assert api.verify(run).ok
        db = sqlite3.connect(run / "ledger.db")
        assert db.execute(statement).rowcount > 0
        db.commit()
        db.close()
        return api.verify(run), api.replay(run)

    seeds = seeds_file(6)
    some = "WHERE key IN (SELECT {} FROM candidates WHERE reason IS NULL AND round = 1 LIMIT 1)"
    verified, replayed = tampered(
        "UPDATE calls SET text = 'Another text altogether, with words.' " + some.format("evolve_call")
    )
    assert not verified.ok
    assert not replayed.ok
    verified, replayed = tampered("DELETE FROM calls " + some.format("respond_call"))
    assert not verified.ok
    assert not replayed.ok
    verified, _ = tampered("UPDATE seeds SET instruction = 'Something else to say here.' WHERE position = 2")
    assert any("hash of its content" in problem for problem in verified.problems)
    verified, _ = tampered("UPDATE candidates SET reason = 'mood' WHERE round = 2 AND seed = 1")
    assert any("known reason" in problem for problem in verified.problems)
    verified, _ = tampered("UPDATE totals SET calls = calls + 1")
    assert any("totals" in problem for problem in verified.problems)


def test_other_rules_are_said_and_a_resume_reaches_the_verdicts_anew(tmp_path, seeds_file, monkeypatch):
    calls = grow(seeds_file(5), tmp_path / "run").calls
    monkeypatch.setattr("evolute.evolve.session.RULES_VERSION", 999)
    for check in (api.verify, api.replay):
        with pytest.raises(LedgerError, match=rf"version {RULES_VERSION} of the rules.*999.*evolve --out"):
            check(tmp_path / "run")
    assert api.evolve(out=tmp_path / "run").calls == calls
    assert api.verify(tmp_path / "run").ok


def test_a_planted_key_is_in_no_file_and_no_output(tmp_path, seeds_file):
    secret = "sk-planted-3141592653589793"

    async def main():
        async with LoopbackServer(require_key=secret) as server:
            command = [sys.executable, "-m", "evolute", "evolve", str(seeds_file(3)), "--out", str(tmp_path / "run")]
            flags = ["--base-url", server.base_url, "--model", "m", "--rounds", "1", "--api-key-env", "MY_KEY"]
            outputs = []
            for key in ("sk-wrong-2718281828459045", secret):
                process = await asyncio.create_subprocess_exec(
                    *command, *flags, env=os.environ | {"MY_KEY": key},
                    stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
                )  # fmt: skip
                output, _ = await process.communicate()
                outputs.append((process.returncode, output.decode()))
        return outputs

    (refused, why), (accepted, said) = asyncio.run(main())
    assert refused == 3
    assert "MY_KEY" in why
    assert accepted == 0
    for path in (tmp_path / "run").iterdir():
        assert b"sk-planted" not in path.read_bytes()
        assert b"sk-wrong" not in path.read_bytes()
    assert "sk-" not in why + said


async def test_two_endpoints_of_which_one_fails_give_the_dataset_of_one(tmp_path, seeds_file):
    seeds = seeds_file(12)
    async with LoopbackServer() as sound, LoopbackServer(faults=Faults(error=1.0)) as broken:
        model = {"models.default.model": "loopback", "models.default.base_url": sound.base_url}
        for name, settings in {"one": model, "two": model | {"models.default.replicas": [broken.base_url]}}.items():
            await asyncio.to_thread(api.evolve, str(seeds), out=tmp_path / name, recipe="wizardlm", settings=settings)
        assert broken.requests
        assert not broken.answers
        assert sound.requests == 2 * len(sound.prompts)
    assert (tmp_path / "one" / "dataset.jsonl").read_bytes() == (tmp_path / "two" / "dataset.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("settings", "limits", "message"),
    [
        ({"models.default.batch": True}, Limits(), "batches are for models behind an API"),
        ({"models.default.api": "chat", "models.default.base_url": "127.0.0.1:9"}, Limits(), "is not a URL"),
        ({"models.default.model": "priceless"}, Limits(cost=1.0), "--max-cost: .* whose price is unknown"),
    ],
)
def test_what_is_refused_leaves_the_run_its_recipe(tmp_path, seeds_file, settings, limits, message):
    run = tmp_path / "run"
    scripted = {"models.default.api": "scripted", "models.default.model": "m", "evolve.rounds": 1}
    api.evolve(str(seeds_file(2)), out=run, recipe="wizardlm", settings=scripted)
    before = (run / "recipe.yaml").read_bytes()
    with pytest.raises(InputError, match=message):
        api.evolve(out=run, settings=settings, limits=limits)
    assert (run / "recipe.yaml").read_bytes() == before
    assert api.evolve(out=run).finished == 2

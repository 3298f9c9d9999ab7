"""Merging runs: shards evolved apart come out as one run evolved whole."""

import shutil
import signal
import sqlite3
import subprocess
import sys

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolute import api
from evolute.errors import InputError, LedgerDamaged, RunBusy
from evolute.ledger import Ledger
from evolute.pipeline.merging import merge
from evolute.seeds import SeedOptions

SCRIPTED = {"models.default.api": "scripted", "models.default.model": "scripted", "evolve.rounds": 2}


def write_seeds(path, count):
    rows = [
        {"instruction": f"Explain how a class of {n + 2} pupils can share {n + 7} apples fairly.", "number": n}
        | ({"output": f"Give each pupil a fair part, {n}."} if n % 3 == 0 else {})
        for n in range(count)
    ]
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def grow(seeds, out, *where, recipe="wizardlm", limits=None, **changed):
    named = {name.replace("__", "."): value for name, value in changed.items()}
    return api.evolve(
        str(seeds), out=out, recipe=recipe, settings=SCRIPTED | named, seeds=SeedOptions(where=where), limits=limits
    )


def dataset(run):
    return (run / "dataset.jsonl").read_bytes()


def snapshot(run):
    return {path.name: path.read_bytes() for path in sorted(run.iterdir()) if not path.name.endswith(("-shm", "-wal"))}


@pytest.fixture
def shards(tmp_path):
    """Twelve seeds: evolved whole, and in two shards."""
    seeds = write_seeds(tmp_path / "seeds.jsonl", 12)
    grow(seeds, tmp_path / "whole")
    grow(seeds, tmp_path / "a", "number<7")
    grow(seeds, tmp_path / "b", "number>=7")
    return tmp_path


def test_two_shards_make_the_run_that_all_seeds_would_have_made(shards):
    before = snapshot(shards / "a"), snapshot(shards / "b")
    merged = merge([shards / "a", shards / "b"], out=shards / "merged")
    assert dataset(shards / "merged") == dataset(shards / "whole")
    whole = api.status(shards / "whole")
    assert (merged.shared, merged.paid_twice, merged.taken_back) == (0, 0, 0)
    assert merged.summary.by_round == whole.by_round
    assert merged.summary.calls == whole.calls
    assert merged.summary.completion_tokens == whole.completion_tokens
    assert (snapshot(shards / "a"), snapshot(shards / "b")) == before
    assert not list(shards.glob(".evolute-*"))


def test_a_merged_run_verifies_replays_and_goes_on(shards):
    merge([shards / "a", shards / "b"], out=shards / "merged")
    assert api.verify(shards / "merged").problems == []
    assert api.replay(shards / "merged").rebuilt == api.replay(shards / "whole").rebuilt
    calls = api.status(shards / "merged").calls
    again = api.evolve(out=shards / "merged")
    assert (again.calls, again.pending) == (calls, 0)
    more = api.evolve(out=shards / "merged", settings={"evolve.rounds": 3})
    assert more.calls == api.evolve(out=shards / "whole", settings={"evolve.rounds": 3}).calls
    assert dataset(shards / "merged") == dataset(shards / "whole")


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(1, 9),
    ends=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=3),
    duplicates=st.booleans(),
)
def test_any_covering_shards_merge_to_the_whole(tmp_path_factory, count, ends, duplicates):
    """Shards may overlap. Each begins where those before it have reached, or before, so that the order is kept."""
    folder = tmp_path_factory.mktemp("shards")
    seeds = write_seeds(folder / "seeds.jsonl", count)
    grow(seeds, folder / "whole", evolve__duplicates=duplicates)
    bounds, reached = [], 0
    for start, length in [*ends, (9, 9)]:
        bounds.append((min(start, reached), min(count, max(min(start, reached) + length, reached + 1))))
        reached = max(reached, bounds[-1][1])
        if reached == count:
            break
    bounds.append((0, count) if reached < count else bounds[-1])
    for number, (start, end) in enumerate(bounds):
        wanted = (f"number>={start}", f"number<{end}")
        grow(seeds, folder / str(number), *wanted, evolve__duplicates=duplicates)
    merge([folder / str(number) for number in range(len(bounds))], out=folder / "merged")
    assert api.verify(folder / "merged").problems == []
    if not duplicates:  # which of two equal ones comes first depends on timing
        assert dataset(folder / "merged") == dataset(folder / "whole")


def test_a_finished_lineage_wins_and_calls_are_paid_once(tmp_path):
    seeds = write_seeds(tmp_path / "seeds.jsonl", 6)
    whole = grow(seeds, tmp_path / "whole")
    begun = grow(seeds, tmp_path / "begun", limits=api.Limits(calls=17))
    assert begun.pending
    merged = merge([tmp_path / "begun", tmp_path / "whole"], out=tmp_path / "merged")
    assert merged.shared == 6
    assert merged.paid_twice == 17
    assert merged.summary.calls == whole.calls
    assert merged.summary.pending == 0
    assert dataset(tmp_path / "merged") == dataset(tmp_path / "whole")
    assert api.verify(tmp_path / "merged").ok


def test_unfinished_runs_merge_and_the_rest_is_evolved_later(tmp_path):
    seeds = write_seeds(tmp_path / "seeds.jsonl", 8)
    grow(seeds, tmp_path / "whole")
    grow(seeds, tmp_path / "a", "number<4", limits=api.Limits(calls=11))
    grow(seeds, tmp_path / "b", "number>=4", limits=api.Limits(calls=14))
    merged = merge([tmp_path / "a", tmp_path / "b"], out=tmp_path / "merged")
    assert merged.summary.calls == 25
    assert merged.summary.pending
    assert api.verify(tmp_path / "merged").ok
    api.evolve(out=tmp_path / "merged")
    assert dataset(tmp_path / "merged") == dataset(tmp_path / "whole")


def test_lineages_that_rest_on_another_answer_are_grown_again(tmp_path):
    """An endpoint that gave two runs two answers to one question: the verdicts follow the answer that is kept."""
    seeds = write_seeds(tmp_path / "seeds.jsonl", 4)
    grow(seeds, tmp_path / "a", "number<3")
    grow(seeds, tmp_path / "b", "number>=1")
    with sqlite3.connect(tmp_path / "b" / "ledger.db") as db:
        # What `a` never asked for seed 3 stays consistent; the answers for seeds 1 and 2 are others in `b`.
        own = "SELECT respond_call FROM candidates WHERE seed IN (1, 2) AND round = 1"
        assert db.execute(f"UPDATE calls SET text = text || ' Differently.' WHERE key IN ({own})").rowcount
    db.close()
    merged = merge([tmp_path / "a", tmp_path / "b"], out=tmp_path / "first-wins")
    assert merged.taken_back == 0
    assert api.verify(tmp_path / "first-wins").ok
    other = merge([tmp_path / "b", tmp_path / "a"], out=tmp_path / "other")
    assert other.taken_back == 0
    assert api.verify(tmp_path / "other").ok
    # A verdict in `a` on a question that `b` has asked as well, about a seed that `a` does not have.
    with sqlite3.connect(tmp_path / "b" / "ledger.db") as db:
        (key,) = db.execute("SELECT judge_call FROM candidates WHERE seed = 3 AND round = 1").fetchone()
        asked = list(db.execute("SELECT * FROM calls WHERE key = ?", (key,)).fetchone())
    db.close()
    with sqlite3.connect(tmp_path / "a" / "ledger.db") as db:
        asked[0], asked[4] = None, "Equal" if asked[4].startswith("Not") else "Not Equal"
        db.execute(f"INSERT INTO calls VALUES ({', '.join('?' * len(asked))})", asked)
    db.close()
    third = merge([tmp_path / "a", tmp_path / "b"], out=tmp_path / "third")
    assert third.taken_back == 1
    assert third.summary.pending == 1
    api.evolve(out=tmp_path / "third")
    assert api.verify(tmp_path / "third").ok


def test_one_seed_with_and_without_a_response(tmp_path):
    """The response that a lineage was grown with comes along with it."""
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    one.write_text('{"instruction": "Explain why bread rises."}\n')
    other.write_text('{"instruction": "Explain why bread rises.", "output": "Yeast makes gas."}\n')
    grow(one, tmp_path / "begun", limits=api.Limits(calls=1))
    grow(other, tmp_path / "done")
    merge([tmp_path / "begun", tmp_path / "done"], out=tmp_path / "merged")
    assert dataset(tmp_path / "merged") == dataset(tmp_path / "done")
    assert api.verify(tmp_path / "merged").ok


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"evolve__rounds": 3}, "evolve.rounds (2 and 3)"),
        ({"models__default__model": "another"}, "models.default.model ('scripted' and 'another')"),
        ({"seed": 5}, "seed (0 and 5)"),
    ],
)
def test_runs_of_different_recipes_do_not_merge(tmp_path, changed, said):
    seeds = write_seeds(tmp_path / "seeds.jsonl", 2)
    grow(seeds, tmp_path / "a")
    grow(seeds, tmp_path / "b", **changed)
    with pytest.raises(InputError) as caught:
        merge([tmp_path / "a", tmp_path / "b"], out=tmp_path / "merged")
    assert said in str(caught.value)
    assert not (tmp_path / "merged").exists()


def test_what_does_not_decide_the_rows_may_differ(tmp_path):
    seeds = write_seeds(tmp_path / "seeds.jsonl", 2)
    grow(seeds, tmp_path / "a", "number<1")
    grow(seeds, tmp_path / "b", "number>=1", models__default__concurrency=3, select__tokens__budget=99)
    assert merge([tmp_path / "a", tmp_path / "b"], out=tmp_path / "merged").summary.finished == 2


def test_an_operation_whose_text_changed_is_named(tmp_path):
    seeds = write_seeds(tmp_path / "seeds.jsonl", 2)
    grow(seeds, tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with sqlite3.connect(tmp_path / "b" / "ledger.db") as db:
        craft = orjson.loads(db.execute("SELECT value FROM meta WHERE name = 'craft'").fetchone()[0])
        name = min(craft["operations"])
        craft["operations"][name][1] = "0" * 32
        db.execute("UPDATE meta SET value = ? WHERE name = 'craft'", (orjson.dumps(craft).decode(),))
        db.execute("UPDATE meta SET value = 'ff' WHERE name = 'fingerprint'")
    db.close()
    with pytest.raises(InputError, match=f"operation {name} "):
        merge([tmp_path / "a", tmp_path / "b"], out=tmp_path / "merged")


def test_a_run_that_is_written_is_refused(shards):
    with Ledger(shards / "b"), pytest.raises(RunBusy, match="is being written by process"):
        merge([shards / "a", shards / "b"], out=shards / "merged")
    assert not (shards / "merged").exists()
    assert merge([shards / "a", shards / "b"], out=shards / "merged").summary.finished == 12


def test_bad_places(shards):
    a, b = shards / "a", shards / "b"
    with pytest.raises(InputError, match=r"two runs or more .*, got 1"):
        merge([a], out=shards / "merged")
    with pytest.raises(InputError, match="given twice"):
        merge([a, shards / "b" / ".." / "a"], out=shards / "merged")
    with pytest.raises(InputError, match="holds something already"):
        merge([a, b], out=shards / "whole")
    with pytest.raises(InputError, match="is a file"):
        merge([a, b], out=shards / "seeds.jsonl")
    with pytest.raises(InputError, match="is not a run"):
        merge([a, shards], out=shards / "merged")
    (shards / "empty").mkdir()
    merge([a, b], out=shards / "empty")
    merge([a, b], out=shards / "new" / "folder")
    assert dataset(shards / "empty") == dataset(shards / "new" / "folder")


def test_a_foreign_or_damaged_ledger_is_named_and_nothing_is_left(shards):
    (shards / "foreign").mkdir()
    db = sqlite3.connect(shards / "foreign" / "ledger.db")
    db.execute("CREATE TABLE t (x)")
    db.close()
    with pytest.raises(LedgerDamaged, match="not a ledger of Evolute"):
        merge([shards / "a", shards / "foreign"], out=shards / "merged")
    damaged = shards / "b" / "ledger.db"
    data = bytearray(damaged.read_bytes())
    data[4096 * 3 :] = b"\x5a" * (len(data) - 4096 * 3)
    damaged.write_bytes(data)
    with pytest.raises(LedgerDamaged, match=r"b/ledger\.db cannot be read"):
        merge([shards / "a", shards / "b"], out=shards / "merged")
    assert not (shards / "merged").exists()
    assert not list(shards.glob(".evolute-*"))


@pytest.mark.parametrize("when", [1, 3, 6])
def test_a_merge_that_is_killed_leaves_no_run(shards, when):
    script = f"""
import os, signal
from evolute.pipeline.merging import merge
told = []
def say(remark):
    told.append(remark)
    if len(told) == {when}:
        os.kill(os.getpid(), signal.SIGKILL)
merge(["a", "b"], out="merged", say=say)
"""
    killed = subprocess.run([sys.executable, "-c", script], cwd=shards, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (shards / "merged").exists()
    merge([shards / "a", shards / "b"], out=shards / "merged")
    assert dataset(shards / "merged") == dataset(shards / "whole")


def test_a_run_that_was_killed_merges_with_all_that_it_recorded(shards):
    """What has been committed lies in the write-ahead log until somebody opens the run to write it."""
    script = """
import os, signal
from pathlib import Path
from evolute.ledger import Ledger
from evolute.records import Seed
ledger = Ledger(Path("a"))
ledger.add_seeds([Seed("Explain why it rains.", source="late.jsonl", line=1)])
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], cwd=shards, timeout=60, check=False).returncode < 0
    log = shards / "a" / "ledger.db-wal"
    before = log.read_bytes(), (shards / "a" / "ledger.db").read_bytes()
    assert before[0]
    merged = merge([shards / "a", shards / "b"], out=shards / "merged")
    assert (log.read_bytes(), (shards / "a" / "ledger.db").read_bytes()) == before
    assert (merged.summary.seeds, merged.summary.pending) == (13, 1)


def test_read_only_runs_merge(shards, read_only):
    script = "print(api.merge(sys.argv[2:], out=sys.argv[1] + '/merged').summary.finished)"
    done = read_only(script, shards / "a", shards / "b")
    assert (done.stderr, done.stdout) == ("", "12\n")


def test_calls_of_an_earlier_recipe_come_along(tmp_path):
    """They stay in a run's ledger, under the same model's name with another sampling; the totals count them."""
    seeds = write_seeds(tmp_path / "seeds.jsonl", 4)
    for name, where in (("a", "number<2"), ("b", "number>=2")):
        grow(seeds, tmp_path / name, where)
        api.evolve(out=tmp_path / name, settings={"roles.evolver.temperature": 0.5})
        assert api.verify(tmp_path / name).problems == []
    merged = merge([tmp_path / "a", tmp_path / "b"], out=tmp_path / "merged")
    assert merged.summary.calls == sum(api.status(tmp_path / name).calls for name in ("a", "b"))
    assert api.verify(tmp_path / "merged").problems == []


def test_bad_rows_are_joined(tmp_path):
    for name in ("a", "b"):
        seeds = tmp_path / f"{name}.jsonl"
        seeds.write_text(f'{{"instruction": "Explain the letter {name} to a child."}}\n{{"instruction": 7}}\n')
        api.evolve(
            str(seeds), out=tmp_path / name, recipe="wizardlm", settings=SCRIPTED, seeds=SeedOptions(skip_bad=True)
        )
    merged = merge([tmp_path / "a", tmp_path / "b"], out=tmp_path / "merged")
    assert merged.summary.bad_rows == 2
    bad = [orjson.loads(line)["source"] for line in (tmp_path / "merged" / "bad-rows.jsonl").read_bytes().splitlines()]
    assert [source[-7:] for source in bad] == ["a.jsonl", "b.jsonl"]


def test_the_command(shards, evolute_command):
    told = evolute_command("merge", "a", "b", "--out", "merged", cwd=shards)
    assert told.returncode == 0, told.stderr
    assert "12 of 12 seeds finished" in told.stdout
    again = evolute_command("merge", "a", "b", "--out", "merged", cwd=shards)
    assert again.returncode == 2
    assert "Traceback" not in again.stderr
    assert "holds something already" in again.stderr
    said = orjson.loads(evolute_command("merge", "a", "b", "--out", "m2", "--json", cwd=shards).stdout)
    assert said["summary"]["finished"] == 12

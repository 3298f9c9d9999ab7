"""Runs side by side."""

import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolute import api
from evolute.errors import InputError
from evolute.ledger import GradeRow, Ledger, SelectionReader, SelectionWriter
from evolute.pipeline.comparing import Mean, Share, compare
from evolute.seeds import SeedOptions

SCRIPTED = {"models.default.api": "scripted", "models.default.model": "scripted", "evolve.rounds": 2}


def write_seeds(path, count):
    rows = [{"instruction": f"Explain how {n + 2} pupils can share {n + 7} apples.", "n": n} for n in range(count)]
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


@pytest.fixture
def two(tmp_path):
    """Two runs with four seeds in common; the second has no judge, and a round less."""
    seeds = write_seeds(tmp_path / "seeds.jsonl", 12)
    for name, where, more in (("a", "n<8", {}), ("b", "n>=4", {"evolve.judge": False, "evolve.rounds": 1})):
        api.evolve(
            str(seeds),
            out=tmp_path / name,
            recipe="wizardlm",
            settings=SCRIPTED | more,
            seeds=SeedOptions(where=(where,)),
        )
    return tmp_path / "a", tmp_path / "b"


def test_what_differs_and_what_came_out(two):
    comparison = compare(two)
    assert comparison.recipe == {"evolve.rounds": [2, 1], "evolve.judge": [True, False]}
    a, b = comparison.sides
    assert (a.summary.seeds, b.summary.seeds) == (8, 8)
    assert a.rows == len(list(api.dataset(two[0])))
    assert sum(share.whole for share in a.kept_by_operation.values()) == 16
    assert {round_: share.whole for round_, share in a.kept_by_round.items()} == {1: 8, 2: 8}
    assert list(b.instruction_words) == [0, 1]
    assert b.instruction_words[1].mean > b.instruction_words[0].mean
    assert (a.selected, a.difficulty) == (None, {})
    (overlap,) = comparison.overlaps
    assert overlap.seeds == 4
    texts = [{row.instruction.lower() for row in api.dataset(run)} for run in two]
    assert overlap.instructions == len(texts[0] & texts[1]) >= 4


def test_a_run_is_its_own_equal(two):
    comparison = compare([two[0], two[0], two[1]])
    assert comparison.sides[0] == comparison.sides[1]
    assert [(pair.one, pair.other) for pair in comparison.overlaps] == [(0, 1), (0, 2), (1, 2)]
    assert comparison.overlaps[0].instructions == len({row.instruction for row in api.dataset(two[0])})


def test_difficulty_by_round_is_that_of_a_selection_that_still_holds(two):
    rows = list(api.dataset(two[0]))
    marks = [GradeRow(number, 2.0 + row.round + number % 2, "", None) for number, row in enumerate(rows)]
    with Ledger(two[0]) as ledger:
        stamp = SelectionReader(ledger.reader).stamp()
        note = {"stamp": stamp, "rows": len(rows), "kept": len(rows) - 1}
        SelectionWriter(ledger).keep_selection(note, [], [], {"difficulty": marks}, [])
    side = compare(two).sides[0]
    for round_, mean in side.difficulty.items():
        values = [mark.value for mark, row in zip(marks, rows, strict=True) if row.round == round_]
        assert mean.n == len(values)
        assert mean.mean == pytest.approx(sum(values) / len(values))
        spread = math.sqrt(sum((value - mean.mean) ** 2 for value in values) / (len(values) - 1))
        assert mean.error == pytest.approx(spread / math.sqrt(len(values)))
    assert side.selected == len(rows) - 1
    api.evolve(out=two[0], settings={"evolve.rounds": 1})
    assert compare(two).sides[0].difficulty == {}


def test_a_run_that_is_being_written_can_be_compared(two):
    with Ledger(two[0]):
        assert compare(two).sides[0].summary.seeds == 8


def test_read_only_runs_can_be_compared(two, read_only):
    script = "print(api.compare(sys.argv[2:]).sides[1].summary.seeds)"
    done = read_only(script, *two)
    assert (done.stderr, done.stdout) == ("", "8\n")


def test_a_read_only_run_with_changes_that_must_be_folded_in_is_refused(two, read_only):
    (two[0] / "ledger.db-wal").write_bytes(b"unread")
    script = """
try:
    api.status(sys.argv[2])
except InputError as error:
    print(error)
"""
    assert "copy the folder" in read_only(script, two[0]).stdout


def test_too_few_runs_and_none(two, tmp_path):
    with pytest.raises(InputError, match="two runs or more, got 1"):
        compare([two[0]])
    with pytest.raises(InputError, match="is not a run"):
        compare([two[0], tmp_path])


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilsons_interval_is_the_published_one(part, whole, low, high):
    """The last is the example in Newcombe 1998, table I, method 3."""
    assert Share(part, whole).interval == pytest.approx((low, high), abs=1e-4)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_interval_holds_the_share(part, more):
    share = Share(part, part + more)
    low, high = share.interval
    assert 0 <= low <= share.share <= high <= 1 or share.whole == 0


def test_a_mean_of_one_has_no_error():
    assert Mean.of(1, 5.0, 25.0) == Mean(1, 5.0, None)


def test_the_command(two, evolute_command):
    told = evolute_command("compare", *two)
    assert told.returncode == 0, told.stderr
    for expected in ("evolve.rounds", "Wilson's 95 %", "no-information-gain", "A and B: 4 seeds"):
        assert expected in told.stdout
    said = orjson.loads(evolute_command("compare", *two, "--json").stdout)
    assert said["recipe"]["evolve.judge"] == [True, False]
    assert said["runs"][0]["kept_by_round"]["1"]["of"] == 8
    assert said["overlaps"] == [{"one": 0, "other": 1, "seeds": 4, "instructions": said["overlaps"][0]["instructions"]}]
    alone = evolute_command("compare", two[0])
    assert alone.returncode == 2
    assert "Traceback" not in alone.stderr

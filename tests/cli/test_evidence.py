"""`evolute show RUN --reason REASON` and the selection's verdicts in `evolute show RUN ID`."""

import re

import orjson
import pytest

from evolute import api
from evolute.cli import main
from evolute.ledger import Reader, SelectionReader

SCRIPTED = {"models.default.api": "scripted", "models.default.model": "scripted", "evolve.rounds": 2}
MAIL = "jane.roe1974@fastmail.com"


@pytest.fixture
def run(tmp_path, seeds_file):
    """Lineages of which some rows are copies of each other, and one holds an address."""
    rows = [orjson.loads(line) for line in seeds_file(8).read_bytes().splitlines()]
    rows += [
        {"instruction": "EXPLAIN how a class of 2 pupils, can share 7 apples fairly!", "output": "\x1b[31mEvenly."},
        {"instruction": rows[3]["instruction"].replace("fairly", "fairly today")},
        {"instruction": rows[5]["instruction"].replace("fairly", "fairly and soon")},
        {"instruction": f"Write to {MAIL} that the meeting about the new library is on Monday."},
    ]
    path = tmp_path / "seeds.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    api.evolve(str(path), out=tmp_path / "run", recipe="wizardlm", settings=SCRIPTED)
    return tmp_path / "run"


def shown(capsys, *arguments):
    main([str(argument) for argument in ("show", *arguments)])
    return capsys.readouterr().out


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in ("show", *arguments)])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_the_strongest_cases_come_first_with_the_row_that_they_are_like(run, capsys):
    api.select(run, settings={"select.duplicates.near": 0.6})
    with Reader(run) as reader:
        found = [finding for finding in SelectionReader(reader).dropped() if finding.reason == "near-duplicate"]
        rows = list(reader.dataset())
    said = shown(capsys, run, "--reason", "near-duplicate", "--count", 2)
    assert f"near-duplicate: {len(found):,} rows dropped or flagged by the selection" in said
    best = sorted(found, key=lambda finding: (-finding.score, finding.row))[:2]
    assert len(best) == 2
    heads = re.findall(r"● (\S+) · round \d · dropped · score (\S+)", said)
    assert heads == [(rows[finding.row].id[:11], f"{finding.score:.3g}") for finding in best]
    assert re.findall(r"≈ like (\S+) ", said) == [rows[finding.other].id[:11] for finding in best]
    assert rows[best[0].row].instruction[:40] in said


def test_candidates_that_the_evolution_dropped_are_shown_too(run, capsys):
    with Reader(run) as reader:
        (dropped, *_) = [row for row in reader.candidates() if row.reason == "no-information-gain"]
    said = shown(capsys, run, "--reason", "no-information-gain", "--count", 1)
    assert "candidates dropped by the evolution" in said
    assert f"i1-{dropped.id.hex()}"[:11] in said
    assert "evidence: " in said
    assert len(re.findall("✗", said)) == 1


def test_an_unknown_reason_is_told_those_that_occur(run, capsys):
    before = refused(capsys, run, "--reason", "near-dup")
    assert re.search(r"by the evolution: no-information-gain \d", before)
    selected = api.select(run)
    said = refused(capsys, run, "--reason", "near-dup")
    assert re.search(rf"by the selection: .*duplicate {selected.dropped['duplicate']}\b", said)
    assert "give one of them" in refused(capsys, run, "s1-0", "--reason", "duplicate")


def test_a_private_row_is_named_and_never_shown(run, capsys):
    selected = api.select(run, settings={"select.duplicates.near": 0.6})
    assert selected.flagged["personal-data"] >= 1
    said = shown(capsys, run, "--reason", "personal-data", "--count", 50)
    assert "email address (not shown" in said
    assert "new library" not in said
    for reason in [*selected.dropped, *selected.flagged]:
        assert MAIL not in shown(capsys, run, "--reason", reason, "--count", 50)


def test_what_is_shown_steers_no_terminal(run, capsys):
    api.select(run)
    said = shown(capsys, run, "--reason", "duplicate", "--count", 50)
    assert "\\x1b[31mEvenly." in said
    assert "\x1b" not in said


def test_one_lineage_says_what_the_selection_decided(run, capsys):
    with Reader(run) as reader:
        rows = list(reader.dataset())
    assert "selection" not in shown(capsys, run, rows[0].id)
    api.select(run)
    with Reader(run) as reader:
        copy = next(finding for finding in SelectionReader(reader).dropped() if finding.reason == "duplicate")
    said = shown(capsys, run, rows[copy.row].id)
    assert f"  {rows[copy.row].id[:11]} (round {rows[copy.row].round}): dropped: duplicate, like " in said
    assert rows[copy.other].id[:11] in said
    assert "round 0): kept" in shown(capsys, run, rows[0].root)
    assert len(re.findall(r"^  \w1-.*\(round \d\): ", said, re.M)) == sum(
        row.root == rows[copy.row].root for row in rows
    )


def test_a_selection_of_other_rows_is_left_aside(run, capsys, seeds_file):
    api.select(run)
    with Reader(run) as reader:
        first = next(reader.dataset())
    more = run.parent / "more.jsonl"
    more.write_text('{"instruction": "Name the four largest moons of Jupiter and who found them."}\n')
    api.evolve(str(more), out=run)
    assert "the run has changed since" in shown(capsys, run, first.id)
    assert "have changed since they were selected" in refused(capsys, run, "--reason", "duplicate")

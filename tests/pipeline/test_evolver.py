"""The training set of an evolver: what the run's evolver was asked, to the letter, and what came of it."""

import orjson
import pytest

from evolute import api
from evolute.errors import InputError
from evolute.evolve.walking import walk
from evolute.ledger import Reader
from evolute.pipeline.evolver import evolver_set, write_evolver_set
from evolute.pipeline.summary import run_recipe
from evolute.text import clean_instruction

SCRIPTED = {"models.default.api": "scripted", "models.default.model": "scripted"}
FEW = {"add-constraints": 3.0, "deepen": 1.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with two operations and four children each time, so that a parent meets an operation more than once."""
    folder = tmp_path_factory.mktemp("evolver")
    seeds = folder / "seeds.jsonl"
    rows = [{"instruction": f"Explain how {n + 2} pupils can share {n + 7} apples."} for n in range(12)]
    seeds.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    settings = SCRIPTED | {
        "evolve.operations": FEW,
        "evolve.branches": 4,
        "evolve.rounds": 2,
        "evolve.respond": "never",
    }
    api.evolve(str(seeds), out=folder / "run", recipe="wizardlm", settings=settings)
    return folder / "run"


def test_each_prompt_is_the_one_that_was_sent(run):
    found = evolver_set(run)
    kept = {row.id: row for row in api.dataset(run, seeds=False)}
    assert {one.id for one in found.kept} == kept.keys()
    with Reader(run) as reader:
        sent = {
            (walked.asked[row.evolve_call].messages, row.instruction)
            for walked in walk(reader, run_recipe(run))
            for row in walked.rows
            if row.evolve_call and not row.reason
        }
    assert {(one.messages, one.answer) for one in found.kept} == sent
    for one in found.kept:
        row = kept[one.id]
        assert (row.root, row.operation, row.instruction) == (one.root, one.operation, one.answer)
        assert clean_instruction(one.answer) == one.answer


def test_what_was_dropped_is_a_negative_beside_a_kept_one_of_the_same_prompt(run):
    found = evolver_set(run)
    assert found.pairs
    for pair in found.pairs:
        assert pair.kept.messages == pair.dropped.messages
        assert pair.kept.operation == pair.dropped.operation
        assert pair.kept.answer != pair.dropped.answer
        assert pair.dropped.answer
    with Reader(run) as reader:
        dropped = sum(count for (round_, _, why), count in reader.tally().items() if round_ and why)
    assert len(found.pairs) + found.unpaired.total() + found.blameless.total() == dropped
    told = "\n".join(found.describe())
    assert f"kept evolutions to learn from: {len(found.kept)}" in told
    assert f"same prompt): {len(found.pairs)}" in told
    assert "no-information-gain" in told


def test_operations_can_be_balanced_and_limited(run):
    def counts(found):
        return {name: sum(one.operation == name for one in found.kept) for name in FEW}

    whole = counts(evolver_set(run))
    assert len(set(whole.values())) == 2
    even = evolver_set(run, balance=True)
    assert set(counts(even).values()) == {min(whole.values())}
    assert even.left_out == sum(whole.values()) - 2 * min(whole.values())
    assert counts(evolver_set(run, most=3)) == dict.fromkeys(FEW, 3)
    assert evolver_set(run, most=3) == evolver_set(run, most=3)
    assert evolver_set(run, most=3).kept != evolver_set(run, most=3, seed=1).kept


def test_the_set_as_files(run, tmp_path):
    found = evolver_set(run)
    kept, pairs = write_evolver_set(found, tmp_path)
    rows = [orjson.loads(line) for line in kept.read_bytes().splitlines()]
    assert [row["messages"][-1] for row in rows] == [{"role": "assistant", "content": one.answer} for one in found.kept]
    assert rows[0]["messages"][0]["role"] == "user"
    first = orjson.loads(pairs.read_bytes().splitlines()[0])
    assert first["chosen"] == [{"role": "assistant", "content": found.pairs[0].kept.answer}]
    assert first["rejected"] == [{"role": "assistant", "content": found.pairs[0].dropped.answer}]


SHOWN = """---
name: shown
family: in-depth
weight: 1
extends: _in-depth.md
---

## Method

ask for more.

## Short template

{conversation}

Ask for more.

## Task

{instruction}

## Demonstrations

### Prompt

Why is the sky blue?

### Rewrite

Why is the sky blue, and why is it red in the evening?
"""


def test_demonstrations_and_their_form_of_an_answer_are_kept(tmp_path, seeds_file):
    folder = tmp_path / "operations"
    folder.mkdir()
    (folder / "shown.md").write_text(SHOWN.replace("## Task", "#Given Prompt#:"))
    settings = SCRIPTED | {
        "evolve.demonstrations": True, "evolve.judge": False, "roles.evolver.system": "Be brief.",
        "evolve.operation_folders": [str(folder)], "evolve.operations": {"shown": 1.0},
    }  # fmt: skip
    api.evolve(str(seeds_file(1)), out=tmp_path / "run", recipe="wizardlm", settings=settings)
    (one, *_) = evolver_set(tmp_path / "run").kept
    assert [turn.role for turn in one.messages] == ["system", "user", "assistant", "user"]
    begins = {turn.content.split(":")[0] for turn in one.messages if turn.role == "assistant"}
    assert begins == {one.answer.split(":")[0]} == {"New task"}
    assert clean_instruction(one.answer).startswith("Explain how a class")


def test_a_run_without_evolutions_teaches_nothing(tmp_path, seeds_file):
    api.evolve(str(seeds_file(2)), out=tmp_path / "run", settings=SCRIPTED | {"evolve.rounds": 0})
    with pytest.raises(InputError, match="no kept evolution"):
        evolver_set(tmp_path / "run")
    with pytest.raises(InputError, match="not a run"):
        evolver_set(tmp_path)

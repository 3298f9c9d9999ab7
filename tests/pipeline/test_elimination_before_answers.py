"""What is found before an answer is paid for: overlaps with benchmarks, and, opted in, duplicates of other lineages."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest

from evolute import api
from evolute.evolve.lineage import Lineage
from evolute.evolve.seen import Remembered
from evolute.evolve.session import Craft, make_setting
from evolute.ledger import Ledger, Reader
from evolute.models.recording import Recorded
from evolute.models.scripted import Scripted
from evolute.recipe import load, resolve
from evolute.records import Reason, Seed

GSM8K = Path(__file__).resolve().parents[2] / "../shared/data/gsm8k/test.jsonl"
SAME = "Explain in plain words how a heat pump moves warmth from a cold garden into a warm house in winter."


def grow(run, recipe, seeds, rule, at_once=False):
    """Grow lineages one after the other, or all at once, on a scripted model; what was asked, by role."""
    asked = []

    def noting(request):
        asked.append(request.role)
        return rule(request)

    async def main():
        with Ledger(run) as ledger:
            craft = Craft.of(recipe)
            ledger.begin(craft.fingerprint(recipe), {"respond": "every", "craft": craft.note()})
            (run / "recipe.yaml").write_text(recipe.to_yaml())
            for operation in (*craft.operations.values(), craft.equality):
                ledger.add_template(operation.hash, operation.name, operation.text)
            ledger.add_seeds(seeds)
            model = Recorded(Scripted(noting), ledger, "scripted")
            seen = Remembered(ledger.reader) if recipe.evolve.duplicates else None

            def emit(row, verbatim):
                ledger.judge(row, verbatim=verbatim)

            setting = make_setting(recipe, craft, dict.fromkeys(recipe.models, model), emit, seen)
            growing = [(position, Lineage(setting, position, seed).grow()) for position, seed in ledger.reader.seeds()]
            if at_once:
                await asyncio.gather(*(lineage for _, lineage in growing))
            for position, lineage in growing:
                if not at_once:
                    await lineage
                ledger.finish(position)
            ledger.flush()

    asyncio.run(main())
    return asked


def recipe_with(**fields):
    base = load("wizardlm") | {"models": {"default": {"api": "scripted", "model": "scripted"}}}
    base["evolve"] |= {"rounds": 1, "judge": False, "seed_responses": "keep"} | fields
    return resolve(base)


def test_a_benchmarks_question_is_dropped_before_it_is_answered(tmp_path):
    if not GSM8K.is_file():
        pytest.skip("needs the GSM8K test set in ../shared/data/gsm8k")
    question = orjson.loads(GSM8K.read_bytes().splitlines()[7])["question"]
    asked = grow(tmp_path, recipe_with(), [Seed("Set me a sum about apples.", response="2 + 2")], lambda _: question)
    assert asked == ["evolver"]
    with Reader(tmp_path) as reader:
        (child,) = [row for row in reader.candidates() if row.round]
    assert child.reason == Reason.CONTAMINATED
    evidence = orjson.loads(child.evidence)
    assert evidence["corpus"] == "gsm8k"
    assert evidence["text"] in question
    assert api.verify(tmp_path).ok


def test_a_child_that_another_lineage_has_is_dropped_where_that_is_wanted(tmp_path):
    seeds = [Seed(f"Say how warmth moves in a house with {n} rooms.", response="It does.") for n in range(3)]
    asked = grow(tmp_path / "a", recipe_with(duplicates=True), seeds, lambda _: SAME)
    assert asked.count("responder") == 1
    with Reader(tmp_path / "a") as reader:
        children = [row for row in reader.candidates() if row.round]
        names = [row.id for row in reader.dataset() if row.round]
    assert [row.reason for row in children] == ["", "duplicate", "duplicate"]
    assert all(orjson.loads(row.evidence) == {"of": names[0]} for row in children[1:])
    assert api.verify(tmp_path / "a").ok
    assert api.replay(tmp_path / "a").ok
    assert grow(tmp_path / "b", recipe_with(), seeds, lambda _: SAME).count("responder") == 3


def words_of(request):
    """A model with few things to say: lineages meet all the time."""
    number = request.draw % 5
    return f"Say in order how warmth moves through a house that has {number} rooms and {number + 3} windows."


def test_a_resumed_run_keeps_the_verdicts_that_it_reached(tmp_path):
    """Lineages are stopped after each number of verdicts, and taken up again with other ones around them."""
    seeds = [Seed(f"Say how warmth moves in a house with {n} doors.", response="It does.") for n in range(5)]
    recipe = recipe_with(duplicates=True, branches=2, rounds=2)
    grow(tmp_path / "whole", recipe, seeds, words_of)
    with Reader(tmp_path / "whole") as reader:
        verdicts = len(list(reader.candidates()))
    for stop in range(1, verdicts, 3):
        run = tmp_path / str(stop)
        grow(run, recipe, seeds, words_of, at_once=True)  # equal ones pass side by side
        with Ledger(run) as ledger:  # what a kill leaves: the first verdicts, in the order in which they were reached
            ledger.transact(lambda db: db.execute("DELETE FROM lineages"))
            ledger.transact(
                lambda db, stop=stop: db.execute(
                    """DELETE FROM candidates WHERE (seed, round, slot, attempt) NOT IN
                    (SELECT seed, round, slot, attempt FROM candidates ORDER BY -seed, round, slot LIMIT ?)""",
                    (stop,),
                )
            )
            before = {tuple(row[:4]): row for row in ledger.reader.candidates()}
        grow(run, recipe, seeds, words_of)
        with Reader(run) as reader:
            after = {tuple(row[:4]): row for row in reader.candidates()}
        assert {place: after.get(place) for place in before} == before
        assert api.verify(run).ok, api.verify(run).problems
        assert api.replay(run).ok

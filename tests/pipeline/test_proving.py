"""A proof from end to end on a random model of two layers: arms, resumption, what is paid for, the page."""

import asyncio
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from evolute import api
from evolute.cli import main
from evolute.errors import InputError, RecipeError
from evolute.evolve.budget import Limits
from evolute.ledger import Reader
from evolute.models.loopback import LoopbackServer
from evolute.pipeline.provarms import write_arm
from evolute.pipeline.proving import prove
from evolute.pipeline.provpools import EVOLVED, SEEDS, Example, arms_of, missing, pools_of, prompt_of, split_rows
from evolute.recipe.proving import Arms, HeldOut, Proving, proof_recipes, resolve_proof
from evolute.records import Message, Row
from evolute.report.proof import proof_page


def row(root, round_=0, operation="", parent="", text=""):
    return Row(
        id=f"{root}-{round_}", parent=parent, root=root, round=round_, operation=operation,
        instruction=text or f"Ask {root} {round_}", input="", response="old", system="", history=(), evolver="",
        judge="", responder="", source="", line=1,
    )  # fmt: skip


def lineages(count, rounds=2):
    operations = ("deepen", "breadth")
    return [
        row(f"r{n}", round_, operations[(n + round_) % 2] if round_ else "", f"r{n}-{round_ - 1}" if round_ else "")
        for n in range(count)
        for round_ in range(rounds + 1)
    ]


def examples_of(rows, tokens=lambda one: 10 * (1 + one.round)):
    return {one.id: Example(one, prompt_of(one), "new", tokens(one)) for one in rows}


def test_held_out_lineages_are_held_out_as_wholes():
    rows = lineages(20)
    split = split_rows(rows, HeldOut(share=0.25), seed=3)
    assert (split.roots, split.held_roots) == (20, 5)
    assert not {one.root for one in split.train} & {one.root for one in split.held}
    assert len(split.train) + len(split.held) == len(rows)
    assert {one.root for one in split_rows(rows, HeldOut(share=0.25), seed=4).held} != {o.root for o in split.held}


def test_no_held_out_row_has_the_words_of_one_that_is_trained_on():
    rows = [replace(one, instruction="The same words!") if one.round == 1 else one for one in lineages(10)]
    split = split_rows(rows, HeldOut(share=0.3), seed=0)
    assert {one.round for one in split.held} == {0, 2}
    assert split.left_out == {"held out, with the words of one that is trained on": 3}


def test_rows_that_share_a_passage_with_a_benchmark_are_not_trained_on():
    rows = lineages(10)
    clean = split_rows(rows, HeldOut(share=0.3), seed=0)
    bad = clean.train[0].id
    split = split_rows(rows, HeldOut(share=0.3), seed=0, contaminated={bad})
    assert {one.id for one in clean.train} - {one.id for one in split.train} == {bad}
    assert split.left_out == {"share a passage with a benchmark": 1}


def test_arms_have_equal_examples_and_equal_tokens_and_are_nested():
    rows = lineages(40)
    pools = pools_of(rows, Arms(), seed=1)
    arms, (examples, tokens) = arms_of(pools, examples_of(rows), None)
    one, other = arms[examples.one], arms[examples.other]
    assert len(one.examples) == len(other.examples) == 40
    assert one.tokens > other.tokens
    fewer = arms[tokens.one]
    assert tokens.other == examples.other  # the same arm is trained once
    assert abs(fewer.tokens - arms[tokens.other].tokens) <= 15
    assert list(fewer.examples) == list(one.examples[: len(fewer.examples)])
    assert {one.pool for one in arms.values()} == {SEEDS, EVOLVED}


def test_the_arms_of_rounds_and_operations_have_seeds_of_their_number_beside_them():
    rows = lineages(12)
    pools = pools_of(rows, Arms(rounds=True, operations=True), seed=1)
    arms, versus = arms_of(pools, examples_of(rows), None)
    by_name = {one.name: one for one in versus}
    assert set(by_name) == {
        "equal examples", "equal tokens", "round 1", "round 2", "without breadth", "without deepen"
    }  # fmt: skip
    assert {example.row.round for example in arms[by_name["round 2"].one].examples} == {2}
    for name in ("round 1", "without deepen"):
        pair = by_name[name]
        assert len(arms[pair.one].examples) == len(arms[pair.other].examples)
        assert not pair.main
    # an operation is left out with all that came of it: round 2 of a lineage that began with it, too
    assert {one.row.operation for one in arms[by_name["without deepen"].one].examples} == {"breadth"}
    assert {one.row.round for one in arms[by_name["without deepen"].one].examples} == {1}


def test_the_evolved_arm_may_be_drawn_from_all_rounds():
    rows = lineages(30)
    pool = pools_of(rows, Arms(evolved_has_seeds=True), seed=1)[EVOLVED]
    assert {one.round for one in pool.rows} == {0, 1, 2}


def test_no_more_is_answered_than_is_needed():
    rows = lineages(10)
    pools = pools_of(rows, Arms(), seed=1)
    first = missing(pools[EVOLVED], {}, set(), 4)
    assert first == list(pools[EVOLVED].rows[:4])
    usable = examples_of(first[:3])  # one could not be used
    assert missing(pools[EVOLVED], usable, {one.id for one in first}, 4) == [pools[EVOLVED].rows[4]]
    assert missing(pools[EVOLVED], examples_of(first), {one.id for one in first}, 4) == []


def test_an_arm_is_a_dataset_with_lineage(tmp_path):
    rows = lineages(4)
    arms, _ = arms_of(pools_of(rows, Arms(), seed=1), examples_of(rows), None)
    arm = arms["seeds (4)"]
    found = [json.loads(line) for line in write_arm(arm, tmp_path).read_text().splitlines()]
    assert [one["root"] for one in found] == [one.row.root for one in arm.examples]
    assert found[0]["messages"][-1] == {"role": "assistant", "content": "new"}


def test_a_prompt_has_what_stood_before_it():
    one = replace(row("r"), system="Be brief.", history=(Message("user", "a"), Message("assistant", "b")), input="data")
    assert [turn.role for turn in prompt_of(one)] == ["system", "user", "assistant", "user"]
    assert prompt_of(one)[-1].content == "Ask r 0\n\ndata"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"base": ""}, "which model is trained"),
        ({"run": "x"}, "Give run .* or evolution, and not both"),
        ({"evolution.seeds": []}, "evolution.seeds names no file"),
        ({"training.settings": {"steps": 3}}, "settings.steps is the proof's own"),
        ({"training.seeds": [1, 1]}, "has one twice"),
        ({"trainig.seeds": [1]}, "unknown field 'trainig'; did you mean 'training'"),
        ({"training.sedes": [1]}, "unknown field 'training.sedes'; did you mean 'seeds'"),
        ({"held_out.share": 1.5}, "held_out.share: .* less than 1, got 1.5"),
    ],
)
def test_a_wrong_recipe_is_told_with_field_value_and_remedy(settings, words):
    with pytest.raises(RecipeError, match=words):
        resolve_proof("tiny", settings)


def test_shipped_recipes_are_whole():
    assert proof_recipes() == ["real", "tiny"]
    assert all(isinstance(resolve_proof(name), Proving) for name in proof_recipes())
    with pytest.raises(RecipeError, match="did you mean 'tiny'"):
        resolve_proof("tinny")


RECIPE = {
    "name": "toy <b>proof</b>",
    "demonstration": True,
    "evolution": {
        "recipe": "wizardlm",
        "seeds": ["demo"],
        "settings": {"models.default.api": "scripted", "evolve.rounds": 1},
    },
    "responder": {"model": {"api": "scripted", "model": "script"}, "max_tokens": 100},
    "training": {
        "recipe": "tiny",
        "settings": {
            "epochs": 1,
            "batch": 2,
            "micro_batch": 2,
            "max_length": 2048,
            "packing": False,
            "learning_rate": 0.01,
            "warmup": 0,
            "save_steps": 100,
        },
        "seeds": [0],
    },
    "contamination": False,
    "arms": {"examples": 4},
    "held_out": {"share": 0.2},
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, tiny_model):
    path = tmp_path_factory.mktemp("recipe") / "toy.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "base": str(tiny_model)}))
    return path


@pytest.fixture(scope="module")
def proved(recipe, tmp_path_factory):
    """The whole way once, for all that look at it."""
    pytest.importorskip("trl")
    return prove(recipe, out=tmp_path_factory.mktemp("proof") / "out")


def test_it_goes_the_whole_way(proved):
    proof = proved.proof
    assert proved.stopped == ""
    assert [one.name for one in proof.compared] == ["equal examples", "equal tokens"]
    assert [arm.examples for arm in proof.arms][:2] == [4, 4]
    assert all(arm.trainings == 1 and arm.trained_tokens > 0 and arm.answer_cost == 0 for arm in proof.arms)
    evolved, seeds = proof.arms[0], proof.arms[1]
    assert evolved.evolving_calls > 0 == seeds.evolving_calls
    main_line = proof.compared[0].lines[0]
    assert (main_line.benchmark, main_line.independent, len(main_line.by_training)) == ("held-out-loss", 4, 1)
    assert {line.benchmark for line in proof.compared[0].lines} == {
        "held-out-loss", "held-out-loss-seeds", "held-out-loss-evolved"
    }  # fmt: skip
    assert proof.sides[0].label == "base"
    assert len(proof.sides) == 1 + len(proof.arms)


def test_nothing_of_a_held_out_lineage_is_in_any_arm(proved):
    files = (proved.folder / "data").glob("*.jsonl")
    trained = {json.loads(line)["root"] for file in files for line in file.read_bytes().splitlines()}
    held = {item.id for item in proved.proof.sides[0].scores["held-out-loss"].items}
    assert len(held) == 4
    assert not held & trained


def test_training_lowers_the_loss_on_what_was_held_out(proved):
    base, *trained = (side.scores["held-out-loss"].measure.value for side in proved.proof.sides)
    assert all(value < base for value in trained)


def test_the_page_says_what_it_is_escapes_what_it_is_given_and_names_no_folder(proved, tiny_model):
    page = proved.page.read_text()
    assert "A demonstration of the procedure" in page
    assert "toy &lt;b&gt;proof&lt;/b&gt;" in page
    assert proved.proof.sentence in page
    assert "Trainings" not in page
    assert "<script src" not in page
    assert str(proved.folder.parent) not in page
    assert str(tiny_model.parent) not in page
    assert (proved.folder / "figures" / "gain-held-out-loss.svg").is_file()
    assert (proved.folder / proved.proof.evaluations).is_file()
    assert json.loads((proved.folder / "proof.json").read_text())["verdict"] == proved.proof.verdict


def test_several_trainings_are_shown_one_by_one(proved):
    first, *rest = proved.proof.compared
    twice = replace(first, lines=[replace(one, by_training=(0.25, -0.125)) for one in first.lines])
    arms = [replace(one, trainings=2) for one in proved.proof.arms]
    page = proof_page(replace(proved.proof, compared=[twice, *rest], arms=arms), {})
    assert "Trainings" in page
    assert "+0.250" in page
    assert "-0.125" in page


def test_the_same_command_does_nothing_twice(proved, recipe):
    weights = sorted((proved.folder / "models").rglob("model.safetensors"))
    losses = sorted((proved.folder / "evaluations").rglob("results.json"))
    before = [(file, file.stat().st_mtime_ns) for file in (*weights, *losses)]
    assert len(weights) == len(proved.proof.arms)
    said = []
    again = prove(recipe, out=proved.folder, say=said.append)
    assert [(file, file.stat().st_mtime_ns) for file in (*weights, *losses)] == before
    assert (again.proof.sentence, again.proof.compared) == (proved.proof.sentence, proved.proof.compared)
    assert again.proof.arms == proved.proof.arms
    assert not any("held-out answers" in remark for remark in said)


async def test_a_judged_benchmark_sets_each_arm_beside_the_base(proved, recipe, tmp_path):
    """The judge likes the longer answer; the base is not set beside itself, and its answers are had once."""
    copy = shutil.copytree(proved.folder, tmp_path / "copy")

    def judge(body):
        asked = body["messages"][-1]["content"]
        pair = re.findall(r"Start of Assistant [12]'s Answer\]\n(.*?)\n\n\[The End", asked, re.DOTALL)
        one, two = map(len, pair)
        return f"{5 + (one > two)} {5 + (two > one)}"

    evaluation = {"suite": ["quick"], "limit": 2, "main": "held-out-loss", "settings": {"answer_tokens": 12}}
    async with LoopbackServer(judge) as server:
        evaluation["judge"] = {"base_url": server.base_url, "model": "judge"}
        found = await asyncio.to_thread(lambda: prove(recipe, out=copy, settings={"evaluation": evaluation}))
    quick = {side.label: side.scores["quick"] for side in found.proof.sides if "quick" in side.scores}
    assert set(quick) == {arm.name for arm in found.proof.arms}
    assert {score.against for score in quick.values()} == {"base"}
    assert server.answers == 2 * 2 * len(quick)
    assert [line.benchmark for line in found.proof.compared[0].lines][-1] == "quick"
    assert any(line.benchmark == "quick" for line in found.proof.compared[0].groups)
    assert server.base_url not in found.page.read_text()


def test_a_folder_of_another_proof_is_refused(proved, recipe):
    with pytest.raises(InputError, match=r"holds another proof .*seed 0, not 5"):
        prove(recipe, out=proved.folder, settings={"seed": 5})


def test_a_dry_run_says_what_it_will_take_and_leaves_no_trace(recipe, proved, tmp_path, capsys):
    main(["prove", str(recipe), "--out", str(tmp_path / "new"), "--dry-run"])
    told = capsys.readouterr().out
    assert "evolve first" in told
    assert not (tmp_path / "new").exists()
    fields = {"run": str(proved.folder / "run"), "evolution": None}
    settings = [part for name, value in fields.items() for part in ("--set", f"{name}={value or 'null'}")]
    main(["prove", str(recipe), "--out", str(tmp_path / "new"), "--dry-run", "--json", *settings])
    told = json.loads(capsys.readouterr().out)
    assert (told["trainings"], told["cost"]) == (3, 0)
    assert 8 < told["calls"] < 40


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"evaluation.suite": ["quick"]}, "who judges quick"),
        ({"evaluation.suite": ["gsm8k"]}, "where are the data of gsm8k"),
        ({"evaluation.main": "mmlu"}, "evaluation.main is 'mmlu', which is not measured"),
        ({"base": "no-such"}, "no-such: there is no such folder"),
        ({"training.recipe": "no-such"}, "no training recipe 'no-such'"),
        ({"evolution": None, "run": "no-such"}, "'no-such' is not a run"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(recipe, tmp_path, settings, words):
    with pytest.raises(InputError, match=words):
        prove(recipe, out=tmp_path / "out", settings=settings)
    assert not list(Path(tmp_path).rglob("*.safetensors"))


def test_a_bound_stops_it_and_the_same_command_goes_on(recipe, proved, tmp_path):
    """Held at the calls of all stages; what was answered is there the next time, and is not paid for again."""
    stopped = prove(recipe, out=tmp_path / "out", limits=Limits(calls=10))
    assert stopped.proof is None
    assert stopped.stopped.startswith("--max-calls")
    assert api.status(tmp_path / "out" / "run").calls >= 10
    bound = api.status(proved.folder / "run").calls + 3
    further = prove(recipe, out=tmp_path / "out", limits=Limits(calls=bound))
    assert further.stopped == f"--max-calls {bound} is reached"
    evolved = api.status(tmp_path / "out" / "run")
    with Reader(tmp_path / "out" / "answers") as reader:
        answered = sum(part.calls for part in reader.totals())
    assert evolved.pending == 0
    assert evolved.calls + answered == bound


@pytest.mark.marathon
def test_the_shipped_demonstration_ends_within_minutes(tmp_path):
    pytest.importorskip("trl")
    settings = {"arms.examples": 2, "held_out.most": 3}
    found = prove("tiny", out=tmp_path / "proof", settings=settings)
    assert found.proof.demonstration
    assert found.proof.compared[0].lines[0].independent >= 1
    assert all(arm.loss is not None for arm in found.proof.arms)

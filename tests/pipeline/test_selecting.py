"""Selecting from real runs of the scripted model: what is kept, dropped, remembered, refused."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
import threading

import orjson
import pytest
from aiohttp import web

from evolute import api
from evolute.errors import InputError, RecipeError, RunBusy
from evolute.ledger import Ledger, Reader, SelectionReader
from evolute.models.loopback import Faults, LoopbackServer
from evolute.models.loopback_reply import scripted_rule
from evolute.pipeline.publishing import card_facts

SCRIPTED = {"models.default.api": "scripted", "models.default.model": "scripted"}


@pytest.fixture
def run(tmp_path, seeds_file):
    """Twelve lineages of two rounds, of which some rows are copies of each other."""
    rows = [orjson.loads(line) for line in seeds_file(10).read_bytes().splitlines()]
    rows += [
        {"instruction": "EXPLAIN how a class of 2 pupils, can share 7 apples fairly!"},  # a copy but for case and marks
        {"instruction": rows[3]["instruction"].replace("fairly", "fairly today")},
    ]
    path = tmp_path / "twelve.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    api.evolve(str(path), out=tmp_path / "run", recipe="wizardlm", settings=SCRIPTED | {"evolve.rounds": 2})
    return tmp_path / "run"


def ids(run, **options):
    return [row.id for row in api.dataset(run, **options)]


def test_each_row_is_kept_or_dropped_with_a_reason(run):
    selected = api.select(run, settings={"select.duplicates.near": 0.6})
    assert selected.rows == len(ids(run, selected=False))
    assert selected.kept == len(ids(run)) < selected.rows
    assert sum(selected.dropped.values()) == sum(count for _, count in selected.steps) == selected.rows - selected.kept
    assert selected.dropped["duplicate"] >= 1
    assert selected.dropped["near-duplicate"] >= 1
    with Reader(run) as reader:
        dropped = list(SelectionReader(reader).dropped())
        rows = list(reader.dataset())
    copies = [finding for finding in dropped if finding.reason == "duplicate"]
    assert all(finding.other is not None and finding.other < finding.row for finding in copies)
    assert rows[copies[0].row].instruction.casefold().replace(",", "").rstrip("!.") == rows[
        copies[0].other
    ].instruction.casefold().rstrip("!.")


def test_selecting_again_changes_nothing(run):
    first = api.select(run)
    before = ids(run)
    assert api.verify(run).counts["selected rows"] == api.status(run).selection.kept == first.kept
    assert api.select(run) == first
    assert ids(run) == before


def test_what_was_measured_before_does_not_change_the_order_of_the_steps(run, tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"text": "explain how a class of 2 pupils can share 7 apples fairly"}\n')
    settings = {"select.contamination.corpora": [f"own={corpus}"]}
    other = shutil.copytree(run, tmp_path / "other")
    api.select(run, settings=settings | {"select.contamination.check": "ignore"})
    api.select(run, settings={"select.contamination.check": "drop"})
    api.select(other, settings=settings | {"select.contamination.check": "drop"})
    assert dropped(run) == dropped(other)
    assert len([row for row in dropped(run) if row[2] == "contaminated"]) >= 2, "the copy of the item is one as well"


def dropped(run):
    with Reader(run) as reader:
        return list(reader.select("SELECT row, step, reason, score, other, evidence FROM unselected ORDER BY row"))


def measured(run):
    """Which measurements the ledger holds: their numbers grow whenever a step measures."""
    with Reader(run) as reader:
        return dict(reader.select("SELECT name, id FROM steps"))


def test_another_threshold_is_looked_at_without_measuring_again(run):
    api.select(run)
    strict, before = ids(run), measured(run)
    loose = api.select(run, settings={"select.duplicates.near": 0.95, "select.contamination.words": 20})
    assert set(strict) <= set(ids(run))
    again = api.select(run, settings={"select.duplicates.near": 0.7})
    assert again.kept < loose.kept
    assert measured(run) == before
    api.select(run, settings={"select.duplicates.near": 0.5})  # below the floor
    assert {name for name, id_ in measured(run).items() if id_ != before[name]} == {"near-duplicates"}


def test_a_lineage_is_not_compared_with_itself_unless_that_is_wanted(run):
    within = api.select(run, settings={"select.duplicates.near": 0.5, "select.duplicates.within_lineage": True})
    across = api.select(run, settings={"select.duplicates.within_lineage": False})
    assert within.kept < across.kept


def test_semantic_duplicates_of_the_shipped_encoder(run):
    plain = api.select(run, settings={"select.duplicates.near": None})
    semantic = api.select(run, settings={"select.duplicates.semantic": 0.9})
    assert semantic.dropped["semantic-duplicate"] > 0
    assert semantic.kept < plain.kept


def test_mixtures(run):
    assert api.select(run, settings={"select.mixture.rows": 9}).kept == 9
    nine = ids(run)
    assert api.select(run, settings={"select.mixture.rows": 9}).kept == 9
    assert ids(run) == nine
    api.select(run, settings={"select.mixture": {"rows": 9, "by": "round"}})
    rounds = [row.round for row in api.dataset(run)]
    assert sorted(map(rounds.count, {0, 1, 2})) == [3, 3, 3]
    api.select(run, settings={"select.mixture": {"by": "round", "quotas": {0: 2, 2: 4}}})
    assert [row.round for row in api.dataset(run)].count(2) == 4
    for by in ("operation", "cluster", "coverage"):
        assert api.select(run, settings={"select.mixture": {"rows": 8, "by": by}}).kept == 8


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"select.mixture.rows": 10_000}, "10,000 rows is wanted"),
        ({"select.mixture": {"by": "round", "quotas": {"7": 5}}}, "no row is of group '7'"),
        ({"select.mixture": {"by": "round", "quotas": {"0": 500}}}, "500 rows of group '0' are wanted"),
        ({"select.mixture": {"quotas": {"0": 5}}}, "quotas need groups"),
        ({"select.grade.band": [3, 5]}, "needs every row's difficulty"),
        ({"select.grade": {"difficulty": True, "band": [11, 12]}}, "no row of .* is left"),
        ({"select.duplicates.encoder": "nobody", "select.duplicates.semantic": 0.9}, "no encoder 'nobody'"),
        ({"select.contamination.corpora": ["nowhere.jsonl"]}, "nowhere.jsonl"),
        ({"select.tokens.tokenizer": "nowhere/tokenizer.json"}, "no tokenizer can be read"),
        ({"select.duplicates.near": 7}, "less than or equal to 1"),
        ({"select.near": 0.7}, "unknown field 'select.near'"),
    ],
)
def test_what_cannot_be_done_is_said_and_the_selection_before_stands(run, settings, said):
    api.select(run)
    before = ids(run)
    with pytest.raises(InputError, match=said):
        api.select(run, settings=settings)
    assert ids(run) == before


def test_the_evolution_is_not_changed_by_selecting(run):
    with pytest.raises(RecipeError, match="would change how"):
        api.select(run, settings={"evolve.rounds": 3})
    with pytest.raises(InputError, match="is not a run"):
        api.select(run.parent / "nowhere")


def test_a_run_that_goes_on_makes_its_selection_stale(run, seeds_file):
    api.select(run)
    api.evolve(str(seeds_file(14, "more.jsonl")), out=run)
    with pytest.raises(InputError, match="evolute select"):
        ids(run)
    assert ids(run, selected=False)
    api.select(run)
    assert ids(run)


def test_a_run_that_is_being_written_is_left_alone(run):
    with Ledger(run), pytest.raises(RunBusy):
        api.select(run)


def test_export_and_status_follow_the_selection(run, tmp_path):
    api.select(run, settings={"select.mixture.rows": 5})
    assert api.export(run, "messages", tmp_path / "five.jsonl") == 5
    assert api.export(run, "messages", tmp_path / "all.jsonl", selected=False) > 5


def test_marks_are_paid_once_and_read_strictly(run):
    before = api.status(run).calls
    settings = {"select.grade": {"difficulty": True, "siblings": True}}
    selected = api.select(run, settings=settings)
    assert selected.unreadable == 0
    with Reader(run) as reader:
        selection = SelectionReader(reader)
        marks = {
            kind: {g.row: g.value for g in selection.grades(kind)} for kind in ("difficulty", "complexity", "quality")
        }
    assert len(marks["difficulty"]) == selected.kept
    assert all(1 <= value <= 10 for value in marks["difficulty"].values())
    assert all(1 <= value <= 6 for kind in ("complexity", "quality") for value in marks[kind].values())
    paid = api.status(run).calls
    assert paid > before
    api.select(run, settings=settings)
    assert api.status(run).calls == paid
    assert api.verify(run).ok


@pytest.fixture
def grading_server():
    """A real server that plays the grader, well or badly."""

    @contextlib.contextmanager
    def serve(**options):
        ready, done = threading.Event(), threading.Event()
        address = []

        async def main():
            async with LoopbackServer(**options) as server:
                address.append(server.base_url)
                ready.set()
                await asyncio.to_thread(done.wait)

        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        ready.wait(30)
        try:
            yield {
                "models.other": {"base_url": address[0], "model": "m", "retries": 0},
                "roles.grader.model": "other",
            }
        finally:
            done.set()
            thread.join()

    return serve


def test_a_grader_that_answers_prose_gives_no_mark(run, grading_server):
    def prose(body):
        return "That is a wonderful question! I would say seven."

    with grading_server(rule=prose) as grader:
        selected = api.select(run, settings=grader | {"select.grade.difficulty": True})
    assert selected.unreadable == selected.kept
    with Reader(run) as reader:
        grades = list(SelectionReader(reader).grades("difficulty"))
    assert all(grade.value is None and "wonderful" in grade.evidence for grade in grades)


def test_a_bound_stops_the_grader_and_going_on_pays_only_the_rest(run):
    before = api.status(run).calls
    settings = {"select.grade.difficulty": True}
    stopped = api.select(run, settings=settings, limits=api.Limits(calls=before + 10))
    assert stopped.stopped == f"--max-calls {before + 10} is reached"
    with Reader(run) as reader:
        assert SelectionReader(reader).note() is None
    between = api.status(run).calls
    assert before < between <= before + 10
    done = api.select(run, settings=settings)
    assert not done.stopped
    assert api.status(run).calls == before + done.kept


def test_only_a_sample_of_each_round_is_graded_where_that_is_wanted(run):
    api.select(run, settings={"select.grade": {"difficulty": True, "sample": 3}})
    with Reader(run) as reader:
        rounds = [row.round for row in reader.dataset()]
        graded = [rounds[grade.row] for grade in SelectionReader(reader).grades("difficulty")]
    assert sorted(graded) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_preference_pairs_are_two_responses_to_one_instruction(run):
    with pytest.raises(InputError, match=r"select\.grade\.responses=2"):
        list(api.preferences(run))
    selected = api.select(run, settings={"select.grade.responses": 3})
    pairs = list(api.preferences(run))
    assert 0 < len(pairs) <= selected.kept
    for pair in pairs:
        assert pair.chosen_score > pair.rejected_score
        assert pair.chosen != pair.rejected
    rows = {row.id: row for row in api.dataset(run)}
    assert any(rows[pair.row.id].response in (pair.chosen, pair.rejected) for pair in pairs)


def test_the_whole_way_goes_on_where_it_stopped(tmp_path, seeds_file):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        f"""name: mine
out: {tmp_path / "whole"}
models: {{default: {{api: scripted, model: scripted}}}}
evolve: {{rounds: 2}}
seeds: {{files: [{seeds_file(8)}]}}
select: {{grade: {{difficulty: true}}}}
export: {{validation: 0.2}}
"""
    )
    first = api.run(recipe, limits=api.Limits(calls=20))
    assert first.stopped == "--max-calls 20 is reached"
    assert first.selected is None
    second = api.run(recipe, limits=api.Limits(calls=62))
    assert second.stopped == "--max-calls 62 is reached"
    done = api.run(recipe)
    assert not done.stopped
    assert done.selected.kept == sum(done.splits.values())
    assert set(done.splits) == {"train", "validation"}
    assert (tmp_path / "whole" / "report.html").is_file()
    card = (tmp_path / "whole" / "dataset" / "README.md").read_bytes()
    again = api.run(recipe)
    assert again.selected == done.selected
    assert again.summary.calls == done.summary.calls
    assert (tmp_path / "whole" / "dataset" / "README.md").read_bytes() == card


def test_the_command_line_says_what_was_done(run):
    told = subprocess.run(
        [sys.executable, "-m", "evolute", "select", str(run), "--rows", "7", "--by", "round"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "7 of" in told.stdout
    assert "not checked against: ARC-Challenge" in told.stdout
    wrong = subprocess.run(
        [sys.executable, "-m", "evolute", "select", str(run), "--rows", "7000"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


def test_verify_sees_a_selection_that_does_not_add_up(run):
    api.select(run)
    with Ledger(run) as ledger:
        ledger.transact(lambda db: db.execute("UPDATE unselected SET reason = 'mood', other = row + 1"))
    problems = api.verify(run).problems
    assert any("'mood'" in problem for problem in problems)
    assert any("no earlier row" in problem for problem in problems)
    with Ledger(run) as ledger:
        ledger.transact(lambda db: db.execute("DELETE FROM unselected"))
    assert any("keeps" in problem for problem in api.verify(run).problems)


def test_what_is_published_names_no_path_and_no_address(run):
    api.evolve(
        out=run, settings={"models.default.base_url": "http://internal.host:1/v1", "models.default.concurrency": 4}
    )
    api.select(run, settings={"select.grade.responses": 2})
    api.publish_folder(run)
    written = [path for path in (run / "dataset").rglob("*") if path.is_file()]
    assert {path.name for path in written} == {"README.md", "train-00000-of-00001.jsonl"}
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert "twelve.jsonl" in text
        assert str(run.parent) not in text
        assert "internal.host" not in text


def test_a_context_that_rows_share_makes_them_no_duplicates(tmp_path):
    """A long system prompt, and a conversation of which each turn is a seed; the same words in another context."""
    system = "You are a patient helper of a small library. " * 30
    tasks = [
        "Name three books on bees.",
        "How is a lost card replaced?",
        "Write a sign for the reading room.",
        "Go on.",
    ]
    lines = [{"messages": [{"role": "system", "content": system}, {"role": "user", "content": task}]} for task in tasks]
    lines += [
        {"messages": [{"role": "user", "content": f"Tell me about {topic}."},
                      {"role": "assistant", "content": "Gladly."}, {"role": "user", "content": "Go on."}]}
        for topic in ("bees and what they eat", "cards of the library")
    ]  # fmt: skip
    path = tmp_path / "talks.jsonl"
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    run = tmp_path / "run"
    api.evolve(str(path), out=run, recipe="wizardlm", settings=SCRIPTED | {"evolve.rounds": 0},
               seeds=api.SeedOptions(every_turn=True))  # fmt: skip
    selected = api.select(run, settings={"select.duplicates.semantic": 0.95, "select.duplicates.near": 0.7})
    assert selected.kept == selected.rows == 8


def test_rows_whose_calls_failed_are_not_dropped_for_that(run, grading_server):
    settings = {"select.grade": {"difficulty": True, "band": [1, 10]}}
    with grading_server(rule=lambda body: "5", faults=Faults(error=0.5)) as grader:
        stopped = api.select(run, settings=grader | settings)
        assert "could not be marked" in stopped.stopped
        assert stopped.left > 0
    with Reader(run) as reader:
        assert SelectionReader(reader).note() is None
    with grading_server(rule=lambda body: "5") as grader:
        done = api.select(run, settings=grader | settings)
    assert not done.stopped
    assert "out-of-band" not in done.dropped


def test_without_a_band_failed_marks_are_asked_for_again(run, grading_server):
    settings = {"select.grade.difficulty": True}
    with grading_server(rule=lambda body: "5", faults=Faults(error=0.5)) as grader:
        first = api.select(run, settings=grader | settings)
    assert first.left > 0
    with grading_server(rule=lambda body: "5") as grader:
        second = api.select(run, settings=grader | settings)
    assert second.left == 0
    with Reader(run) as reader:
        assert len(list(SelectionReader(reader).grades("difficulty"))) == second.kept


def test_only_rows_that_are_drawn_are_asked_about(run):
    before = api.status(run).calls
    api.select(run, settings={"select.mixture.rows": 3, "select.grade.difficulty": True})
    assert api.status(run).calls == before + 3


def test_the_tokens_of_two_tokenizers_do_not_mix(run, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = []
    for name, split in (("words", pre_tokenizers.Whitespace()), ("letters", pre_tokenizers.Split("", "isolated"))):
        tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, "[UNK]"))
        tokenizer.pre_tokenizer = split
        tokenizer.save(str(tmp_path / f"{name}.json"))
        names.append(str(tmp_path / f"{name}.json"))
    words, letters = ({"select.tokens.tokenizer": name, "select.tokens.budget": 150} for name in names)
    few = api.select(run, settings=words).dropped.get("too-many-tokens", 0)
    many = api.select(run, settings=letters).dropped["too-many-tokens"]
    assert few < many
    assert api.select(run, settings=words).dropped.get("too-many-tokens", 0) == few
    assert api.select(run, settings={"select.tokens.budget": 90}).dropped["too-many-tokens"] > few
    with Reader(run) as reader:
        marks = list(SelectionReader(reader).grades("response-tokens"))
        rows = list(reader.dataset())
    assert [mark.value for mark in marks][:5] == [
        len(pre_tokenizers.Whitespace().pre_tokenize_str(row.response)) for row in rows[:5]
    ]


def test_a_model_of_the_same_name_is_not_mistaken(run):
    other = api.resolve_recipe(recipe="wizardlm", settings={**SCRIPTED, "models.default.model": "another"})
    with pytest.raises(RecipeError, match="is not the model of that name"):
        api.select(run, recipe=other)


def test_the_card_tells_of_the_selection_only_where_it_was_followed(run):
    api.select(run, settings={"select.mixture.rows": 5})
    followed, left_aside = card_facts(run), card_facts(run, selected=False)
    assert followed.selection_dropped["not-sampled"] > 0
    assert followed.corpora_checked
    assert left_aside.selection_dropped is None
    assert not left_aside.corpora_checked


def test_a_run_that_is_written_meanwhile_is_read_as_it_stood(run, seeds_file):
    api.select(run, settings={"select.mixture.rows": 5})
    five = ids(run)
    reading = api.dataset(run)
    first = next(reading).id
    api.evolve(str(seeds_file(14, "more.jsonl")), out=run)
    api.select(run, settings={"select.mixture.rows": 9, "select.mixture.seed": 3})
    assert [first, *(row.id for row in reading)] == five


def test_one_lineage_that_fails_holds_up_the_way_unless_it_is_left_over(tmp_path, seeds_file, grading_server):
    def fails_on_five(body):
        asked = body["messages"][-1]["content"]
        return (
            web.json_response({"error": {"message": "boom"}}, status=500)
            if "of 5 pupils" in asked
            else scripted_rule(body)
        )

    with grading_server(rule=fails_on_five) as server:
        settings = {"models.default": {**server["models.other"], "api": "chat"}, "evolve.rounds": 1}
        options = {"out": tmp_path / "whole", "sources": [str(seeds_file(6))], "settings": settings}
        stopped = api.run("wizardlm", **options)
        assert "--leave-over" in stopped.stopped
        done = api.run("wizardlm", leave_over=True, **options)
    assert not done.stopped
    assert done.dataset.is_dir()


def test_a_fault_of_a_later_stage_is_found_before_anything_is_paid_for(tmp_path, seeds_file):
    settings = SCRIPTED | {"select.contamination.corpora": ["nowhere.jsonl"]}
    with pytest.raises(InputError, match=r"nowhere\.jsonl"):
        api.run("wizardlm", out=tmp_path / "none", sources=[str(seeds_file(3))], settings=settings)
    assert not (tmp_path / "none").exists()


def test_an_export_takes_the_place_of_nothing_that_the_run_lives_on(run):
    seeds = run.parent / "twelve.jsonl"
    before = seeds.read_bytes()
    for target in (seeds, run / "dataset.jsonl", run / "recipe.yaml"):
        with pytest.raises(InputError, match="write somewhere else"):
            api.export(run, "alpaca", target)
    assert seeds.read_bytes() == before


def test_a_finished_run_is_not_taken_over_by_another_recipe(run):
    before = (run / "recipe.yaml").read_bytes()
    with pytest.raises(RecipeError, match="--anew"):
        api.run("wizardlm", out=run, settings=SCRIPTED)
    assert (run / "recipe.yaml").read_bytes() == before
    assert api.run("wizardlm", out=run, settings=SCRIPTED | {"evolve.rounds": 1}, anew=True).dataset.is_dir()


def test_a_recipe_without_an_address_makes_no_run(tmp_path, seeds_file):
    with pytest.raises(InputError, match="has no address"):
        api.run("wizardlm", out=tmp_path / "none", sources=[str(seeds_file(2))])
    assert not (tmp_path / "none").exists()

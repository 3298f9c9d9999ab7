"""A recipe's file where seeds are wanted: `plan` takes it as the recipe, `evolve` and `init` say what to do."""

import pytest

from evolute import api
from evolute.cli import main
from evolute.ledger import Reader


@pytest.fixture
def recipe(tmp_path, seeds_file):
    path = tmp_path / "mine.yaml"
    seeds = seeds_file(12)
    path.write_text(
        f"name: mine\nout: '{tmp_path / 'own'}'\nseeds: {{files: ['{seeds}'], limit: 9}}\n"
        "models: {default: {api: scripted, model: scripted}}\nevolve: {rounds: 1}\n"
    )
    return path


@pytest.mark.parametrize("command", [["evolve"], ["evolve", "--out", "run"], ["init", "--api", "scripted"]])
def test_a_recipe_is_not_taken_for_seeds(tmp_path, monkeypatch, capsys, recipe, command):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([command[0], "mine.yaml", *command[1:]])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "mine.yaml looks like a recipe" in said
    assert "evolute run mine.yaml" in said
    assert "evolute plan mine.yaml" in said
    assert not (tmp_path / "run").exists()


def test_evolve_says_what_to_give_where_the_folder_is_missing(capsys, seeds_file):
    with pytest.raises(SystemExit) as stop:
        main(["evolve", str(seeds_file(1))])
    assert stop.value.code == 2
    assert "--out RUN" in capsys.readouterr().err


def test_plan_takes_the_recipe_with_its_seeds_and_folder(tmp_path, capsys, recipe):
    main(["plan", str(recipe), "--pilot", "3"])
    shown = capsys.readouterr().out
    assert "9 seeds, estimated from 3 finished lineages" in shown
    assert f"to go on from the pilot: evolute run {recipe}\n" in shown
    with Reader(tmp_path / "own") as reader:
        assert (reader.seed_count(), reader.finished_count()) == (9, 3)
        calls = sum(part.calls for part in reader.totals())
    api.run(recipe)
    alone = api.run(recipe, out=tmp_path / "alone")
    assert api.status(tmp_path / "own").calls == alone.summary.calls > calls, "the pilot's calls are not paid for twice"


def test_what_is_given_beside_the_recipe_counts_more(tmp_path, capsys, recipe):
    main(["plan", str(recipe), "--out", str(tmp_path / "here"), "--limit", "5", "--set", "evolve.rounds=2"])
    assert f"evolute run {recipe} --out {tmp_path / 'here'}\n" in capsys.readouterr().out
    assert api.status(tmp_path / "here").seeds == 5
    assert "rounds: 2" in (tmp_path / "here" / "recipe.yaml").read_text()
    with pytest.raises(SystemExit) as stop:
        main(["plan", str(recipe), "--recipe", "tiny"])
    assert stop.value.code == 2
    assert "two recipes" in capsys.readouterr().err

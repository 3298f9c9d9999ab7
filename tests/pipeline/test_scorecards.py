"""Results read back from folders, compared, and put on a page."""

import json

import pytest

from evolute.cli import main
from evolute.errors import InputError
from evolute.pipeline.scorecards import compare_scores, holds_scores, read_scores, scorecard
from evolute.report.scorecard import Reading
from evolute.scores import Item, Measure, Score


def score(benchmark, values):
    items = tuple(Item(str(place), value) for place, value in enumerate(values))
    metric = "pass@1" if benchmark == "humaneval" else "acc"
    return Score(
        benchmark, "m", metric, "%", Measure(sum(values) / len(values), 0.0, 100.0, "t"), len(values), items=items
    )


def written(folder, *scores):
    """A suite's folder; of one score, that benchmark's own."""
    for one in scores:
        place = folder / one.benchmark if len(scores) > 1 else folder
        place.mkdir(parents=True)
        (place / "results.json").write_text(json.dumps({"score": one.to_json()}))
    return folder


def test_a_suite_and_a_single_benchmark_are_read_alike(tmp_path):
    suite = written(tmp_path / "suite", score("mmlu", [100.0, 0.0]), score("humaneval", [100.0]))
    assert list(read_scores(suite)) == ["humaneval", "mmlu"]
    assert list(read_scores(suite / "mmlu")) == ["mmlu"]
    assert holds_scores(suite)
    assert not holds_scores(tmp_path)


def test_each_two_are_compared_where_both_have_a_score(tmp_path):
    one = written(tmp_path / "one", score("mmlu", [100.0] * 20), score("humaneval", [100.0]))
    other = written(tmp_path / "other", score("mmlu", [0.0] * 20))
    sides, (difference,) = compare_scores([one, other])
    assert list(sides) == ["one", "other"]
    assert (difference.benchmark, difference.measure.value, difference.told) == ("mmlu", 100, "one is better")


def test_a_suites_opponent_is_not_taken_for_its_model(tmp_path):
    suite = written(tmp_path / "suite", score("mmlu", [80.0]), score("humaneval", [80.0]))
    written(suite / "against", score("mmlu", [20.0]), score("humaneval", [20.0]))
    assert [one.measure.value for one in read_scores(suite).values()] == [80, 80]


def test_two_results_of_one_benchmark_are_refused(tmp_path):
    for place in ("a", "b"):
        written(tmp_path / place, score("mmlu", [1.0]))
    with pytest.raises(InputError, match="two results of mmlu in it"):
        read_scores(tmp_path)


def test_sums_of_stored_judgments_are_named_as_such(tmp_path):
    (tmp_path / "results.json").write_text('{"scores": {"a": {}, "b": {}}}')
    with pytest.raises(InputError, match="sums of 2 models' stored judgments"):
        read_scores(tmp_path)


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"metric": "mean score"}, True),
        ({"metric": "adjusted win rate", "against": "base"}, False),
    ],
)
def test_published_numbers_stand_only_beside_what_they_measure(fields, shown):
    given = {"benchmark": "mt-bench", "model": "m", "scale": "points", "measure": Measure(7.0), "n": 1} | fields
    card = scorecard("t", {"m": {"mt-bench": Score(**given)}})
    assert bool(card.reference_models) is shown


def test_folders_of_one_name_are_told_apart(tmp_path):
    for place in ("a", "b"):
        written(tmp_path / place / "eval", score("mmlu", [1.0]))
    sides, _ = compare_scores([tmp_path / "a" / "eval", tmp_path / "b" / "eval"])
    assert len(sides) == 2


@pytest.mark.parametrize("text", ["{", '{"score": {}}', '{"score": {"format": 2}}', "[1]"])
def test_what_is_no_result_is_named(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match=r"results\.json: no results of this version"):
        read_scores(tmp_path)


def test_wins_and_losses_stay_with_their_benchmark():
    """Scales differ: by size alone, one benchmark's would crowd out all others'."""
    readings = [Reading(name, str(value), value, "q", "a") for name in ("x", "y") for value in (-5.0, 0.0, 9.0)]
    card = scorecard("t", {"m": {"x": score("x", [1.0])}}, readings=readings)
    assert [one.benchmark for one in card.wins] == ["x", "y"]
    assert [one.score for one in card.losses] == [-5, -5]


def test_published_numbers_stand_by_but_are_no_side():
    card = scorecard("t", {"m": {"humaneval": score("humaneval", [100.0])}})
    assert card.reference("humaneval", "WizardCoder-15B-V1.0").value == 57.3
    assert [side.label for side in card.sides] == ["m"]


def test_the_command(tmp_path, capsys):
    one = written(tmp_path / "one", score("mmlu", [100.0] * 20))
    other = written(tmp_path / "other", score("mmlu", [0.0] * 20))
    main(["compare", str(one), str(other), "--page", str(tmp_path / "page.html")])
    shown = capsys.readouterr().out
    assert "one is better" in shown
    assert "published" in shown
    assert "one is better" in (tmp_path / "page.html").read_text()
    main(["compare", str(one), str(other), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["differences"][0]["difference"] == 100
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit):
        main(["compare", str(one), str(tmp_path / "empty")])
    assert f"{tmp_path / 'empty'}: no evaluation that has ended" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(one), "--page", str(tmp_path / "page.html")])
    assert ended.value.code == 2
    assert "two folders or more, got 1" in capsys.readouterr().err


@pytest.mark.parametrize("held", ["humaneval", "quick"])
def test_a_folder_of_another_evaluation_is_told_in_a_sentence(tmp_path, capsys, held):
    (tmp_path / "evaluation.yaml").write_text(f"benchmark: {held}\nfield_of_its_own: 1\n")
    asked = {"humaneval": ["quick"], "quick": ["humaneval"]}[held]
    with pytest.raises(SystemExit):
        main(["evaluate", *asked, "--out", str(tmp_path)])
    assert capsys.readouterr().err == f"evolute: {tmp_path} holds an evaluation on {held!r}: give another --out\n"

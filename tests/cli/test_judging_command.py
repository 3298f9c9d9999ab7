"""`evolute evaluate` with a judge: what its flags stand for, and what it shows."""

import json

import pytest

from evolute.cli import main
from evolute.cli.judging import Live, settings_of
from evolute.errors import InputError
from evolute.pipeline.judgement import Judgement
from evolute.recipe import ModelSpec

URL = "http://127.0.0.1:9/v1"


def test_opponent_and_judge_are_where_the_model_is_unless_they_say_otherwise():
    found = settings_of(Live(base_url=URL, model="a", against="b", judge_model=["c", "d"]))
    assert (found["opponent.model"], found["opponent.base_url"]) == ("b", URL)
    assert [(judge["model"], judge["base_url"]) for judge in found["judges"]] == [("c", URL), ("d", URL)]
    other = settings_of(
        Live(base_url=URL, model="a", judge_model=["c"], judge_base_url="http://j/v1", judge_key_env="K")
    )
    assert other["judges"] == [{"api": "chat", "base_url": "http://j/v1", "model": "c", "api_key_env": "K"}]


def test_the_embedded_model_is_known_by_its_name_in_every_role():
    found = settings_of(Live(model="smollm2", against="smollm2", against_temperature=1.0, judge_model=["smollm2"]))
    assert found["model.api"] == found["opponent.api"] == found["judges"][0]["api"] == "embedded"
    with pytest.raises(InputError, match="where is 'gpt-4'"):
        settings_of(Live(model="smollm2", judge_model=["gpt-4"]))


def test_a_file_or_the_baseline_is_no_model(tmp_path):
    answers = tmp_path / "answers"
    answers.write_text("")
    assert settings_of(Live(against=str(answers))) == {"against": str(answers)}
    assert settings_of(Live(against="baseline")) == {"against": "baseline"}
    with pytest.raises(InputError, match="there is no such file"):
        settings_of(Live(against="nowhere.jsonl"))


@pytest.mark.parametrize("live", [Live(judge_base_url=URL), Live(against_base_url=URL)])
def test_an_address_without_a_name_is_refused(live):
    with pytest.raises(InputError, match="too"):
        settings_of(live)


def test_the_embedded_judge_is_held_to_its_form():
    judgement = Judgement(benchmark="quick", answers="a", against="b", judges=(ModelSpec(api="embedded"),))
    assert "grammar" in judgement.judging(judgement.judges[0])
    assert "grammar" not in judgement.judging(ModelSpec(model="other", base_url=URL))


def test_judgments_go_with_no_model(capsys):
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "vicuna", "--judgments", "x.jsonl", "--model", "a"])
    assert end.value.code == 2
    assert "--judgments sums up what is judged already" in capsys.readouterr().err


def test_the_quick_set_end_to_end_offline_and_again_from_its_folder(tmp_path, capsys):
    folder = tmp_path / "quick"
    main(
        [
            "evaluate",
            "quick",
            "--api",
            "scripted",
            "--model",
            "a",
            "--against",
            "b",
            "--judge-model",
            "c",
            "--out",
            str(folder),
        ]
    )
    shown = capsys.readouterr().out
    assert "quick: a against b, judged by c" in shown
    assert "no number" in shown  # the scripted judge gives no scores
    assert "unscored 1: no pair of scores in it" in shown
    assert "calls 80; cost $0.0000" in shown
    main(["evaluate", "quick", "--out", str(folder), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (said["calls"], said["score"]["unscored"], said["score"]["measure"]["value"]) == (80, 20, None)
